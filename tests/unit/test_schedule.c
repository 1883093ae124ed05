/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue/schedule: items come out by time whatever the order they went in; removal from the middle. */
#include "relayd/queue/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MANY = 2000 };

static void
test_empty(void **state)
{
	struct schedule schedule = SCHEDULE_INIT;
	struct schedule_item item = {.due_ms = 1};

	(void)state;
	assert_null(schedule_first(&schedule));
	schedule_remove(&schedule, &item);
	schedule_add(&schedule, &item);
	assert_ptr_equal(schedule_first(&schedule), &item);
	schedule_remove(&schedule, &item);
	assert_null(schedule_first(&schedule));
	assert_int_equal(item.place, 0);
	schedule_clear(&schedule);
}

static void
test_order(void **state)
{
	static struct schedule_item items[MANY];
	struct schedule schedule = SCHEDULE_INIT;
	size_t i, left = MANY;
	int64_t last = -1;

	(void)state;
	srand(7);
	for (i = 0; i < MANY; i++) {
		items[i].due_ms = rand() % 500;
		items[i].place = 0;
		schedule_add(&schedule, &items[i]);
	}
	/* Every third goes from wherever it is. */
	for (i = 0; i < MANY; i += 3) {
		schedule_remove(&schedule, &items[i]);
		left--;
	}
	while (left-- > 0) {
		struct schedule_item *first = schedule_first(&schedule);

		assert_non_null(first);
		assert_int_not_equal((first - items) % 3, 0);
		assert_true(first->due_ms >= last);
		last = first->due_ms;
		schedule_remove(&schedule, first);
	}
	assert_null(schedule_first(&schedule));
	schedule_clear(&schedule);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_order)};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
