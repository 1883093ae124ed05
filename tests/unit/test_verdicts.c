/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/verdicts: the keys that are told, in their order, with the reason of each; and, on
 * random tables and mails, that the winner is table_find()'s and that no key told as lost has an
 * enabled route.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/verdicts.h"

static uint64_t last_id;

static void
put(struct table *table, const char *user, const char *from, const char *destination, bool enabled)
{
	struct route *route = route_new();
	struct error why;

	route->id = ++last_id;
	assert_int_equal(route_set(route, ROUTE_REMOTE_HOST, "r.example", &why), 0);
	assert_int_equal(route_set(route, ROUTE_DESTINATION, destination, &why), 0);
	assert_int_equal(route_set(route, ROUTE_USER, user, &why), 0);
	assert_int_equal(route_set(route, ROUTE_MAIL_FROM, from, &why), 0);
	route->enabled = enabled;
	table_put(table, route);
	route_unref(route);
}

/* "1 no_route joe@x.io a@x.io d.fr; ..." */
static void
assert_verdicts(const struct table *table, const struct mail_key *mail, const char *expected)
{
	struct verdicts *verdicts = verdicts_new(table, mail);
	struct strbuf text = STRBUF_INIT;

	for (size_t i = 0; i < verdicts->count; i++) {
		const struct verdict *verdict = &verdicts->list[i];

		strbuf_printf(&text, "%u %s", verdict->line, verdict_reason_name(verdict->reason));
		if (verdict->destination != NULL)
			strbuf_printf(&text, " %s %s %s",
				      verdict->user != NULL ? verdict->user : "-",
				      verdict->mail_from != NULL ? verdict->mail_from : "-",
				      verdict->destination);
		if (verdict->group != NULL)
			strbuf_printf(&text, " (%u)", (unsigned)verdict->group->routes[0]->id);
		strbuf_puts(&text, "\n");
	}
	assert_string_equal(text.data, expected);
	strbuf_clear(&text);
	verdicts_free(verdicts);
}

static void
test_all_lines(void **state)
{
	struct table *table = table_new();
	const struct mail_key mail = {.login = "Joe@x.io", .sender = "a@s.io", .domain = "m.d.fr"};

	(void)state;
	last_id = 0;
	put(table, "x.io", "", ".d.fr", false);
	put(table, "", "", "m.d.fr", false);
	assert_verdicts(table, &mail,
			"1 no_route joe@x.io a@s.io m.d.fr\n"
			"1 no_route joe@x.io a@s.io .d.fr\n"
			"1 no_route joe@x.io a@s.io .fr\n"
			"1 no_route x.io a@s.io m.d.fr\n"
			"1 no_route x.io a@s.io .d.fr\n"
			"1 no_route x.io a@s.io .fr\n"
			"1 no_route - a@s.io m.d.fr\n"
			"1 no_route - a@s.io .d.fr\n"
			"1 no_route - a@s.io .fr\n"
			"2 no_route joe@x.io s.io m.d.fr\n"
			"2 no_route joe@x.io s.io .d.fr\n"
			"2 no_route joe@x.io s.io .fr\n"
			"2 no_route x.io s.io m.d.fr\n"
			"2 no_route x.io s.io .d.fr\n"
			"2 no_route x.io s.io .fr\n"
			"2 no_route - s.io m.d.fr\n"
			"2 no_route - s.io .d.fr\n"
			"2 no_route - s.io .fr\n"
			"3 no_route joe@x.io - m.d.fr\n"
			"3 no_route joe@x.io - .d.fr\n"
			"3 no_route joe@x.io - .fr\n"
			"3 no_route x.io - m.d.fr\n"
			"3 disabled x.io - .d.fr (1)\n"
			"3 no_route x.io - .fr\n"
			"4 no_route joe@x.io a@s.io *\n"
			"4 no_route x.io a@s.io *\n"
			"4 no_route - a@s.io *\n"
			"5 no_route joe@x.io s.io *\n"
			"5 no_route x.io s.io *\n"
			"5 no_route - s.io *\n"
			"6 no_route joe@x.io - *\n"
			"6 no_route x.io - *\n"
			"7 disabled - - m.d.fr (2)\n"
			"7 no_route - - .d.fr\n"
			"7 no_route - - .fr\n"
			"8 no_route - - *\n"
			"9 hit\n");
	put(table, "x.io", "", ".fr", true);
	put(table, "", "s.io", "*", true);
	put(table, "joe@x.io", "a@s.io", "m.d.fr", true);
	assert_verdicts(table, &mail, "1 hit joe@x.io a@s.io m.d.fr (5)\n");
	table_free(table);
}

static void
test_whole_lines(void **state)
{
	struct table *table = table_new();
	const struct mail_key anyone = {.sender = "a@s.io", .domain = "[192.0.2.1]"};
	const struct mail_key null = {.login = "joe", .sender = "", .domain = "d"};

	(void)state;
	last_id = 0;
	put(table, "", "", "*", true);
	assert_verdicts(table, &anyone,
			"1 no_login\n2 no_login\n3 no_login\n4 no_login\n5 no_login\n6 no_login\n"
			"7 no_route - - [192.0.2.1]\n"
			"8 hit - - * (1)\n");
	assert_verdicts(table, &null,
			"1 no_sender\n2 no_sender\n"
			"3 no_route joe - d\n3 no_domain\n"
			"4 no_sender\n5 no_sender\n"
			"6 no_route joe - *\n6 no_domain\n"
			"7 no_route - - d\n"
			"8 hit - - * (1)\n");
	table_free(table);
}

static uint64_t seed = 1;

static const char *
one_of(const char *const *texts, size_t count)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return texts[(seed >> 33) % count];
}

#define ONE_OF(...)                                                                                \
	one_of((const char *const[]){__VA_ARGS__},                                                 \
	       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void
check_random(const struct table *table)
{
	const char *login = ONE_OF("", "joe@x.io", "JOE@X.IO", "ann@x.io", "joe");
	const struct mail_key mail = {.login = *login != '\0' ? login : NULL,
				      .sender = ONE_OF("", "a@s.io", "A@s.io", "b@t.io"),
				      .domain = ONE_OF("d.fr", "m.d.fr", "com", "[192.0.2.1]")};
	struct table_match match;
	const struct route_group *found = table_find(table, &mail, &match);
	struct verdicts *verdicts = verdicts_new(table, &mail);
	const struct verdict *last = &verdicts->list[verdicts->count - 1];

	assert_int_equal(last->reason, VERDICT_HIT);
	assert_ptr_equal(last->group, found);
	assert_int_equal(last->line, match.line);
	assert_int_equal(verdicts->match.line, match.line);
	if (found != NULL) {
		assert_int_equal(last->form, match.user);
		assert_string_equal(last->destination, match.destination);
	}
	for (size_t i = 0; i + 1 < verdicts->count; i++) {
		const struct verdict *lost = &verdicts->list[i];
		const struct route key = {.user = lost->user,
					  .mail_from = lost->mail_from,
					  .destination = lost->destination};

		assert_int_not_equal(lost->reason, VERDICT_HIT);
		assert_true(lost->line <= last->line);
		if (lost->destination == NULL)
			continue;
		assert_null(table_group(table, &key, true));
		assert_int_equal(lost->reason == VERDICT_DISABLED,
				 table_group(table, &key, false) != NULL);
	}
	verdicts_free(verdicts);
}

static void
test_random(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct table *table = table_new();
		size_t count = round % 12;

		last_id = 0;
		while (last_id < count)
			put(table, ONE_OF("", "", "joe@x.io", "x.io", "joe"),
			    ONE_OF("", "", "a@s.io", "s.io", "t.io"),
			    ONE_OF("*", "d.fr", ".d.fr", ".fr", "com", "[192.0.2.1]"),
			    *ONE_OF("y", "y", "n") == 'y');
		for (unsigned mail = 0; mail < 30; mail++)
			check_random(table);
		/* What was disabled is found again under its key when it is gone or enabled. */
		for (uint64_t id = 1; id <= count; id += 2)
			assert_int_equal(table_remove(table, id), 0);
		for (unsigned mail = 0; mail < 30; mail++)
			check_random(table);
		table_free(table);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_lines),
	    cmocka_unit_test(test_whole_lines),
	    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
