/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The walk along the plan (relayd-routes(7)):
 *
 *   entries   the routes of the group in this attempt's order, or the mail exchangers by preference
 *   tries     of the present entry: its name's addresses, each from its local addresses
 *
 * leg_next takes the next try, or the next entry, until no recipient is open or nothing is left.
 */
#include "relayd/queue/leg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/domain.h"
#include "common/netaddr.h"
#include "common/xalloc.h"
#include "relayd/routes/plan.h"

enum { TRIES_MAX = 64, MX_PORT = 25 };

struct entry {
	const struct route *route; /* of the group; NULL: a mail exchanger */
	char *host;                /* of a mail exchanger; NULL where route is set */
};

struct leg {
	const struct leg_context *context;
	struct leg_load load;
	struct route_group *group;
	void (*finished)(void *ctx);
	void *ctx;

	size_t count; /* recipients still open */
	size_t *recipients;

	struct entry *entries;
	size_t entry_count, entry_next;
	bool implicit_mx; /* the domain has no MX: the one entry is the domain itself */

	struct plan_try *tries;
	size_t try_count, try_next;
	const struct entry *entry;  /* the present one */
	const struct plan_try *try; /* the present one */

	struct lookup *lookup;
	struct client_job job;
	struct client_recipient *job_recipients;
};

static void leg_next(struct leg *leg);

/* ---- random source ---- */

static uint32_t
random_below(void *ctx, uint32_t bound)
{
	(void)ctx;
	return arc4random_uniform(bound);
}

static const struct plan_random leg_random = {.below = random_below};

static uint64_t
entry_route(const struct entry *entry)
{
	return entry != NULL && entry->route != NULL ? entry->route->id : 0;
}

/* ---- fates ---- */

/* Our own words about why the present entry did not serve; kept in case nothing else does. */
static void
leg_note(struct leg *leg, const char *status, const char *text)
{
	size_t i;

	for (i = 0; i < leg->count; i++) {
		struct recipient_fate *fate = &leg->load.fates[leg->recipients[i]];

		recipient_fate_clear(fate);
		(void)snprintf(fate->status, sizeof fate->status, "%s", status);
		fate->route_id = entry_route(leg->entry);
		fate->reply = xstrdup(text);
	}
}

/* Everyone who is still open gets `outcome`, with what was noted last. */
static void
leg_close(struct leg *leg, enum fate outcome)
{
	size_t i;

	for (i = 0; i < leg->count; i++)
		leg->load.fates[leg->recipients[i]].fate = outcome;
	leg->count = 0;
	leg->finished(leg->ctx);
}

static void
leg_log_note(const struct leg *leg, const char *host, const char *text)
{
	char route[FATE_ROUTE_MAX];

	log_event(leg->context->log, LOG_LEVEL_NOTICE, leg->load.envelope->id, "skipped",
		  LOG_S("route", fate_route_text(entry_route(leg->entry), route)),
		  LOG_S("remote", host), LOG_S("reason", text));
}

/* ---- one transaction ---- */

static const char *
entry_host(const struct entry *entry)
{
	return entry->route != NULL ? entry->route->remote_host : entry->host;
}

static char *
try_name(const struct leg *leg)
{
	char address[NETADDR_TEXT_MAX];

	return xasprintf("%s[%s]:%u", entry_host(leg->entry),
			 netaddr_text(&leg->try->remote, address), (unsigned)leg->try->remote.port);
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
fate_from(const struct leg *leg, struct recipient_fate *fate, struct client_recipient *said,
	  const char *remote)
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
	fate->route_id = entry_route(leg->entry);
	fate->remote = xstrdup(remote);
	fate->remote_name = xstrdup(entry_host(leg->entry));
	if (leg->try->local.family != AF_UNSPEC)
		(void)netaddr_text(&leg->try->local, fate->local);
	fate->from_remote = said->from_remote;
	fate->reply = said->reply;
	said->reply = NULL;
}

/* A try that did not settle everyone, for whoever follows a message's life. */
static void
log_try(const struct leg *leg, const struct client_recipient *said, const char *remote, size_t open)
{
	char local[NETADDR_TEXT_MAX] = "", route[FATE_ROUTE_MAX];

	if (leg->try->local.family != AF_UNSPEC)
		(void)netaddr_text(&leg->try->local, local);
	log_event(leg->context->log, LOG_LEVEL_INFO, leg->load.envelope->id, "tried",
		  LOG_S("route", fate_route_text(entry_route(leg->entry), route)),
		  LOG_S("remote", remote), LOG_S("local", local[0] != '\0' ? local : NULL),
		  LOG_S("stage", client_stage_name(said->stage)), LOG_U("open", open),
		  LOG_S("reply", said->reply));
}

static void
job_finished(void *ctx, struct client_job *job)
{
	struct leg *leg = ctx;
	char *remote = try_name(leg);
	size_t i, open = 0, temporary = job->count;

	for (i = 0; i < job->count; i++)
		if (fate_of(job->recipients[i].verdict) == FATE_NONE) {
			temporary = i;
			open++;
		}
	if (open > 0)
		log_try(leg, &job->recipients[temporary], remote, open);
	for (i = 0, open = 0; i < job->count; i++) {
		struct recipient_fate *fate = &leg->load.fates[leg->recipients[i]];

		fate_from(leg, fate, &job->recipients[i], remote);
		if (fate->fate == FATE_NONE)
			leg->recipients[open++] = leg->recipients[i];
	}
	leg->count = open;
	free(remote);
	leg_next(leg);
}

static void
leg_send(struct leg *leg, const struct plan_try *try)
{
	size_t i;

	leg->try = try;
	client_job_clear(&leg->job);
	memset(&leg->job, 0, sizeof leg->job);
	leg->job_recipients =
	    xreallocarray(leg->job_recipients, leg->count, sizeof *leg->job_recipients);
	memset(leg->job_recipients, 0, leg->count * sizeof *leg->job_recipients);
	leg->job.envelope = leg->load.envelope;
	leg->job.count = leg->count;
	leg->job.recipients = leg->job_recipients;
	leg->job.finished = job_finished;
	leg->job.ctx = leg;
	for (i = 0; i < leg->count; i++)
		leg->job_recipients[i].address =
		    leg->load.envelope->recipients[leg->recipients[i]].address;
	hops_send(leg->context->hops, try, &leg->job);
}

/* ---- the tries of an entry ---- */

static void
leg_set_tries(struct leg *leg, const struct netaddr *addresses, size_t count)
{
	const struct route *route = leg->entry->route;
	const struct route_local_ips *local = leg->context->local_ips;
	struct route_local_ips own;
	struct plan_try tries[TRIES_MAX];

	if (route != NULL && route->local_ips != NULL &&
	    route_local_ips_parse(route->local_ips, &own, NULL) == 0)
		local = &own;
	leg->try_next = 0;
	leg->try_count = plan_tries(addresses, count, route != NULL ? route->remote_port : MX_PORT,
				    local, &leg_random, tries, TRIES_MAX);
	leg->tries = xreallocarray(leg->tries, leg->try_count + 1, sizeof *leg->tries);
	memcpy(leg->tries, tries, leg->try_count * sizeof *tries);
	if (leg->try_count == 0) {
		leg_note(leg, "4.4.4", "no local IP has the family of the remote's addresses");
		leg_log_note(leg, entry_host(leg->entry),
			     "no local IP has the family of the remote's addresses");
	}
}

static void
host_found(void *ctx, const struct lookup_hosts *answer)
{
	struct leg *leg = ctx;
	const char *host = entry_host(leg->entry);
	char text[512];

	leg->lookup = NULL;
	if (answer->status == LOOKUP_OK) {
		leg_set_tries(leg, answer->addresses, answer->count);
		leg_next(leg);
		return;
	}
	if (leg->implicit_mx && answer->status != LOOKUP_FAILED) {
		(void)snprintf(text, sizeof text,
			       "the domain %s has neither a mail exchanger nor an address", host);
		leg_note(leg, "5.1.2", text);
		leg_close(leg, FATE_FAILED);
		return;
	}
	(void)snprintf(text, sizeof text, "no address for %s: %s", host,
		       answer->status == LOOKUP_NXDOMAIN ? "the name does not exist"
		       : answer->status == LOOKUP_NONE   ? "the name has no A or AAAA record"
							 : answer->why);
	leg_note(leg, answer->status == LOOKUP_FAILED ? "4.4.3" : "4.4.4", text);
	leg_log_note(leg, host, text);
	leg_next(leg);
}

/* This version speaks neither TLS nor AUTH to a next hop: a route that needs one is never used
 * without it. */
static const char *
route_obstacle(const struct route *route)
{
	enum route_tls tls = route_effective_tls(route);

	if (route->remote_login != NULL)
		return "the route has a login, and this version can't log in at a next hop";
	if (tls != ROUTE_TLS_NONE && tls != ROUTE_TLS_MAY)
		return "the route requires TLS, and this version has none towards a next hop";
	return NULL;
}

static void
leg_enter(struct leg *leg, const struct entry *entry)
{
	const char *host = entry_host(entry);
	const char *obstacle = entry->route != NULL ? route_obstacle(entry->route) : NULL;
	struct netaddr address;

	leg->entry = entry;
	leg->try_count = leg->try_next = 0;
	if (obstacle != NULL) {
		leg_note(leg, "4.7.5", obstacle);
		leg_log_note(leg, host, obstacle);
	} else if (netaddr_parse(host, &address) == 0) {
		leg_set_tries(leg, &address, 1);
	} else {
		leg->lookup = resolver_hosts(leg->context->resolver, host, host_found, leg);
	}
}

/* The next try, or the next entry; a lookup or a transaction goes on from its callback. */
static void
leg_next(struct leg *leg)
{
	while (leg->count > 0 && leg->lookup == NULL) {
		if (leg->try_next < leg->try_count) {
			leg_send(leg, &leg->tries[leg->try_next++]);
			return;
		}
		if (leg->entry_next == leg->entry_count) {
			leg_close(leg, FATE_DEFERRED);
			return;
		}
		leg_enter(leg, &leg->entries[leg->entry_next++]);
	}
	if (leg->count == 0)
		leg->finished(leg->ctx);
}

/* ---- the entries ---- */

static void
leg_set_routes(struct leg *leg)
{
	const struct route **order = xcalloc(leg->group->count, sizeof *order);
	size_t i;

	leg->entry_count = plan_routes(leg->group, &leg_random, order);
	leg->entries = xcalloc(leg->entry_count, sizeof *leg->entries);
	for (i = 0; i < leg->entry_count; i++)
		leg->entries[i].route = order[i];
	free(order);
}

static void
leg_set_only_host(struct leg *leg, const char *host)
{
	leg->entries = xcalloc(1, sizeof *leg->entries);
	leg->entries[0].host = xstrdup(host);
	leg->entry_count = 1;
}

/* The exchangers by preference; where we are one of them, only those nearer to the mailbox than we
 * are (RFC 5321 §5.1). Returns how many there are. */
static size_t
leg_set_exchangers(struct leg *leg, const struct lookup_mx *answer)
{
	uint16_t *preferences = xcalloc(answer->count, sizeof *preferences);
	size_t *order = xcalloc(answer->count, sizeof *order);
	unsigned ours = UINT16_MAX + 1U;
	size_t i;

	for (i = 0; i < answer->count; i++) {
		preferences[i] = answer->hosts[i].preference;
		if (strcasecmp(answer->hosts[i].host, leg->context->hostname) == 0 &&
		    preferences[i] < ours)
			ours = preferences[i];
	}
	plan_mx(preferences, answer->count, &leg_random, order);
	leg->entries = xcalloc(answer->count, sizeof *leg->entries);
	for (i = 0; i < answer->count; i++)
		if (preferences[order[i]] < ours && answer->hosts[order[i]].host[0] != '\0')
			leg->entries[leg->entry_count++].host =
			    xstrdup(answer->hosts[order[i]].host);
	free(preferences);
	free(order);
	return leg->entry_count;
}

static void
mx_fail(struct leg *leg, enum fate fate, const char *status, const char *what, const char *why)
{
	char text[512];

	(void)snprintf(text, sizeof text, "the domain %s %s%s%s", leg->load.domain, what,
		       why ? ": " : "", why ? why : "");
	leg_note(leg, status, text);
	leg_close(leg, fate);
}

static void
mx_found(void *ctx, const struct lookup_mx *answer)
{
	struct leg *leg = ctx;

	leg->lookup = NULL;
	switch (answer->status) {
	case LOOKUP_NXDOMAIN:
		mx_fail(leg, FATE_FAILED, "5.1.2", "does not exist", NULL);
		return;
	case LOOKUP_FAILED:
		mx_fail(leg, FATE_DEFERRED, "4.4.3", "can't be looked up for now", answer->why);
		return;
	case LOOKUP_NONE:
		leg->implicit_mx = true; /* RFC 5321 §5.1: the domain itself, at preference 0 */
		leg_set_only_host(leg, leg->load.domain);
		break;
	case LOOKUP_OK:
		if (answer->count == 1 && answer->hosts[0].host[0] == '\0') {
			mx_fail(leg, FATE_FAILED, "5.1.10", "takes no mail (null MX)", NULL);
			return;
		}
		if (leg_set_exchangers(leg, answer) == 0) {
			mx_fail(leg, FATE_FAILED, "5.4.6",
				"has this host as its best mail exchanger: a loop", NULL);
			return;
		}
		break;
	}
	leg_next(leg);
}

/* ---- the owner's side ---- */

struct leg *
leg_new(const struct leg_context *context, const struct leg_load *load, void (*finished)(void *ctx),
	void *ctx)
{
	struct leg *leg = xcalloc(1, sizeof *leg);

	leg->context = context;
	leg->load = *load;
	leg->group = load->group != NULL ? route_group_ref(load->group) : NULL;
	leg->finished = finished;
	leg->ctx = ctx;
	return leg;
}

void
leg_add(struct leg *leg, size_t recipient)
{
	leg->recipients = xreallocarray(leg->recipients, leg->count + 1, sizeof *leg->recipients);
	leg->recipients[leg->count++] = recipient;
}

size_t
leg_count(const struct leg *leg)
{
	return leg->count;
}

void
leg_start(struct leg *leg)
{
	const char *domain = leg->load.domain;
	struct netaddr literal;

	if (leg->group != NULL) {
		leg_set_routes(leg);
		leg_next(leg);
	} else if (domain[0] == '[') {
		if (netaddr_parse_literal(domain, strlen(domain), &literal) == 0) {
			char text[NETADDR_TEXT_MAX];
			leg_set_only_host(leg, netaddr_text(&literal, text));
			leg_next(leg);
		} else {
			mx_fail(leg, FATE_FAILED, "5.1.2",
				"is an address literal of a kind that can't be reached", NULL);
		}
	} else {
		leg->lookup = resolver_mx(leg->context->resolver, domain, mx_found, leg);
	}
}

void
leg_free(struct leg *leg)
{
	size_t i;

	if (leg == NULL)
		return;
	if (leg->lookup != NULL)
		lookup_cancel(leg->lookup);
	for (i = 0; i < leg->entry_count; i++)
		free(leg->entries[i].host);
	free(leg->entries);
	client_job_clear(&leg->job);
	free(leg->job_recipients);
	free(leg->recipients);
	free(leg->tries);
	route_group_unref(leg->group);
	free(leg);
}
