/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue/roster: finding by number, paging in order, gaps closed, against a plain array as the model. */
#include "relayd/queue/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NUMBERS = 3000 };

static void
test_against_model(void **state)
{
	static char there[NUMBERS + 1];
	static char what[NUMBERS + 1];
	struct roster roster = ROSTER_INIT;
	size_t i, count = 0;
	uint64_t after;

	(void)state;
	srand(11);
	for (i = 0; i < 60000; i++) {
		uint64_t number = 1 + (uint64_t)rand() % NUMBERS;

		if (there[number]) {
			assert_ptr_equal(roster_get(&roster, number), &what[number]);
			roster_remove(&roster, number);
			count--;
		} else {
			assert_null(roster_get(&roster, number));
			roster_add(&roster, number, &what[number]);
			count++;
		}
		there[number] = !there[number];
		assert_int_equal(roster_count(&roster), count);
	}
	for (after = 0; after <= NUMBERS; after++) {
		uint64_t next = after + 1;

		while (next <= NUMBERS && !there[next])
			next++;
		assert_ptr_equal(roster_next(&roster, after), next <= NUMBERS ? &what[next] : NULL);
	}
	roster_clear(&roster);
}

static void
test_ends(void **state)
{
	struct roster roster = ROSTER_INIT;
	int a, b;

	(void)state;
	assert_null(roster_next(&roster, 0));
	roster_remove(&roster, 5);
	roster_add(&roster, UINT64_MAX, &b);
	roster_add(&roster, 1, &a);
	assert_ptr_equal(roster_next(&roster, 0), &a);
	assert_ptr_equal(roster_next(&roster, 1), &b);
	assert_null(roster_next(&roster, UINT64_MAX));
	roster_remove(&roster, UINT64_MAX);
	assert_null(roster_next(&roster, 1));
	assert_int_equal(roster_count(&roster), 1);
	roster_clear(&roster);
}

/* Mail that flows through leaves nothing behind. */
static void
test_flow_stays_small(void **state)
{
	struct roster roster = ROSTER_INIT;
	uint64_t number;
	int a;

	(void)state;
	roster_add(&roster, 1, &a); /* one that stays */
	for (number = 2; number < 200000; number++) {
		roster_add(&roster, number, &a);
		if (number > 102)
			roster_remove(&roster, number - 100);
	}
	assert_true(roster.room <= 1024);
	roster_clear(&roster);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_against_model),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_flow_stays_small),
	};

	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
