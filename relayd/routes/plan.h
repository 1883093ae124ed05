/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The attempt plan (relayd-routes(7), "The attempt plan"): in which order the routes of a group,
 * and the addresses of each, are tried. Pure functions of what they are given, the random source
 * included; one for delivery and for explain.
 */
#ifndef RELAYD_ROUTES_PLAN_H
#define RELAYD_ROUTES_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "common/route.h"
#include "relayd/routes/table.h"

/* A uniformly random number in 0 .. bound-1. */
struct plan_random {
	uint32_t (*below)(void *ctx, uint32_t bound);
	void *ctx;
};

/*
 * The order of one attempt: by priority; within one priority a fresh random order in which each
 * route counts `weight` times and identical hops (route_same_hop) add up; a hop appears once, at
 * its first place. `out` has room for group->count; returns how many were written. Pointers are
 * borrowed from the group.
 */
size_t plan_routes(const struct route_group *group, const struct plan_random *random,
    const struct route **out);

/* One connection to try: from `local` (family AF_UNSPEC: the kernel's choice) to `remote` (with its
 * port). */
struct plan_try {
	struct netaddr remote;
	struct netaddr local;
};

/*
 * The connections for one hop: the addresses in order of preference (RFC 8305 §4: families
 * interleaved, beginning with IPv6, otherwise in the order given), each from the local IPs of its
 * family: '|' in random order, '&' in the order written; an address for which `local` names none
 * of its family is left out; no local IPs at all: one try by the kernel's choice. An address given
 * twice is tried once; `local` may be NULL. `out` has room for `max`; returns how many were
 * written.
 */
size_t plan_tries(const struct netaddr *addresses, size_t count, uint16_t port,
    const struct route_local_ips *local, const struct plan_random *random, struct plan_try *out,
    size_t max);

/* MX hosts (RFC 5321 §5.1): by preference, equal ones in random order. `order`: of indices. */
void plan_mx(const uint16_t *preferences, size_t count, const struct plan_random *random,
    size_t *order);

#endif
