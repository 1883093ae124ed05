/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading routes.journal and routes.history.*, and telling a torn tail from damage. The format
 * stands in journal.c. */
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
	const struct journal_type *type;
	unsigned version;
	int fd;
	uint64_t limit;  /* nothing is read from here on */
	bool exact;      /* every record up to the limit was synced: no torn tail */
	uint64_t offset; /* of the next record */
	uint64_t begun;  /* of the present one */
	uint64_t torn;   /* bytes behind the last whole record, at the end */
	uint64_t follows;
	uint64_t revision; /* of the last change read */
	struct journal_timed timed;
	char *payload; /* of the present record, with a NUL behind it */
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

/* How many of version and revision could be read. */
static int
scan_line(const char *line, struct journal_reader *reader)
{
	size_t len = strlen(reader->type->name);

	if (strncmp(line, reader->type->name, len) != 0)
		return 0;
	return sscanf(line + len, " %u follows=%" SCNu64, &reader->version, &reader->follows);
}

static int
read_line(struct journal_reader *reader, struct error *why)
{
	char line[JOURNAL_LINE_MAX + 1], again[JOURNAL_LINE_MAX];
	ssize_t got = durable_read(reader->fd, line, JOURNAL_LINE_MAX, 0);
	size_t len;

	if (got < 0)
		return error_sys(why, ERROR_STORAGE, "can't read %s", reader->path);
	line[got] = '\0';
	if (scan_line(line, reader) < 1)
		return damage(reader, 0, "it does not begin as it should", why);
	if (reader->version > reader->type->version)
		return error_set(why, ERROR_STORAGE,
				 "%s is of version %u, which is later than this relayd",
				 reader->path, reader->version);
	/* Whatever the scan lets through: the same numbers must make the same bytes. */
	len = journal_line(reader->type, reader->version, reader->follows, again);
	if (reader->version < reader->type->least_version || (size_t)got < len ||
	    memcmp(line, again, len) != 0)
		return damage(reader, 0, "its first line is not right", why);
	reader->offset = reader->begun = len;
	reader->revision = reader->follows;
	return 0;
}

int
journal_reader_open_path(const char *path, const struct journal_type *type, uint64_t end,
			 struct journal_reader **opened, struct error *why)
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
	reader->type = type;
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
	int rc = journal_reader_open_path(path, &journal_type_journal, end, reader, why);

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

static bool
is_next(const struct journal_reader *reader, const char *name)
{
	return strncmp(reader->payload + reader->at, name, strlen(name)) == 0;
}

static int
take_change(struct journal_reader *reader, struct journal_change *change)
{
	uint64_t time, steps, confirm_by = 0;

	if (take_number(reader, "revision=", '\n', &change->revision) < 0 ||
	    take_number(reader, "time=", '\n', &time) < 0 ||
	    take_number(reader, "next_id=", '\n', &change->next_id) < 0 ||
	    take_number(reader, "steps=", '\n', &steps) < 0 ||
	    take_text(reader, "user=", &change->user) < 0 || time > INT64_MAX)
		return -1;
	change->note = NULL;
	change->undoes = 0;
	if (is_next(reader, "note=") && take_text(reader, "note=", &change->note) < 0)
		return -1;
	if (is_next(reader, "undoes=") && take_number(reader, "undoes=", '\n', &change->undoes) < 0)
		return -1;
	if (is_next(reader, "confirm_by=") &&
	    take_number(reader, "confirm_by=", '\n', &confirm_by) < 0)
		return -1;
	if (confirm_by > INT64_MAX)
		return -1;
	change->confirm_by_ms = (int64_t)confirm_by;
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

/* A change was read: does it begin the timed change, or end it? */
static void
follow_timed(struct journal_reader *reader, const struct journal_change *change)
{
	if (change->undoes != 0 && change->undoes == reader->timed.revision)
		reader->timed = (struct journal_timed){.revision = 0};
	if (change->confirm_by_ms != 0)
		reader->timed = (struct journal_timed){.revision = change->revision,
						       .confirm_by_ms = change->confirm_by_ms};
}

/* It may speak of a change that is no longer in this file. */
static int
take_confirm(struct journal_reader *reader)
{
	uint64_t revision;

	if (take_number(reader, "confirms=", '\n', &revision) < 0)
		return -1;
	if (revision == reader->timed.revision)
		reader->timed = (struct journal_timed){.revision = 0};
	return 0;
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
		if (kind == JOURNAL_CONFIRM && take_confirm(reader) < 0)
			return damage(reader, reader->begun, "the record can't be understood", why);
		reader->offset += JOURNAL_HEAD_BYTES + reader->len;
	} while (kind != JOURNAL_CHANGE);
	if (take_change(reader, change) < 0)
		return damage(reader, reader->begun, "the record can't be understood", why);
	if (change->revision != reader->revision + 1)
		return error_set(why, ERROR_STORAGE,
				 "%s is damaged at offset %" PRIu64 ": revision %" PRIu64
				 " follows revision %" PRIu64,
				 reader->path, reader->begun, change->revision, reader->revision);
	reader->revision = change->revision;
	follow_timed(reader, change);
	return 1;
}

/* "NAME=ID" and lengths, as many as there are pointers. */
static int
take_step(struct journal_reader *reader, const char *name, uint64_t *id, size_t *first,
	  size_t *second)
{
	size_t *lengths[] = {first, second};
	int count = (first != NULL) + (second != NULL);
	uint64_t bytes;

	if (take_number(reader, name, count > 0 ? ' ' : '\n', id) < 0)
		return -1;
	for (int i = 0; i < count; i++) {
		if (take_number(reader, "", i + 1 < count ? ' ' : '\n', &bytes) < 0 ||
		    bytes > reader->len)
			return -1;
		*lengths[i] = (size_t)bytes;
	}
	return 0;
}

static int
take_step_of_1(struct journal_reader *reader, struct journal_text *step)
{
	if (is_next(reader, "put=")) {
		step->what = JOURNAL_ADD;
		return take_step(reader, "put=", &step->id, &step->after_len, NULL);
	}
	step->what = JOURNAL_DELETE;
	return take_step(reader, "delete=", &step->id, NULL, NULL);
}

static int
take_step_of_2(struct journal_reader *reader, struct journal_text *step)
{
	if (is_next(reader, "add=")) {
		step->what = JOURNAL_ADD;
		return take_step(reader, "add=", &step->id, &step->after_len, NULL);
	}
	if (is_next(reader, "set=")) {
		step->what = JOURNAL_SET;
		return take_step(reader, "set=", &step->id, &step->before_len, &step->after_len);
	}
	step->what = JOURNAL_DELETE;
	return take_step(reader, "delete=", &step->id, &step->before_len, NULL);
}

int
journal_reader_step(struct journal_reader *reader, struct journal_text *step, struct error *why)
{
	bool of_1 = reader->type == &journal_type_journal && reader->version == 1;
	int rc;

	if (reader->steps_left == 0) {
		if (reader->at == reader->len)
			return 0;
		return damage(reader, reader->begun, "the record goes on behind its steps", why);
	}
	reader->steps_left--;
	*step = (struct journal_text){.id = 0};
	rc = of_1 ? take_step_of_1(reader, step) : take_step_of_2(reader, step);
	if (rc < 0 || step->before_len > reader->len - reader->at ||
	    step->after_len > reader->len - reader->at - step->before_len)
		return damage(reader, reader->begun, "a step can't be understood", why);
	step->before = reader->payload + reader->at;
	reader->at += step->before_len;
	step->after = reader->payload + reader->at;
	reader->at += step->after_len;
	return 1;
}

unsigned
journal_reader_version(const struct journal_reader *reader)
{
	return reader->version;
}

struct journal_timed
journal_reader_timed(const struct journal_reader *reader)
{
	return reader->timed;
}

void
journal_reader_seek(struct journal_reader *reader, uint64_t offset, uint64_t revision)
{
	payload_drop(reader);
	reader->offset = offset;
	reader->revision = revision;
}

uint64_t
journal_reader_begun(const struct journal_reader *reader)
{
	return reader->begun;
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
