/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes/exchangers: what an answer about the MX of a domain means, and which hosts it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "relayd/routes/exchangers.h"

enum { MOST = 4 };

static const struct row {
	const char *name;
	enum lookup_status status;
	struct lookup_mx_host hosts[MOST]; /* up to one without a name */
	size_t count;
	enum exchangers expected;
	const char *left[MOST];
} rows[] = {
    {"no such domain", LOOKUP_NXDOMAIN, {{0}}, 0, EXCHANGERS_NO_DOMAIN, {0}},
    {"not for now", LOOKUP_FAILED, {{0}}, 0, EXCHANGERS_UNKNOWN, {0}},
    {"no MX", LOOKUP_NONE, {{0}}, 0, EXCHANGERS_IMPLICIT, {"d.example"}},
    {"null MX", LOOKUP_OK, {{"", 0}}, 1, EXCHANGERS_NULL, {0}},
    {"null MX and another", LOOKUP_OK, {{"", 0}, {"a", 10}}, 2, EXCHANGERS_FOUND, {"a"}},
    {"two", LOOKUP_OK, {{"a", 5}, {"b", 65535}}, 2, EXCHANGERS_FOUND, {"a", "b"}},
    {"we alone", LOOKUP_OK, {{"relay.test", 65535}}, 1, EXCHANGERS_LOOP, {0}},
    {"we first, in any case", LOOKUP_OK, {{"RELAY.test", 5}, {"b", 10}}, 2, EXCHANGERS_LOOP, {0}},
    {"we and an equal", LOOKUP_OK, {{"b", 10}, {"relay.test", 10}}, 2, EXCHANGERS_LOOP, {0}},
    {"a nearer one",
     LOOKUP_OK,
     {{"a", 5}, {"relay.test", 10}, {"c", 10}, {"d", 20}},
     4,
     EXCHANGERS_FOUND,
     {"a"}},
    {"we twice",
     LOOKUP_OK,
     {{"a", 5}, {"relay.test", 10}, {"c", 20}, {"relay.test", 30}},
     4,
     EXCHANGERS_FOUND,
     {"a"}},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		const struct lookup_mx answer = {.status = row->status,
						 .count = row->count,
						 .hosts = row->hosts,
						 .why = "timeout"};
		struct plan_host hosts[MOST + 1];
		size_t count, expected = 0;

		while (expected < MOST && row->left[expected] != NULL)
			expected++;
		if (exchangers_of(&answer, "d.example", "relay.test", hosts, &count) !=
		    row->expected)
			fail_msg("%s", row->name);
		assert_int_equal(count, expected);
		for (size_t j = 0; j < count; j++)
			assert_string_equal(hosts[j].name, row->left[j]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests_name("exchangers", tests, NULL, NULL);
}
