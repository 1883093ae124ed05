/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/spool/crc32c.h"
#include "relayd/spool/number.h"

enum { WINDOW_LEAST = 1 << 20 };

/* A part of the file in memory. read(2) and no mapping: a bad sector is an error, not a signal. */
struct window {
	int fd;
	char *bytes;
	size_t room;
	uint64_t start;
	size_t len;
};

/* `len` octets at `offset`, which lie within the file; NULL with errno. */
static const char *
window_at(struct window *window, uint64_t offset, size_t len)
{
	ssize_t have;

	if (offset >= window->start && offset + len <= window->start + window->len)
		return window->bytes + (offset - window->start);
	if (window->room < len || window->room < WINDOW_LEAST) {
		window->room = len < WINDOW_LEAST ? WINDOW_LEAST : len;
		window->bytes = xreallocarray(window->bytes, window->room, 1);
	}
	window->len = 0;
	have = segment_read(window->fd, window->bytes, window->room, offset);
	if (have < 0)
		return NULL;
	window->start = offset;
	window->len = (size_t)have;
	if (window->len < len) {
		errno = EIO;
		return NULL;
	}
	return window->bytes;
}

enum verdict { VERDICT_GOOD, VERDICT_BAD, VERDICT_UNREADABLE };

static enum verdict
check_body(struct window *window, uint64_t offset, const struct record *record)
{
	uint64_t left = record_body_inside(record);
	uint32_t crc = 0;

	if (left == 0)
		return VERDICT_GOOD;
	while (left > 0) {
		size_t piece = left < WINDOW_LEAST ? (size_t)left : WINDOW_LEAST;
		const char *bytes = window_at(window, offset, piece);

		if (bytes == NULL)
			return VERDICT_UNREADABLE;
		crc = crc32c(crc, bytes, piece);
		offset += piece;
		left -= piece;
	}
	return crc == record->body_crc ? VERDICT_GOOD : VERDICT_BAD;
}

/* Check the record at `offset`, which must end at `limit` or before. */
static enum verdict
check_record(struct window *window, const struct scan *scan, uint64_t offset, uint64_t limit,
	     struct record *record)
{
	const char *bytes;

	if (limit - offset < RECORD_HEAD)
		return VERDICT_BAD;
	bytes = window_at(window, offset, RECORD_HEAD);
	if (bytes == NULL)
		return VERDICT_UNREADABLE;
	if (!record_decode(record, scan->head.mark, offset, (const unsigned char *)bytes))
		return VERDICT_BAD;
	if (record_body_inside(record) > limit || record_length(record) > limit - offset)
		return VERDICT_BAD;
	/* A record at the window's edge is read again from its head, once and not in pieces. */
	if (record_length(record) <= WINDOW_LEAST &&
	    window_at(window, offset, (size_t)record_length(record)) == NULL)
		return VERDICT_UNREADABLE;
	bytes = window_at(window, offset + RECORD_HEAD, record->meta_len);
	if (bytes == NULL)
		return VERDICT_UNREADABLE;
	if (crc32c(0, bytes, record->meta_len) != record->meta_crc)
		return VERDICT_BAD;
	return check_body(window, offset + RECORD_HEAD + record->meta_len, record);
}

static int
unreadable(const struct scan *scan, uint64_t offset, struct error *why)
{
	return error_sys(why, ERROR_STORAGE, "%s: can't read at offset %" PRIu64, scan->path,
			 offset);
}

static int
damaged(const struct scan *scan, uint64_t offset, const char *what, struct error *why)
{
	return error_set(why, ERROR_STORAGE, "%s: damaged at offset %" PRIu64 ": %s", scan->path,
			 offset, what);
}

/* Does a record behind `bad` say that `bad` was on stable storage? 1, 0, or -1 with errno. */
static int
was_durable(struct window *window, const struct scan *scan, uint64_t bad)
{
	unsigned char mark[8];
	uint64_t at = bad + 1;

	number_put64(mark, scan->head.mark);
	while (at < scan->size && scan->size - at >= RECORD_HEAD) {
		size_t len =
		    scan->size - at < WINDOW_LEAST ? (size_t)(scan->size - at) : WINDOW_LEAST;
		const char *bytes = window_at(window, at, len);
		const char *hit;
		struct record record;

		if (bytes == NULL)
			return -1;
		hit = memmem(bytes, len, mark, sizeof(mark));
		if (hit == NULL) {
			at += len - (sizeof(mark) - 1);
			continue;
		}
		at += (uint64_t)(hit - bytes);
		if (scan->size - at < RECORD_HEAD)
			return 0;
		bytes = window_at(window, at, RECORD_HEAD);
		if (bytes == NULL)
			return -1;
		if (record_decode(&record, scan->head.mark, at, (const unsigned char *)bytes) &&
		    record.durable > bad)
			return 1;
		at++;
	}
	return 0;
}

/* The record at `offset` does not check: is it a tail that may be cut? */
static int
judge(struct window *window, const struct scan *scan, uint64_t offset, struct error *why)
{
	int durable;

	if (!scan->last)
		return damaged(scan, offset, "the record there does not check", why);
	durable = was_durable(window, scan, offset);
	if (durable < 0)
		return unreadable(scan, offset, why);
	if (durable > 0)
		return damaged(scan, offset,
			       "the record there does not check, and was on stable storage", why);
	return 0;
}

static bool
type_is_known(const struct record *record)
{
	return record->type >= RECORD_MESSAGE && record->type <= RECORD_SEAL;
}

static int
scan_records(struct window *window, const struct scan *scan, struct scan_end *end,
	     struct error *why)
{
	uint64_t limit = scan->last ? scan->size : scan->limit;
	struct record record;

	while (end->valid < limit) {
		uint64_t offset = end->valid;
		const char *meta;

		if (end->sealed)
			return damaged(scan, offset, "something follows the seal", why);
		switch (check_record(window, scan, offset, limit, &record)) {
		case VERDICT_UNREADABLE:
			return unreadable(scan, offset, why);
		case VERDICT_BAD:
			return judge(window, scan, offset, why);
		case VERDICT_GOOD:
			break;
		}
		if (!type_is_known(&record))
			return damaged(scan, offset, "a record of an unknown type", why);
		meta = window_at(window, offset + RECORD_HEAD, record.meta_len);
		if (meta == NULL)
			return unreadable(scan, offset, why);
		if (scan->found(scan->ctx, &record, offset, meta, why) < 0)
			return error_prefix(why, "%s: damaged at offset %" PRIu64, scan->path,
					    offset);
		end->sealed = record.type == RECORD_SEAL;
		end->valid = offset + record_length(&record);
	}
	return 0;
}

int
scan_segment(const struct scan *scan, struct scan_end *end, struct error *why)
{
	struct window window = {.fd = scan->fd};
	int rc;

	*end = (struct scan_end){.valid = SEGMENT_HEAD};
	if (!scan->last && scan->size < scan->limit)
		return error_set(why, ERROR_STORAGE,
				 "%s: damaged at offset %" PRIu64
				 ": it ends there, but the next segment knows "
				 "%" PRIu64 " octets of it",
				 scan->path, scan->size, scan->limit);
	rc = scan_records(&window, scan, end, why);
	free(window.bytes);
	return rc;
}
