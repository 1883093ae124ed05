/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * STATE_DIR/routes.journal, mode 0600. It begins with a line of text:
 *
 *	relayd-routes-journal 1 follows=412
 *
 * where 1 is the version of the format and 412 the revision of the checkpoint that it follows (0:
 * none): the first change in it is revision 413, and each is one more than the one before. A
 * checkpoint may hold some of the changes already; they are passed over when the two are read.
 *
 * Then come records: a head of 12 bytes and a payload. The head: f5 52 4a ("\xf5RJ"), the kind, the
 * length of the payload and the CRC-32C of the payload and of the eight bytes before, both as 32
 * bits, the lowest byte first. There are two kinds:
 *
 * 'C', a change, whose payload is text:
 *
 *	revision=413
 *	time=1763800000123
 *	next_id=11
 *	steps=2
 *	user=3
 *	lea
 *	note=11
 *	ticket 8841
 *	put=10 53
 *	destination=example.com
 *	remote_host=mail.example.com
 *	delete=4
 *
 * time: ms since 1970. next_id: the id that the next new route gets. The numbers of user, note
 * (left out when there is none) and put are lengths in bytes; what put gives is the text of
 * route_encode().
 *
 * 'S', a seal, whose payload is the revision before it, as 64 bits. It is written after all before
 * it was synced, and is not synced itself. So a record that does not check was torn by a crash, and
 * never acknowledged, if nothing valid follows it; else it is damage.
 *
 * Order of a change: payload, head, fdatasync, seal, acknowledgement. Order of a new file: it is
 * written whole under another name, synced, read back, renamed, the directory synced; only then the
 * old one is left.
 */
#include "relayd/routes/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/durable.h"
#include "relayd/routes/journal_format.h"
#include "relayd/spool/crc32c.h"

enum { WRITE_BYTES = 1 << 20 };

struct journal {
	char *dir;
	char *path;
	char *fresh;
	int fd;
	uint64_t follows;
	uint64_t begin;    /* behind the first line */
	uint64_t end;      /* what lies before is synced */
	uint64_t revision; /* of the last change before the end */
	bool sealed;       /* nothing but a seal lies between that and the end */
	uint64_t
	    write_at; /* where the next record goes: the end, but for those that wait for a sync */
	uint64_t write_revision; /* of the last of them */
	bool broken;             /* write it anew before anything is appended */
};

/* ---- a new file ---- */

/* Everything up to the sync: first line, the old records from `from` on, a seal. */
static int
fresh_write(const struct journal *journal, int fd, uint64_t from, uint64_t follows, uint64_t *end)
{
	unsigned char seal[JOURNAL_SEAL_BYTES];
	char line[JOURNAL_LINE_MAX];
	size_t len = journal_line(follows, line);

	*end = len + (journal->end - from);
	if (durable_write(fd, line, len, 0) < 0)
		return -1;
	if (durable_copy(journal->fd, from, journal->end, fd, len) < 0)
		return -1;
	if (journal->end > from && !journal->sealed) {
		journal_seal_put(seal, journal->revision);
		if (durable_write(fd, seal, sizeof(seal), *end) < 0)
			return -1;
		*end += sizeof(seal);
	}
	return fsync(fd);
}

/* Is every record of the new file right, each revision one more than the last? */
static int
fresh_check(const struct journal *journal, uint64_t end, struct error *why)
{
	struct journal_reader *reader = NULL;
	struct journal_change change;
	int rc;

	rc = journal_reader_open_path(journal->fresh, end, &reader, why);
	if (rc == 0)
		return error_set(why, ERROR_STORAGE, "%s is missing", journal->fresh);
	if (rc < 0)
		return -1;
	do
		rc = journal_reader_next(reader, &change, why);
	while (rc > 0);
	journal_reader_free(reader);
	return rc;
}

/* Put a new file with the records from `from` on in the place of the old one. */
static int
renew(struct journal *journal, uint64_t from, uint64_t follows, struct error *why)
{
	char line[JOURNAL_LINE_MAX];
	uint64_t end;
	int fd, rc = -1, replaced;

	fd = open(journal->fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "can't make %s", journal->fresh);
	if (fresh_write(journal, fd, from, follows, &end) < 0) {
		error_sys(why, ERROR_STORAGE, "can't write %s", journal->fresh);
		goto out;
	}
	if (fresh_check(journal, end, why) < 0)
		goto out;
	replaced = durable_replace(journal->dir, journal->fresh, journal->path, why);
	/* After the rename either file may be the one that a power cut leaves. What is in them now
	 * is the same; nothing may be added to one of them until it is known to be the one. */
	if (replaced == -2)
		journal->broken = true;
	if (replaced < 0)
		goto out;
	if (journal->fd >= 0)
		(void)close(journal->fd); /* synced, or given up: nothing hangs on it any more */
	journal->fd = fd;
	fd = -1;
	journal->follows = follows;
	journal->begin = journal_line(follows, line);
	journal->end = journal->write_at = end;
	journal->sealed = true;
	journal->broken = false;
	rc = 0;
out:
	if (fd >= 0) {
		(void)close(fd);
		(void)durable_remove(journal->fresh, NULL);
	}
	return rc;
}

/* ---- opening ---- */

static struct journal *
journal_new(const char *dir, uint64_t follows)
{
	struct journal *journal = xcalloc(1, sizeof(*journal));
	char line[JOURNAL_LINE_MAX];

	journal->dir = xstrdup(dir);
	journal->path = durable_path(dir, JOURNAL_NAME);
	journal->fresh = durable_path(dir, JOURNAL_NAME ".new");
	journal->fd = -1;
	journal->follows = follows;
	journal->begin = journal_line(follows, line);
	return journal;
}

struct journal *
journal_create(const char *dir, struct error *why)
{
	struct journal *journal = journal_new(dir, 0);

	journal->end = journal->write_at = journal->begin;
	if (renew(journal, journal->end, 0, why) < 0) {
		journal_free(journal);
		return NULL;
	}
	return journal;
}

/* Say that all before the end is synced. That it could not be said is no failure: what there is of
 * a seal then is written over by the next record. */
static void
seal_end(struct journal *journal)
{
	unsigned char seal[JOURNAL_SEAL_BYTES];

	journal_seal_put(seal, journal->revision);
	journal->sealed = durable_write(journal->fd, seal, sizeof(seal), journal->end) == 0;
	if (journal->sealed)
		journal->end += sizeof(seal);
	journal->write_at = journal->end;
}

/* Does a seal stand at the end, or nothing at all? */
static bool
ends_sealed(const struct journal *journal)
{
	unsigned char seal[JOURNAL_SEAL_BYTES], there[JOURNAL_SEAL_BYTES];

	if (journal->end < journal->begin + sizeof(seal))
		return journal->end == journal->begin;
	journal_seal_put(seal, journal->revision);
	return durable_read(journal->fd, there, sizeof(there), journal->end - sizeof(seal)) ==
		   (ssize_t)sizeof(there) &&
	       memcmp(seal, there, sizeof(seal)) == 0;
}

struct journal *
journal_open(const char *dir, uint64_t follows, uint64_t revision, uint64_t end, struct error *why)
{
	struct journal *journal = journal_new(dir, follows);
	uint64_t size;
	int rc = 0;

	journal->end = journal->write_at = end;
	journal->revision = journal->write_revision = revision;
	journal->fd = open(journal->path, O_RDWR | O_CLOEXEC);
	if (journal->fd < 0 || durable_size(journal->fd, &size) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't open %s", journal->path);
	else if (size > end && ftruncate(journal->fd, (off_t)end) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't cut %s", journal->path);
	/* What a killed relayd wrote may not be synced yet; it is live from now on. */
	else if (fsync(journal->fd) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't sync %s", journal->path);
	if (rc < 0) {
		journal_free(journal);
		return NULL;
	}
	journal->sealed = ends_sealed(journal);
	if (!journal->sealed)
		seal_end(journal);
	return journal;
}

void
journal_free(struct journal *journal)
{
	if (journal == NULL)
		return;
	if (journal->fd >= 0)
		(void)close(journal->fd); /* every commit was synced */
	free(journal->dir);
	free(journal->path);
	free(journal->fresh);
	free(journal);
}

/* ---- changes ---- */

/* A record on its way into the file: text waits until there is enough of it for one write. */
struct output {
	int fd;
	uint64_t at; /* where the text goes */
	uint64_t len;
	uint32_t crc;
	struct strbuf text;
};

static int
output_flush(struct output *output)
{
	int rc;

	output->crc = crc32c(output->crc, output->text.data, output->text.len);
	output->len += output->text.len;
	rc = durable_write(output->fd, output->text.data, output->text.len, output->at);
	output->at += output->text.len;
	explicit_bzero(output->text.data, output->text.len);
	strbuf_reset(&output->text);
	return rc;
}

static int
output_steps(struct output *output, const struct journal_step *steps, size_t count)
{
	struct strbuf record = STRBUF_INIT;
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		if (steps[i].route == NULL) {
			strbuf_printf(&output->text, "delete=%" PRIu64 "\n", steps[i].id);
		} else {
			route_encode(steps[i].route, &record);
			strbuf_printf(&output->text, "put=%" PRIu64 " %zu\n", steps[i].id,
				      record.len);
			strbuf_append(&output->text, record.data, record.len);
			explicit_bzero(record.data, record.len);
			strbuf_reset(&record);
		}
		if (output->text.len >= WRITE_BYTES)
			rc = output_flush(output);
	}
	strbuf_clear(&record);
	return rc;
}

/* The head comes last: without it the record is none. */
static int
output_change(struct output *output, const struct journal_change *change,
	      const struct journal_step *steps, uint64_t offset)
{
	unsigned char head[JOURNAL_HEAD_BYTES];

	strbuf_printf(&output->text,
		      "revision=%" PRIu64 "\ntime=%" PRId64 "\nnext_id=%" PRIu64 "\nsteps=%zu\n",
		      change->revision, change->time_ms, change->next_id, change->step_count);
	strbuf_printf(&output->text, "user=%zu\n%s\n", strlen(change->user), change->user);
	if (change->note != NULL)
		strbuf_printf(&output->text, "note=%zu\n%s\n", strlen(change->note), change->note);
	if (output_steps(output, steps, change->step_count) < 0 || output_flush(output) < 0)
		return -1;
	if (output->len > JOURNAL_PAYLOAD_MAX) {
		errno = EFBIG;
		return -1;
	}
	journal_head_put(head, JOURNAL_CHANGE, (uint32_t)output->len, output->crc);
	return durable_write(output->fd, head, sizeof(head), offset);
}

/* Take back what was written since the last commit, so that it stays away. */
static void
take_back(struct journal *journal)
{
	struct error ignored;

	journal->write_at = journal->end;
	if (ftruncate(journal->fd, (off_t)journal->end) < 0 || fsync(journal->fd) < 0)
		journal->broken = true;
	if (journal->broken)
		(void)renew(journal, journal->begin, journal->follows, &ignored);
}

int
journal_append(struct journal *journal, const struct journal_change *change,
	       const struct journal_step *steps, struct error *why)
{
	struct output output = {.text = STRBUF_INIT};
	int rc = 0;

	if (journal->broken && renew(journal, journal->begin, journal->follows, why) < 0)
		return -1;
	output.fd = journal->fd;
	output.at = journal->write_at + JOURNAL_HEAD_BYTES;
	if (output_change(&output, change, steps, journal->write_at) < 0) {
		rc = error_sys(why, ERROR_STORAGE, "can't write %s", journal->path);
		take_back(journal);
	} else {
		journal->write_at = output.at;
		journal->write_revision = change->revision;
	}
	strbuf_clear(&output.text);
	return rc;
}

int
journal_commit(struct journal *journal, struct error *why)
{
	if (journal->write_at == journal->end)
		return 0;
	if (fdatasync(journal->fd) < 0) {
		error_sys(why, ERROR_STORAGE, "can't sync %s", journal->path);
		/* The kernel may have dropped what it could not write, and say nothing next time.
		 */
		journal->broken = true;
		take_back(journal);
		return -1;
	}
	journal->end = journal->write_at;
	journal->revision = journal->write_revision;
	seal_end(journal);
	return 0;
}

uint64_t
journal_end(const struct journal *journal)
{
	return journal->end;
}

int
journal_cut(struct journal *journal, uint64_t revision, uint64_t at, struct error *why)
{
	return renew(journal, at, revision, why);
}
