/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The routes as kept: the one door through which the table is changed. A change is checked against
 * the table, written to routes.journal, synced, and only then applied and reported; it is there
 * whole or not at all. Shortly after, off the loop, a new checkpoint routes.gdbm is written beside
 * the old one and the journal is cut (relayd-files(5)).
 */
#ifndef RELAYD_ROUTES_CHANGES_H
#define RELAYD_ROUTES_CHANGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/route.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
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

/* N of the last change; 0 for a table that was never changed. */
uint64_t changes_revision(const struct changes *changes);

/* One step of a change. */
struct change_step {
	enum { CHANGE_ADD, CHANGE_SET, CHANGE_DELETE } what;
	struct route *route; /* ADD (its id is given by changes_apply), SET: the whole new route;
	                      * stays the caller's */
	uint64_t id;         /* DELETE */
};

struct change {
	const struct change_step *steps;
	size_t step_count;
	const char *user;          /* who, for the record: "lea" or "uid 1000" */
	const char *note;          /* NULL: none */
	int64_t expected_revision; /* -1: whatever it is now; else ERROR_CONFLICT if it differs when
	                            * its turn comes */
};

/* `routes`: for each ADD and SET step the route as it now stands, NULL for DELETE; valid until
 * return. */
struct change_result {
	uint64_t revision;
	size_t count;
	const struct route *const *routes;
};

/*
 * All steps or none. `done` runs later on the loop, in the order of the calls: why == NULL once
 * the change is durable and live. ERROR_NOT_FOUND for an unknown id, ERROR_REFUSED for a route
 * that does not validate, ERROR_STORAGE when it could not be made durable (nothing was changed
 * then). `change` is copied.
 */
void changes_apply(struct changes *changes, const struct change *change,
    void (*done)(void *ctx, const struct change_result *result, const struct error *why),
    void *ctx);

#endif
