/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Envelopes by id: a hundred thousand random steps beside a plain array, through collisions, growth
 * and removal from the middle of a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "relayd/spool/idmap.h"

enum { IDS = 3000, STEPS = 100000 };

/* Ids that lie close, and some that lie far apart. */
static uint64_t
id_of(size_t i)
{
	return i % 3 == 0 ? (uint64_t)i << 20 : i + 1;
}

static void
as_a_plain_array(void **state)
{
	struct envelope **plain = calloc(IDS, sizeof(*plain)), **sorted;
	struct idmap map = {0};
	uint64_t random = 42, last = 0;
	size_t used = 0, count;

	(void)state;
	assert_non_null(plain);
	for (int step = 0; step < STEPS; step++) {
		size_t i;

		random = random * UINT64_C(6364136223846793005) + 1;
		i = (size_t)(random >> 33) % IDS;
		assert_ptr_equal(idmap_get(&map, id_of(i)), plain[i]);
		if (plain[i] == NULL) {
			plain[i] = envelope_new();
			plain[i]->id = id_of(i);
			idmap_put(&map, plain[i]);
			used++;
		} else {
			assert_ptr_equal(idmap_take(&map, id_of(i)), plain[i]);
			envelope_free(plain[i]);
			plain[i] = NULL;
			used--;
		}
		assert_null(idmap_take(&map, UINT64_MAX));
		assert_int_equal(map.used, used);
	}
	for (size_t i = 0; i < IDS; i++)
		assert_ptr_equal(idmap_get(&map, id_of(i)), plain[i]);
	sorted = idmap_sorted(&map, &count);
	assert_int_equal(count, used);
	for (size_t i = 0; i < count; i++) {
		assert_true(i == 0 || sorted[i]->id > last);
		last = sorted[i]->id;
		envelope_free(sorted[i]);
	}
	free(sorted);
	free(plain);
	assert_null(idmap_get(&map, 1));
	idmap_clear(&map);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_plain_array)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
