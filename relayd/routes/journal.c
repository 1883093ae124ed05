/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * STATE_DIR/routes.journal, mode 0600. It begins with a line of text:
 *
 *	relayd-routes-journal 2 follows=412
 *
 * where 2 is the version of the format and 412 the revision of the checkpoint that it follows (0:
 * none): the first change in it is revision 413, and each is one more than the one before. A
 * checkpoint may hold some of the changes already; they are passed over when the two are read.
 *
 * Then come records: a head of 12 bytes and a payload. The head: f5 52 4a ("\xf5RJ"), the kind, the
 * length of the payload and the CRC-32C of the payload and of the eight bytes before, both as 32
 * bits, the lowest byte first. There are three kinds:
 *
 * 'C', a change, whose payload is text:
 *
 *	revision=413
 *	time=1763800000123
 *	next_id=11
 *	steps=3
 *	user=3
 *	lea
 *	note=11
 *	ticket 8841
 *	undoes=411
 *	confirm_by=1763800300123
 *	add=10 53
 *	destination=example.com
 *	remote_host=mail.example.com
 *	set=5 28 39
 *	remote_host=out.example.net
 *	remote_host=out.example.net
 *	priority=2
 *	delete=4 28
 *	remote_host=old.example.net
 *
 * time: ms since 1970. next_id: the id that the next new route gets. The numbers of user, note, and
 * behind the ids of add, set and delete are lengths in bytes; what these give is the text of
 * route_encode(): of the route as it is now (add), as it was and as it is now (set), as it was
 * (delete). note, undoes (the revision that this change takes back) and confirm_by (the time at
 * which it is undone unless it was confirmed) are left out where there is none.
 *
 * 'K', which keeps the change that was to be undone, has the text
 *
 *	confirms=413
 *	time=1763800000123
 *	user=3
 *	lea
 *
 * 'S', a seal, whose payload is the revision before it, as 64 bits. It is written after all before
 * it was synced, and is not synced itself. So a record that does not check was torn by a crash, and
 * never acknowledged, if nothing valid follows it; else it is damage.
 *
 * Order of a change: payload, head, fdatasync, seal, acknowledgement. Order of a new file: it is
 * written whole under another name, synced, read back, renamed, the directory synced; only then the
 * old one is left.
 *
 * Version 1 had put=ID LENGTH for add and set, and delete=ID; a journal of that kind is read at
 * start-up, and a new one begun behind a checkpoint.
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

static size_t
first_line(uint64_t follows, char line[JOURNAL_LINE_MAX])
{
	return journal_line(&journal_type_journal, journal_type_journal.version, follows, line);
}

/* Everything up to the sync: first line, the old records from `from` on, a seal. */
static int
fresh_write(const struct journal *journal, int fd, uint64_t from, uint64_t follows, uint64_t *end)
{
	unsigned char seal[JOURNAL_SEAL_BYTES];
	char line[JOURNAL_LINE_MAX];
	size_t len = first_line(follows, line);

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

	rc = journal_reader_open_path(journal->fresh, &journal_type_journal, end, &reader, why);
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
	journal->begin = first_line(follows, line);
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
	journal->begin = first_line(follows, line);
	return journal;
}

struct journal *
journal_create(const char *dir, uint64_t follows, struct error *why)
{
	struct journal *journal = journal_new(dir, follows);

	journal->end = journal->write_at = journal->begin;
	journal->revision = journal->write_revision = follows;
	if (renew(journal, journal->end, follows, why) < 0) {
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

/* The texts of one step, made in `before` and `after`, which are used again for the next. */
static int
output_step(struct journal_output *output, const struct journal_step *step, struct strbuf *before,
	    struct strbuf *after)
{
	struct journal_text text = {.id = step->id};

	if (step->before != NULL)
		route_encode(step->before, before);
	if (step->after != NULL)
		route_encode(step->after, after);
	text.what = step->before == NULL  ? JOURNAL_ADD
		    : step->after == NULL ? JOURNAL_DELETE
					  : JOURNAL_SET;
	text.before = before->data;
	text.before_len = before->len;
	text.after = after->data;
	text.after_len = after->len;
	return journal_output_step(output, &text);
}

/* Passwords are not left in memory that is given back. */
static void
wipe(struct strbuf *text)
{
	if (text->data != NULL)
		explicit_bzero(text->data, text->len);
	strbuf_reset(text);
}

static int
output_change(struct journal_output *output, const struct journal_change *change,
	      const struct journal_step *steps, uint64_t *end)
{
	struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
	int rc = 0;

	for (size_t i = 0; i < change->step_count && rc == 0; i++) {
		rc = output_step(output, &steps[i], &before, &after);
		wipe(&before);
		wipe(&after);
	}
	strbuf_clear(&before);
	strbuf_clear(&after);
	return rc == 0 ? journal_output_end(output, JOURNAL_CHANGE, end) : -1;
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

/* To be called before anything is appended. */
static int
mend(struct journal *journal, struct error *why)
{
	return journal->broken ? renew(journal, journal->begin, journal->follows, why) : 0;
}

int
journal_append(struct journal *journal, const struct journal_change *change,
	       const struct journal_step *steps, struct error *why)
{
	struct journal_output output;
	int rc = 0;

	if (mend(journal, why) < 0)
		return -1;
	journal_output_begin(&output, journal->fd, journal->write_at, change);
	if (output_change(&output, change, steps, &journal->write_at) < 0) {
		rc = error_sys(why, ERROR_STORAGE, "can't write %s", journal->path);
		take_back(journal);
	} else {
		journal->write_revision = change->revision;
	}
	journal_output_clear(&output);
	return rc;
}

int
journal_confirm(struct journal *journal, uint64_t revision, int64_t time_ms, const char *user,
		struct error *why)
{
	struct strbuf text = STRBUF_INIT;
	unsigned char head[JOURNAL_HEAD_BYTES];
	uint64_t at;
	int rc = 0;

	if (mend(journal, why) < 0)
		return -1;
	at = journal->write_at;
	strbuf_printf(&text, "confirms=%" PRIu64 "\ntime=%" PRId64 "\nuser=%zu\n%s\n", revision,
		      time_ms, strlen(user), user);
	journal_head_put(head, JOURNAL_CONFIRM, (uint32_t)text.len, crc32c(0, text.data, text.len));
	if (durable_write(journal->fd, text.data, text.len, at + sizeof(head)) < 0 ||
	    durable_write(journal->fd, head, sizeof(head), at) < 0) {
		rc = error_sys(why, ERROR_STORAGE, "can't write %s", journal->path);
		take_back(journal);
	} else {
		journal->write_at = at + sizeof(head) + text.len;
	}
	strbuf_clear(&text);
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

uint64_t
journal_follows(const struct journal *journal)
{
	return journal->follows;
}

int
journal_cut(struct journal *journal, uint64_t revision, uint64_t at, struct error *why)
{
	return renew(journal, at, revision, why);
}
