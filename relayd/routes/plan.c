/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/plan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* One hop of the priority that is being ordered. */
struct hop {
	const struct route *route; /* the first of its identical routes */
	uint32_t weight;           /* of all of them together */
};

/* Is the hop of `route` among routes[0 .. count)? */
static bool
is_planned(const struct route *const *routes, size_t count, const struct route *route)
{
	for (size_t i = 0; i < count; i++) {
		if (route_same_hop(routes[i], route))
			return true;
	}
	return false;
}

/* Add the weight of `route` to its hop, or begin one. Returns how many hops there are then. */
static size_t
hop_add(struct hop *hops, size_t count, const struct route *route, uint32_t weight)
{
	for (size_t i = 0; i < count; i++) {
		if (route_same_hop(hops[i].route, route)) {
			hops[i].weight += weight;
			return count;
		}
	}
	hops[count] = (struct hop){.route = route, .weight = weight};
	return count + 1;
}

/*
 * Draw every hop, each time one of those left, by weight. That is the same as a random order of all
 * the copies from which later copies of a hop are struck out.
 */
static void
hops_draw(struct hop *hops, size_t count, uint32_t total, const struct plan_random *random,
	  const struct route **out)
{
	while (count > 0) {
		uint32_t ticket = count > 1 ? random->below(random->ctx, total) : 0;
		size_t i = 0;

		while (i + 1 < count && ticket >= hops[i].weight)
			ticket -= hops[i++].weight;
		*out++ = hops[i].route;
		total -= hops[i].weight;
		hops[i] = hops[--count];
	}
}

size_t
plan_routes(const struct route_group *group, const struct plan_random *random,
	    const struct route **out)
{
	struct hop *hops = xreallocarray(NULL, group->count, sizeof(*hops));
	size_t planned = 0;

	for (size_t i = 0; i < group->count;) {
		uint16_t priority = group->routes[i]->priority;
		uint32_t total = 0;
		size_t count = 0;

		for (; i < group->count && group->routes[i]->priority == priority; i++) {
			const struct route *route = group->routes[i];
			/* Millions of copies of the greatest weight are counted as far as the
			 * random source can tell them apart; each hop counts at least once. */
			uint32_t room = UINT32_MAX - total - (uint32_t)(group->count - i);
			uint32_t weight = route->weight < room ? route->weight : 1;

			if (is_planned(out, planned, route))
				continue;
			count = hop_add(hops, count, route, weight);
			total += weight;
		}
		hops_draw(hops, count, total, random, out + planned);
		planned += count;
	}
	free(hops);
	return planned;
}

static void
shuffle(size_t *order, size_t count, const struct plan_random *random)
{
	for (size_t left = count; left > 1; left--) {
		size_t pick = random->below(random->ctx, (uint32_t)left);
		size_t taken = order[pick];

		order[pick] = order[left - 1];
		order[left - 1] = taken;
	}
}

/* Append the tries of one remote address. */
static size_t
address_tries(const struct netaddr *remote, uint16_t port, const struct route_local_ips *local,
	      const struct plan_random *random, struct plan_try *out, size_t max)
{
	size_t order[sizeof(local->address) / sizeof(local->address[0])];
	struct plan_try try = {.remote = *remote, .local = {.family = AF_UNSPEC}};
	size_t count = 0, written = 0;

	try.remote.port = port;
	if (local == NULL || local->count == 0) {
		if (max > 0)
			out[written++] = try;
		return written;
	}
	for (size_t i = 0; i < local->count; i++) {
		if (local->address[i].family == remote->family)
			order[count++] = i;
	}
	if (!local->failover)
		shuffle(order, count, random);
	for (size_t i = 0; i < count && written < max; i++) {
		try.local = local->address[order[i]];
		try.local.port = 0;
		out[written++] = try;
	}
	return written;
}

/* Was this address given before? A resolver may name one twice; it is tried once. */
static bool
is_repeated(const struct netaddr *addresses, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (netaddr_same_host(&addresses[i], &addresses[at]))
			return true;
	}
	return false;
}

/* The next address at or behind *at that is of IPv6 (or is not), NULL at the end. */
static const struct netaddr *
next_of_family(const struct netaddr *addresses, size_t count, bool ipv6, size_t *at)
{
	while (*at < count) {
		size_t here = (*at)++;

		if ((addresses[here].family == AF_INET6) == ipv6 && !is_repeated(addresses, here))
			return &addresses[here];
	}
	return NULL;
}

size_t
plan_tries(const struct netaddr *addresses, size_t count, uint16_t port,
	   const struct route_local_ips *local, const struct plan_random *random,
	   struct plan_try *out, size_t max)
{
	size_t at[2] = {0, 0}, written = 0;
	bool ipv6 = true;

	while (written < max) {
		const struct netaddr *remote = next_of_family(addresses, count, ipv6, &at[ipv6]);

		if (remote == NULL) {
			/* One family is used up: the rest is the other's. */
			ipv6 = !ipv6;
			remote = next_of_family(addresses, count, ipv6, &at[ipv6]);
			if (remote == NULL)
				break;
		}
		written += address_tries(remote, port, local, random, out + written, max - written);
		ipv6 = !ipv6;
	}
	return written;
}

void
plan_mx(const uint16_t *preferences, size_t count, const struct plan_random *random, size_t *order)
{
	for (size_t i = 0; i < count; i++)
		order[i] = i;
	shuffle(order, count, random);
	/* By insertion, which leaves equal ones in the order the shuffle gave them. */
	for (size_t i = 1; i < count; i++) {
		size_t moved = order[i], to = i;

		while (to > 0 && preferences[order[to - 1]] > preferences[moved]) {
			order[to] = order[to - 1];
			to--;
		}
		order[to] = moved;
	}
}
