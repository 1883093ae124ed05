/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The hops of one attempt, drawn one at a time from what may carry the mail: the routes of a group,
 * or the mail exchangers of a domain. A value; pure memory.
 *
 * By priority (or preference), the lowest number first; within one a fresh random order in which a
 * route counts `weight` times and identical hops (route_same_hop) add up. Each hop comes once and
 * stands for the first of its routes: its later copies, of whatever priority, are passed over.
 */
#ifndef RELAYD_ROUTES_DRAW_H
#define RELAYD_ROUTES_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "common/route.h"
#include "relayd/routes/table.h"

/* A uniformly random number in 0 .. bound-1. */
struct plan_random {
	uint32_t (*below)(void *ctx, uint32_t bound);
	void *ctx;
};

/* Always 0: whoever shows a plan wants the same one each time. */
extern const struct plan_random draw_in_order;

/* A mail exchanger. */
struct plan_host {
	const char *name;
	uint16_t preference;
};

struct draw {
	const struct route_group *group; /* borrowed */
	struct plan_random random;
	size_t next; /* the first route of the priorities that are still to come */

	const struct route **left; /* of the present priority, in the group's order */
	size_t left_count;
	const struct route **drawn; /* every hop that was given */
	size_t drawn_count;
};

void draw_init(struct draw *draw, const struct route_group *group,
    const struct plan_random *random);
void draw_clear(struct draw *draw);

/* The next hop; NULL: there is none left. */
const struct route *draw_next(struct draw *draw);

/* The part of all attempts, 0 to 1, in which the hop of `route` is the first of its priority. */
double draw_share(const struct route_group *group, const struct route *route);

/* Exchangers by preference, equal ones in random order. */
void draw_hosts(struct plan_host *hosts, size_t count, const struct plan_random *random);

/* `count` indices 0 .. count-1 in random order. */
void draw_order(size_t *order, size_t count, const struct plan_random *random);

#endif
