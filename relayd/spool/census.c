/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Start-up: which segments are there, and are they all there? */
#include "relayd/spool/recovery.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

char *
recovery_path(const struct recovery *recovery, uint64_t number)
{
	char name[SEGMENT_NAME];

	segment_name(name, number);
	return xasprintf("%s/%s", recovery->spool->dir, name);
}

static int
missing(const struct recovery *recovery, uint64_t number, struct error *why)
{
	char name[SEGMENT_NAME];

	segment_name(name, number);
	return error_set(why, ERROR_STORAGE, "%s/%s: the segment is missing", recovery->spool->dir,
			 name);
}

/* Which segments are there, and are they all there? */
int
recovery_list(struct recovery *recovery, struct error *why)
{
	struct spool *spool = recovery->spool;
	const struct listing *numbers = &recovery->numbers;
	struct listing gone = LISTING_INIT;
	uint64_t next;

	if (listing_read(&gone, spool->dir_fd, spool->dir, segment_gone_number_of, why) < 0 ||
	    listing_read(&recovery->numbers, spool->dir_fd, spool->dir, segment_number_of, why) <
		0) {
		listing_clear(&gone);
		return -1;
	}
	recovery->marked = gone.count > 0;
	spool->chain.gone = recovery->marked ? gone.numbers[gone.count - 1] : 0;
	listing_clear(&gone);
	if (!recovery->marked && numbers->count > 0)
		return error_set(
		    why, ERROR_STORAGE,
		    "%s: the file NUMBER.gone is missing, so nobody can say whether segments are",
		    spool->dir);
	while (recovery->stale < numbers->count &&
	       numbers->numbers[recovery->stale] <= spool->chain.gone)
		recovery->stale++;
	next = spool->chain.gone + 1;
	for (size_t i = recovery->stale; i < numbers->count; i++, next++) {
		if (numbers->numbers[i] != next)
			return missing(recovery, next, why);
	}
	/* The newest is never removed before the next one stands. */
	if (numbers->count == recovery->stale && spool->chain.gone > 0)
		return missing(recovery, next, why);
	return 0;
}

int
recovery_open_segment(struct recovery *recovery, struct found_segment *segment, struct error *why)
{
	unsigned char head[SEGMENT_HEAD];
	char *path = recovery_path(recovery, segment->number);
	char name[SEGMENT_NAME];
	struct stat status;
	ssize_t have;
	int rc = -1;

	segment_name(name, segment->number);
	segment->fd = openat(recovery->spool->dir_fd, name, O_RDWR | O_CLOEXEC);
	if (segment->fd < 0 || fstat(segment->fd, &status) < 0) {
		error_sys(why, ERROR_STORAGE, "%s: can't open", path);
		goto out;
	}
	segment->size = (uint64_t)status.st_size;
	have = segment_read(segment->fd, head, sizeof(head), 0);
	if (have < 0) {
		error_sys(why, ERROR_STORAGE, "%s: can't read at offset 0", path);
		goto out;
	}
	segment->head_good = have == SEGMENT_HEAD && segment_head_decode(&segment->head, head) &&
			     segment->head.number == segment->number;
	if (segment->size > UINT32_MAX) {
		error_set(why, ERROR_STORAGE,
			  "%s: larger than a segment can be, at offset %" PRIu32, path, UINT32_MAX);
		goto out;
	}
	rc = 0;
out:
	free(path);
	return rc;
}

int
recovery_close_segment(struct recovery *recovery, struct found_segment *segment, struct error *why)
{
	int fd = segment->fd;
	int rc = 0;

	segment->fd = -1;
	if (fd >= 0 && close(fd) < 0) {
		char *path = recovery_path(recovery, segment->number);

		rc = error_sys(why, ERROR_STORAGE, "%s: can't close", path);
		free(path);
	}
	return rc;
}

/* Look at every header. Nothing is written behind a header that is not durable: a bad one with
 * something behind it, or in the middle, is damage. */
int
recovery_read_heads(struct recovery *recovery, struct error *why)
{
	const struct listing *numbers = &recovery->numbers;

	recovery->count = numbers->count - recovery->stale;
	recovery->segments = xcalloc(recovery->count + 1, sizeof(*recovery->segments));
	for (size_t i = 0; i < recovery->count; i++) {
		recovery->segments[i].fd = -1;
		recovery->segments[i].number = numbers->numbers[recovery->stale + i];
	}
	for (size_t i = 0; i < recovery->count; i++) {
		struct found_segment *segment = &recovery->segments[i];
		bool last = i + 1 == recovery->count;
		bool first_ever = segment->number == 1;
		char *path;

		if (recovery_open_segment(recovery, segment, why) < 0)
			return -1;
		if (segment->head_good) {
			if (recovery_close_segment(recovery, segment, why) < 0)
				return -1;
			continue;
		}
		if (last && segment->size <= SEGMENT_HEAD && (i > 0 || first_ever)) {
			recovery->unbegun = true;
			recovery->count--;
			return recovery_close_segment(recovery, segment, why);
		}
		path = recovery_path(recovery, segment->number);
		error_set(why, ERROR_STORAGE, "%s: damaged at offset 0: the header does not check",
			  path);
		free(path);
		return -1;
	}
	return 0;
}
