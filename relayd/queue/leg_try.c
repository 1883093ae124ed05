/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A try: an errand of everyone who is open, to one target of the plan or, in a race, several, and
 * what its outcome means for each of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"
#include "common/xalloc.h"
#include "relayd/queue/leg_private.h"

/* ---- fates ---- */

uint64_t
leg_entry_route(const struct plan_entry *entry)
{
	return entry != NULL && entry->route != NULL ? entry->route->id : 0;
}

void
leg_note(struct leg *leg, const struct plan_entry *entry, const char *status, const char *text)
{
	size_t i;

	for (i = 0; i < leg->count; i++) {
		struct recipient_fate *fate = &leg->load.fates[leg->recipients[i]];

		recipient_fate_clear(fate);
		(void)snprintf(fate->status, sizeof fate->status, "%s", status);
		fate->route_id = leg_entry_route(entry);
		fate->reply = xstrdup(text);
	}
}

void
leg_close(struct leg *leg, enum fate outcome)
{
	size_t i;

	for (i = 0; i < leg->count; i++) {
		struct recipient_fate *fate = &leg->load.fates[leg->recipients[i]];

		fate->fate = outcome;
		if (fate->reply == NULL) {
			(void)snprintf(fate->status, sizeof fate->status, "4.4.4");
			fate->reply = xstrdup("there was no way to try");
		}
	}
	leg->count = 0;
	leg->finished(leg->ctx);
}

/* ---- what came of a try ---- */

static char *
entry_name(const struct plan_entry *entry)
{
	char address[NETADDR_TEXT_MAX];

	return xasprintf("%s[%s]:%u", entry->host, netaddr_text(&entry->remote, address),
			 (unsigned)entry->remote.port);
}

/* A try that did not settle everyone, for whoever follows a message's life. */
static void
log_tried(const struct leg *leg, const struct plan_entry *entry, enum client_stage stage,
	  const char *reply)
{
	char local[NETADDR_TEXT_MAX] = "", route[FATE_ROUTE_MAX];
	char *remote = entry_name(entry);
	size_t i, open = leg->errand.job.count;

	for (i = 0; i < leg->errand.job.count; i++)
		open -= leg->job_recipients[i].verdict != CLIENT_OPEN &&
			leg->job_recipients[i].verdict != CLIENT_TEMPORARY;
	if (entry->local.family != AF_UNSPEC)
		(void)netaddr_text(&entry->local, local);
	log_event(leg->context->log, LOG_LEVEL_INFO, leg->load.envelope->id, "tried",
		  LOG_S("route", fate_route_text(leg_entry_route(entry), route)),
		  LOG_S("remote", remote), LOG_S("local", local[0] != '\0' ? local : NULL),
		  LOG_S("stage", client_stage_name(stage)), LOG_U("open", open),
		  LOG_S("reply", reply));
	free(remote);
}

/* This host has not the local IP: something for its administrator, but not once a mail. */
static void
log_absent(const struct leg *leg, const struct plan_entry *entry)
{
	char local[NETADDR_TEXT_MAX], route[FATE_ROUTE_MAX];
	const struct leg_context *context = leg->context;

	if (context->health != NULL &&
	    !health_local_absent(context->health, &entry->local, loop_now_ms(context->loop)))
		return;
	log_event(context->log, LOG_LEVEL_WARNING, leg->load.envelope->id, "local-ip-absent",
		  LOG_S("local", netaddr_text(&entry->local, local)),
		  LOG_S("route", fate_route_text(leg_entry_route(entry), route)),
		  LOG_S("reason", "this host has not that address: the next local IP is tried"));
}

static enum fate
fate_of(enum client_verdict verdict)
{
	switch (verdict) {
	case CLIENT_ACCEPTED:
		return FATE_DELIVERED;
	case CLIENT_PERMANENT:
		return FATE_FAILED;
	case CLIENT_UNCERTAIN:
	case CLIENT_LOCAL:
		return FATE_DEFERRED;
	case CLIENT_OPEN:
	case CLIENT_TEMPORARY:
		break;
	}
	return FATE_NONE;
}

static void
fate_from(struct recipient_fate *fate, struct client_recipient *said,
	  const struct client_facts *facts, const struct plan_entry *entry)
{
	static const char *const classes[] = {[FATE_NONE] = "4.0.0",
					      [FATE_DELIVERED] = "2.0.0",
					      [FATE_DEFERRED] = "4.0.0",
					      [FATE_FAILED] = "5.0.0"};

	recipient_fate_clear(fate);
	fate->fate = fate_of(said->verdict);
	/* A status of another class than the fate (a 5.x.x greeting that only leads on) would
	 * mislead. */
	(void)snprintf(fate->status, sizeof fate->status, "%s",
		       said->status[0] == classes[fate->fate][0] ? said->status
								 : classes[fate->fate]);
	fate->route_id = leg_entry_route(entry);
	fate->remote = entry_name(entry);
	fate->remote_name = xstrdup(entry->host);
	if (entry->local.family != AF_UNSPEC)
		(void)netaddr_text(&entry->local, fate->local);
	fate->facts = *facts;
	fate->from_remote = said->from_remote;
	fate->reply = said->reply;
	said->reply = NULL;
}

/* For `routes stats`. */
static void
count_try(const struct leg *leg, uint64_t route_id, const struct client_job *job, bool session)
{
	struct stats_try outcome = {.session = session};
	size_t i;

	if (leg->context->stats == NULL)
		return;
	for (i = 0; i < job->count; i++) {
		enum fate fate = fate_of(job->recipients[i].verdict);

		outcome.delivered += fate == FATE_DELIVERED;
		outcome.failed += fate == FATE_FAILED;
		outcome.deferred += fate == FATE_NONE || fate == FATE_DEFERRED;
	}
	stats_add(leg->context->stats, route_id, &outcome, loop_now_ms(leg->context->loop));
}

/* ---- an errand ---- */

/* Tell the plan, and whoever reads the log, of a target that came to nothing. */
static void
leg_failed(struct leg *leg, const struct given *given, enum client_stage stage, bool absent,
	   const char *reply)
{
	if (absent) {
		plan_failed(leg->plan, &given->entry, PLAN_FAILED_ABSENT);
		log_absent(leg, &given->entry);
	} else if (stage == CLIENT_STAGE_CONNECT) {
		plan_failed(leg->plan, &given->entry, PLAN_FAILED_CONNECT);
	}
	log_tried(leg, &given->entry, stage, reply);
}

static void
errand_refused(void *ctx, unsigned number, const struct errand_refusal *refusal)
{
	struct leg *leg = ctx;

	leg->given[number].refused = true;
	leg_failed(leg, &leg->given[number], refusal->stage, refusal->absent, refusal->text);
}

static void
job_finished(void *ctx, struct client_job *job)
{
	struct leg *leg = ctx;
	const struct given *last = &leg->given[leg->errand.number];
	size_t i, open = 0, temporary = job->count;

	for (i = 0; i < leg->given_count; i++)
		if (&leg->given[i] != last && !leg->given[i].refused)
			plan_return(leg->plan, &leg->given[i].entry);
	for (i = 0; i < job->count; i++)
		if (fate_of(job->recipients[i].verdict) == FATE_NONE)
			temporary = i;
	if (temporary < job->count)
		leg_failed(leg, last, job->recipients[temporary].stage,
			   job->unreachable && leg->errand.absent,
			   job->recipients[temporary].reply);
	if (leg_entry_route(&last->entry) != 0)
		count_try(leg, leg_entry_route(&last->entry), job,
			  temporary == job->count ||
			      job->recipients[temporary].stage >= CLIENT_STAGE_MAIL);
	for (i = 0; i < job->count; i++) {
		struct recipient_fate *fate = &leg->load.fates[leg->recipients[i]];

		fate_from(fate, &job->recipients[i], &job->facts, &last->entry);
		if (fate->fate == FATE_NONE)
			leg->recipients[open++] = leg->recipients[i];
	}
	leg->count = open;
	leg_next(leg);
}

/* Note `entry` as the next target of the errand. */
static struct client_target
leg_give(struct leg *leg, const struct plan_entry *entry)
{
	const struct route *route = entry->route;
	struct client_target target = {
	    .remote = entry->remote,
	    .local = entry->local,
	    .name = entry->host,
	    .tls = ROUTE_TLS_MAY,
	};

	if (leg->given_count == leg->given_room) {
		leg->given_room = leg->given_room != 0 ? leg->given_room * 2 : 1;
		leg->given = xreallocarray(leg->given, leg->given_room, sizeof *leg->given);
	}
	leg->given[leg->given_count++] = (struct given){.entry = *entry};
	if (route != NULL) {
		target.tls = route_effective_tls(route);
		target.login = route->remote_login;
		target.password = route->remote_password;
		target.clear_login = route->tls == ROUTE_TLS_NONE || route->tls == ROUTE_TLS_MAY;
		target.route_id = route->id;
	}
	return target;
}

static bool
errand_another(void *ctx, struct client_target *target)
{
	struct leg *leg = ctx;
	struct plan_entry entry;

	leg->view.now_ms = loop_now_ms(leg->context->loop);
	if (!plan_rival(leg->plan, &entry))
		return false;
	*target = leg_give(leg, &entry);
	return true;
}

void
leg_send(struct leg *leg, const struct plan_entry *entry)
{
	struct client_target target;
	size_t i;

	client_job_clear(&leg->errand.job);
	leg->job_recipients =
	    xreallocarray(leg->job_recipients, leg->count, sizeof *leg->job_recipients);
	memset(leg->job_recipients, 0, leg->count * sizeof *leg->job_recipients);
	for (i = 0; i < leg->count; i++)
		leg->job_recipients[i].address =
		    leg->load.envelope->recipients[leg->recipients[i]].address;
	leg->errand = (struct errand){
	    .job = {.envelope = leg->load.envelope,
		    .count = leg->count,
		    .recipients = leg->job_recipients,
		    .finished = job_finished,
		    .ctx = leg},
	    .another = errand_another,
	    .refused = errand_refused,
	    .ctx = leg,
	};
	leg->given_count = 0;
	target = leg_give(leg, entry);
	hops_send(leg->context->hops, &target, &leg->errand);
}
