/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The changes that the journal has let go of, STATE_DIR/routes.history.*: at least the last 10,000,
 * each with what is needed to take it back. The format stands in history.c.
 *
 * What was acknowledged is in the history or in the journal at every moment: changes are written
 * here and synced before the journal is cut (relayd/routes/changes.c). Both are read through
 * relayd/routes/past.h.
 */
#ifndef RELAYD_ROUTES_HISTORY_H
#define RELAYD_ROUTES_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"

#define HISTORY_NAME "routes.history"

enum {
	HISTORY_KEEP = 10000,     /* changes, at least */
	HISTORY_FILE_CHANGES = 5000, /* then another file is begun */
	HISTORY_WHOLE_STEPS = 100    /* of a larger change new routes are kept by their ids alone */
};

struct history;

/* Told of what is read at the start, the oldest first: of each change, then of its routes. */
struct history_witness {
	void (*change)(void *ctx, uint64_t revision, const char *user);
	void (*route)(void *ctx, uint64_t revision, uint64_t id);
	void *ctx;
};

/*
 * Read all files: blocks, for start-up. `follows` and `revision` are the journal's: the history has
 * to reach the one and not to pass the other. A torn tail is cut off; files that are damaged or
 * that don't fit are renamed to NAME.aside and told to the log: the routes don't hang on them. NULL
 * if the directory can't be read or written.
 */
struct history *history_open(const char *dir, uint64_t follows, uint64_t revision, struct log *log,
    const struct history_witness *witness, struct error *why);
void history_free(struct history *history); /* NULL is allowed */

/* It has the changes first .. last; first is last + 1 where it has none. */
uint64_t history_first(const struct history *history);
uint64_t history_last(const struct history *history);

/* ---- adding to it ---- */

struct history_growth;

/*
 * Write the changes of the journal behind history_last(), which reach to offset `journal_end`, and
 * sync them. Blocks: for an offload thread, one at a time; reads the history beside the loop, which
 * must not call history_take() meanwhile. NULL and `why`: nothing was added.
 */
struct history_growth *history_grow(const struct history *history, uint64_t journal_end,
    struct error *why);

/* Make known what was written, and free it. On the loop, while nobody reads the past. */
void history_take(struct history *history, struct history_growth *growth);

/* Forget the oldest file if enough remains without it. Returns its path, owned, to be removed; or
 * NULL. As history_take(). */
char *history_trim(struct history *history);

#endif
