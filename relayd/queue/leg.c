/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The walk along the plan (relayd-routes(7)): leg_next takes its next step until no recipient is
 * open or nothing is left; a lookup and an errand go on from their callbacks. Which connections in
 * which order is the plan's affair, which of two that are raced takes the job that of the hops,
 * what came of it for the recipients that of leg_try.c.
 */
#include "relayd/queue/leg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"
#include "common/xalloc.h"
#include "relayd/net/source.h"
#include "relayd/queue/leg_private.h"
#include "relayd/routes/exchangers.h"

static uint32_t
random_below(void *ctx, uint32_t bound)
{
	(void)ctx;
	return arc4random_uniform(bound);
}

static const struct plan_random leg_random = {.below = random_below};

/* ---- from step to step ---- */

static void
log_skipped(const struct leg *leg, const struct plan_entry *entry, const char *text)
{
	char route[FATE_ROUTE_MAX];

	log_event(leg->context->log, LOG_LEVEL_NOTICE, leg->load.envelope->id, "skipped",
		  LOG_S("route", fate_route_text(leg_entry_route(entry), route)),
		  LOG_S("remote", entry->host), LOG_S("reason", text));
}

static void
host_found(void *ctx, const struct lookup_hosts *answer)
{
	struct leg *leg = ctx;
	struct plan_entry hop;
	struct netaddr *sources = NULL;
	char text[512];

	leg->lookup = NULL;
	(void)plan_next(leg->plan, &hop); /* still the one whose addresses are asked for */
	if (answer->status == LOOKUP_OK) {
		if (answer->count > 1 && plan_wants_sources(leg->plan)) {
			sources = xreallocarray(NULL, answer->count, sizeof *sources);
			sources_find(answer->addresses, answer->count, sources);
		}
		plan_addresses(leg->plan, answer->addresses, sources, answer->count);
		free(sources);
		leg_next(leg);
		return;
	}
	if (leg->implicit_mx && answer->status != LOOKUP_FAILED) {
		(void)snprintf(text, sizeof text,
			       "the domain %s has neither a mail exchanger nor an address",
			       hop.host);
		leg_note(leg, &hop, "5.1.2", text);
		leg_close(leg, FATE_FAILED);
		return;
	}
	(void)snprintf(text, sizeof text, "no address for %s: %s", hop.host,
		       answer->status == LOOKUP_NXDOMAIN ? "the name does not exist"
		       : answer->status == LOOKUP_NONE   ? "the name has no A or AAAA record"
							 : answer->why);
	if (leg->context->stats != NULL && leg_entry_route(&hop) != 0)
		stats_add(leg->context->stats, leg_entry_route(&hop),
			  &(struct stats_try){.deferred = leg->count},
			  loop_now_ms(leg->context->loop));
	leg_note(leg, &hop, answer->status == LOOKUP_FAILED ? "4.4.3" : "4.4.4", text);
	log_skipped(leg, &hop, text);
	plan_addresses(leg->plan, NULL, NULL, 0);
	leg_next(leg);
}

/* An address with no local IP of its family: worth a word only where its hop has nothing else. */
static void
leg_skip(struct leg *leg, const struct plan_entry *entry)
{
	static const char text[] = "no local IP has the family of the remote's addresses";
	char address[NETADDR_TEXT_MAX];

	if (entry->skip == PLAN_SKIP_FAMILY && !plan_hop_has_way(leg->plan)) {
		if (leg->hops_without_way > entry->hop)
			return;
		leg->hops_without_way = entry->hop + 1;
		leg_note(leg, entry, "4.4.4", text);
		log_skipped(leg, entry, text);
		return;
	}
	log_event(leg->context->log, LOG_LEVEL_DEBUG, leg->load.envelope->id, "passed-over",
		  LOG_S("remote", netaddr_text_port(&entry->remote, address)),
		  LOG_S("reason", plan_skip_text(entry->skip)));
}

void
leg_next(struct leg *leg)
{
	struct plan_entry entry;

	leg->view.now_ms = loop_now_ms(leg->context->loop);
	while (leg->count > 0) {
		switch (plan_next(leg->plan, &entry)) {
		case PLAN_ADDRESSES:
			leg->lookup =
			    resolver_hosts(leg->context->resolver, entry.host, host_found, leg);
			return;
		case PLAN_TRY:
			leg_send(leg, &entry);
			return;
		case PLAN_SKIP:
			leg_skip(leg, &entry);
			break;
		case PLAN_END:
			leg_close(leg, FATE_DEFERRED);
			return;
		}
	}
	leg->finished(leg->ctx);
}

/* ---- the plan ---- */

static void
leg_plan(struct leg *leg, const struct plan_host *hosts, size_t count)
{
	leg->view.health = leg->context->health;
	leg->plan = plan_new(&(struct plan_options){
	    .group = leg->group,
	    .hosts = hosts,
	    .host_count = count,
	    .local_ips = leg->context->local_ips,
	    .random = leg_random,
	    .health = {.is_suspended = health_view_is_suspended, .ctx = &leg->view},
	});
	leg_next(leg);
}

static void
mx_fail(struct leg *leg, enum fate fate, const char *status, const char *what, const char *why)
{
	char text[512];

	(void)snprintf(text, sizeof text, "the domain %s %s%s%s", leg->load.domain, what,
		       why ? ": " : "", why ? why : "");
	leg_note(leg, NULL, status, text);
	leg_close(leg, fate);
}

static void
mx_found(void *ctx, const struct lookup_mx *answer)
{
	struct leg *leg = ctx;
	struct plan_host *hosts = xreallocarray(NULL, answer->count + 1, sizeof *hosts);
	size_t count;

	leg->lookup = NULL;
	switch (exchangers_of(answer, leg->load.domain, leg->context->hostname, hosts, &count)) {
	case EXCHANGERS_NO_DOMAIN:
		mx_fail(leg, FATE_FAILED, "5.1.2", "does not exist", NULL);
		break;
	case EXCHANGERS_NULL:
		mx_fail(leg, FATE_FAILED, "5.1.10", "takes no mail (null MX)", NULL);
		break;
	case EXCHANGERS_LOOP:
		mx_fail(leg, FATE_FAILED, "5.4.6",
			"has this host as its best mail exchanger: a loop", NULL);
		break;
	case EXCHANGERS_UNKNOWN:
		mx_fail(leg, FATE_DEFERRED, "4.4.3", "can't be looked up for now", answer->why);
		break;
	case EXCHANGERS_IMPLICIT:
		leg->implicit_mx = true;
		leg_plan(leg, hosts, count);
		break;
	case EXCHANGERS_FOUND:
		leg_plan(leg, hosts, count);
		break;
	}
	free(hosts);
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
	char text[NETADDR_TEXT_MAX];
	struct netaddr literal;

	if (leg->group != NULL) {
		leg_plan(leg, NULL, 0);
	} else if (domain[0] != '[') {
		leg->lookup = resolver_mx(leg->context->resolver, domain, mx_found, leg);
	} else if (netaddr_parse_literal(domain, strlen(domain), &literal) == 0) {
		leg_plan(leg, &(struct plan_host){.name = netaddr_text(&literal, text)}, 1);
	} else {
		mx_fail(leg, FATE_FAILED, "5.1.2",
			"is an address literal of a kind that can't be reached", NULL);
	}
}

void
leg_free(struct leg *leg)
{
	if (leg == NULL)
		return;
	if (leg->lookup != NULL)
		lookup_cancel(leg->lookup);
	client_job_clear(&leg->errand.job);
	plan_free(leg->plan);
	free(leg->given);
	free(leg->job_recipients);
	free(leg->recipients);
	route_group_unref(leg->group);
	free(leg);
}
