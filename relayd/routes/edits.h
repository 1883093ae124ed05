/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Edits as people give them (add, set, delete, move, enable, disable), one after the other, made
 * into the steps of one change. Each edit sees the table as those before it leave it; the steps are
 * what comes of all of them: at most one for a route, none where nothing is changed in the end.
 * Pure: knows the table, not where edits come from.
 */
#ifndef RELAYD_ROUTES_EDITS_H
#define RELAYD_ROUTES_EDITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/route.h"
#include "relayd/routes/change_steps.h"
#include "relayd/routes/reorder.h"
#include "relayd/routes/table.h"

/* A route that an edit names: by its id, or as the nth that these edits add. */
struct edit_name {
	uint64_t id;
	size_t added; /* from 1 on; 0: the id counts */
};

enum edit_kind { EDIT_ADD, EDIT_SET, EDIT_DELETE, EDIT_MOVE };

struct edit {
	enum edit_kind what;
	size_t at;             /* which of the things asked for it is part of, for failures */
	struct edit_name name; /* SET, DELETE, MOVE */
	struct route *route;   /* ADD: all of it; SET: the fields in `fields`. Owned */
	unsigned fields;       /* SET: a bit for each enum route_field */
	/* ADD, SET: take the password of this route. */
	bool copies_password;
	struct edit_name password_of;
	bool if_absent; /* ADD: only if there is no such route yet */
	bool placed;    /* ADD: at a place of its group; MOVE: always */
	enum reorder_wish wish;
	struct edit_name other; /* BEFORE, AFTER, SHARE */
};

struct edits {
	struct edit *items;
	size_t count;
	size_t room;
	/* Why edits failed, in their order, the first EDIT_FAILURES of them. */
	struct edit_failure {
		size_t at;
		struct error why;
	} *failures;
	size_t failure_count; /* of all */
	/* The routes that were there already, for ADD with if_absent: referred to. */
	struct route **present;
	size_t present_count;
};

enum { EDIT_FAILURES = 20 };

/* A new edit at the end, to be filled in; valid until the next one. */
struct edit *edits_append(struct edits *edits, enum edit_kind what);
void edits_clear(struct edits *edits);

/* One of the things asked for can't be done. */
void edits_fail(struct edits *edits, size_t at, const struct error *why);

/* "function make" of struct change. -1 and the first failure; `edits` has the others. */
int edits_make(struct edits *edits, const struct table *table, uint64_t next_id,
    struct change_steps *out, struct error *why);

#endif
