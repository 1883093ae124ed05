/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is there at start-up. First everything is read and checked, and nothing changed: one
 * sentence with file and offset says what is wrong. Then, in this order:
 *
 *   1  what is left of a segment that was never begun for good is unlinked
 *   2  the last segment is cut to its last whole record and synced: what is taken up from here on
 * is durable, also what was only in the page cache when the process was killed 3  segments that
 * were removed but are still there are unlinked, large bodies nobody knows too 4  segments at the
 * old end in which nothing lives are removed
 *
 * The next segment is begun with the first batch, and its header says where the last one ended.
 */
#include "relayd/spool/recovery.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Ids that were given to messages that never came to a commit are known to nobody after a kill. */
enum { ID_GAP = 1000 };

static int
unlink_segment(struct recovery *recovery, uint64_t number, struct error *why)
{
	char name[SEGMENT_NAME];

	segment_name(name, number);
	if (unlinkat(recovery->spool->dir_fd, name, 0) < 0)
		return error_sys(why, ERROR_STORAGE, "%s/%s: can't unlink", recovery->spool->dir,
				 name);
	return 0;
}

static int
cut_last(struct recovery *recovery, struct error *why)
{
	struct found_segment *last;
	char *path;
	int rc = -1;

	if (recovery->count == 0)
		return 0;
	last = &recovery->segments[recovery->count - 1];
	path = recovery_path(recovery, last->number);
	if (recovery->end.valid < last->size) {
		log_event(recovery->spool->log, LOG_LEVEL_WARNING, 0, "spool-tail-cut",
			  LOG_S("file", path), LOG_U("offset", recovery->end.valid),
			  LOG_U("bytes", last->size - recovery->end.valid));
		if (ftruncate(last->fd, (off_t)recovery->end.valid) < 0) {
			error_sys(why, ERROR_STORAGE, "%s: can't cut", path);
			goto out;
		}
	}
	if (fsync(last->fd) < 0) {
		error_sys(why, ERROR_STORAGE, "%s: can't sync", path);
		goto out;
	}
	rc = recovery_close_segment(recovery, last, why);
out:
	free(path);
	return rc;
}

/* Large bodies of which no message knows: what was never committed, or is finished. */
static int
unlink_orphans(struct recovery *recovery, struct error *why)
{
	struct spool *spool = recovery->spool;

	for (size_t i = 0; i < recovery->large.count; i++) {
		uint64_t id = recovery->large.numbers[i];
		const struct envelope *env = idmap_get(&recovery->alive, id);
		char name[LARGE_NAME];

		if (env != NULL && env->place.large)
			continue;
		large_name(name, id);
		if (unlinkat(spool->large_fd, name, 0) < 0)
			return error_sys(why, ERROR_STORAGE, "%s/large/%s: can't unlink",
					 spool->dir, name);
	}
	return 0;
}

static int
remove_empty(struct recovery *recovery, struct error *why)
{
	struct spool *spool = recovery->spool;
	struct chain *chain = &spool->chain;
	const struct spool_segment *segment = chain->oldest;
	uint64_t gone = chain->gone;

	for (; segment != chain->newest && segment->alive == 0; segment = segment->next)
		gone = segment->number;
	if (gone == chain->gone)
		return 0;
	if (removal_mark(spool->dir_fd, &chain->gone, gone) < 0)
		return error_sys(why, ERROR_STORAGE, "%s: can't rename NUMBER.gone", spool->dir);
	while (chain->oldest->number <= gone) {
		if (unlink_segment(recovery, chain->oldest->number, why) < 0)
			return -1;
		chain_remove_oldest(chain);
	}
	return 0;
}

/* The first file of a spool: the directory is new, or lost everything. */
static int
make_mark(struct spool *spool, struct error *why)
{
	char name[SEGMENT_NAME];
	int fd;

	segment_gone_name(name, 0);
	fd = openat(spool->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || close(fd) < 0 || fsync(spool->dir_fd) < 0)
		return error_sys(why, ERROR_STORAGE, "%s/%s: can't create", spool->dir, name);
	return 0;
}

static int
recover_read(struct recovery *recovery, struct error *why)
{
	struct spool *spool = recovery->spool;

	if (recovery_list(recovery, why) < 0 || recovery_read_heads(recovery, why) < 0)
		return -1;
	for (size_t i = 0; i < recovery->count; i++) {
		if (recovery_read_segment(recovery, i, why) < 0)
			return -1;
	}
	if (recovery_check_large(recovery, why) < 0)
		return -1;
	return listing_read(&recovery->large, spool->large_fd, spool->dir, large_id_of, why);
}

static int
recover_change(struct recovery *recovery, struct error *why)
{
	const struct listing *numbers = &recovery->numbers;

	if (!recovery->marked && make_mark(recovery->spool, why) < 0)
		return -1;
	if (recovery->unbegun &&
	    unlink_segment(recovery, numbers->numbers[numbers->count - 1], why) < 0)
		return -1;
	if (cut_last(recovery, why) < 0)
		return -1;
	for (size_t i = 0; i < recovery->stale; i++) {
		if (unlink_segment(recovery, numbers->numbers[i], why) < 0)
			return -1;
	}
	if (unlink_orphans(recovery, why) < 0)
		return -1;
	return remove_empty(recovery, why);
}

int
recover_run(struct spool *spool, void (*found)(void *ctx, struct envelope *env), void *ctx,
	    struct error *why)
{
	struct recovery recovery = {.spool = spool, .next_id = 1};
	struct envelope **all;
	size_t count;
	int rc = -1;

	if (recover_read(&recovery, why) == 0 && recover_change(&recovery, why) == 0)
		rc = 0;
	if (recovery.count > 0 && !recovery.end.sealed)
		recovery.next_id += ID_GAP;
	spool->next_id = recovery.next_id;
	all = idmap_sorted(&recovery.alive, &count);
	spool->counts.messages = count;
	for (size_t i = 0; i < count; i++) {
		if (rc == 0)
			found(ctx, all[i]);
		else
			envelope_free(all[i]);
	}
	for (size_t i = 0; i < recovery.count; i++)
		(void)recovery_close_segment(&recovery, &recovery.segments[i], NULL);
	free(all);
	free(recovery.segments);
	listing_clear(&recovery.numbers);
	listing_clear(&recovery.large);
	return rc;
}
