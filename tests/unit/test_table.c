/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/table: each of the nine lines of "Which rule wins" (relayd-routes(7)) and what is
 * subtle between them; groups, their order and their life; lists in id order; and a comparison with
 * a slow model that ranks every route of the table by the words of the manual.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/route.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/table.h"

/* ---- what the tests put in and ask ---- */

static struct route *
make_route(uint64_t id, const char *user, const char *from, const char *destination)
{
	struct route *route = route_new();
	struct error why;

	assert_int_equal(route_set(route, ROUTE_REMOTE_HOST, "hop.example.net", &why), 0);
	assert_int_equal(route_set(route, ROUTE_USER, user != NULL ? user : "", &why), 0);
	assert_int_equal(route_set(route, ROUTE_MAIL_FROM, from != NULL ? from : "", &why), 0);
	assert_int_equal(
	    route_set(route, ROUTE_DESTINATION, destination != NULL ? destination : "*", &why), 0);
	route->id = id;
	return route;
}

static void
put(struct table *table, uint64_t id, const char *user, const char *from, const char *destination)
{
	struct route *route = make_route(id, user, from, destination);

	table_put(table, route);
	route_unref(route);
}

static void
put_with(struct table *table, uint64_t id, const char *destination, uint16_t priority, bool enabled)
{
	struct route *route = make_route(id, NULL, NULL, destination);

	route->priority = priority;
	route->enabled = enabled;
	table_put(table, route);
	route_unref(route);
}

/* The id of the first route of the group that wins, 0 for none; *match as table_find gave it. */
static uint64_t
ask_match(const struct table *table, const char *login, const char *sender, const char *domain,
	  struct table_match *match)
{
	struct mail_key mail = {.login = login, .sender = sender, .domain = domain};
	const struct route_group *group = table_find(table, &mail, match);

	return group != NULL ? group->routes[0]->id : 0;
}

static uint64_t
ask(const struct table *table, const char *login, const char *sender, const char *domain)
{
	return ask_match(table, login, sender, domain, NULL);
}

/* ---- the lines ---- */

/* A route for every key that a mail of paul@example.com (login paul@tmail.io) to a.b.example.org
 * can hit, in the order in which they win: taking away the winner makes the next one win. */
static const struct {
	const char *user, *from, *destination;
	unsigned line;
	unsigned match;
} ladder[] = {
#define LADDER_DESTINATIONS(u, f, l, m)                                                            \
	{u, f, "a.b.example.org", l, m}, {u, f, ".b.example.org", l, m},                           \
	    {u, f, ".example.org", l, m},                                                          \
	{                                                                                          \
		u, f, ".org", l, m                                                                 \
	}
    LADDER_DESTINATIONS("paul@tmail.io", "Paul@example.com", 1, MATCH_LOGIN),
    LADDER_DESTINATIONS("tmail.io", "Paul@example.com", 1, MATCH_LOGIN_DOMAIN),
    LADDER_DESTINATIONS(NULL, "Paul@example.com", 1, MATCH_ANY_LOGIN),
    LADDER_DESTINATIONS("paul@tmail.io", "example.com", 2, MATCH_LOGIN),
    LADDER_DESTINATIONS("tmail.io", "example.com", 2, MATCH_LOGIN_DOMAIN),
    LADDER_DESTINATIONS(NULL, "example.com", 2, MATCH_ANY_LOGIN),
    LADDER_DESTINATIONS("paul@tmail.io", NULL, 3, MATCH_LOGIN),
    LADDER_DESTINATIONS("tmail.io", NULL, 3, MATCH_LOGIN_DOMAIN),
    {"paul@tmail.io", "Paul@example.com", NULL, 4, MATCH_LOGIN},
    {"tmail.io", "Paul@example.com", NULL, 4, MATCH_LOGIN_DOMAIN},
    {NULL, "Paul@example.com", NULL, 4, MATCH_ANY_LOGIN},
    {"paul@tmail.io", "example.com", NULL, 5, MATCH_LOGIN},
    {"tmail.io", "example.com", NULL, 5, MATCH_LOGIN_DOMAIN},
    {NULL, "example.com", NULL, 5, MATCH_ANY_LOGIN},
    {"paul@tmail.io", NULL, NULL, 6, MATCH_LOGIN},
    {"tmail.io", NULL, NULL, 6, MATCH_LOGIN_DOMAIN},
    LADDER_DESTINATIONS(NULL, NULL, 7, MATCH_ANYONE),
    {NULL, NULL, NULL, 8, MATCH_ANYONE},
};

enum { LADDER = sizeof(ladder) / sizeof(ladder[0]) };

static struct table *
ladder_table(void)
{
	struct table *table = table_new();

	/* From the last to the first: the order in the table must not matter. */
	for (size_t i = LADDER; i > 0; i--)
		put(table, i, ladder[i - 1].user, ladder[i - 1].from, ladder[i - 1].destination);
	return table;
}

static void
every_line_in_its_order(void **state)
{
	struct table *table = ladder_table();
	struct table_match match;

	(void)state;
	for (size_t i = 0; i < LADDER; i++) {
		const char *to = ladder[i].destination != NULL ? ladder[i].destination : "*";

		assert_int_equal(ask_match(table, "Paul@TMAIL.io", "Paul@example.com",
					   "a.b.example.org", &match),
				 i + 1);
		assert_int_equal(match.line, ladder[i].line);
		assert_int_equal(match.user, ladder[i].match);
		assert_string_equal(match.destination, to);
		assert_int_equal(table_remove(table, i + 1), 0);
	}
	assert_int_equal(
	    ask_match(table, "paul@tmail.io", "Paul@example.com", "a.b.example.org", &match), 0);
	assert_int_equal(match.line, 9);
	assert_null(match.destination);
	table_free(table);
}

static void
each_line_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < LADDER; i++) {
		struct table *table = table_new();
		struct table_match match;
		bool open = ladder[i].line >= 7;

		put(table, 5, ladder[i].user, ladder[i].from, ladder[i].destination);
		assert_int_equal(ask_match(table, "paul@tmail.io", "Paul@example.com",
					   "a.b.example.org", &match),
				 5);
		assert_int_equal(match.line, ladder[i].line);
		/* The client did not authenticate: lines 7 and 8 alone. */
		assert_int_equal(ask(table, NULL, "Paul@example.com", "a.b.example.org"),
				 open ? 5 : 0);
		/* Another login: what names none of it. */
		assert_int_equal(
		    ask(table, "eve@other.example", "Paul@example.com", "a.b.example.org"),
		    ladder[i].user == NULL ? 5 : 0);
		/* The null sender: what names no sender. */
		assert_int_equal(ask(table, "paul@tmail.io", "", "a.b.example.org"),
				 ladder[i].from == NULL ? 5 : 0);
		/* Another recipient: the destination "*". */
		assert_int_equal(ask(table, "paul@tmail.io", "Paul@example.com", "other.example"),
				 ladder[i].destination == NULL ? 5 : 0);
		table_free(table);
	}
}

static void
lines_seven_and_eight_for_everybody(void **state)
{
	struct table *table = table_new();
	struct table_match match;

	(void)state;
	put(table, 1, NULL, NULL, "example.org");
	put(table, 2, NULL, NULL, NULL);
	assert_int_equal(ask_match(table, "paul@tmail.io", "a@b.example", "example.org", &match),
			 1);
	assert_int_equal(match.line, 7);
	assert_int_equal(match.user, MATCH_ANYONE);
	assert_int_equal(ask(table, NULL, "", "example.org"), 1);
	assert_int_equal(ask_match(table, "paul", "", "example.net", &match), 2);
	assert_int_equal(match.line, 8);
	table_free(table);
}

static void
suffixes(void **state)
{
	struct table *table = table_new();

	(void)state;
	put(table, 1, NULL, NULL, ".sub.example.com");
	put(table, 2, NULL, NULL, "*.example.com");
	assert_int_equal(ask(table, NULL, "", "a.sub.example.com"), 1);
	assert_int_equal(ask(table, NULL, "", "a.b.sub.example.com"), 1);
	assert_int_equal(ask(table, NULL, "", "sub.example.com"), 2);
	assert_int_equal(ask(table, NULL, "", "xsub.example.com"), 2);
	assert_int_equal(ask(table, NULL, "", "example.com"), 0);
	assert_int_equal(ask(table, NULL, "", "notexample.com"), 0);
	put(table, 3, NULL, NULL, ".com");
	assert_int_equal(ask(table, NULL, "", "example.com"), 3);
	assert_int_equal(ask(table, NULL, "", "com"), 0);
	put(table, 4, NULL, NULL, "sub.example.com");
	assert_int_equal(ask(table, NULL, "", "sub.example.com"), 4);
	assert_int_equal(ask(table, NULL, "", "a.sub.example.com"), 1);
	table_free(table);
}

static void
a_name_of_127_labels(void **state)
{
	struct table *table = table_new();
	struct strbuf name = STRBUF_INIT;

	(void)state;
	put(table, 1, NULL, NULL, ".a");
	for (int i = 0; i < 126; i++)
		strbuf_puts(&name, "a.");
	strbuf_putc(&name, 'a');
	assert_int_equal(ask(table, "u@d", "s@d", name.data), 1);
	put(table, 2, NULL, NULL, name.data + 1);
	assert_int_equal(ask(table, "u@d", "s@d", name.data), 2);
	/* More than any recipient can have: nothing breaks, the name itself is found. */
	for (int i = 0; i < 500; i++)
		strbuf_puts(&name, ".b");
	assert_int_equal(ask(table, "u@d", "s@d", name.data), 0);
	table_free(table);
	strbuf_clear(&name);
}

static void
address_literals(void **state)
{
	struct table *table = table_new();

	(void)state;
	put(table, 1, NULL, NULL, "[192.0.2.1]");
	put(table, 2, NULL, NULL, "[ipv6:2001:DB8:0::1]");
	assert_int_equal(ask(table, NULL, "", "[192.0.2.1]"), 1);
	assert_int_equal(ask(table, NULL, "", "[IPv6:2001:db8::1]"), 2);
	assert_int_equal(ask(table, NULL, "", "[192.0.2.2]"), 0);
	put(table, 3, NULL, NULL, NULL);
	assert_int_equal(ask(table, NULL, "", "[192.0.2.2]"), 3);
	table_free(table);
}

static void
logins_and_their_domains(void **state)
{
	struct table *table = table_new();
	struct table_match match;

	(void)state;
	put(table, 1, "tmail.io", NULL, NULL);
	put(table, 2, "bob", NULL, NULL);
	put(table, 3, "xn--exmple-cua.fr", NULL, NULL);
	assert_int_equal(ask(table, "anyone@tmail.io", "", "x.example"), 1);
	assert_int_equal(ask(table, "odd@name@TMail.IO", "", "x.example"), 1);
	assert_int_equal(ask(table, "anyone@sub.tmail.io", "", "x.example"), 0);
	/* Without '@' a login has no domain, but may be the name in full. */
	assert_int_equal(ask_match(table, "TMAIL.io", "", "x.example", &match), 1);
	assert_int_equal(match.user, MATCH_LOGIN);
	assert_int_equal(ask(table, "BOB", "", "x.example"), 2);
	assert_int_equal(ask(table, "bob@", "", "x.example"), 0);
	assert_int_equal(ask(table, "", "", "x.example"), 0);
	assert_int_equal(ask(table, "x@bob", "", "x.example"), 2);
	assert_int_equal(ask(table, "x@ex\xc3\xa4mple.fr", "", "x.example"), 3);
	table_free(table);
}

static void
senders_and_their_case(void **state)
{
	struct table *table = table_new();

	(void)state;
	put(table, 1, NULL, "Paul.S@Example.COM", NULL);
	assert_int_equal(ask(table, "u", "Paul.S@example.com", "x.example"), 1);
	assert_int_equal(ask(table, "u", "Paul.S@EXAMPLE.com", "x.example"), 1);
	assert_int_equal(ask(table, "u", "paul.s@example.com", "x.example"), 0);
	put(table, 2, NULL, "example.com", NULL);
	assert_int_equal(ask(table, "u", "paul.s@example.com", "x.example"), 2);
	assert_int_equal(ask(table, "u", "\"a@b\"@example.com", "x.example"), 2);
	/* A sender's domain is that domain, not one above it. */
	assert_int_equal(ask(table, "u", "paul@sub.example.com", "x.example"), 0);
	/* The null sender, and what is no address. */
	assert_int_equal(ask(table, "u", "", "x.example"), 0);
	assert_int_equal(ask(table, "u", "example.com", "x.example"), 0);
	/* Never for a client that did not authenticate. */
	assert_int_equal(ask(table, NULL, "paul@example.com", "x.example"), 0);
	table_free(table);
}

/* The reference's examples: relaying of a user, of a domain of users, of their own senders. */
static void
examples_of_the_reference(void **state)
{
	struct table *table = table_new();

	(void)state;
	put(table, 1, NULL, NULL, "tmail.io");
	put(table, 2, "toorop@tmail.io", NULL, NULL);
	put(table, 3, "tmail.io", NULL, NULL);
	assert_int_equal(ask(table, "toorop@tmail.io", "x@y.example", "gmail.com"), 2);
	assert_int_equal(ask(table, "paul@tmail.io", "x@y.example", "gmail.com"), 3);
	/* A destination alone is line 7: below what names the login. */
	assert_int_equal(ask(table, "paul@tmail.io", "x@y.example", "tmail.io"), 3);
	assert_int_equal(ask(table, NULL, "x@y.example", "tmail.io"), 1);
	put(table, 4, "tmail.io", "tmail.io", NULL);
	assert_int_equal(ask(table, "paul@tmail.io", "paul@tmail.io", "gmail.com"), 4);
	assert_int_equal(ask(table, "paul@tmail.io", "x@y.example", "gmail.com"), 3);
	table_free(table);
}

/* ---- groups ---- */

static void
group_order_and_disabled_routes(void **state)
{
	static const uint64_t expected[] = {9, 2, 4, 7, 1};
	struct table *table = table_new();
	struct mail_key mail = {.login = NULL, .sender = "", .domain = "x.example"};
	const struct route_group *group;

	(void)state;
	put_with(table, 7, "x.example", 2, true);
	put_with(table, 1, "x.example", 65535, true);
	put_with(table, 3, "x.example", 2, false);
	put_with(table, 4, "x.example", 2, true);
	put_with(table, 9, "x.example", 1, true);
	put_with(table, 2, "X.example", 2, true);
	group = table_find(table, &mail, NULL);
	assert_non_null(group);
	assert_int_equal(group->count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(group->routes[i]->id, expected[i]);
	assert_int_equal(table_count(table), 6);

	/* A group with disabled routes alone does not exist: the next line is looked at. */
	put_with(table, 10, "*", 1, true);
	for (size_t i = 0; i < 5; i++)
		put_with(table, expected[i], "x.example", 1, false);
	assert_int_equal(ask(table, NULL, "", "x.example"), 10);
	put_with(table, 10, "*", 1, false);
	assert_int_equal(ask(table, NULL, "", "x.example"), 0);
	put_with(table, 3, "x.example", 1, true);
	assert_int_equal(ask(table, NULL, "", "x.example"), 3);
	table_free(table);
}

static void
a_kept_group_does_not_change(void **state)
{
	struct table *table = table_new();
	struct mail_key mail = {.login = NULL, .sender = "", .domain = "x.example"};
	struct route_group *kept;

	(void)state;
	put_with(table, 1, "x.example", 1, true);
	put_with(table, 2, "x.example", 1, true);
	kept = route_group_ref(table_find(table, &mail, NULL));
	put_with(table, 3, "x.example", 1, true);
	assert_int_equal(kept->count, 2);
	assert_int_equal(table_find(table, &mail, NULL)->count, 3);
	put_with(table, 1, "x.example", 7, true);
	assert_int_equal(kept->routes[0]->id, 1);
	assert_int_equal(kept->routes[0]->priority, 1);
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(table_remove(table, id), 0);
	assert_null(table_find(table, &mail, NULL));
	table_free(table);
	assert_int_equal(kept->count, 2);
	assert_string_equal(kept->routes[1]->destination, "x.example");
	route_group_unref(kept);
	route_group_unref(NULL);
}

static void
a_group_of_many(void **state)
{
	struct table *table = table_new();
	struct mail_key mail = {.login = NULL, .sender = "", .domain = "x.example"};
	const struct route_group *group;
	struct route_group *kept = NULL;

	(void)state;
	for (uint64_t id = 1; id <= 1000; id++) {
		put_with(table, id, "x.example", (uint16_t)(1 + id * 7919 % 5), true);
		if (id % 97 == 0) {
			route_group_unref(kept);
			kept = route_group_ref(table_find(table, &mail, NULL));
		}
	}
	for (uint64_t id = 1; id <= 1000; id += 3)
		assert_int_equal(table_remove(table, id), 0);
	group = table_find(table, &mail, NULL);
	assert_int_equal(group->count, 666);
	for (size_t i = 1; i < group->count; i++) {
		const struct route *a = group->routes[i - 1], *b = group->routes[i];

		assert_true(a->priority < b->priority ||
			    (a->priority == b->priority && a->id < b->id));
	}
	assert_int_equal(kept->count, 970);
	route_group_unref(kept);
	table_free(table);
}

/* ---- the list ---- */

static void
list_in_id_order(void **state)
{
	enum { MANY = 20000 };
	struct table *table = table_new();
	bool *there = xcalloc(MANY + 1, sizeof(*there));
	uint64_t number = 1, after;
	size_t count = 0;

	(void)state;
	assert_null(table_next(table, 0));
	assert_null(table_get(table, 1));
	assert_int_equal(table_remove(table, 1), -1);
	for (int i = 0; i < 5 * MANY; i++) {
		uint64_t id;

		number = number * 6364136223846793005u + 1442695040888963407u;
		id = (number >> 33) % MANY + 1;
		/* First mostly more of them, at the end mostly fewer. */
		if ((number >> 20) % (5 * MANY) > (uint64_t)i) {
			put_with(table, id, "x.example", 1, false);
			count += !there[id];
			there[id] = true;
		} else {
			assert_int_equal(table_remove(table, id), there[id] ? 0 : -1);
			count -= there[id];
			there[id] = false;
		}
	}
	assert_int_equal(table_count(table), count);
	assert_true(count > 1000 && count < MANY - 1000);
	after = 0;
	for (uint64_t id = 1; id <= MANY; id++) {
		const struct route *route = table_get(table, id);

		assert_int_equal(route != NULL, there[id]);
		if (!there[id])
			continue;
		assert_int_equal(route->id, id);
		assert_ptr_equal(table_next(table, after), route);
		assert_ptr_equal(table_next(table, id - 1), route);
		after = id;
	}
	assert_null(table_next(table, after));
	assert_null(table_next(table, UINT64_MAX));
	free(there);
	put_with(table, UINT64_MAX, "x.example", 1, true);
	assert_int_equal(table_next(table, MANY)->id, UINT64_MAX);
	assert_int_equal(table_get(table, UINT64_MAX)->id, UINT64_MAX);
	table_free(table);
}

/* Ids that ascend, all of them deleted from either end: what a table sees in its life. */
static void
list_filled_and_emptied(void **state)
{
	struct table *table = table_new();

	(void)state;
	for (uint64_t id = 1; id <= 3000; id++)
		put_with(table, id, "x.example", 1, true);
	for (uint64_t id = 1; id <= 1500; id++) {
		assert_int_equal(table_next(table, 0)->id, id);
		assert_int_equal(table_remove(table, id), 0);
		assert_int_equal(table_remove(table, 3001 - id), 0);
	}
	assert_int_equal(table_count(table), 0);
	assert_null(table_next(table, 0));
	put_with(table, 3001, "x.example", 1, true);
	assert_int_equal(table_next(table, 0)->id, 3001);
	table_free(table);
}

/* The ids that table_some gives from each place on are those of table_next. */
static void
list_by_the_handful(void **state)
{
	const struct route *some[TABLE_SOME];
	struct table *table = table_new();
	uint64_t seed = 4;

	(void)state;
	assert_int_equal(table_some(table, 0, some), 0);
	for (uint64_t id = 1; id <= 2500; id++)
		put_with(table, id, "x.example", 1, true);
	for (int i = 0; i < 900; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		table_remove(table, 1 + (seed >> 33) % 2500);
	}
	for (uint64_t after = 0; after <= 2501; after++) {
		size_t count = table_some(table, after, some);
		uint64_t at = after;

		for (size_t i = 0; i < count; i++) {
			assert_ptr_equal(some[i], table_next(table, at));
			at = some[i]->id;
		}
		assert_true(count == TABLE_SOME || table_next(table, at) == NULL);
	}
	assert_int_equal(table_some(table, UINT64_MAX, some), 0);
	table_free(table);
}

/* ---- the model ---- */

/* How a route stands to a mail, by the manual's words: the smallest rank wins. */
struct rank {
	unsigned line; /* 0: it does not match */
	unsigned user;
	unsigned labels; /* fewer is better: 0 for the domain itself, else how many are cut off */
};

/* Does `route` fit the mail at all, and how well? Looks at one route, knows no keys and no hashes.
 */
static struct rank
model_rank(const struct route *route, const struct mail_key *mail)
{
	const char *domain = mail->login != NULL ? strrchr(mail->login, '@') : NULL;
	const char *sender_at = strrchr(mail->sender, '@');
	size_t length = strlen(mail->domain), suffix = strlen(route->destination);
	struct rank none = {0}, rank = {0};
	bool anywhere = strcmp(route->destination, "*") == 0, address = false;

	if (!route->enabled)
		return none;
	if (route->user == NULL)
		rank.user = route->mail_from != NULL ? MATCH_ANY_LOGIN : MATCH_ANYONE;
	else if (mail->login != NULL && strcasecmp(route->user, mail->login) == 0)
		rank.user = MATCH_LOGIN;
	else if (domain != NULL && strcasecmp(route->user, domain + 1) == 0)
		rank.user = MATCH_LOGIN_DOMAIN;
	else
		return none;
	if (route->mail_from != NULL) {
		const char *at = strrchr(route->mail_from, '@');

		if (mail->login == NULL || sender_at == NULL)
			return none;
		address = at != NULL;
		if (strcasecmp(address ? at : route->mail_from, sender_at + !address) != 0)
			return none;
		if (address && strncmp(route->mail_from, mail->sender,
				       (size_t)(at - route->mail_from) + 1) != 0)
			return none;
	}
	if (route->destination[0] == '.') {
		if (mail->domain[0] == '[' || suffix >= length ||
		    strcmp(mail->domain + length - suffix, route->destination) != 0)
			return none;
		for (size_t i = 0; i < length - suffix + 1; i++)
			rank.labels += mail->domain[i] == '.';
	} else if (!anywhere && strcmp(route->destination, mail->domain) != 0) {
		return none;
	}
	if (route->mail_from != NULL)
		rank.line = (anywhere ? 4u : 1u) + (address ? 0 : 1);
	else if (route->user != NULL)
		rank.line = anywhere ? 6 : 3;
	else
		rank.line = anywhere ? 8 : 7;
	return rank;
}

static bool
model_before(struct rank a, struct rank b)
{
	if (a.line != b.line)
		return a.line < b.line;
	if (a.user != b.user)
		return a.user < b.user;
	return a.labels < b.labels;
}

static bool
model_equal(struct rank a, struct rank b)
{
	return !model_before(a, b) && !model_before(b, a);
}

static const char *const some_logins[] = {"paul@a.io",  "PAUL@A.IO", "eve@a.io",
					  "eve@b.a.io", "bob",       "a.io",
					  "x@bob",      "x@y@a.io",  "nobody@nowhere.example"};
static const char *const some_users[] = {"paul@a.io", "eve@A.io", "a.io", "b.a.io", "bob"};
static const char *const some_senders[] = {"",         "paul@a.io",    "Paul@a.io",    "eve@b.a.io",
					   "eve@c.fr", "\"q@r\"@c.fr", "s@[192.0.2.1]"};
static const char *const some_froms[] = {"paul@a.io", "Paul@a.io", "eve@b.a.io",   "a.io",
					 "b.a.io",    "c.fr",      "\"q@r\"@c.fr", "[192.0.2.1]"};
static const char *const some_domains[] = {"c.fr",  "x.c.fr",  "y.x.c.fr",    "fr",
					   "d.org", "x.d.org", "[192.0.2.1]", "[IPv6:2001:db8::1]",
					   "xc.fr"};
static const char *const some_destinations[] = {
    "c.fr", ".c.fr", "x.c.fr", ".x.c.fr", "y.x.c.fr",    ".fr",
    "fr",   "*",     ".org",   ".d.org",  "[192.0.2.1]", "[IPv6:2001:db8::1]"};

#define ONE_OF(list) (list)[draw(seed, sizeof(list) / sizeof((list)[0]))]

static unsigned
draw(uint64_t *seed, size_t bound)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((*seed >> 33) % bound);
}

static struct route *
random_route(uint64_t id, uint64_t *seed)
{
	struct route *route =
	    make_route(id, draw(seed, 2) > 0 ? ONE_OF(some_users) : NULL,
		       draw(seed, 2) > 0 ? ONE_OF(some_froms) : NULL, ONE_OF(some_destinations));

	route->priority = (uint16_t)(1 + draw(seed, 3));
	route->enabled = draw(seed, 5) > 0;
	return route;
}

static void
compare_with_model(const struct table *table, struct route *const *routes, size_t count,
		   const struct mail_key *mail)
{
	struct table_match match = {0};
	const struct route_group *group = table_find(table, mail, &match);
	struct rank best = {0};
	size_t members = 0;

	for (size_t i = 0; i < count; i++) {
		struct rank rank =
		    routes[i] != NULL ? model_rank(routes[i], mail) : (struct rank){0};

		if (rank.line == 0)
			continue;
		if (best.line == 0 || model_before(rank, best)) {
			best = rank;
			members = 0;
		}
		members += model_equal(rank, best);
	}
	if (best.line == 0) {
		assert_null(group);
		assert_int_equal(match.line, 9);
		return;
	}
	assert_non_null(group);
	assert_int_equal(match.line, best.line);
	assert_int_equal(match.user, best.user);
	assert_int_equal(group->count, members);
	for (size_t i = 0; i < group->count; i++) {
		const struct route *route = group->routes[i];

		assert_ptr_equal(routes[route->id - 1], route);
		assert_true(model_equal(model_rank(route, mail), best));
		if (i > 0 && route->priority == group->routes[i - 1]->priority)
			assert_true(route->id > group->routes[i - 1]->id);
		else if (i > 0)
			assert_true(route->priority > group->routes[i - 1]->priority);
	}
}

static void
agrees_with_a_slow_model(void **state)
{
	enum { TABLES = 400, CHANGES = 60, ASKED = 8, MOST = 48 };
	uint64_t start = 20261122, *seed = &start;
	size_t cases = 0, hits[10] = {0};

	(void)state;
	for (int t = 0; t < TABLES; t++) {
		struct table *table = table_new();
		struct route *routes[MOST] = {NULL};
		size_t most = 1 + draw(seed, MOST);

		for (int c = 0; c < CHANGES; c++) {
			size_t at = draw(seed, most);

			route_unref(routes[at]);
			routes[at] = NULL;
			if (draw(seed, 4) == 0) {
				table_remove(table, at + 1);
			} else {
				routes[at] = random_route(at + 1, seed);
				table_put(table, routes[at]);
			}
			for (int i = 0; i < ASKED; i++) {
				struct mail_key mail = {
				    .login = draw(seed, 4) > 0 ? ONE_OF(some_logins) : NULL,
				    .sender = ONE_OF(some_senders),
				    .domain = ONE_OF(some_domains)};
				struct table_match match;

				compare_with_model(table, routes, most, &mail);
				table_find(table, &mail, &match);
				hits[match.line]++;
				cases++;
			}
		}
		for (size_t i = 0; i < most; i++)
			route_unref(routes[i]);
		table_free(table);
	}
	assert_true(cases >= 100000);
	/* No line was left untried. */
	for (int line = 1; line <= 9; line++)
		assert_true(hits[line] > 500);
}

/* Put in one go, in a table with some and over them: as one by one. */
static void
many_at_once(void **state)
{
	struct table *one_by_one = table_new(), *at_once = table_new();
	static struct route *routes[4000];
	uint64_t seed = 99, id = 0;
	const struct route *a, *b;

	(void)state;
	for (size_t i = 0; i < 4000; i++)
		routes[i] = random_route(1 + draw(&seed, 5000), &seed);
	for (size_t i = 0; i < 4000; i++)
		table_put(one_by_one, routes[i]);
	table_put_all(at_once, routes, 10, 10);
	table_put_all(at_once, routes + 10, 0, 0);
	table_put_all(at_once, routes + 10, 3990, 2000);
	assert_int_equal(table_count(one_by_one), table_count(at_once));
	while ((a = table_next(one_by_one, id)) != NULL) {
		const struct route_group *group = table_group(at_once, a, a->enabled);
		bool found = false;

		b = table_next(at_once, id);
		assert_ptr_equal(a, b);
		assert_non_null(group);
		assert_int_equal(group->count, table_group(one_by_one, a, a->enabled)->count);
		for (size_t i = 0; i < group->count; i++)
			found = found || group->routes[i] == a;
		assert_true(found);
		id = a->id;
	}
	for (size_t i = 0; i < 4000; i++)
		route_unref(routes[i]);
	table_free(one_by_one);
	table_free(at_once);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_at_once),
	    cmocka_unit_test(every_line_in_its_order),
	    cmocka_unit_test(each_line_alone),
	    cmocka_unit_test(lines_seven_and_eight_for_everybody),
	    cmocka_unit_test(suffixes),
	    cmocka_unit_test(a_name_of_127_labels),
	    cmocka_unit_test(address_literals),
	    cmocka_unit_test(logins_and_their_domains),
	    cmocka_unit_test(senders_and_their_case),
	    cmocka_unit_test(examples_of_the_reference),
	    cmocka_unit_test(group_order_and_disabled_routes),
	    cmocka_unit_test(a_kept_group_does_not_change),
	    cmocka_unit_test(a_group_of_many),
	    cmocka_unit_test(list_in_id_order),
	    cmocka_unit_test(list_filled_and_emptied),
	    cmocka_unit_test(list_by_the_handful),
	    cmocka_unit_test(agrees_with_a_slow_model),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
