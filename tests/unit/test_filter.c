/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/filter: every key, word, sign and join of the filter language, its errors with the
 * place where they are; that what is known of a route beyond its fields is asked for once, and only
 * if it is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/routes/filter.h"

static struct filter_facts known;
static unsigned looks;

static void
look(void *ctx, const struct route *route, struct filter_facts *out)
{
	assert_null(ctx);
	assert_non_null(route);
	looks++;
	*out = known;
}

static const struct filter_source source = {.look = look};

static void
set(struct route *route, enum route_field field, const char *value)
{
	struct error why;

	if (route_set(route, field, value, &why) != 0)
		fail_msg("%s: %s", value, why.text);
}

/* gmail.com, for joe@tmail.io from tmail.io, by out2.relay.net:587 with all that a route may have.
 */
static struct route *
full_route(void)
{
	struct route *route = route_new();

	route->id = 7;
	set(route, ROUTE_DESTINATION, "gmail.com");
	set(route, ROUTE_REMOTE_HOST, "out2.relay.net");
	set(route, ROUTE_REMOTE_PORT, "587");
	set(route, ROUTE_PRIORITY, "3");
	set(route, ROUTE_WEIGHT, "2");
	set(route, ROUTE_LOCAL_IPS, "192.0.2.1&2001:db8::1");
	set(route, ROUTE_USER, "joe@tmail.io");
	set(route, ROUTE_MAIL_FROM, "Ann@tmail.io");
	set(route, ROUTE_REMOTE_LOGIN, "relay2");
	set(route, ROUTE_REMOTE_PASSWORD, "secret");
	set(route, ROUTE_COMMENT, "Own limit, ticket 88|41");
	return route;
}

static bool
matches(const struct route *route, const char *text)
{
	struct error why;
	struct filter *filter = filter_new(text, &why);
	bool result;

	if (filter == NULL)
		fail_msg("%s: %s", text, why.text);
	result = filter_match(filter, route, &source);
	filter_free(filter);
	return result;
}

static void
assert_all(const struct route *route, const char *const *texts, bool expected)
{
	for (; *texts != NULL; texts++)
		if (matches(route, *texts) != expected)
			fail_msg("'%s' should%s match", *texts, expected ? "" : " not");
}

static void
test_full(void **state)
{
	static const char *const yes[] = {"",
					  "  ",
					  "gmail",
					  "GMAIL.COM",
					  "relay.net",
					  "joe",
					  "ann@",
					  "ticket",
					  "gm*com",
					  "*limit*",
					  "to:gmail.com",
					  "TO:Gmail.Com",
					  "to:g*",
					  "dest:*",
					  "destination:gmail.com",
					  "via:out2.relay.net",
					  "via:out2*",
					  "via:out2.relay.net:587",
					  "via:*:587",
					  "remote:*relay*",
					  "user:joe@tmail.io",
					  "user:*@tmail.io",
					  "from:ann@tmail.io",
					  "sender:*",
					  "login:relay2",
					  "local:192.0.2.1",
					  "local:2001:db8::1",
					  "local:192.*",
					  "local:192.0.2.1&2001:db8::1",
					  "tls:verify",
					  "comment:own*",
					  "comment:\"own limit*\"",
					  "\"limit, ticket\"",
					  "prio=3",
					  "prio:3",
					  "prio>2",
					  "prio>=3",
					  "prio<=3",
					  "prio<4",
					  "priority=3",
					  "weight=2",
					  "port=587",
					  "id=7",
					  "id>6",
					  "\"88|41\"",
					  "-to:toorop.fr",
					  "-off",
					  "-word",
					  "gmail joe",
					  "to:x.fr|gmail.com",
					  "nothing|gmail",
					  "nothing | gmail",
					  "-to:x.fr|y.fr",
					  "-nothing | nothing",
					  "prio=1|3",
					  "joe nothing | gmail ann",
					  NULL};
	static const char *const no[] = {"yahoo",
					 "gmail*x",
					 "gm*co",
					 "to:gmail",
					 "to:",
					 "to:*.com.*",
					 "via:out2",
					 "via:*:25",
					 "user:",
					 "user:joe",
					 "from:",
					 "login:",
					 "login:relay",
					 "local:",
					 "local:default",
					 "local:192.0.2.2",
					 "tls:may",
					 "comment:own",
					 "comment:",
					 "prio>3",
					 "prio<3",
					 "prio=2",
					 "weight>2",
					 "port=25",
					 "id<7",
					 "off",
					 "state:off",
					 "-gmail",
					 "-to:gmail.com|x.fr",
					 "gmail yahoo",
					 "yahoo gmail",
					 "gmail | joe yahoo",
					 "nothing | none",
					 "to:x.fr|y.fr",
					 "secret",
					 NULL};
	struct route *route = full_route();

	(void)state;
	known = (struct filter_facts){.deferred_1h = -1, .state = STATS_UNKNOWN};
	assert_all(route, yes, true);
	assert_all(route, no, false);
	route_unref(route);
}

static void
test_plain(void **state)
{
	static const char *const yes[] = {
	    "to:",         "to:*",     "user:",      "from:",         "login:",    "local:",
	    "off",         "comment:", "tls:may",    "local:default", "state:off", "OFF",
	    "off|nothing", "via:*::1", "via:[*]:25", "via:[::1]:25",  NULL};
	static const char *const no[] = {"user:*",   "from:*",    "login:*", "\"off\"",
					 "state:up", "comment:*", "-off",    NULL};
	struct route *route = route_new();

	(void)state;
	set(route, ROUTE_REMOTE_HOST, "[::1]");
	route->enabled = false;
	assert_all(route, yes, true);
	assert_all(route, no, false);
	route_unref(route);
}

static void
test_names(void **state)
{
	static const char *const yes[] = {
	    "to:ex\xc3\xa4mple.fr",     "ex\xc3\xa4mple.fr",        "xn--exmple*",
	    "user:*@ex\xc3\xa4mple.fr", "user:a@ex\xc3\xa4mple.fr", NULL};
	static const char *const no[] = {"to:exmple.fr", "\xc3\xa4.fr", NULL};
	struct route *route = route_new();

	(void)state;
	set(route, ROUTE_REMOTE_HOST, "r");
	set(route, ROUTE_DESTINATION, "ex\xc3\xa4mple.fr");
	set(route, ROUTE_USER, "a@ex\xc3\xa4mple.fr");
	assert_all(route, yes, true);
	assert_all(route, no, false);
	route_unref(route);
}

static void
test_facts(void **state)
{
	static const char *const yes[] = {
	    "state:slow", "state:down|slow", "rate>1",
	    "rate>=1.5",  "rate=1.5",        "defer>5%",
	    "defer>5",    "defer<25%",       "state:slow rate>1 defer>5%",
	    NULL};
	static const char *const no[] = {"state:up", "rate>2", "defer>20%", "-state:slow", NULL};
	static const char *const unknown[] = {"defer>0", "defer<100%", "defer=0", NULL};
	struct route *route = full_route();

	(void)state;
	known = (struct filter_facts){.rate_1m = 1.5, .deferred_1h = 0.2, .state = STATS_SLOW};
	assert_all(route, yes, true);
	assert_all(route, no, false);
	looks = 0;
	assert_true(matches(route, "state:slow rate>1 defer>5%"));
	assert_int_equal(looks, 1);
	assert_true(matches(route, "gmail"));
	assert_false(matches(route, "yahoo state:slow"));
	assert_int_equal(looks, 1);
	known.deferred_1h = -1;
	assert_all(route, unknown, false);
	route_unref(route);
}

static void
test_errors(void **state)
{
	static const struct {
		const char *text;
		int character;
	} wrong[] = {
	    {"foo:x", 1},   {"gmail colour:red", 7},
	    {"prio>", 6},   {"prio>x", 6},
	    {"prio>2x", 6}, {"state:sick", 7},
	    {"\"open", 1},  {"a |", 3},
	    {"| a", 1},     {"a|", 2},
	    {"a||b", 3},    {"-", 2},
	    {"to>x", 3},    {"a | | b", 3},
	    {"rate>1%", 6}, {"\xc3\xa4 foo:x", 3},
	    {"\"\"", 1},
	};
	struct error why;
	char place[40];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(place, sizeof(place), "at character %d:", wrong[i].character);
		if (filter_new(wrong[i].text, &why) != NULL)
			fail_msg("'%s' is no filter", wrong[i].text);
		assert_int_equal(why.code, ERROR_USAGE);
		if (strstr(why.text, place) == NULL)
			fail_msg("'%s': %s, but not %s", wrong[i].text, why.text, place);
	}
	assert_null(filter_new("foo:x", NULL));
	filter_free(NULL);
}

static void
test_empty(void **state)
{
	struct filter *filter = filter_new(" ", NULL);

	(void)state;
	assert_true(filter_is_empty(filter));
	filter_free(filter);
	filter = filter_new("x", NULL);
	assert_false(filter_is_empty(filter));
	filter_free(filter);
}

/* A pattern of stars on a long text takes no time to speak of. */
static void
test_stars(void **state)
{
	struct route *route = full_route();
	char comment[2001];

	(void)state;
	memset(comment, 'a', sizeof(comment) - 1);
	comment[sizeof(comment) - 1] = '\0';
	route_drop_text(route, route->comment);
	route->comment = xstrdup(comment);
	for (int i = 0; i < 100; i++)
		assert_false(matches(route, "comment:*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"));
	route_unref(route);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full),   cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_names),  cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_errors), cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_stars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
