/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which pairs of remote address and local IP could not be connected to, and until when they are
 * left out of plans: 30 seconds after the first failure, twice as long after each further one, at
 * most an hour, a tenth more or less at random so that not all are tried again at once. A
 * connection that stands clears its pair.
 *
 * Memory only: nothing survives a restart. Of HEALTH_PAIRS_MAX pairs the one that failed longest
 * ago makes room for another; one that was not tried for two hours after its time was up is
 * forgotten. Pure: the time (monotonic milliseconds) and the random source are given.
 */
#ifndef RELAYD_ROUTES_HEALTH_H
#define RELAYD_ROUTES_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "relayd/routes/draw.h"

struct health;

enum { HEALTH_PAIRS_MAX = 4096, HEALTH_REASON_MAX = 128 };

struct health *health_new(const struct plan_random *random);
void health_free(struct health *health); /* NULL is allowed */

/*
 * No connection from `local` (AF_UNSPEC: the kernel's choice) to `remote` and its port. Returns
 * until when the pair is suspended now; 0: it was already, and this failure (of a connection that
 * was on its way, or tried all the same) counts with the one before and lengthens nothing.
 */
int64_t health_failed(struct health *health, const struct netaddr *remote,
    const struct netaddr *local, const char *reason, int64_t now_ms);

/* A connection stands. True: the pair had been sick. */
bool health_succeeded(struct health *health, const struct netaddr *remote,
    const struct netaddr *local);

/*
 * A connection is being tried. Where the pair is sick and its time is up, it stays suspended for
 * others until this one's outcome is known, at most until `until_ms`: one goes ahead, and not all
 * mail waits for a host that may still be down.
 */
void health_trying(struct health *health, const struct netaddr *remote,
    const struct netaddr *local, int64_t now_ms, int64_t until_ms);

/* 0: not suspended. */
int64_t health_suspended_until(const struct health *health, const struct netaddr *remote,
    const struct netaddr *local, int64_t now_ms);

/* One sick pair, suspended or (until_ms is over) to be tried again. */
struct health_pair {
	struct netaddr remote, local;
	unsigned failures;       /* one after the other */
	int64_t since_ms;        /* the first of them */
	int64_t failed_ms;       /* the last one counted */
	int64_t until_ms;
	char reason[HEALTH_REASON_MAX]; /* of the last one */
};

/* All sick pairs, the one that failed longest ago first: NULL begins, and ends. Not while the
 * health is changed. */
const struct health_pair *health_next(const struct health *health, const struct health_pair *after);
size_t health_count(const struct health *health);

/* A plan_health for plans: ctx is one of these. */
struct health_view {
	const struct health *health;
	int64_t now_ms; /* brought up to date by its owner */
};
bool health_view_is_suspended(void *ctx, const struct netaddr *remote, const struct netaddr *local);

/*
 * This host has not the local IP `local`. True where that is to be said: it was not in the last
 * hour.
 */
bool health_local_absent(struct health *health, const struct netaddr *local, int64_t now_ms);

#endif
