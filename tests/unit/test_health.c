/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes/health: the back-off of a pair and its end, what counts as one failure, the trial of one
 * connection, pairs apart from one another, bounded memory, the listing; and how often the absence
 * of a local IP is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "relayd/routes/health.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND };

/* The jitter is told what to be: 0 to 1000 thousandths of what there may be. */
static uint32_t
fixed_below(void *ctx, uint32_t bound)
{
	const unsigned *thousandths = ctx;

	return (uint32_t)((uint64_t)(bound - 1) * *thousandths / 1000);
}

static unsigned no_jitter = 500; /* the middle */

static const struct plan_random middle = {.below = fixed_below, .ctx = &no_jitter};

static struct netaddr
address(const char *text, uint16_t port)
{
	struct netaddr parsed = {.family = AF_UNSPEC};

	if (text != NULL)
		assert_int_equal(netaddr_parse(text, &parsed), 0);
	parsed.port = port;
	return parsed;
}

static void
test_back_off(void **state)
{
	static const int64_t seconds[] = {30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600};
	struct health *health = health_new(&middle);
	const struct netaddr remote = address("192.0.2.1", 25), local = address(NULL, 0);
	int64_t now = 5 * SECOND;

	(void)state;
	assert_int_equal(health_suspended_until(health, &remote, &local, now), 0);
	for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
		int64_t until = health_failed(health, &remote, &local, "refused", now);

		assert_int_equal(until, now + seconds[i] * SECOND);
		assert_int_equal(health_suspended_until(health, &remote, &local, now), until);
		assert_int_equal(health_suspended_until(health, &remote, &local, until - 1), until);
		assert_int_equal(health_suspended_until(health, &remote, &local, until), 0);
		now = until + 3;
	}
	/* One that stands clears it, and the next failure is a first one. */
	assert_true(health_succeeded(health, &remote, &local));
	assert_false(health_succeeded(health, &remote, &local));
	assert_int_equal(health_count(health), 0);
	assert_int_equal(health_failed(health, &remote, &local, "refused", now), now + 30 * SECOND);
	health_free(health);
}

static void
test_jitter(void **state)
{
	unsigned thousandths = 0;
	struct plan_random random = {.below = fixed_below, .ctx = &thousandths};
	struct health *health = health_new(&random);
	const struct netaddr one = address("192.0.2.1", 25), two = address("192.0.2.2", 25),
			     local = address(NULL, 0);

	(void)state;
	assert_int_equal(health_failed(health, &one, &local, "", 0), 27 * SECOND);
	thousandths = 1000;
	assert_int_equal(health_failed(health, &two, &local, "", 0), 33 * SECOND);
	health_free(health);
}

/* Many connections that were on their way fail one after the other: that is one failure. */
static void
test_one_failure(void **state)
{
	struct health *health = health_new(&middle);
	const struct netaddr remote = address("192.0.2.1", 25), local = address(NULL, 0);
	const struct health_pair *pair;

	(void)state;
	assert_int_equal(health_failed(health, &remote, &local, "first", 0), 30 * SECOND);
	for (int64_t now = 0; now < 30 * SECOND; now += SECOND)
		assert_int_equal(health_failed(health, &remote, &local, "later", now), 0);
	pair = health_next(health, NULL);
	assert_non_null(pair);
	assert_int_equal(pair->failures, 1);
	assert_int_equal(pair->until_ms, 30 * SECOND);
	assert_string_equal(pair->reason, "first");
	assert_int_equal(health_failed(health, &remote, &local, "again", 31 * SECOND), 91 * SECOND);
	assert_int_equal(pair->failures, 2);
	assert_int_equal(pair->since_ms, 0);
	assert_int_equal(pair->failed_ms, 31 * SECOND);
	assert_string_equal(pair->reason, "again");
	health_free(health);
}

/* When its time is up, one connection goes ahead; the others stay away until its outcome. */
static void
test_trial(void **state)
{
	struct health *health = health_new(&middle);
	const struct netaddr remote = address("192.0.2.1", 25), local = address(NULL, 0);
	int64_t now = 0;

	(void)state;
	/* Nothing is known: nothing is on trial. */
	health_trying(health, &remote, &local, now, now + 30 * SECOND);
	assert_int_equal(health_suspended_until(health, &remote, &local, now), 0);

	(void)health_failed(health, &remote, &local, "", now);
	/* Tried all the same, while it is suspended: no trial. */
	health_trying(health, &remote, &local, now + 1, now + 90 * SECOND);
	now = 30 * SECOND;
	assert_int_equal(health_suspended_until(health, &remote, &local, now), 0);
	health_trying(health, &remote, &local, now, now + 20 * SECOND);
	assert_int_equal(health_suspended_until(health, &remote, &local, now), now + 20 * SECOND);
	/* A second one does not lengthen it; without an outcome it ends by itself. */
	health_trying(health, &remote, &local, now + SECOND, now + 40 * SECOND);
	assert_int_equal(health_suspended_until(health, &remote, &local, now + 20 * SECOND), 0);
	/* It failed: that counts, although the pair was held to be suspended. */
	assert_int_equal(health_failed(health, &remote, &local, "", now + 10 * SECOND),
			 now + 70 * SECOND);
	/* The next one's trial succeeds. */
	now += 70 * SECOND;
	health_trying(health, &remote, &local, now, now + 20 * SECOND);
	assert_true(health_succeeded(health, &remote, &local));
	assert_int_equal(health_suspended_until(health, &remote, &local, now), 0);
	health_free(health);
}

static void
test_pairs(void **state)
{
	struct health *health = health_new(&middle);
	const struct netaddr remotes[] = {address("192.0.2.1", 25), address("192.0.2.1", 587),
					  address("192.0.2.2", 25), address("2001:db8::1", 25)};
	const struct netaddr locals[] = {address(NULL, 0), address("198.51.100.1", 0),
					 address("198.51.100.2", 0)};
	const struct netaddr with_port = address("198.51.100.1", 1234);
	struct health_view view = {.health = health, .now_ms = 1};

	(void)state;
	(void)health_failed(health, &remotes[0], &locals[1], "", 0);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 3; j++)
			assert_int_equal(health_view_is_suspended(&view, &remotes[i], &locals[j]),
					 i == 0 && j == 1);
	/* A local address has no port. */
	assert_true(health_view_is_suspended(&view, &remotes[0], &with_port));
	view.now_ms = 30 * SECOND;
	assert_false(health_view_is_suspended(&view, &remotes[0], &locals[1]));
	view.health = NULL;
	assert_false(health_view_is_suspended(&view, &remotes[0], &locals[1]));
	health_free(health);
}

static struct netaddr
numbered(unsigned number)
{
	char text[NETADDR_TEXT_MAX];

	(void)snprintf(text, sizeof text, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255,
		       number & 255);
	return address(text, 25);
}

static void
test_bounded(void **state)
{
	struct health *health = health_new(&middle);
	const struct netaddr local = address(NULL, 0);
	const struct health_pair *pair;
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < HEALTH_PAIRS_MAX + 100; i++) {
		struct netaddr remote = numbered(i);

		(void)health_failed(health, &remote, &local, "", i);
		/* One that fails again is not the oldest any more. */
		if (i == 50 * SECOND / 20) {
			remote = numbered(0);
			(void)health_failed(health, &remote, &local, "", 31 * SECOND);
		}
	}
	assert_int_equal(health_count(health), HEALTH_PAIRS_MAX);
	for (pair = health_next(health, NULL); pair != NULL; pair = health_next(health, pair)) {
		struct netaddr remote = numbered(count < 2400 ? 101 + count : 0);

		if (count < 2400)
			assert_true(netaddr_equal(&pair->remote, &remote));
		count++;
	}
	assert_int_equal(count, HEALTH_PAIRS_MAX);
	{
		struct netaddr first = numbered(0), gone = numbered(100), kept = numbered(101);

		assert_int_not_equal(health_suspended_until(health, &first, &local, 32 * SECOND),
				     0);
		assert_int_equal(health_suspended_until(health, &gone, &local, 101), 0);
		assert_int_not_equal(health_suspended_until(health, &kept, &local, 101), 0);
	}
	health_free(health);
}

/* Not tried for two hours after its time was up: forgotten when another one fails. */
static void
test_forgotten(void **state)
{
	struct health *health = health_new(&middle);
	const struct netaddr one = numbered(1), two = numbered(2), local = address(NULL, 0);

	(void)state;
	(void)health_failed(health, &one, &local, "", 0);
	(void)health_failed(health, &two, &local, "", 2 * HOUR + 29 * SECOND);
	assert_int_equal(health_count(health), 2);
	assert_true(health_succeeded(health, &two, &local));
	(void)health_failed(health, &two, &local, "", 2 * HOUR + 31 * SECOND);
	assert_int_equal(health_count(health), 1);
	health_free(health);
}

static void
test_absent(void **state)
{
	struct health *health = health_new(&middle);
	const struct netaddr one = address("192.0.2.1", 0), two = address("192.0.2.2", 0);

	(void)state;
	assert_true(health_local_absent(health, &one, 0));
	assert_false(health_local_absent(health, &one, 1));
	assert_true(health_local_absent(health, &two, 1));
	assert_false(health_local_absent(health, &one, HOUR - 1));
	assert_true(health_local_absent(health, &one, HOUR));
	assert_false(health_local_absent(health, &one, HOUR + 1));
	/* Of more than it remembers, the one said longest ago is said again. */
	for (unsigned i = 0; i < 200; i++) {
		struct netaddr local = numbered(i);
		assert_true(health_local_absent(health, &local, 2 * HOUR + i));
	}
	for (unsigned i = 199; i > 150; i--) {
		struct netaddr local = numbered(i);
		assert_false(health_local_absent(health, &local, 2 * HOUR + 200));
	}
	health_free(health);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_back_off),    cmocka_unit_test(test_jitter),
	    cmocka_unit_test(test_one_failure), cmocka_unit_test(test_trial),
	    cmocka_unit_test(test_pairs),       cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_forgotten),   cmocka_unit_test(test_absent),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
