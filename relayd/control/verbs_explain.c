/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes.explain: why a rule wins for a mail, and what would be tried. In this order: the rule, the
 * MX records where no route won, the addresses of all hosts of the plan at one time, the answer.
 */
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/domain.h"
#include "common/xalloc.h"
#include "relayd/control/explained.h"
#include "relayd/control/names.h"
#include "relayd/control/tasks.h"
#include "relayd/control/verbs.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/table.h"

/* All lookups together end well before tmail gives up. */
enum { MX_MS = 4000, NAMES_MS = 4000 };

struct explain {
	struct task task;
	struct call *call;
	char *recipient, *domain, *sender, *login;
	struct verdicts *verdicts;
	struct explained explained;
	char *exchangers_why;
	struct lookup *mx;
	struct timer *mx_timer;
	struct names *names;
};

static void
explain_free(struct explain *explain)
{
	if (explain->mx != NULL)
		lookup_cancel(explain->mx);
	timer_free(explain->mx_timer);
	names_free(explain->names);
	for (size_t i = 0; i < explain->explained.host_count; i++)
		free((char *)(uintptr_t)explain->explained.hosts[i].name);
	free(explain->explained.hosts);
	verdicts_free(explain->verdicts);
	free(explain->exchangers_why);
	free(explain->recipient);
	free(explain->domain);
	free(explain->sender);
	free(explain->login);
	free(explain);
}

static void
explain_end(void *ctx)
{
	struct explain *explain = ctx;
	struct error why;

	error_set(&why, ERROR_REFUSED, "relayd is stopping");
	call_refuse(explain->call, &why, NULL);
	explain_free(explain);
}

static void
names_found(void *ctx)
{
	struct explain *explain = ctx;

	tasks_leave(&explain->task);
	call_answer(explain->call, explained_object(&explain->explained));
	explain_free(explain);
}

/* The hosts of all hops that are shown. */
static void
find_names(struct explain *explain)
{
	const struct control_services *services = call_services(explain->call);
	const struct route_group *group = explained_group(&explain->explained);
	size_t most = explained_hops_max(&explain->explained);

	explain->names =
	    names_new(services->loop, services->resolver, NAMES_MS, names_found, explain);
	explain->explained.names = explain->names;
	for (size_t i = 0; i < explain->explained.host_count; i++)
		if (names_count(explain->names) < most)
			names_add(explain->names, explain->explained.hosts[i].name);
	for (size_t i = 0; group != NULL && i < group->count && i < EXPLAINED_GROUP_LARGE; i++) {
		if (names_count(explain->names) == most)
			break;
		names_add(explain->names, group->routes[i]->remote_host);
	}
	names_start(explain->names);
}

/* ---- line 9 ---- */

static void
set_exchangers(struct explain *explain, const struct lookup_mx *answer)
{
	const struct control_services *services = call_services(explain->call);
	struct explained *explained = &explain->explained;

	explained->hosts = xcalloc(answer->count + 1, sizeof(*explained->hosts));
	explained->exchangers = exchangers_of(answer, explain->domain, services->hostname,
					      explained->hosts, &explained->host_count);
	for (size_t i = 0; i < explained->host_count; i++)
		explained->hosts[i].name = xstrdup(explained->hosts[i].name);
	if (explained->exchangers == EXCHANGERS_UNKNOWN)
		explain->exchangers_why = xstrdup(answer->why);
	explained->exchangers_why = explain->exchangers_why;
}

static void
mx_found(void *ctx, const struct lookup_mx *answer)
{
	struct explain *explain = ctx;

	explain->mx = NULL;
	timer_cancel(explain->mx_timer);
	set_exchangers(explain, answer);
	find_names(explain);
}

static void
mx_is_late(void *ctx)
{
	struct explain *explain = ctx;
	const struct lookup_mx late = {.status = LOOKUP_FAILED, .why = "no answer for now"};

	lookup_cancel(explain->mx);
	explain->mx = NULL;
	set_exchangers(explain, &late);
	find_names(explain);
}

static void
find_exchangers(struct explain *explain)
{
	const struct control_services *services = call_services(explain->call);
	struct explained *explained = &explain->explained;
	char text[NETADDR_TEXT_MAX];
	struct netaddr literal;

	if (explain->domain[0] != '[') {
		explain->mx_timer = timer_new(services->loop, mx_is_late, explain);
		timer_set(explain->mx_timer, MX_MS);
		explain->mx = resolver_mx(services->resolver, explain->domain, mx_found, explain);
		return;
	}
	explained->literal = true;
	if (netaddr_parse_literal(explain->domain, strlen(explain->domain), &literal) == 0) {
		explained->hosts = xcalloc(1, sizeof(*explained->hosts));
		explained->hosts[0].name = xstrdup(netaddr_text(&literal, text));
		explained->host_count = 1;
	}
	find_names(explain);
}

/* ---- the mail ---- */

/* An address, or a domain alone; with the domain in the form in which routes have it. */
static int
read_recipient(struct explain *explain, const char *text, struct error *why)
{
	const char *at = strrchr(text, '@'), *domain = at != NULL ? at + 1 : text;
	char *address, *whole;

	explain->domain = domain_normalise(domain, why);
	if (explain->domain == NULL)
		return error_prefix(why, "%s", text);
	whole = xasprintf("%.*s@%s", at != NULL ? (int)(at - text) : 10,
			  at != NULL ? text : "postmaster", explain->domain);
	address = address_parse(whole, strlen(whole), true, why);
	free(whole);
	if (address == NULL)
		return error_prefix(why, "%s", text);
	explain->recipient = xstrdup(at != NULL ? address : explain->domain);
	free(address);
	return 0;
}

static int
read_sender(struct explain *explain, const char *text, struct error *why)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (len == 0 || strcmp(text, "<>") == 0) {
		explain->sender = xstrdup("");
		return 0;
	}
	if (text[0] == '<' && text[len - 1] == '>') {
		text++;
		len -= 2;
	}
	explain->sender = address_parse(text, len, true, why);
	return explain->sender != NULL ? 0 : error_prefix(why, "%.*s", (int)len, text);
}

void
verb_routes_explain(struct call *call)
{
	const struct control_services *services = call_services(call);
	const char *recipient = NULL, *sender = NULL, *login = NULL;
	struct explain *explain;
	struct error why;

	if (call_string(call, "recipient", &recipient, &why) != 0 ||
	    call_string(call, "sender", &sender, &why) != 0 ||
	    call_string(call, "login", &login, &why) != 0 || recipient == NULL) {
		call_misused(call, recipient == NULL ? "recipient is missing" : why.text);
		return;
	}
	explain = xcalloc(1, sizeof(*explain));
	explain->call = call;
	explain->task = (struct task){.end = explain_end, .ctx = explain};
	explain->login = login != NULL && *login != '\0' ? xstrdup(login) : NULL;
	if (read_recipient(explain, recipient, &why) != 0 ||
	    read_sender(explain, sender, &why) != 0) {
		explain_free(explain);
		why.code = ERROR_USAGE;
		call_refuse(call, &why, NULL);
		return;
	}
	explain->explained = (struct explained){.services = services,
						.recipient = explain->recipient,
						.mail = {.login = explain->login,
							 .sender = explain->sender,
							 .domain = explain->domain}};
	explain->verdicts =
	    verdicts_new(changes_table(services->changes), &explain->explained.mail);
	explain->explained.verdicts = explain->verdicts;
	tasks_enter(services->tasks, &explain->task);
	if (explained_group(&explain->explained) != NULL)
		find_names(explain);
	else
		find_exchangers(explain);
}
