/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bodies that have a file of their own: DIR/large/ID. */
#include "relayd/spool/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"

struct large_unlink {
	struct spool *spool;
	int large_fd;
	uint64_t id;
	int sys;
};

void
large_name(char name[LARGE_NAME], uint64_t id)
{
	snprintf(name, LARGE_NAME, "%" PRIu64, id);
}

bool
large_id_of(const char *name, uint64_t *id)
{
	char again[LARGE_NAME];

	*id = strtoull(name, NULL, 10);
	large_name(again, *id);
	return strcmp(again, name) == 0;
}

static void
unlink_work(void *ctx)
{
	struct large_unlink *job = ctx;
	char name[LARGE_NAME];

	large_name(name, job->id);
	if (unlinkat(job->large_fd, name, 0) < 0 && errno != ENOENT)
		job->sys = errno;
}

/* What can't be unlinked now is an orphan, and goes at the next start. */
static void
unlink_done(void *ctx)
{
	struct large_unlink *job = ctx;

	if (job->sys != 0)
		log_event(job->spool->log, LOG_LEVEL_ERROR, job->id, "spool-unlink-failed",
			  LOG_S("why", strerror(job->sys)));
	free(job);
}

void
large_unlink(struct spool *spool, uint64_t id)
{
	struct large_unlink *job = xcalloc(1, sizeof(*job));

	job->spool = spool;
	job->large_fd = spool->large_fd;
	job->id = id;
	offload_run(spool->offload, unlink_work, unlink_done, job);
}
