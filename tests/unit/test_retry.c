/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue/retry: the schedule's steps, the last one repeating, and the end of a message's life. */
#include "relayd/queue/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const int64_t delays[] = {60000, 300000, 900000};
static const struct retry retry = {.delays_ms = delays, .count = 3, .lifetime_ms = 3600000};

static void
test_steps(void **state)
{
	(void)state;
	assert_int_equal(retry_next_ms(&retry, 0, 1, 1000), 61000);
	assert_int_equal(retry_next_ms(&retry, 0, 2, 1000), 301000);
	assert_int_equal(retry_next_ms(&retry, 0, 3, 1000), 901000);
	assert_int_equal(retry_next_ms(&retry, 0, 4, 1000), 901000);
	assert_int_equal(retry_next_ms(&retry, 0, 400, 1000), 901000);
	assert_int_equal(retry_next_ms(&retry, 0, 0, 1000), 61000);
}

static void
test_life(void **state)
{
	(void)state;
	/* The last attempt is made at the very end, not after it. */
	assert_int_equal(retry_next_ms(&retry, 0, 3, 3000000), 3600000);
	assert_false(retry_is_expired(&retry, 0, 3599999));
	assert_true(retry_is_expired(&retry, 0, 3600000));
	assert_false(retry_is_expired(&retry, 5000, 3600000));
	/* Behind the end, for want of a report: not without a pause. */
	assert_int_equal(retry_next_ms(&retry, 0, 4, 3600000), 4500000);
	assert_int_equal(retry_next_ms(&retry, 0, 1, 9000000), 9060000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps), cmocka_unit_test(test_life)};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
