/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/verdicts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* A mail's parts in the forms in which lines ask for them. */
struct parts {
	char *login;
	const char *login_domain; /* NULL: it has none */
	const char *sender;       /* NULL: none, or the null sender */
	const char *sender_domain;
	const char *domain;
};

struct walk {
	const struct table *table;
	struct parts parts;
	const struct route_group *winner; /* NULL: line 9 */
	struct verdicts *verdicts;
};

const char *
verdict_reason_name(enum verdict_reason reason)
{
	static const char *const names[] = {
	    [VERDICT_HIT] = "hit",
	    [VERDICT_NO_ROUTE] = "no_route",
	    [VERDICT_DISABLED] = "disabled",
	    [VERDICT_NO_LOGIN] = "no_login",
	    [VERDICT_NO_SENDER] = "no_sender",
	    [VERDICT_NO_DOMAIN] = "no_domain",
	};

	return names[reason];
}

static struct verdict *
verdict_add(struct walk *walk, unsigned line, enum verdict_reason reason)
{
	struct verdicts *verdicts = walk->verdicts;
	struct verdict *verdict;

	verdicts->list =
	    xreallocarray(verdicts->list, verdicts->count + 1, sizeof(*verdicts->list));
	verdict = &verdicts->list[verdicts->count++];
	*verdict = (struct verdict){.line = line, .reason = reason};
	return verdict;
}

/* Behind the last '@'; NULL where there is none. */
static const char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL ? at + 1 : NULL;
}

/* One key. True: it won. */
static bool
walk_key(struct walk *walk, const struct table_line *line, unsigned form, const char *user,
	 const char *from, const char *destination)
{
	/* table_group() only reads what is given to it. */
	const struct route key = {.user = (char *)(uintptr_t)user,
				  .mail_from = (char *)(uintptr_t)from,
				  .destination = (char *)(uintptr_t)destination};
	const struct route_group *enabled = table_group(walk->table, &key, true);
	const struct route_group *disabled = table_group(walk->table, &key, false);
	struct verdict *verdict = verdict_add(walk, line->number, VERDICT_NO_ROUTE);

	verdict->user = xstrdup(user);
	verdict->mail_from = xstrdup(from);
	verdict->destination = xstrdup(destination);
	verdict->form = form;
	if (enabled != NULL && enabled == walk->winner) {
		verdict->reason = VERDICT_HIT;
		verdict->group = route_group_ref(enabled);
	} else if (disabled != NULL) {
		verdict->reason = VERDICT_DISABLED;
		verdict->group = route_group_ref(disabled);
	}
	return verdict->reason == VERDICT_HIT;
}

/* A form of the user with each of the line's destinations, from the exact domain to the shortest
 * suffix. */
static bool
walk_form(struct walk *walk, const struct table_line *line, unsigned form, const char *user)
{
	const char *from = line->from == TABLE_FROM_ADDRESS  ? walk->parts.sender
			   : line->from == TABLE_FROM_DOMAIN ? walk->parts.sender_domain
							     : NULL;
	const char *domain = walk->parts.domain, *suffix;

	if (line->anywhere)
		return walk_key(walk, line, form, user, from, "*");
	if (walk_key(walk, line, form, user, from, domain))
		return true;
	/* An address literal has no suffixes. */
	if (domain[0] == '[' || domain[0] == '\0')
		return false;
	for (suffix = strchr(domain + 1, '.'); suffix != NULL; suffix = strchr(suffix + 1, '.')) {
		if (walk_key(walk, line, form, user, from, suffix))
			return true;
	}
	return false;
}

static bool
walk_line(struct walk *walk, const struct table_line *line)
{
	const struct parts *parts = &walk->parts;

	if (line->by_login && parts->login == NULL) {
		verdict_add(walk, line->number, VERDICT_NO_LOGIN);
		return false;
	}
	if (line->from != TABLE_FROM_NONE && parts->sender == NULL) {
		verdict_add(walk, line->number, VERDICT_NO_SENDER);
		return false;
	}
	if (!line->by_login)
		return walk_form(walk, line, MATCH_ANYONE, NULL);
	if (walk_form(walk, line, MATCH_LOGIN, parts->login))
		return true;
	if (parts->login_domain == NULL)
		verdict_add(walk, line->number, VERDICT_NO_DOMAIN)->form = MATCH_LOGIN_DOMAIN;
	else if (walk_form(walk, line, MATCH_LOGIN_DOMAIN, parts->login_domain))
		return true;
	return line->any_login && walk_form(walk, line, MATCH_ANY_LOGIN, NULL);
}

struct verdicts *
verdicts_new(const struct table *table, const struct mail_key *mail)
{
	struct verdicts *verdicts = xcalloc(1, sizeof(*verdicts));
	struct walk walk = {.table = table, .verdicts = verdicts};
	bool found = false;

	walk.winner = table_find(table, mail, &verdicts->match);
	walk.parts.domain = mail->domain;
	if (mail->login != NULL) {
		walk.parts.login = route_user_normalise(mail->login);
		walk.parts.login_domain = domain_of(walk.parts.login);
		walk.parts.sender_domain = domain_of(mail->sender);
		walk.parts.sender = walk.parts.sender_domain != NULL ? mail->sender : NULL;
	}
	for (size_t i = 0; !found && i < TABLE_LINES; i++)
		found = walk_line(&walk, &table_lines[i]);
	if (!found)
		verdict_add(&walk, 9, VERDICT_HIT);
	verdicts->match.destination = verdicts->list[verdicts->count - 1].destination;
	free(walk.parts.login);
	return verdicts;
}

void
verdicts_free(struct verdicts *verdicts)
{
	if (verdicts == NULL)
		return;
	for (size_t i = 0; i < verdicts->count; i++) {
		free(verdicts->list[i].user);
		free(verdicts->list[i].mail_from);
		free(verdicts->list[i].destination);
		route_group_unref(verdicts->list[i].group);
	}
	free(verdicts->list);
	free(verdicts);
}
