/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What waits for its turn at the journal: a change, and what became of it; somebody who wants to
 * read what was; a confirmation. For changes.c alone.
 */
#ifndef RELAYD_ROUTES_PENDING_H
#define RELAYD_ROUTES_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/outlook.h"
#include "relayd/routes/past.h"

enum pending_kind { PENDING_CHANGE, PENDING_READING, PENDING_CONFIRMATION };

struct pending {
	struct pending *next;
	enum pending_kind kind;
	bool refused;
	struct error why;
	char *user;
	void *ctx; /* of the function to report to */

	struct change change; /* its texts are copies; its steps are those below */
	char *note;
	bool prepared;
	struct change_steps steps;
	const struct route **before; /* as outlook_change() has it */
	struct journal_step *records;
	struct journal_change record;
	enum { EXPLAIN_NOTHING, EXPLAIN_MISSING, EXPLAIN_SINCE } explain;
	void (*done)(void *ctx, const struct change_result *result, const struct error *why);

	int (*read)(void *ctx, const struct past *past, struct error *why);
	void (*have_read)(void *ctx, const struct error *why);

	struct journal_timed confirmed;
	int64_t now_ms;
	void (*have_confirmed)(void *ctx, uint64_t revision, const struct error *why);
};

/* Copies the change. */
struct pending *pending_new(const struct change *change);
struct pending *pending_new_other(enum pending_kind kind, const char *user, void *ctx);
void pending_free(struct pending *pending);

/* It must find the table with all earlier changes applied: its group begins with it. */
bool pending_is_first(const struct pending *pending);

/* It has to read what was, before anything else. */
bool pending_is_reading(const struct pending *pending);

/* Its group has no other. */
bool pending_is_alone(const struct pending *pending);

/* A change that is to be written. One that came to no step is not: what it wants is so already. */
bool pending_is_kept(const struct pending *pending);

/* How a change finds the routes. */
struct pending_present {
	const struct table *table;
	struct outlook *outlook;
	struct journal_timed timed;
	int64_t now_ms;
};

/* Make the steps of a change, if it has a function for that, check them, and fill in the journal's
 * record. A change that is refused has nothing but `why` then. */
void pending_check(struct pending *pending, const struct pending_present *present);

/* Is there something to be read about why it was refused? */
bool pending_wants_explanation(const struct pending *pending);

/* Add that to `why`. Blocks: for an offload thread. */
void pending_explain(struct pending *pending, const struct past *past);

/* Call the function it reports to, with the result if it was not refused. `revision`: what the
 * table is at. */
void pending_report(const struct pending *pending, uint64_t revision);

/* The same with a failure that is not its own. */
void pending_fail(const struct pending *pending, const struct error *why);

#endif
