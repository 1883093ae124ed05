/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading routes.journal, and telling a torn tail from damage. The format stands in journal.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/routes/durable.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/journal_format.h"
#include "relayd/spool/crc32c.h"

enum { SEARCH_BYTES = 1 << 20 };

struct journal_reader {
	char *path;
	int fd;
	uint64_t limit;  /* nothing is read from here on */
	bool exact;      /* every record up to the limit was synced: no torn tail */
	uint64_t offset; /* of the next record */
	uint64_t begun;  /* of the present one */
	uint64_t torn;   /* bytes behind the last whole record, at the end */
	uint64_t follows;
	uint64_t revision; /* of the last change read */
	char *payload;     /* of the present record, with a NUL behind it */
	size_t len;
	size_t at; /* what is parsed of it */
	size_t steps_left;
};

static int
damage(const struct journal_reader *reader, uint64_t offset, const char *reason, struct error *why)
{
	return error_set(why, ERROR_STORAGE, "%s is damaged at offset %" PRIu64 ": %s",
			 reader->path, offset, reason);
}

/* Payloads hold passwords. */
static void
payload_drop(struct journal_reader *reader)
{
	if (reader->payload != NULL)
		explicit_bzero(reader->payload, reader->len);
	free(reader->payload);
	reader->payload = NULL;
	reader->len = reader->at = reader->steps_left = 0;
}

/* ---- opening ---- */

static int
read_line(struct journal_reader *reader, struct error *why)
{
	char line[JOURNAL_LINE_MAX + 1], again[JOURNAL_LINE_MAX];
	ssize_t got = durable_read(reader->fd, line, JOURNAL_LINE_MAX, 0);
	unsigned version = 0;
	size_t len;

	if (got < 0)
		return error_sys(why, ERROR_STORAGE, "can't read %s", reader->path);
	line[got] = '\0';
	if (sscanf(line, "relayd-routes-journal %u ", &version) == 1 && version > 1)
		return error_set(why, ERROR_STORAGE,
				 "%s is of version %u, which is later than this relayd",
				 reader->path, version);
	/* Whatever sscanf lets through: the same number must make the same bytes. */
	if (sscanf(line, "relayd-routes-journal 1 follows=%" SCNu64, &reader->follows) != 1)
		return damage(reader, 0, "it does not begin as a journal does", why);
	len = journal_line(reader->follows, again);
	if ((size_t)got < len || memcmp(line, again, len) != 0)
		return damage(reader, 0, "its first line is not right", why);
	reader->offset = reader->begun = len;
	reader->revision = reader->follows;
	return 0;
}

int
journal_reader_open_path(const char *path, uint64_t end, struct journal_reader **opened,
			 struct error *why)
{
	struct journal_reader *reader;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	uint64_t size;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "can't open %s", path);
	reader = xcalloc(1, sizeof(*reader));
	reader->path = xstrdup(path);
	reader->fd = fd;
	if (durable_size(fd, &size) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't look at %s", path);
	else if (size < end)
		rc = damage(reader, size, "it ends too early", why);
	else
		rc = read_line(reader, why);
	if (rc < 0) {
		journal_reader_free(reader);
		return -1;
	}
	reader->limit = end > 0 ? end : size;
	reader->exact = end > 0;
	*opened = reader;
	return 1;
}

int
journal_reader_open(const char *dir, uint64_t end, struct journal_reader **reader,
		    struct error *why)
{
	char *path = durable_path(dir, JOURNAL_NAME);
	int rc = journal_reader_open_path(path, end, reader, why);

	free(path);
	return rc;
}

void
journal_reader_free(struct journal_reader *reader)
{
	if (reader == NULL)
		return;
	payload_drop(reader);
	/* Nothing was written: a failure of close loses nothing. */
	(void)close(reader->fd);
	free(reader->path);
	free(reader);
}

/* ---- one record ---- */

/* Read the record at `offset`. Returns 1 (its payload is the present one), 0 if there is no valid
 * one, -1 if the disk can't be read. */
static int
record_load(struct journal_reader *reader, uint64_t offset, enum journal_kind *kind,
	    struct error *why)
{
	unsigned char head[JOURNAL_HEAD_BYTES];
	ssize_t got;
	uint32_t len;

	payload_drop(reader);
	if (reader->limit < offset || reader->limit - offset < sizeof(head))
		return 0;
	got = durable_read(reader->fd, head, sizeof(head), offset);
	if (got == (ssize_t)sizeof(head) && journal_head_get(head, kind, &len) == 0 &&
	    len <= reader->limit - offset - sizeof(head)) {
		reader->payload = xmalloc((size_t)len + 1);
		reader->len = len;
		got = durable_read(reader->fd, reader->payload, len, offset + sizeof(head));
		if (got >= 0 && (size_t)got == len &&
		    journal_head_check(head, crc32c(0, reader->payload, len)) == 0) {
			reader->payload[len] = '\0';
			return 1;
		}
	}
	payload_drop(reader);
	if (got < 0)
		return error_sys(why, ERROR_STORAGE, "can't read %s", reader->path);
	return 0;
}

/* Is there a valid record anywhere from `offset` on? 1, 0, -1. */
static int
record_search(struct journal_reader *reader, uint64_t offset, struct error *why)
{
	char *bytes = xmalloc(SEARCH_BYTES);
	enum journal_kind kind;
	ssize_t got = 0;
	int rc = 0;

	for (; rc == 0 && offset < reader->limit; offset += (uint64_t)got) {
		uint64_t left = reader->limit - offset;
		size_t want = left < SEARCH_BYTES ? (size_t)left : SEARCH_BYTES;

		got = durable_read(reader->fd, bytes, want, offset);
		if (got <= 0)
			break;
		for (ssize_t i = 0; rc == 0 && i < got; i++) {
			if ((unsigned char)bytes[i] == 0xf5)
				rc = record_load(reader, offset + (uint64_t)i, &kind, why);
		}
	}
	if (got < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't read %s", reader->path);
	free(bytes);
	return rc;
}

/* ---- its text ---- */

/* "NAME=NUMBER" and one character. */
static int
take_number(struct journal_reader *reader, const char *name, char behind, uint64_t *number)
{
	const char *text = reader->payload + reader->at;
	size_t len = strlen(name);
	char *end;

	if (strncmp(text, name, len) != 0 || text[len] < '0' || text[len] > '9')
		return -1;
	errno = 0;
	*number = strtoull(text + len, &end, 10);
	if (errno != 0 || *end != behind)
		return -1;
	reader->at += (size_t)(end - text) + 1;
	return 0;
}

/* "NAME=LENGTH\nBYTES\n", where the last newline becomes a NUL. */
static int
take_text(struct journal_reader *reader, const char *name, const char **text)
{
	uint64_t len;

	if (take_number(reader, name, '\n', &len) < 0 || len >= reader->len - reader->at ||
	    reader->payload[reader->at + len] != '\n')
		return -1;
	*text = reader->payload + reader->at;
	reader->payload[reader->at + len] = '\0';
	reader->at += (size_t)len + 1;
	return 0;
}

static int
take_change(struct journal_reader *reader, struct journal_change *change)
{
	uint64_t time, steps;

	if (take_number(reader, "revision=", '\n', &change->revision) < 0 ||
	    take_number(reader, "time=", '\n', &time) < 0 ||
	    take_number(reader, "next_id=", '\n', &change->next_id) < 0 ||
	    take_number(reader, "steps=", '\n', &steps) < 0 ||
	    take_text(reader, "user=", &change->user) < 0 || time > INT64_MAX)
		return -1;
	change->note = NULL;
	if (strncmp(reader->payload + reader->at, "note=", 5) == 0 &&
	    take_text(reader, "note=", &change->note) < 0)
		return -1;
	change->time_ms = (int64_t)time;
	change->step_count = reader->steps_left = (size_t)steps;
	return 0;
}

/* Does the seal that was read speak of the last change before it? */
static bool
is_right_seal(const struct journal_reader *reader)
{
	unsigned char seal[JOURNAL_SEAL_BYTES];

	journal_seal_put(seal, reader->revision);
	return reader->len == sizeof(seal) - JOURNAL_HEAD_BYTES &&
	       memcmp(reader->payload, seal + JOURNAL_HEAD_BYTES, reader->len) == 0;
}

/* Nothing valid at reader->offset: the end, or damage? */
static int
no_record(struct journal_reader *reader, struct error *why)
{
	int found;

	if (reader->offset == reader->limit)
		return 0;
	if (reader->exact)
		return damage(reader, reader->offset, "the record does not check", why);
	found = record_search(reader, reader->offset + 1, why);
	payload_drop(reader);
	if (found > 0)
		return damage(reader, reader->offset,
			      "the record does not check, and it was acknowledged", why);
	reader->torn = found == 0 ? reader->limit - reader->offset : 0;
	return found;
}

int
journal_reader_next(struct journal_reader *reader, struct journal_change *change, struct error *why)
{
	enum journal_kind kind;
	int rc;

	do {
		reader->begun = reader->offset;
		rc = record_load(reader, reader->offset, &kind, why);
		if (rc < 0)
			return -1;
		if (rc == 0)
			return no_record(reader, why);
		if (kind == JOURNAL_SEAL && !is_right_seal(reader))
			return damage(reader, reader->begun, "the seal is not right", why);
		reader->offset += JOURNAL_HEAD_BYTES + reader->len;
	} while (kind == JOURNAL_SEAL);
	if (take_change(reader, change) < 0)
		return damage(reader, reader->begun, "the record can't be understood", why);
	if (change->revision != reader->revision + 1)
		return error_set(why, ERROR_STORAGE,
				 "%s is damaged at offset %" PRIu64 ": revision %" PRIu64
				 " follows revision %" PRIu64,
				 reader->path, reader->begun, change->revision, reader->revision);
	reader->revision = change->revision;
	return 1;
}

int
journal_reader_step(struct journal_reader *reader, uint64_t *id, const char **record, size_t *len,
		    struct error *why)
{
	uint64_t bytes;

	if (reader->steps_left == 0) {
		if (reader->at == reader->len)
			return 0;
		return damage(reader, reader->begun, "the record goes on behind its steps", why);
	}
	reader->steps_left--;
	if (take_number(reader, "delete=", '\n', id) == 0) {
		*record = NULL;
		*len = 0;
		return 1;
	}
	if (take_number(reader, "put=", ' ', id) < 0 || take_number(reader, "", '\n', &bytes) < 0 ||
	    bytes > reader->len - reader->at)
		return damage(reader, reader->begun, "a step can't be understood", why);
	*record = reader->payload + reader->at;
	*len = (size_t)bytes;
	reader->at += *len;
	return 1;
}

uint64_t
journal_reader_follows(const struct journal_reader *reader)
{
	return reader->follows;
}

uint64_t
journal_reader_end(const struct journal_reader *reader)
{
	return reader->offset;
}

uint64_t
journal_reader_torn(const struct journal_reader *reader)
{
	return reader->torn;
}
