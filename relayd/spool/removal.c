/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The end of the oldest segments, in which nothing lives. The file NUMBER.gone is renamed to the
 * new number and the directory synced: from here on the segments up to it don't count. Then they
 * are unlinked. So a segment that is missing is told from one that was removed, and nothing has to
 * be written, which a full disk would refuse.
 */
#include "relayd/spool/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"

struct removal {
	struct spool *spool;
	int dir_fd;
	uint64_t gone;
	uint64_t first;
	uint64_t last;
	int sys;
};

int
removal_mark(int dir_fd, uint64_t *gone, uint64_t number)
{
	char from[SEGMENT_NAME], to[SEGMENT_NAME];

	if (*gone < number) {
		segment_gone_name(from, *gone);
		segment_gone_name(to, number);
		if (renameat(dir_fd, from, dir_fd, to) < 0)
			return -1;
		*gone = number;
	}
	return fsync(dir_fd);
}

static void
removal_work(void *ctx)
{
	struct removal *removal = ctx;
	char name[SEGMENT_NAME];

	if (removal_mark(removal->dir_fd, &removal->gone, removal->last) < 0) {
		removal->sys = errno;
		return;
	}
	for (uint64_t number = removal->first; number <= removal->last; number++) {
		segment_name(name, number);
		if (unlinkat(removal->dir_fd, name, 0) < 0 && errno != ENOENT) {
			removal->sys = errno;
			return;
		}
	}
}

static void
removal_done(void *ctx)
{
	struct removal *removal = ctx;
	struct spool *spool = removal->spool;

	spool->cleaner.busy = false;
	spool->chain.gone = removal->gone;
	if (removal->sys != 0) {
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-unlink-failed",
			  LOG_U("segment", removal->first), LOG_S("why", strerror(removal->sys)));
		cleaner_rest(spool);
	} else {
		while (spool->chain.oldest->number <= removal->last)
			chain_remove_oldest(&spool->chain);
		spool->cleaner.cursor = 0;
		spool->cleaner.stuck = false;
		cleaner_look(spool);
	}
	free(removal);
}

void
removal_start(struct spool *spool)
{
	struct removal *removal = xcalloc(1, sizeof(*removal));
	const struct spool_segment *segment = spool->chain.oldest;

	removal->spool = spool;
	removal->dir_fd = spool->dir_fd;
	removal->gone = spool->chain.gone;
	removal->first = segment->number;
	for (; segment != spool->chain.newest && segment->alive == 0; segment = segment->next)
		removal->last = segment->number;
	spool->cleaner.busy = true;
	offload_run(spool->offload, removal_work, removal_done, removal);
}
