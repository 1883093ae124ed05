/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/move.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "relayd/spool/crc32c.h"
#include "relayd/spool/number.h"

/* Read the record at `offset` and check it whole; its meta data and body are appended to `bytes`.
 */
static int
read_record(int fd, uint64_t mark, uint64_t offset, uint64_t id, struct record *record,
	    struct strbuf *bytes, struct error *why)
{
	unsigned char head[RECORD_HEAD];
	size_t len;
	ssize_t have;

	have = segment_read(fd, head, sizeof(head), offset);
	if (have < 0)
		return error_sys(why, ERROR_STORAGE, "can't read at offset %" PRIu64, offset);
	if (have < RECORD_HEAD || !record_decode(record, mark, offset, head) || record->id != id)
		return error_set(why, ERROR_STORAGE, "damaged at offset %" PRIu64, offset);
	len = (size_t)(record_length(record) - RECORD_HEAD);
	have = segment_read(fd, strbuf_reserve(bytes, len), len, offset + RECORD_HEAD);
	if (have < 0)
		return error_sys(why, ERROR_STORAGE, "can't read at offset %" PRIu64, offset);
	strbuf_grew(bytes, (size_t)have);
	if ((size_t)have < len || crc32c(0, bytes->data, record->meta_len) != record->meta_crc ||
	    (record_body_inside(record) > 0 &&
	     crc32c(0, bytes->data + record->meta_len, len - record->meta_len) != record->body_crc))
		return error_set(why, ERROR_STORAGE, "damaged at offset %" PRIu64, offset);
	return 0;
}

static int
read_progress(const struct move *move, const struct move_item *item, struct strbuf *bytes,
	      struct error *why)
{
	char name[SEGMENT_NAME];
	struct record record;
	int fd, rc;

	segment_name(name, item->progress_number);
	fd = openat(move->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "%s: can't open", name);
	rc = read_record(fd, item->progress_mark, item->progress_at, item->id, &record, bytes, why);
	if (rc < 0)
		error_prefix(why, "%s", name);
	if (close(fd) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "%s: can't close", name);
	return rc;
}

/* The meta data of a MOVED record: the fixed part of `old`, and the newest progress. */
static int
make_meta(const struct record *old, const struct strbuf *bytes, const struct strbuf *progress,
	  struct strbuf *meta)
{
	const char *fixed = bytes->data;
	size_t fixed_len = old->meta_len;
	size_t old_progress = 0;
	char length[4];

	if (old->type == RECORD_MOVED) {
		if (old->meta_len < 4)
			return -1;
		fixed_len = number_get32(bytes->data);
		if (fixed_len > old->meta_len - 4)
			return -1;
		fixed += 4;
		old_progress = old->meta_len - 4 - fixed_len;
	}
	number_put32(length, (uint32_t)fixed_len);
	strbuf_append(meta, length, sizeof(length));
	strbuf_append(meta, fixed, fixed_len);
	if (progress->len > 0)
		strbuf_append(meta, progress->data, progress->len);
	else
		strbuf_append(meta, fixed + fixed_len, old_progress);
	return 0;
}

static int
move_one(const struct move *move, struct move_item *item, struct error *why)
{
	struct strbuf bytes = STRBUF_INIT, progress = STRBUF_INIT, meta = STRBUF_INIT;
	struct record old;
	int rc = -1;

	if (read_record(move->file->fd, move->mark, item->offset, item->id, &old, &bytes, why) < 0)
		goto out;
	if (item->progress_in != NULL && read_progress(move, item, &progress, why) < 0)
		goto out;
	if (make_meta(&old, &bytes, &progress, &meta) < 0) {
		error_set(why, ERROR_STORAGE, "damaged at offset %u", item->offset);
		goto out;
	}
	item->entry = entry_new(RECORD_MOVED, item->id, meta.data, meta.len);
	item->entry->record.flags = old.flags;
	item->entry->record.body_len = old.body_len;
	item->entry->record.body_crc = old.body_crc;
	item->entry->slot = item->slot;
	if ((old.flags & RECORD_LARGE) == 0) {
		strbuf_consume(&bytes, old.meta_len);
		item->entry->body = memory_new(&bytes);
	}
	rc = 0;
out:
	strbuf_clear(&bytes);
	strbuf_clear(&progress);
	strbuf_clear(&meta);
	return rc;
}

void
move_work(void *ctx)
{
	struct move *move = ctx;

	for (size_t i = 0; i < move->count; i++) {
		if (move_one(move, &move->items[i], &move->failed) < 0)
			break;
	}
}
