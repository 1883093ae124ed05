/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/plan: the order of hops (priorities, weights, identical hops), of connections
 * (families, local IPs) and of MX hosts. Randomness is a seeded generator; shares are tested by
 * chi-square.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/route.h"
#include "common/xalloc.h"
#include "relayd/routes/plan.h"

static uint32_t
seeded_below(void *ctx, uint32_t bound)
{
	uint64_t *seed = ctx;

	assert_true(bound > 0);
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((*seed >> 32) * bound) >> 32);
}

struct hop_text {
	const char *host;
	uint16_t priority;
	uint16_t weight;
};

/* As the table makes it: by (priority, id); the texts are in that order. */
static struct route_group *
make_group(const struct hop_text *hops, size_t count)
{
	struct route_group *group = xmalloc(sizeof(*group) + count * sizeof(struct route *));
	struct error why;

	*group = (struct route_group){.count = count, .references = 1};
	for (size_t i = 0; i < count; i++) {
		struct route *route = route_new();

		assert_int_equal(route_set(route, ROUTE_REMOTE_HOST, hops[i].host, &why), 0);
		route->id = i + 1;
		route->priority = hops[i].priority;
		route->weight = hops[i].weight;
		group->routes[i] = route;
	}
	return group;
}

static void
free_group(struct route_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		route_unref(group->routes[i]);
	free(group);
}

/* Chi-square against the 99.99% quantile for up to three degrees of freedom: a correct plan fails
 * once in ten thousand seeds, and the seed is fixed. */
static void
assert_shares(const unsigned *seen, const double *shares, size_t count, unsigned draws)
{
	static const double quantile[] = {0, 15.14, 18.42, 21.11};
	double chi = 0;

	for (size_t i = 0; i < count; i++) {
		double expected = shares[i] * draws, off = (double)seen[i] - expected;

		chi += off * off / expected;
	}
	assert_true(chi < quantile[count - 1]);
}

/* ---- hops ---- */

static void
failover_is_by_priority(void **state)
{
	static const struct hop_text hops[] = {
	    {"main.example", 1, 1}, {"alt1.example", 2, 1000}, {"alt2.example", 3, 1}};
	struct route_group *group = make_group(hops, 3);
	const struct route *out[3];
	uint64_t seed = 1;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(plan_routes(group, &random, out), 3);
		for (size_t j = 0; j < 3; j++)
			assert_string_equal(out[j]->remote_host, hops[j].host);
	}
	free_group(group);
}

static void
one_route(void **state)
{
	static const struct hop_text hop = {"only.example", 7, 3};
	struct route_group *group = make_group(&hop, 1);
	const struct route *out[1];
	uint64_t seed = 1;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	assert_int_equal(plan_routes(group, &random, out), 1);
	assert_ptr_equal(out[0], group->routes[0]);
	free_group(group);
}

/* big, big, small: each hop once in a plan, big first in two thirds of them. */
static void
identical_hops_add_up(void **state)
{
	enum { DRAWS = 30000 };
	static const struct hop_text hops[] = {
	    {"big.example", 1, 1}, {"small.example", 1, 1}, {"big.example", 1, 1}};
	static const double shares[] = {2.0 / 3, 1.0 / 3};
	struct route_group *group = make_group(hops, 3);
	const struct route *out[3];
	unsigned seen[2] = {0};
	uint64_t seed = 2;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		assert_int_equal(plan_routes(group, &random, out), 2);
		assert_string_not_equal(out[0]->remote_host, out[1]->remote_host);
		seen[out[0] == group->routes[0] ? 0 : 1]++;
		/* The hop stands for its first route. */
		assert_true(out[0] != group->routes[2] && out[1] != group->routes[2]);
	}
	assert_shares(seen, shares, 2, DRAWS);
	free_group(group);
}

static void
weights_are_shares(void **state)
{
	enum { DRAWS = 40000 };
	static const struct hop_text hops[] = {
	    {"a.example", 1, 1}, {"b.example", 1, 2}, {"c.example", 1, 7}};
	static const double first[] = {0.1, 0.2, 0.7};
	/* In second place: by the weights of those that are left. */
	static const double second[] = {0.2 * 1 / 8 + 0.7 * 1 / 3, 0.1 * 2 / 9 + 0.7 * 2 / 3,
					0.1 * 7 / 9 + 0.2 * 7 / 8};
	struct route_group *group = make_group(hops, 3);
	const struct route *out[3];
	unsigned seen_first[3] = {0}, seen_second[3] = {0};
	uint64_t seed = 3;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		assert_int_equal(plan_routes(group, &random, out), 3);
		seen_first[out[0]->id - 1]++;
		seen_second[out[1]->id - 1]++;
		assert_int_equal(out[0]->id + out[1]->id + out[2]->id, 6);
	}
	assert_shares(seen_first, first, 3, DRAWS);
	assert_shares(seen_second, second, 3, DRAWS);
	free_group(group);
}

static void
failover_and_round_robin_mixed(void **state)
{
	enum { DRAWS = 20000 };
	static const struct hop_text hops[] = {
	    {"main.example", 1, 1}, {"alt1.example", 2, 1}, {"alt2.example", 2, 1}};
	static const double shares[] = {0.5, 0.5};
	struct route_group *group = make_group(hops, 3);
	const struct route *out[3];
	unsigned seen[2] = {0};
	uint64_t seed = 4;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		assert_int_equal(plan_routes(group, &random, out), 3);
		assert_int_equal(out[0]->id, 1);
		seen[out[1]->id - 2]++;
	}
	assert_shares(seen, shares, 2, DRAWS);
	free_group(group);
}

/* A hop that was planned in a higher priority is not planned again; what differs in anything but
 * priority, weight and comment is another hop. */
static void
a_hop_appears_once(void **state)
{
	static const struct hop_text hops[] = {{"a.example", 1, 1},
					       {"a.example", 2, 1000},
					       {"b.example", 2, 1},
					       {"a.example", 3, 1},
					       {"a.example", 3, 1}};
	struct route_group *group = make_group(hops, 5);
	const struct route *out[5];
	uint64_t seed = 5;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	group->routes[4]->remote_port = 587;
	assert_int_equal(plan_routes(group, &random, out), 3);
	assert_int_equal(out[0]->id, 1);
	assert_int_equal(out[1]->id, 3);
	assert_int_equal(out[2]->id, 5);
	free_group(group);
}

/* So many copies of the greatest weight that their sum is past 32 bits. */
static void
weights_past_32_bits(void **state)
{
	enum { COPIES = 4300000 };
	static const struct hop_text one[] = {{"a.example", 1, 1000}, {"b.example", 1, 1000}};
	struct route_group *pair = make_group(one, 2), *group;
	const struct route **out = xreallocarray(NULL, COPIES, sizeof(*out));
	unsigned seen[2] = {0};
	uint64_t seed = 6;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	group = xmalloc(sizeof(*group) + COPIES * sizeof(struct route *));
	*group = (struct route_group){.count = COPIES, .references = 1};
	for (size_t i = 0; i < COPIES; i++)
		group->routes[i] = pair->routes[i % 2];
	for (int i = 0; i < 8; i++) {
		assert_int_equal(plan_routes(group, &random, out), 2);
		seen[out[0]->id - 1]++;
	}
	assert_true(seen[0] > 0 && seen[1] > 0);
	free(out);
	free(group);
	free_group(pair);
}

/* ---- connections ---- */

static struct netaddr
address(const char *text)
{
	struct netaddr parsed;

	assert_int_equal(netaddr_parse(text, &parsed), 0);
	return parsed;
}

static void
assert_try(const struct plan_try *try, const char *remote, const char *local)
{
	char text[NETADDR_TEXT_MAX];

	assert_string_equal(netaddr_text_port(&try->remote, text), remote);
	if (local == NULL) {
		assert_int_equal(try->local.family, AF_UNSPEC);
		return;
	}
	assert_string_equal(netaddr_text(&try->local, text), local);
	assert_int_equal(try->local.port, 0);
}

static void
families_are_interleaved(void **state)
{
	struct netaddr addresses[] = {address("192.0.2.1"), address("192.0.2.2"),
				      address("192.0.2.3"), address("2001:db8::1"),
				      address("2001:db8::2")};
	struct route_local_ips none = {0};
	struct plan_try out[8];
	uint64_t seed = 7;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	assert_int_equal(plan_tries(addresses, 5, 25, &none, &random, out, 8), 5);
	assert_try(&out[0], "[2001:db8::1]:25", NULL);
	assert_try(&out[1], "192.0.2.1:25", NULL);
	assert_try(&out[2], "[2001:db8::2]:25", NULL);
	assert_try(&out[3], "192.0.2.2:25", NULL);
	assert_try(&out[4], "192.0.2.3:25", NULL);
	/* Only one family; no more than there is room for; nothing at all. */
	assert_int_equal(plan_tries(addresses, 3, 2525, NULL, &random, out, 2), 2);
	assert_try(&out[0], "192.0.2.1:2525", NULL);
	assert_try(&out[1], "192.0.2.2:2525", NULL);
	assert_int_equal(plan_tries(addresses, 5, 25, &none, &random, out, 0), 0);
	assert_int_equal(plan_tries(addresses, 0, 25, &none, &random, out, 8), 0);
}

static void
an_address_twice_is_tried_once(void **state)
{
	struct netaddr addresses[] = {address("192.0.2.1"), address("192.0.2.2"),
				      address("192.0.2.1"), address("::ffff:192.0.2.2")};
	struct plan_try out[8];
	uint64_t seed = 8;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	assert_int_equal(plan_tries(addresses, 4, 25, NULL, &random, out, 8), 2);
	assert_try(&out[0], "192.0.2.1:25", NULL);
	assert_try(&out[1], "192.0.2.2:25", NULL);
}

static void
local_ips_failover(void **state)
{
	struct netaddr addresses[] = {address("2001:db8::1"), address("192.0.2.1")};
	struct route_local_ips local;
	struct plan_try out[8];
	struct error why;
	uint64_t seed = 9;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	assert_int_equal(route_local_ips_parse("198.51.100.2&2001:db8::a&198.51.100.1&198.51.100.3",
					       &local, &why),
			 0);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(plan_tries(addresses, 2, 25, &local, &random, out, 8), 4);
		assert_try(&out[0], "[2001:db8::1]:25", "2001:db8::a");
		assert_try(&out[1], "192.0.2.1:25", "198.51.100.2");
		assert_try(&out[2], "192.0.2.1:25", "198.51.100.1");
		assert_try(&out[3], "192.0.2.1:25", "198.51.100.3");
	}
	assert_int_equal(plan_tries(addresses, 2, 25, &local, &random, out, 3), 3);
	assert_try(&out[2], "192.0.2.1:25", "198.51.100.1");
}

static void
local_ips_round_robin(void **state)
{
	enum { DRAWS = 12000 };
	struct netaddr addresses[] = {address("192.0.2.1"), address("192.0.2.2")};
	static const double shares[] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
	struct route_local_ips local;
	struct plan_try out[8];
	struct error why;
	unsigned first[3] = {0}, later[3] = {0}, same = 0;
	uint64_t seed = 10;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	assert_int_equal(
	    route_local_ips_parse("198.51.100.1|198.51.100.2|198.51.100.3", &local, &why), 0);
	for (int i = 0; i < DRAWS; i++) {
		assert_int_equal(plan_tries(addresses, 2, 25, &local, &random, out, 8), 6);
		for (size_t j = 0; j < 6; j++)
			assert_int_equal(out[j].remote.bytes[3], j < 3 ? 1 : 2);
		first[out[0].local.bytes[3] - 1]++;
		later[out[3].local.bytes[3] - 1]++;
		same += out[0].local.bytes[3] == out[3].local.bytes[3];
		/* All three, one after the other. */
		assert_int_equal(
		    out[0].local.bytes[3] + out[1].local.bytes[3] + out[2].local.bytes[3], 6);
	}
	assert_shares(first, shares, 3, DRAWS);
	assert_shares(later, shares, 3, DRAWS);
	assert_true(same > DRAWS / 4 && same < DRAWS / 2);
}

static void
no_local_ip_of_the_family(void **state)
{
	struct netaddr addresses[] = {address("2001:db8::1"), address("192.0.2.1")};
	struct netaddr ipv6_only[] = {address("2001:db8::1")};
	struct route_local_ips local;
	struct plan_try out[8];
	struct error why;
	uint64_t seed = 11;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	assert_int_equal(route_local_ips_parse("198.51.100.1", &local, &why), 0);
	assert_int_equal(plan_tries(addresses, 2, 25, &local, &random, out, 8), 1);
	assert_try(&out[0], "192.0.2.1:25", "198.51.100.1");
	assert_int_equal(plan_tries(ipv6_only, 1, 25, &local, &random, out, 8), 0);
}

/* ---- MX ---- */

static void
mx_by_preference(void **state)
{
	enum { DRAWS = 12000 };
	static const uint16_t preferences[] = {20, 10, 65535, 10, 0, 10};
	static const double shares[] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
	unsigned seen[3] = {0};
	size_t order[6];
	uint64_t seed = 12;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		plan_mx(preferences, 6, &random, order);
		assert_int_equal(order[0], 4);
		assert_int_equal(order[4], 0);
		assert_int_equal(order[5], 2);
		assert_int_equal(order[1] + order[2] + order[3], 1 + 3 + 5);
		seen[(order[1] - 1) / 2]++;
	}
	assert_shares(seen, shares, 3, DRAWS);
	plan_mx(preferences, 1, &random, order);
	assert_int_equal(order[0], 0);
	plan_mx(preferences, 0, &random, order);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failover_is_by_priority),
	    cmocka_unit_test(one_route),
	    cmocka_unit_test(identical_hops_add_up),
	    cmocka_unit_test(weights_are_shares),
	    cmocka_unit_test(failover_and_round_robin_mixed),
	    cmocka_unit_test(a_hop_appears_once),
	    cmocka_unit_test(weights_past_32_bits),
	    cmocka_unit_test(families_are_interleaved),
	    cmocka_unit_test(an_address_twice_is_tried_once),
	    cmocka_unit_test(local_ips_failover),
	    cmocka_unit_test(local_ips_round_robin),
	    cmocka_unit_test(no_local_ip_of_the_family),
	    cmocka_unit_test(mx_by_preference),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
