/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The filter language of route lists (tmail-routes(1), "Filters"): compiled once, then asked for
 * each route without allocating anything. Pure.
 *
 *   word           in destination, remote, user, sender or comment; with a '*' it must be all of one
 *   "two words"    quotes keep spaces, '|' and what would mean something else
 *   to: via: user: from: login: local: tls: comment:   the whole field, '*' for anything; nothing
 *                  behind the colon: the field is not set (to: the destination "*")
 *   prio>2 weight=1 port<=25 id>9 rate>1 defer>5%      numbers: > < >= <= = ; rate a minute
 *   state:down     off, unknown, up, slow, down; "off" alone is state:off
 *   -term          not
 *   a|b, a | b     or; without spaces the second has the key of the first: to:a.fr|b.fr
 *   a b            and; '|' binds closer
 *
 * Case is ignored. Names may be given as U-labels.
 */
#ifndef RELAYD_ROUTES_FILTER_H
#define RELAYD_ROUTES_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/route.h"
#include "relayd/routes/stats.h"

struct filter;

/* What is known of a route that is not its own: asked for only where the filter needs it. */
struct filter_facts {
	double rate_1m;
	double deferred_1h; /* -1: unknown: no comparison holds */
	enum stats_state state;
};

struct filter_source {
	void (*look)(void *ctx, const struct route *route, struct filter_facts *out);
	void *ctx;
};

/* NULL and `why` (ERROR_USAGE), which says at which character. An empty text lets all through. */
struct filter *filter_new(const char *text, struct error *why);
void filter_free(struct filter *filter); /* NULL is allowed */

bool filter_is_empty(const struct filter *filter);
bool filter_match(const struct filter *filter, const struct route *route,
    const struct filter_source *source);

#endif
