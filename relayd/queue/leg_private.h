/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a leg, for leg.c (the walk) and leg_try.c (what comes of each try) alone. */
#ifndef RELAYD_QUEUE_LEG_PRIVATE_H
#define RELAYD_QUEUE_LEG_PRIVATE_H

#include <stdbool.h>

#include "relayd/queue/leg.h"
#include "relayd/routes/plan.h"

/* A target of the present errand, by its number there. */
struct given {
	struct plan_entry entry;
	bool refused;
};

struct leg {
	const struct leg_context *context;
	struct leg_load load;
	struct route_group *group;
	void (*finished)(void *ctx);
	void *ctx;

	size_t count; /* recipients still open */
	size_t *recipients;

	struct plan *plan;
	struct health_view view;
	bool implicit_mx;        /* the domain has no MX: the one host is the domain itself */
	size_t hops_without_way; /* up to and with the last one that was said to have none */
	struct lookup *lookup;

	struct errand errand;
	struct client_recipient *job_recipients;
	struct given *given;
	size_t given_count, given_room;
};

/* ---- leg.c ---- */

void leg_next(struct leg *leg); /* the next step of the plan; whoever is open goes on */

/* ---- leg_try.c ---- */

/* Try `entry` with whoever is open; leg_next follows, later. */
void leg_send(struct leg *leg, const struct plan_entry *entry);

/* Our own words about why `entry` (NULL: nothing in the plan) did not serve; kept in case
 * nothing else does. */
void leg_note(struct leg *leg, const struct plan_entry *entry, const char *status,
    const char *text);

/* Everyone who is still open gets `outcome`, with what was noted last, and the leg is finished. */
void leg_close(struct leg *leg, enum fate outcome);

uint64_t leg_entry_route(const struct plan_entry *entry); /* 0: none */

#endif
