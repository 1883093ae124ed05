/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A body's bytes: from memory in one piece, or from the disk by jobs of one piece each. The files
 * are opened at once, so that nothing that happens to them later hurts. The record's head is read
 * again and checked: it holds length and checksum of the body, and no envelope needs to.
 */
#include "relayd/spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/spool/crc32c.h"

enum { PIECE = 64 << 10 };

struct spool_reader {
	struct spool *spool;
	uint64_t id;
	struct spool_memory *memory; /* NULL: from the disk */
	bool memory_given;

	struct segment_file *file; /* that holds the record */
	uint64_t number;           /* of its segment, for messages */
	uint64_t mark;
	uint64_t offset; /* of the record */
	int large_fd;    /* the body's own file, or -1 */

	bool opened; /* the head was read; these are known */
	uint64_t at; /* of the next piece, in the file that holds the body */
	uint64_t left;
	uint32_t crc; /* of what was read */
	uint32_t expected;

	bool running; /* a job: what follows is its, and what stands above from `opened` on */
	bool freed;   /* meanwhile: no callback */
	char *piece;
	size_t len;
	struct error failed;
	void (*got)(void *ctx, const char *bytes, size_t len, const struct error *why);
	void *ctx;
};

struct spool_reader *
spool_reader_new(struct spool *spool, const struct envelope *env, struct error *why)
{
	const struct spool_place *place = &env->place;
	struct spool_reader *reader = xcalloc(1, sizeof(*reader));
	char name[LARGE_NAME];

	reader->spool = spool;
	reader->id = env->id;
	reader->large_fd = -1;
	if (place->memory != NULL) {
		reader->memory = memory_ref(place->memory);
		return reader;
	}
	reader->file = segment_file_open(spool, place->segment, why);
	if (reader->file == NULL)
		goto fail;
	reader->number = place->segment->number;
	reader->mark = place->segment->mark;
	reader->offset = place->offset;
	if (place->large) {
		large_name(name, env->id);
		reader->large_fd = openat(spool->large_fd, name, O_RDONLY | O_CLOEXEC);
		if (reader->large_fd < 0) {
			error_sys(why, ERROR_STORAGE, "%s/large/%s: can't open", spool->dir, name);
			goto fail;
		}
	}
	reader->piece = xmalloc(PIECE);
	return reader;
fail:
	spool_reader_free(reader);
	return NULL;
}

static void
reader_damaged(struct spool_reader *reader, const char *what)
{
	char name[SEGMENT_NAME];

	if (reader->large_fd >= 0) {
		error_set(&reader->failed, ERROR_STORAGE, "%s/large/%" PRIu64 ": %s",
			  reader->spool->dir, reader->id, what);
		return;
	}
	segment_name(name, reader->number);
	error_set(&reader->failed, ERROR_STORAGE, "%s/%s: record at offset %" PRIu64 ": %s",
		  reader->spool->dir, name, reader->offset, what);
}

/* `len` octets, no fewer. */
static int
read_all(struct spool_reader *reader, int fd, void *bytes, size_t len, uint64_t offset)
{
	ssize_t have = segment_read(fd, bytes, len, offset);

	if (have == (ssize_t)len)
		return 0;
	reader_damaged(reader, have < 0 ? strerror(errno) : "it ends too early");
	if (have < 0)
		reader->failed.sys = errno;
	return -1;
}

static int
read_head(struct spool_reader *reader)
{
	unsigned char head[RECORD_HEAD];
	struct record record;

	if (read_all(reader, reader->file->fd, head, sizeof(head), reader->offset) < 0)
		return -1;
	if (!record_decode(&record, reader->mark, reader->offset, head) ||
	    record.id != reader->id) {
		reader_damaged(reader, "the head does not check");
		return -1;
	}
	reader->opened = true;
	reader->left = record.body_len;
	reader->expected = record.body_crc;
	reader->at = reader->large_fd >= 0 ? 0 : reader->offset + RECORD_HEAD + record.meta_len;
	return 0;
}

static void
reader_work(void *ctx)
{
	struct spool_reader *reader = ctx;
	int fd = reader->large_fd >= 0 ? reader->large_fd : reader->file->fd;

	reader->len = 0;
	if (!reader->opened && read_head(reader) < 0)
		return;
	reader->len = reader->left < PIECE ? (size_t)reader->left : PIECE;
	if (reader->len > 0 && read_all(reader, fd, reader->piece, reader->len, reader->at) < 0) {
		reader->len = 0;
		return;
	}
	reader->crc = crc32c(reader->crc, reader->piece, reader->len);
	reader->at += reader->len;
	reader->left -= reader->len;
	if (reader->left == 0 && reader->crc != reader->expected) {
		reader_damaged(reader, "the body does not check");
		reader->len = 0;
	}
}

static void
reader_done(void *ctx)
{
	struct spool_reader *reader = ctx;

	reader->running = false;
	if (reader->freed)
		spool_reader_free(reader);
	else /* may free the reader */
		reader->got(reader->ctx, reader->piece, reader->len,
			    reader->failed.code != ERROR_NONE ? &reader->failed : NULL);
}

void
spool_reader_next(struct spool_reader *reader,
		  void (*got)(void *ctx, const char *bytes, size_t len, const struct error *why),
		  void *ctx)
{
	if (reader->memory != NULL) {
		size_t len = reader->memory_given ? 0 : reader->memory->len;

		reader->memory_given = true;
		got(ctx, reader->memory->bytes, len, NULL);
		return;
	}
	reader->got = got;
	reader->ctx = ctx;
	reader->running = true;
	offload_run(reader->spool->offload, reader_work, reader_done, reader);
}

void
spool_reader_free(struct spool_reader *reader)
{
	if (reader->running) {
		reader->freed = true;
		return;
	}
	memory_unref(reader->memory);
	segment_file_unref(reader->spool, reader->file);
	if (reader->large_fd >= 0 && close(reader->large_fd) < 0)
		log_event(reader->spool->log, LOG_LEVEL_ERROR, reader->id, "spool-close-failed",
			  LOG_S("why", strerror(errno)));
	free(reader->piece);
	free(reader);
}
