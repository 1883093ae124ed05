/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The changes that were acknowledged since the checkpoint, STATE_DIR/routes.journal. A change is
 * one record: it is there whole or not at all. The format stands in journal.c.
 *
 * All of it blocks, and touches files alone: for start-up and for the offload threads, one at a
 * time for one journal. A reader may work beside a journal that is written.
 */
#ifndef RELAYD_ROUTES_JOURNAL_H
#define RELAYD_ROUTES_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/route.h"

#define JOURNAL_NAME "routes.journal"

/* What a record says of its change, but for its steps. */
struct journal_change {
	uint64_t revision;
	int64_t time_ms;  /* wall time, ms since 1970 */
	const char *user; /* who */
	const char *note; /* NULL: none */
	uint64_t next_id; /* after it */
	size_t step_count;
	uint64_t undoes;       /* the change that it takes back; 0: none */
	int64_t confirm_by_ms; /* wall time: undone then unless it was confirmed; 0: for good */
};

/* One step of a record, the routes as text of route_encode(). */
struct journal_text {
	enum { JOURNAL_ADD, JOURNAL_SET, JOURNAL_DELETE } what;
	uint64_t id;
	const char *before; /* SET and DELETE: as it was */
	size_t before_len;
	const char *after; /* ADD and SET: as it is then */
	size_t after_len;  /* ADD: 0 where it was not kept */
};

/* A change that is undone unless it is confirmed. */
struct journal_timed {
	uint64_t revision; /* 0: there is none */
	int64_t confirm_by_ms;
};

/* ---- reading ---- */

struct journal_reader;

/* Returns 1, 0 if there is no such file, or -1. Reads up to offset `end`, where all was synced; 0:
 * to the end of the file. */
int journal_reader_open(const char *dir, uint64_t end, struct journal_reader **reader,
    struct error *why);
void journal_reader_free(struct journal_reader *reader); /* NULL is allowed */

/* The revision of the checkpoint that the journal follows: its first record is the next one. */
uint64_t journal_reader_follows(const struct journal_reader *reader);

/*
 * The next change: 1, 0 at the end, -1 on damage (ERROR_STORAGE, with file and offset). A last
 * record that is not whole is the end: it was never acknowledged. `change` is valid until the next
 * call.
 */
int journal_reader_next(struct journal_reader *reader, struct journal_change *change,
    struct error *why);

/* The next step of that change: 1, 0 after the last, -1. A journal of version 1 has no `before`,
 * and ADD for SET. */
int journal_reader_step(struct journal_reader *reader, struct journal_text *step,
    struct error *why);

unsigned journal_reader_version(const struct journal_reader *reader);

/* The timed change that runs, as far as was read. */
struct journal_timed journal_reader_timed(const struct journal_reader *reader);

/* After the end: where the last whole record ends, and how many bytes of one that is not follow. */
uint64_t journal_reader_end(const struct journal_reader *reader);
uint64_t journal_reader_torn(const struct journal_reader *reader);

/* ---- writing ---- */

struct journal;

/* Go on with the journal whose whole records end at `end`, with that revision: what lies behind is
 * cut off. */
struct journal *journal_open(const char *dir, uint64_t follows, uint64_t revision, uint64_t end,
    struct error *why);

/* Begin a journal behind that revision, durably: in the place of one that is there. */
struct journal *journal_create(const char *dir, uint64_t follows, struct error *why);
void journal_free(struct journal *journal); /* NULL is allowed */

/* A step to be written, with the route as it was and as it will be; NULL: not there. */
struct journal_step {
	uint64_t id;
	const struct route *before;
	const struct route *after;
};

/*
 * Write changes, then make all of them durable with one sync. After a failure of either none of
 * the changes since the last commit is in the journal, and none comes back: they are cut off.
 * Where that can't be had, or the sync failed (after which the kernel's copy of the file can't be
 * trusted), the journal is broken: the next append first writes it anew, beside the old file, from
 * what was synced.
 */
int journal_append(struct journal *journal, const struct journal_change *change,
    const struct journal_step *steps, struct error *why);
int journal_commit(struct journal *journal, struct error *why);

/* Write that a timed change stays; durable by journal_commit() as well. */
int journal_confirm(struct journal *journal, uint64_t revision, int64_t time_ms, const char *user,
    struct error *why);

/* Where the durable records end, and the revision before the first of them. */
uint64_t journal_end(const struct journal *journal);
uint64_t journal_follows(const struct journal *journal);

/* Cut what a checkpoint of `revision` holds: the records that end at `at`. Writes a new file with
 * what follows, and puts it in the place of the old one. After a failure the old one goes on. */
int journal_cut(struct journal *journal, uint64_t revision, uint64_t at, struct error *why);

#endif
