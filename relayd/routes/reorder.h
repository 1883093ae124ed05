/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order inside a group, and the fewest priorities that have to be written to change it. Pure:
 * knows ids and priorities alone. Routes of one priority form a block: they share at random, and
 * nothing here parts or joins blocks but for the route that is moved.
 *
 * How the new numbers are found:
 *   1. A number that is free between the new neighbours: the moved route alone is written.
 *   2. Else, when it passes one route or one shared block, the two swap their numbers.
 *   3. Else the group is renumbered, in such a way that as few routes as possible are written.
 */
#ifndef RELAYD_ROUTES_REORDER_H
#define RELAYD_ROUTES_REORDER_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum reorder_wish {
	REORDER_BEFORE, /* alone, before the block of another route */
	REORDER_AFTER,  /* alone, behind it */
	REORDER_FIRST,
	REORDER_LAST,
	REORDER_SHARE, /* with the priority of another route */
	REORDER_ALONE, /* behind those that it shares with */
	REORDER_UP,    /* out of its block, before the rest of it; else before the block ahead */
	REORDER_DOWN
};

/* A route of the group: all of them count, the disabled ones too. */
struct reorder_row {
	uint64_t id;
	uint16_t priority; /* 0: the moved route is new, and has none yet */
};

/* "before", "after", ... -1 for another name. */
int reorder_wish_of(const char *name, enum reorder_wish *wish);

/*
 * What has to be written so that route `id`, one of the rows, stands where it is wished: `writes`
 * has room for `count` rows, *written says how many there are; 0: it stands there already. `rows`
 * (in any order) are sorted by (priority, id), and else left as they are. -1, ERROR_REFUSED: `other`
 * is no route of the group, or is the moved one; or all numbers are taken.
 */
int reorder(struct reorder_row *rows, size_t count, uint64_t id, enum reorder_wish wish,
    uint64_t other, struct reorder_row *writes, size_t *written, struct error *why);

#endif
