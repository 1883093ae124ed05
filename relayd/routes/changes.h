/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The routes as kept: the one door through which the table is changed. A change is checked against
 * the table, written to routes.journal, synced, and only then applied and reported; it is there
 * whole or not at all. Shortly after, off the loop, a new checkpoint routes.gdbm is written beside
 * the old one and the journal is cut (relayd-files(5)).
 */
#ifndef RELAYD_ROUTES_CHANGES_H
#define RELAYD_ROUTES_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/route.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/routes/change_steps.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/past.h"
#include "relayd/routes/table.h"

struct changes;

struct changes_options {
	const char *state_dir; /* routes.gdbm and routes.journal live here */
	struct loop *loop;
	struct offload *offload;
	struct log *log;
	int64_t checkpoint_after_ms; /* a new checkpoint this long after a change; 0: 2 s */
};

/* Load checkpoint and journal. A damaged file fails with its name and the offset or key, and is
 * left as it is. */
struct changes *changes_open(const struct changes_options *options, struct error *why);

/* Waits for what is in flight (the changes' callbacks run), writes a checkpoint if there is
 * something to write; a failure of that is logged: the journal has it all. NULL is allowed. */
void changes_close(struct changes *changes);

const struct table *changes_table(const struct changes *changes);

/* Who made that change; NULL: it is not kept any more. Valid until changes_close(). */
const char *changes_author(const struct changes *changes, uint64_t revision);

/* N of the last change; 0 for a table that was never changed. */
uint64_t changes_revision(const struct changes *changes);

struct change {
	const struct change_step *steps; /* copied; their routes stay the caller's */
	size_t step_count;
	const char *user;          /* who, for the record: "lea" or "uid 1000" */
	const char *note;          /* NULL: none */
	int64_t expected_revision; /* -1: whatever it is now; else ERROR_CONFLICT if it differs when
	                            * its turn comes */
	int64_t confirm_within_ms; /* 0: for good; else it is undone by itself then, unless
	                            * changes_confirm() comes before. One at a time */
	bool dry_run; /* everything but the doing: the result says what it would be, its revision is
	               * the present one */
	/*
	 * If this is set, there are no steps above: it is called on the loop once every earlier
	 * change is applied, and makes them from the table as it is then. What it makes is the next
	 * change. -1 and `why`: the change is refused.
	 */
	int (*make)(void *ctx, const struct table *table, uint64_t next_id,
	    struct change_steps *out, struct error *why);
	/* Called in an offload thread before that, once every earlier change is durable and live;
	 * NULL: not needed. */
	int (*prepare)(void *ctx, const struct past *past, struct error *why);
	void *make_ctx;
	void (*free_ctx)(void *ctx); /* gets make_ctx after the report; NULL: nothing is to be freed */
};

/* All valid until return. A change that comes to no step changes nothing, and makes no revision. */
struct change_result {
	uint64_t revision;
	int64_t confirm_by_ms; /* wall time; 0: it is for good */
	size_t count;
	const struct change_step *steps;
	const struct route *const *routes; /* as it now stands; NULL for DELETE */
	const struct route *const *before; /* as it was; NULL for ADD and RESTORE */
};

/*
 * All steps or none. `done` runs later on the loop, in the order of the calls: why == NULL once
 * the change is durable and live. ERROR_NOT_FOUND for an unknown id, ERROR_REFUSED for a route
 * that does not validate, ERROR_STORAGE when it could not be made durable (nothing was changed
 * then). `change` is copied. The sentence about a route that is not there says who deleted it, and
 * the one about an unexpected revision who has changed what, as far as it is known.
 */
void changes_apply(struct changes *changes, const struct change *change,
    void (*done)(void *ctx, const struct change_result *result, const struct error *why),
    void *ctx);

/* The change that waits to be confirmed; revision 0: none. */
struct journal_timed changes_timed(const struct changes *changes);

/* Keep it. `done` gets its revision, or ERROR_NOT_FOUND if there is none when the turn comes. */
void changes_confirm(struct changes *changes, const char *user,
    void (*done)(void *ctx, uint64_t revision, const struct error *why), void *ctx);

/*
 * Read what was: `read` runs in an offload thread when all earlier changes are durable and live,
 * later ones wait meanwhile. Then `done` on the loop, with what `read` has failed with or NULL.
 */
void changes_read(struct changes *changes,
    int (*read)(void *ctx, const struct past *past, struct error *why),
    void (*done)(void *ctx, const struct error *why), void *ctx);

#endif
