/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The steps of a change, as it is made: a growing list that owns its routes. For the functions
 * `make` of struct change (relayd/routes/changes.h).
 */
#ifndef RELAYD_ROUTES_CHANGE_STEPS_H
#define RELAYD_ROUTES_CHANGE_STEPS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/route.h"

/* Ids that can be brought along; what counts upwards never gets there. */
#define CHANGE_ID_MAX ((uint64_t)1 << 53)

/* One step of a change. */
struct change_step {
	enum {
		CHANGE_ADD,     /* a new route; its id is given when the change is checked */
		CHANGE_SET,     /* another route under the same id */
		CHANGE_DELETE,
		CHANGE_RESTORE  /* a route comes back under its id: one that was deleted here, or
		                 * one of another table; new ones get higher ids then */
	} what;
	struct route *route; /* ADD, SET, RESTORE: the whole route; NULL for DELETE */
	uint64_t id;         /* DELETE */
};

struct change_steps {
	struct change_step *items;
	size_t count;
	size_t room;
	uint64_t missing; /* the id that was asked for and is not there; 0: none */
	uint64_t undoes;  /* the revision that this takes back; 0: none */
};

/* They take the reference to the route: nobody else may change it any more. */
void change_steps_add(struct change_steps *steps, struct route *route);
void change_steps_set(struct change_steps *steps, struct route *route);
void change_steps_restore(struct change_steps *steps, struct route *route);
void change_steps_delete(struct change_steps *steps, uint64_t id);

/* "no route 42": to be returned by `make` then. The report says who deleted it, if that is known.
 * Returns -1. */
int change_steps_missing(struct change_steps *steps, uint64_t id, struct error *why);

/* Let go of the routes; the list is empty then. */
void change_steps_clear(struct change_steps *steps);

#endif
