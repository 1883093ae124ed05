/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/stats: what is counted, the rate and the share of the last hour as time goes by,
 * the states, and that memory is bounded. relayd/routes/sorted: each column, both directions,
 * several at once, against a plain sort; in slices, stable, and dropped in the middle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/xalloc.h"
#include "relayd/routes/sorted.h"
#include "relayd/routes/stats.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static void
assert_near(double value, double expected)
{
	if (value < expected - 0.001 || value > expected + 0.001)
		fail_msg("%f, not %f", value, expected);
}

static void
add(struct stats *stats, uint64_t id, size_t delivered, size_t failed, size_t deferred,
    bool session, int64_t now_ms)
{
	const struct stats_try outcome = {
	    .delivered = delivered, .failed = failed, .deferred = deferred, .session = session};

	stats_add(stats, id, &outcome, now_ms);
}

static void
test_counts(void **state)
{
	struct stats *stats = stats_new();
	struct stats_route out;

	(void)state;
	stats_get(stats, 1, 5, &out);
	assert_int_equal(out.attempts, 0);
	assert_int_equal(out.last_used_ms, -1);
	assert_int_equal(out.state, STATS_UNKNOWN);
	assert_true(out.deferred_1h < 0);
	add(stats, 1, 3, 1, 2, true, 1000);
	add(stats, 1, 4, 0, 0, true, 2000);
	add(stats, 2, 0, 0, 1, false, 3000);
	stats_get(stats, 1, 4000, &out);
	assert_int_equal(out.attempts, 10);
	assert_int_equal(out.delivered, 7);
	assert_int_equal(out.failed, 1);
	assert_int_equal(out.deferred, 2);
	assert_int_equal(out.last_used_ms, 2000);
	assert_near(out.rate_1m, 2);
	assert_near(out.deferred_1h, 0.2);
	assert_int_equal(out.state, STATS_SLOW);
	stats_get(stats, 2, 4000, &out);
	assert_int_equal(out.attempts, 1);
	assert_int_equal(out.state, STATS_DOWN);
	assert_near(out.deferred_1h, 1);
	assert_int_equal(stats_count(stats), 2);
	stats_free(stats);
	stats_free(NULL);
}

static void
test_time(void **state)
{
	struct stats *stats = stats_new();
	struct stats_route out;

	(void)state;
	add(stats, 1, 10, 0, 0, true, 10 * MINUTE);
	stats_get(stats, 1, 10 * MINUTE, &out);
	assert_near(out.rate_1m, 2);
	/* The bucket of the ten lies half outside of the last five minutes, then wholly. */
	stats_get(stats, 1, 17 * MINUTE + MINUTE / 2, &out);
	assert_near(out.rate_1m, 1);
	stats_get(stats, 1, 20 * MINUTE, &out);
	assert_near(out.rate_1m, 0);
	assert_int_equal(out.state, STATS_UP);
	add(stats, 1, 0, 0, 30, true, 40 * MINUTE);
	stats_get(stats, 1, 69 * MINUTE, &out);
	assert_near(out.deferred_1h, 0.75);
	stats_get(stats, 1, 70 * MINUTE, &out);
	assert_near(out.deferred_1h, 1);
	stats_get(stats, 1, 100 * MINUTE, &out);
	assert_true(out.deferred_1h < 0);
	assert_int_equal(out.state, STATS_UNKNOWN);
	assert_int_equal(out.attempts, 40);
	/* After a long time nothing of before is counted again. */
	add(stats, 1, 1, 0, 0, true, 10 * (int64_t)HOUR);
	stats_get(stats, 1, 10 * (int64_t)HOUR, &out);
	assert_near(out.deferred_1h, 0);
	stats_free(stats);
}

static void
test_states(void **state)
{
	struct stats *stats = stats_new();
	struct stats_route out;
	enum stats_state named;

	(void)state;
	add(stats, 1, 91, 0, 9, true, 1);
	stats_get(stats, 1, 2, &out);
	assert_int_equal(out.state, STATS_UP);
	add(stats, 1, 0, 0, 1, false, 3);
	stats_get(stats, 1, 4, &out);
	assert_int_equal(out.state, STATS_DOWN);
	add(stats, 1, 0, 0, 9, true, 5);
	stats_get(stats, 1, 6, &out);
	assert_int_equal(out.state, STATS_SLOW);
	for (enum stats_state one = STATS_OFF; one <= STATS_DOWN; one++) {
		assert_int_equal(stats_state_of(stats_state_name(one), &named), 0);
		assert_int_equal(named, one);
	}
	assert_int_equal(stats_state_of("sick", &named), -1);
	stats_free(stats);
}

static void
test_bounded(void **state)
{
	struct stats *stats = stats_new();
	struct stats_route out;
	uint64_t id;

	(void)state;
	for (id = 1; id <= STATS_ROUTES; id++)
		add(stats, id, 1, 0, 0, true, (int64_t)id);
	assert_int_equal(stats_count(stats), STATS_ROUTES);
	add(stats, 1, 1, 0, 0, true, STATS_ROUTES + 1); /* used again: 2 is the oldest now */
	add(stats, id, 1, 0, 0, true, STATS_ROUTES + 2);
	assert_int_equal(stats_count(stats), STATS_ROUTES);
	stats_get(stats, 1, STATS_ROUTES + 3, &out);
	assert_int_equal(out.attempts, 2);
	stats_get(stats, 2, STATS_ROUTES + 3, &out);
	assert_int_equal(out.attempts, 0);
	stats_get(stats, 3, STATS_ROUTES + 3, &out);
	assert_int_equal(out.attempts, 1);
	stats_get(stats, id, STATS_ROUTES + 3, &out);
	assert_int_equal(out.attempts, 1);
	stats_free(stats);
}

/* ---- sorted ---- */

enum { MANY = 5000 };

static void
look(void *ctx, const struct route *route, struct filter_facts *out)
{
	(void)ctx;
	*out = (struct filter_facts){.rate_1m = (double)(route->id % 7),
				     .deferred_1h = (double)(route->id % 5) / 5,
				     .state = route->id % 2 != 0 ? STATS_UP : STATS_DOWN};
}

static const struct filter_source source = {.look = look};

static struct route **
make_routes(void)
{
	struct route **routes = xcalloc(MANY, sizeof(struct route *));
	uint32_t seed = 1;
	char text[64];

	for (size_t i = 0; i < MANY; i++) {
		routes[i] = route_new();
		seed = seed * 1664525 + 1013904223;
		snprintf(text, sizeof(text), "d%u.example", seed >> 22);
		assert_int_equal(route_set(routes[i], ROUTE_DESTINATION, text, NULL), 0);
		assert_int_equal(route_set(routes[i], ROUTE_REMOTE_HOST, "r", NULL), 0);
		routes[i]->id = i + 1;
		routes[i]->priority = (uint16_t)(1 + (seed >> 16) % 9);
		if (i % 3 == 0)
			assert_int_equal(route_set(routes[i], ROUTE_USER, text, NULL), 0);
	}
	return routes;
}

static void
free_routes(struct route **routes)
{
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(routes[i]->references, 1);
		route_unref(routes[i]);
	}
	free(routes);
}

static struct sorted *
sort(struct route **routes, const char *columns, size_t budget)
{
	struct error why;
	struct sorted *sorted = sorted_new(columns, &source, &why);

	if (sorted == NULL)
		fail_msg("%s", why.text);
	for (size_t i = 0; i < MANY; i++)
		sorted_add(sorted, routes[i]);
	while (!sorted_step(sorted, budget))
		;
	assert_int_equal(sorted_count(sorted), MANY);
	return sorted;
}

static int
by_priority_then_destination(const struct route *a, const struct route *b)
{
	int order = b->priority - a->priority;

	if (order == 0)
		order = strcasecmp(a->destination, b->destination);
	return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

static void
test_sorted(void **state)
{
	static const size_t budgets[] = {1, 100, 1000000};
	struct route **routes = make_routes();

	(void)state;
	for (size_t b = 0; b < 3; b++) {
		struct sorted *sorted = sort(routes, "-prio,to", budgets[b]);

		for (size_t i = 1; i < MANY; i++)
			assert_true(by_priority_then_destination(sorted_at(sorted, i - 1),
								 sorted_at(sorted, i)) < 0);
		while (!sorted_free_step(sorted, 100))
			;
	}
	free_routes(routes);
}

static void
test_sorted_facts(void **state)
{
	struct route **routes = make_routes();
	struct sorted *sorted = sort(routes, "-rate_1m,state,-id", 1000);

	(void)state;
	for (size_t i = 1; i < MANY; i++) {
		const struct route *a = sorted_at(sorted, i - 1), *b = sorted_at(sorted, i);

		assert_true(a->id % 7 >= b->id % 7);
		if (a->id % 7 == b->id % 7 && a->id % 2 == b->id % 2)
			assert_true(a->id > b->id);
		else if (a->id % 7 == b->id % 7)
			assert_true(a->id % 2 != 0);
	}
	sorted_free(sorted);
	sorted = sort(routes, "user", 1000);
	assert_null(sorted_at(sorted, 0)->user);
	assert_int_equal(sorted_at(sorted, 0)->id, 2);
	assert_non_null(sorted_at(sorted, MANY - 1)->user);
	sorted_free(sorted);
	free_routes(routes);
}

/* Dropped before it is sorted, at any place. */
static void
test_sorted_dropped(void **state)
{
	struct route **routes = make_routes();

	(void)state;
	for (size_t steps = 0; steps < 40; steps++) {
		struct sorted *sorted = sorted_new("destination", &source, NULL);

		for (size_t i = 0; i < MANY; i++)
			sorted_add(sorted, routes[i]);
		for (size_t i = 0; i < steps && !sorted_step(sorted, 1500); i++)
			;
		sorted_free(sorted);
	}
	free_routes(routes);
}

static void
test_sorted_none(void **state)
{
	struct sorted *sorted = sorted_new("id", &source, NULL);
	struct error why;

	(void)state;
	assert_true(sorted_step(sorted, 100));
	assert_int_equal(sorted_count(sorted), 0);
	sorted_free(sorted);
	sorted_free(NULL);
	assert_null(sorted_new("colour", &source, &why));
	assert_int_equal(why.code, ERROR_USAGE);
	assert_non_null(strstr(why.text, "'colour'"));
	assert_null(sorted_new("", &source, &why));
	assert_null(sorted_new("id,", &source, &why));
	assert_null(sorted_new("-", &source, &why));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counts),         cmocka_unit_test(test_time),
	    cmocka_unit_test(test_states),         cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_sorted),         cmocka_unit_test(test_sorted_facts),
	    cmocka_unit_test(test_sorted_dropped), cmocka_unit_test(test_sorted_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
