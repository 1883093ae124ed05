/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes/draw: the order of hops (priorities, weights, identical hops) and of MX hosts, and the
 * share that is told of a hop. Randomness is a seeded generator; shares are tested by chi-square.
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
#include "relayd/routes/draw.h"

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

/* All hops of one attempt. */
static size_t
draw_all(const struct route_group *group, const struct plan_random *random,
	 const struct route **out)
{
	struct draw draw;
	const struct route *route;
	size_t count = 0;

	draw_init(&draw, group, random);
	while ((route = draw_next(&draw)) != NULL)
		out[count++] = route;
	assert_null(draw_next(&draw));
	draw_clear(&draw);
	return count;
}

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
		assert_int_equal(draw_all(group, &random, out), 3);
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
	assert_int_equal(draw_all(group, &random, out), 1);
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
		assert_int_equal(draw_all(group, &random, out), 2);
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
		assert_int_equal(draw_all(group, &random, out), 3);
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
		assert_int_equal(draw_all(group, &random, out), 3);
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
	assert_int_equal(draw_all(group, &random, out), 3);
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
		assert_int_equal(draw_all(group, &random, out), 2);
		seen[out[0]->id - 1]++;
	}
	assert_true(seen[0] > 0 && seen[1] > 0);
	free(out);
	free(group);
	free_group(pair);
}

/* ---- MX ---- */

static void
mx_by_preference(void **state)
{
	enum { DRAWS = 12000 };
	static const struct plan_host given[] = {{"a", 20}, {"b", 10}, {"c", 65535},
						 {"d", 10}, {"e", 0},  {"f", 10}};
	static const double shares[] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
	unsigned seen[3] = {0};
	struct plan_host hosts[6];
	uint64_t seed = 12;
	struct plan_random random = {seeded_below, &seed};

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		memcpy(hosts, given, sizeof(hosts));
		draw_hosts(hosts, 6, &random);
		assert_string_equal(hosts[0].name, "e");
		assert_string_equal(hosts[4].name, "a");
		assert_string_equal(hosts[5].name, "c");
		assert_int_equal(hosts[1].name[0] + hosts[2].name[0] + hosts[3].name[0],
				 'b' + 'd' + 'f');
		seen[(hosts[1].name[0] - 'b') / 2]++;
	}
	assert_shares(seen, shares, 3, DRAWS);
	draw_hosts(hosts, 1, &random);
	draw_hosts(hosts, 0, &random);
}

/* What is told of a hop is what its draws come to. */
static void
shares_told(void **state)
{
	static const struct hop_text hops[] = {{"a.example", 1, 3},
					       {"b.example", 1, 1},
					       {"a.example", 1, 4},
					       {"a.example", 2, 9},
					       {"c.example", 2, 1}};
	struct route_group *group = make_group(hops, 5);

	(void)state;
	assert_true(draw_share(group, group->routes[0]) == 7.0 / 8);
	assert_true(draw_share(group, group->routes[2]) == 7.0 / 8);
	assert_true(draw_share(group, group->routes[1]) == 1.0 / 8);
	assert_true(draw_share(group, group->routes[4]) == 1.0 / 10);
	free_group(group);
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
	    cmocka_unit_test(mx_by_preference),
	    cmocka_unit_test(shares_told),
	};

	return cmocka_run_group_tests_name("draw", tests, NULL, NULL);
}
