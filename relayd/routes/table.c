/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/table.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/routes/groups.h"
#include "relayd/routes/idlist.h"

enum { PROBES_MAX = 32 }; /* questions whose memory is on its way at one time */

struct table {
	struct groups *groups;   /* of the enabled routes */
	struct groups *disabled; /* of the others: nothing is looked up here but for explaining */
	struct idlist *routes;   /* all */
};

/* Whoever reads the manual's table finds it again here. */
const struct table_line table_lines[TABLE_LINES] = {
    {.number = 1, .by_login = true, .any_login = true, .from = TABLE_FROM_ADDRESS},
    {.number = 2, .by_login = true, .any_login = true, .from = TABLE_FROM_DOMAIN},
    {.number = 3, .by_login = true},
    {.number = 4,
     .by_login = true,
     .any_login = true,
     .from = TABLE_FROM_ADDRESS,
     .anywhere = true},
    {.number = 5, .by_login = true, .any_login = true, .from = TABLE_FROM_DOMAIN, .anywhere = true},
    {.number = 6, .by_login = true, .anywhere = true},
    {.number = 7},
    {.number = 8, .anywhere = true},
};

/* The part of a key that such a line asks for. */
static const enum from_kind from_kinds[] = {[TABLE_FROM_NONE] = FROM_NONE,
					    [TABLE_FROM_DOMAIN] = FROM_DOMAIN,
					    [TABLE_FROM_ADDRESS] = FROM_ADDRESS};

/* A form of the user that may stand on a line; key part "any" for the last two kinds. */
struct user_form {
	const struct key_part *part;
	unsigned kind; /* MATCH_... */
};

/* One lookup: the parts of the mail's keys, and the questions that wait for their answer. */
struct search {
	const struct table *table;
	struct table_match *match;
	struct key_part any;
	struct key_part login;
	struct key_part login_domain;
	struct key_part from[FROM_KINDS]; /* text == NULL: the mail has none */
	struct key_part everywhere;
	size_t destination_count;
	struct key_part destinations[KEY_DESTINATIONS_MAX];
	size_t probe_count;
	struct group_probe probes[PROBES_MAX];
	struct {
		unsigned line;
		unsigned user;
	} meanings[PROBES_MAX];
};

struct table *
table_new(void)
{
	struct table *table = xcalloc(1, sizeof(*table));

	table->groups = groups_new();
	table->disabled = groups_new();
	table->routes = idlist_new();
	return table;
}

void
table_free(struct table *table)
{
	struct route *route;
	uint64_t id = 0;

	if (table == NULL)
		return;
	while ((route = idlist_next(table->routes, id)) != NULL) {
		id = route->id;
		idlist_remove(table->routes, id);
		route_unref(route);
	}
	idlist_free(table->routes);
	groups_free(table->groups);
	groups_free(table->disabled);
	free(table);
}

static struct groups *
groups_with(const struct table *table, bool enabled)
{
	return enabled ? table->groups : table->disabled;
}

void
table_put(struct table *table, struct route *route)
{
	struct route *old = idlist_put(table->routes, route_ref(route));

	if (old != NULL)
		groups_leave(groups_with(table, old->enabled), old);
	groups_enter(groups_with(table, route->enabled), route);
	route_unref(old);
}

/* Where a route's group lies is known by its hash alone, and nearly always far away: so many are on
 * their way from memory at one time. */
enum { PUTS_AHEAD = 8, PUTS_MANY = 1000 };

void
table_put_all(struct table *table, struct route *const *routes, size_t count, size_t fresh)
{
	if (fresh >= PUTS_MANY)
		groups_expect(table->groups, fresh);
	for (size_t i = 0; i < count; i++) {
		size_t ahead = i + PUTS_AHEAD;

		/* The route itself: with its texts one block, of two lines mostly. */
		if (ahead + PUTS_AHEAD < count) {
			__builtin_prefetch(routes[ahead + PUTS_AHEAD]);
			__builtin_prefetch(routes[ahead + PUTS_AHEAD] + 1);
		}
		if (ahead < count)
			groups_prefetch(groups_with(table, routes[ahead]->enabled), routes[ahead]);
		table_put(table, routes[i]);
	}
}

int
table_remove(struct table *table, uint64_t id)
{
	struct route *old = idlist_remove(table->routes, id);

	if (old == NULL)
		return -1;
	groups_leave(groups_with(table, old->enabled), old);
	route_unref(old);
	return 0;
}

const struct route *
table_get(const struct table *table, uint64_t id)
{
	return idlist_get(table->routes, id);
}

size_t
table_count(const struct table *table)
{
	return idlist_count(table->routes);
}

const struct route *
table_next(const struct table *table, uint64_t after)
{
	return idlist_next(table->routes, after);
}

size_t
table_some(const struct table *table, uint64_t after, const struct route *routes[TABLE_SOME])
{
	struct route *found[TABLE_SOME];
	size_t count = idlist_some(table->routes, after, found, TABLE_SOME);

	/* Routes lie about in memory: have all of them on their way before the first is read. */
	for (size_t i = 0; i < count; i++) {
		__builtin_prefetch(found[i]);
		__builtin_prefetch((const char *)found[i] + sizeof(*found[i]) - 1);
	}
	for (size_t i = 0; i < count; i++) {
		__builtin_prefetch(found[i]->destination);
		__builtin_prefetch(found[i]->remote_host);
		routes[i] = found[i];
	}
	return count;
}

const struct route_group *
table_group(const struct table *table, const struct route *key, bool enabled)
{
	return groups_of(groups_with(table, enabled), key);
}

/* ---- which rule wins ---- */

/* Answer the questions that wait, in their order. */
static const struct route_group *
search_answer(struct search *search)
{
	size_t count = search->probe_count;

	search->probe_count = 0;
	for (size_t i = 0; i < count; i++) {
		const char *destination;
		const struct route_group *group =
		    groups_answer(search->table->groups, &search->probes[i], &destination);

		if (group == NULL)
			continue;
		search->match->line = search->meanings[i].line;
		search->match->user = search->meanings[i].user;
		search->match->destination = destination;
		return group;
	}
	return NULL;
}

/* Ask one question more; with as many as can wait, answer them first. */
static const struct route_group *
search_ask(struct search *search, const struct table_line *line, const struct user_form *form,
	   const struct key_part *destination)
{
	const struct route_group *group = NULL;
	size_t at;

	if (search->probe_count == PROBES_MAX)
		group = search_answer(search);
	if (group != NULL)
		return group;
	at = search->probe_count++;
	search->meanings[at].line = line->number;
	search->meanings[at].user = form->kind;
	search->probes[at] = (struct group_probe){.user = form->part,
						  .from = &search->from[from_kinds[line->from]],
						  .destination = destination};
	groups_ask(search->table->groups, &search->probes[at]);
	return NULL;
}

/* One line with one form of the user: the domain itself, then its suffixes; or "*". */
static const struct route_group *
search_form(struct search *search, const struct table_line *line, const struct user_form *form)
{
	const struct groups *groups = search->table->groups;
	const struct route_group *group = NULL;
	enum from_kind from = from_kinds[line->from];
	bool user = form->part->text != NULL;

	if (line->anywhere) {
		if (groups_any(groups, user, from, TO_ANY))
			group = search_ask(search, line, form, &search->everywhere);
		return group;
	}
	if (groups_any(groups, user, from, TO_DOMAIN))
		group = search_ask(search, line, form, &search->destinations[0]);
	if (!groups_any(groups, user, from, TO_SUFFIX))
		return group;
	for (size_t i = 1; group == NULL && i < search->destination_count; i++)
		group = search_ask(search, line, form, &search->destinations[i]);
	return group;
}

static const struct route_group *
search_line(struct search *search, const struct table_line *line)
{
	const struct route_group *group = NULL;
	struct user_form forms[3];
	size_t count = 0;

	if (line->from != TABLE_FROM_NONE && search->from[from_kinds[line->from]].text == NULL)
		return NULL;
	if (line->by_login && search->login.text == NULL)
		return NULL;
	if (line->by_login) {
		forms[count++] = (struct user_form){&search->login, MATCH_LOGIN};
		if (search->login_domain.text != NULL)
			forms[count++] =
			    (struct user_form){&search->login_domain, MATCH_LOGIN_DOMAIN};
		if (line->any_login)
			forms[count++] = (struct user_form){&search->any, MATCH_ANY_LOGIN};
	} else {
		forms[count++] = (struct user_form){&search->any, MATCH_ANYONE};
	}
	for (size_t i = 0; group == NULL && i < count; i++)
		group = search_form(search, line, &forms[i]);
	return group;
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

const struct route_group *
table_find(const struct table *table, const struct mail_key *mail, struct table_match *match)
{
	const struct route_group *group = NULL;
	struct table_match ignored;
	struct search search;
	char *login = NULL;

	/* Not `= {0}`: the arrays are large, and only their counted parts are ever read. */
	search.table = table;
	search.match = match != NULL ? match : &ignored;
	search.any = (struct key_part){.text = NULL};
	search.login = search.login_domain = search.any;
	search.from[FROM_NONE] = search.from[FROM_DOMAIN] = search.from[FROM_ADDRESS] = search.any;
	search.probe_count = 0;
	search.everywhere = key_part_everywhere();
	search.destination_count = key_part_destinations(mail->domain, search.destinations);
	if (mail->login != NULL) {
		if (!is_ascii(mail->login))
			login = route_user_normalise(mail->login);
		search.login =
		    key_part_login(login != NULL ? login : mail->login, &search.login_domain);
		/* The null sender, and whatever else has no domain, is no address. */
		search.from[FROM_ADDRESS] =
		    key_part_sender(mail->sender, &search.from[FROM_DOMAIN]);
		if (search.from[FROM_DOMAIN].text == NULL)
			search.from[FROM_ADDRESS].text = NULL;
	}
	for (size_t i = 0; group == NULL && i < TABLE_LINES; i++)
		group = search_line(&search, &table_lines[i]);
	if (group == NULL)
		group = search_answer(&search);
	if (group == NULL)
		*search.match =
		    (struct table_match){.line = 9, .user = MATCH_ANYONE, .destination = NULL};
	free(login);
	return group;
}
