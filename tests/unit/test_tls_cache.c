/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cache of resumable sessions: the newest of each key, gone when it expires or is dropped;
 * bounded, the least recently used one giving way; all of it against a plain list that does the
 * same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relayd/net/tls_cache.h"

static void
put(struct tls_cache *cache, const char *key, const char *value, int64_t expires_s)
{
	tls_cache_put(cache, key, (const unsigned char *)value, strlen(value) + 1, expires_s);
}

static const char *
get(struct tls_cache *cache, const char *key, int64_t now_s)
{
	size_t len = 0;
	const unsigned char *bytes = tls_cache_get(cache, key, now_s, &len);

	if (bytes != NULL)
		assert_int_equal(len, strlen((const char *)bytes) + 1);
	return (const char *)bytes;
}

static void
newest_of_a_key(void **state)
{
	struct tls_cache *cache = tls_cache_new(4);

	(void)state;
	assert_null(get(cache, "a", 0));
	put(cache, "a", "one", 10);
	put(cache, "", "no key", 10);
	put(cache, "a", "the second", 10);
	assert_int_equal(tls_cache_count(cache), 2);
	assert_string_equal(get(cache, "a", 0), "the second");
	assert_string_equal(get(cache, "", 0), "no key");
	tls_cache_drop(cache, "a");
	tls_cache_drop(cache, "a");
	assert_null(get(cache, "a", 0));
	assert_int_equal(tls_cache_count(cache), 1);
	tls_cache_free(cache);
	tls_cache_free(NULL);
}

static void
time_passes(void **state)
{
	struct tls_cache *cache = tls_cache_new(4);

	(void)state;
	put(cache, "a", "x", 10);
	assert_non_null(get(cache, "a", 9));
	assert_null(get(cache, "a", 10));
	assert_int_equal(tls_cache_count(cache), 0);
	assert_null(get(cache, "a", 9)); /* gone for good */
	tls_cache_free(cache);
}

/* The model: keys in the order of their use. */
static void
as_a_list_would(void **state)
{
	enum { MOST = 7, KEYS = 20 };
	struct tls_cache *cache = tls_cache_new(MOST);
	int order[KEYS + 1], value_of[KEYS], count = 0;
	unsigned seed = 1;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		int key, at = 0, what;
		char name[16], value[16];
		const char *found;

		seed = seed * 1103515245U + 12345U;
		key = (int)(seed >> 16) % KEYS;
		what = (int)(seed >> 24) % 8;
		(void)snprintf(name, sizeof(name), "key %d", key);
		(void)snprintf(value, sizeof(value), "%d", step);
		while (at < count && order[at] != key)
			at++;
		if (what == 0) {
			tls_cache_drop(cache, name);
		} else if (what < 4) {
			put(cache, name, value, 1);
		} else {
			found = get(cache, name, 0);
			assert_int_equal(found != NULL, at < count);
			if (found == NULL)
				continue;
			assert_int_equal(atoi(found), value_of[key]);
		}
		if (at < count) {
			memmove(order + at, order + at + 1,
				(size_t)(count - at - 1) * sizeof(order[0]));
			count--;
		}
		if (what > 0) {
			memmove(order + 1, order, (size_t)count * sizeof(order[0]));
			order[0] = key;
			count = count < MOST ? count + 1 : MOST;
		}
		if (what > 0 && what < 4)
			value_of[key] = step;
		assert_int_equal(tls_cache_count(cache), count);
	}
	assert_int_equal(count, MOST);
	tls_cache_free(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(newest_of_a_key),
	    cmocka_unit_test(time_passes),
	    cmocka_unit_test(as_a_list_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
