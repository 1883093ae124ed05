/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/explained.h"

#include <string.h>

#include "relayd/control/call.h"
#include "relayd/control/explained_plan.h"
#include "relayd/control/route_object.h"
#include "relayd/routes/changes.h"

enum { IDS_MAX = 100 }; /* of one list of ids */

static json_t *
text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

const struct route_group *
explained_group(const struct explained *explained)
{
	return explained->verdicts->list[explained->verdicts->count - 1].group;
}

size_t
explained_hops_max(const struct explained *explained)
{
	const struct route_group *group = explained_group(explained);

	return group != NULL && group->count > EXPLAINED_GROUP_LARGE ? EXPLAINED_HOPS_FEW
								     : EXPLAINED_HOPS_MAX;
}

static json_t *
group_ids(const struct route_group *group)
{
	json_t *ids = json_array();

	for (size_t i = 0; group != NULL && i < group->count && i < IDS_MAX; i++)
		json_array_append_new(ids, json_integer((json_int_t)group->routes[i]->id));
	return ids;
}

static const char *
form_name(const struct verdict *verdict)
{
	static const char *const names[] = {[MATCH_LOGIN] = "login",
					    [MATCH_LOGIN_DOMAIN] = "login_domain",
					    [MATCH_ANY_LOGIN] = "any_login",
					    [MATCH_ANYONE] = "anyone"};

	/* A line that was passed over as a whole was not asked with any form. */
	if (verdict->destination == NULL && verdict->reason != VERDICT_NO_DOMAIN)
		return NULL;
	return names[verdict->form];
}

static json_t *
verdict_object(const struct verdict *verdict)
{
	json_t *object = json_object();

	route_object_put(object, "line", json_integer(verdict->line));
	route_object_put(object, "reason", json_string(verdict_reason_name(verdict->reason)));
	route_object_put(object, "form", text_or_null(form_name(verdict)));
	route_object_put(object, "user", text_or_null(verdict->user));
	route_object_put(object, "mail_from", text_or_null(verdict->mail_from));
	route_object_put(object, "destination", text_or_null(verdict->destination));
	route_object_put(object, "routes", group_ids(verdict->group));
	return object;
}

/* ---- line 9 ---- */

static const char *
exchangers_name(enum exchangers exchangers)
{
	static const char *const names[] = {
	    [EXCHANGERS_FOUND] = "found",         [EXCHANGERS_IMPLICIT] = "implicit",
	    [EXCHANGERS_NO_DOMAIN] = "no_domain", [EXCHANGERS_NULL] = "null_mx",
	    [EXCHANGERS_LOOP] = "loop",           [EXCHANGERS_UNKNOWN] = "unknown",
	};

	return names[exchangers];
}

static json_t *
mx_object(const struct explained *explained)
{
	json_t *object, *hosts;

	if (explained_group(explained) != NULL)
		return json_null();
	object = json_object();
	hosts = json_array();
	for (size_t i = 0; i < explained->host_count; i++)
		json_array_append_new(hosts,
				      json_pack("{s:s, s:i}", "host", explained->hosts[i].name,
						"preference", (int)explained->hosts[i].preference));
	route_object_put(
	    object, "status",
	    json_string(explained->literal ? "literal" : exchangers_name(explained->exchangers)));
	route_object_put(object, "why", text_or_null(explained->exchangers_why));
	route_object_put(object, "hosts", hosts);
	return object;
}

/* ---- what follows ---- */

/* Of a mail for which the plan is used up: a fate, a status code, a sentence. */
struct outcome {
	const char *fate;
	const char *status;
	const char *text;
};

static struct outcome
outcome_of(const struct explained *explained, bool way_out)
{
	bool by_mx = explained_group(explained) == NULL;
	const struct name *name;

	if (by_mx && explained->host_count == 0) {
		switch (explained->exchangers) {
		case EXCHANGERS_NO_DOMAIN:
			return (struct outcome){"bounced", "5.1.2", "the domain does not exist"};
		case EXCHANGERS_NULL:
			return (struct outcome){"bounced", "5.1.10",
						"the domain takes no mail (null MX)"};
		case EXCHANGERS_LOOP:
			return (struct outcome){
			    "bounced", "5.4.6",
			    "this host is the best mail exchanger of the domain: a loop"};
		case EXCHANGERS_UNKNOWN:
			return (struct outcome){"deferred", "4.4.3",
						"the domain can't be looked up for now"};
		case EXCHANGERS_FOUND:
		case EXCHANGERS_IMPLICIT:
			return (struct outcome){
			    "bounced", "5.1.2",
			    "an address literal of a kind that can't be reached"};
		}
	}
	if (by_mx && explained->exchangers == EXCHANGERS_IMPLICIT && explained->host_count == 1) {
		name = names_find(explained->names, explained->hosts[0].name);
		if (name != NULL && name->status != LOOKUP_OK && name->status != LOOKUP_FAILED)
			return (struct outcome){
			    "bounced", "5.1.2",
			    "the domain has neither a mail exchanger nor an address"};
	}
	if (!way_out)
		return (struct outcome){"deferred", "4.4.4", "there is no way to try"};
	return (struct outcome){"deferred", NULL, "the plan is used up"};
}

/* Delays in seconds, as configured; the last one repeats. */
static json_t *
then_object(const struct explained *explained, bool way_out)
{
	struct outcome outcome = outcome_of(explained, way_out);
	struct control_outgoing outgoing;
	json_t *object = json_object(), *retry = json_array();

	explained->services->outgoing(explained->services->ctx, &outgoing);
	for (size_t i = 0; i < outgoing.retry_count; i++)
		json_array_append_new(retry, json_real((double)outgoing.retry_ms[i] / 1000));
	route_object_put(object, "fate", json_string(outcome.fate));
	route_object_put(object, "status", text_or_null(outcome.status));
	route_object_put(object, "text", json_string(outcome.text));
	route_object_put(object, "retry_s", retry);
	route_object_put(object, "lifetime_s", json_real((double)outgoing.lifetime_ms / 1000));
	return object;
}

json_t *
explained_object(const struct explained *explained)
{
	const struct verdicts *verdicts = explained->verdicts;
	json_t *object = json_object(), *list = json_array(), *plan;
	size_t left_out = 0;
	bool way_out = false;

	for (size_t i = 0; i < verdicts->count; i++)
		json_array_append_new(list, verdict_object(&verdicts->list[i]));
	plan = explained_plan(explained, &left_out, &way_out);
	route_object_put(object, "revision",
			 json_integer((json_int_t)changes_revision(explained->services->changes)));
	route_object_put(object, "recipient", json_string(explained->recipient));
	route_object_put(object, "domain", json_string(explained->mail.domain));
	route_object_put(object, "sender", text_or_null(explained->mail.sender));
	route_object_put(object, "login", text_or_null(explained->mail.login));
	route_object_put(object, "line", json_integer(verdicts->match.line));
	route_object_put(object, "verdicts", list);
	route_object_put(object, "mx", mx_object(explained));
	route_object_put(object, "plan", plan);
	route_object_put(object, "left_out", json_integer((json_int_t)left_out));
	route_object_put(object, "way_out", json_boolean(way_out));
	route_object_put(object, "then", then_object(explained, way_out));
	return object;
}
