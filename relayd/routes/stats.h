/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What became of the mail that went by each route, since the start: counted in recipients a try, so
 * that attempts = delivered + deferred + failed. In memory only, and bounded: of more than
 * STATS_ROUTES routes the one that was used longest ago is forgotten.
 *
 * The last hour is kept in twelve buckets of five minutes; the rate is that of the last five
 * minutes.
 */
#ifndef RELAYD_ROUTES_STATS_H
#define RELAYD_ROUTES_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATS_ROUTES = 65536 };

struct stats;

/* In the order in which lists sort by them. */
enum stats_state {
	STATS_OFF,     /* the route is disabled; never given by stats_get */
	STATS_UNKNOWN, /* not tried within the last hour */
	STATS_UP,
	STATS_SLOW, /* a tenth or more of the last hour's tries were deferred */
	STATS_DOWN  /* the last try did not come as far as a session that takes mail */
};

struct stats_try {
	size_t delivered; /* recipients */
	size_t failed;    /* refused for good: 5xx */
	size_t deferred;  /* left for another entry of the plan or another attempt */
	bool session;     /* MAIL was sent; else connecting, greeting, TLS or the login failed */
};

/* Plain numbers; all 0 with deferred_1h -1 and state UNKNOWN for a route that was never tried. */
struct stats_route {
	uint64_t attempts, delivered, deferred, failed;
	int64_t last_used_ms;  /* as now_ms; -1: never */
	double rate_1m;        /* attempts a minute */
	double deferred_1h;    /* 0 .. 1 of the last hour's attempts; -1: there were none */
	enum stats_state state;
};

struct stats *stats_new(void);
void stats_free(struct stats *stats); /* NULL is allowed */

/* `now_ms` is monotonic, from 0 on, and never goes back. */
void stats_add(struct stats *stats, uint64_t route_id, const struct stats_try *outcome,
    int64_t now_ms);
void stats_get(const struct stats *stats, uint64_t route_id, int64_t now_ms,
    struct stats_route *out);

size_t stats_count(const struct stats *stats); /* routes that are kept */

const char *stats_state_name(enum stats_state state); /* "up", "slow", ... */
int stats_state_of(const char *name, enum stats_state *state);

#endif
