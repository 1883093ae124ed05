/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/hop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/netaddr.h"
#include "common/xalloc.h"

/* ---- idle ones ---- */

void
session_unlink_idle(struct session *session)
{
	if (session->idle) {
		TAILQ_REMOVE(&session->hop->hops->quota.idle, session, idle_of_all);
		TAILQ_REMOVE(&session->hop->host->quota.idle, session, idle_of_host);
	}
	session->idle = false;
}

void
session_mark_idle(struct session *session)
{
	if (session->idle || !client_is_idle(session->client))
		return;
	session->idle = true;
	TAILQ_INSERT_TAIL(&session->hop->hops->quota.idle, session, idle_of_all);
	TAILQ_INSERT_TAIL(&session->hop->host->quota.idle, session, idle_of_host);
	hop_call_lines(session->hop);
}

/* ---- what is known of a host's health ---- */

static void
log_health(const struct hop *hop, const char *event, int64_t for_ms, const char *reason)
{
	char remote[NETADDR_TEXT_MAX], local[NETADDR_TEXT_MAX];
	bool own = hop->target.local.family != AF_UNSPEC;
	char for_s[24];

	(void)snprintf(for_s, sizeof for_s, "%llds", (long long)(for_ms + 999) / 1000);
	log_event(hop->hops->options.client.log, LOG_LEVEL_NOTICE, 0, event,
		  LOG_S("remote", netaddr_text_port(&hop->target.remote, remote)),
		  LOG_S("local", own ? netaddr_text(&hop->target.local, local) : NULL),
		  LOG_S("for", for_ms > 0 ? for_s : NULL), LOG_S("reason", reason));
}

/* A connection that was refused or not answered. While others stand, it was one too many, and the
 * host is well. */
static void
hop_note_sick(const struct hop *hop, const char *reason)
{
	struct health *health = hop->hops->options.health;
	const struct client_target *target = &hop->target;
	int64_t now_ms = hops_now_ms(hop->hops), until_ms;

	if (health == NULL || hop->host->quota.used > hop->host->opening)
		return;
	until_ms = health_failed(health, &target->remote, &target->local, reason, now_ms);
	if (until_ms != 0)
		log_health(hop, "remote-suspended", until_ms - now_ms, reason);
}

static void
hop_note_well(const struct hop *hop)
{
	struct health *health = hop->hops->options.health;

	if (health != NULL && health_succeeded(health, &hop->target.remote, &hop->target.local))
		log_health(hop, "remote-recovered", 0, NULL);
}

static void
hop_note_trying(const struct hop *hop)
{
	const struct hops_options *options = &hop->hops->options;
	int64_t now_ms = hops_now_ms(hop->hops);

	if (options->health != NULL)
		health_trying(options->health, &hop->target.remote, &hop->target.local, now_ms,
			      now_ms + options->client.connect_ms);
}

/* ---- a session's life ---- */

static void
session_leave(struct session *session)
{
	struct hop *hop = session->hop;

	session_unlink_idle(session);
	LIST_REMOVE(session, link);
	hop->session_count--;
	hop->host->quota.used--;
	hop->hops->quota.used--;
	if (hop->session_count == 0)
		hop_end_race(hop);
}

static void
session_opened(struct session *session)
{
	if (session->opening) {
		session->hop->opening--;
		session->hop->host->opening--;
	}
	session->opening = false;
}

static void
session_ready(void *ctx)
{
	struct session *session = ctx;

	if (session->opening) {
		session_opened(session);
		hop_end_race(session->hop);
		hop_note_well(session->hop);
	}
	if (session->hop->waiting_count > 0)
		hop_due(session->hop);
	else
		session_mark_idle(session);
}

static void
session_returned(void *ctx, struct client_job *job)
{
	struct session *session = ctx;
	struct errand *errand = errand_of(job);

	hop_enqueue(session->hop, errand, errand->number, true);
}

static void
session_ended(void *ctx)
{
	struct session *session = ctx;
	struct hop *hop = session->hop;
	const struct client *client = session->client;
	struct errand_refusal refusal;

	session_opened(session);
	session_leave(session);
	hop_call_lines(hop);
	LIST_INSERT_HEAD(&hop->hops->ended, session, link);
	timer_set(hop->hops->serve, 0);
	if (!client_was_greeted(client)) {
		refusal = (struct errand_refusal){
		    .stage = client_failure_stage(client),
		    .is_reply = client_failure_is_reply(client),
		    .status = client_failure_status(client),
		    .text = client_failure_text(client),
		};
		if (refusal.stage == CLIENT_STAGE_CONNECT)
			hop_note_sick(hop, refusal.text);
		else
			hop_note_well(hop);
		hop_refused(hop, &refusal);
	}
	hop_due(hop);
}

static const struct client_events session_events = {
    .ready = session_ready,
    .ended = session_ended,
    .returned = session_returned,
};

/* Failures that say something of this host, not of the remote one. */
static bool
is_own_trouble(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOBUFS || sys == ENOMEM ||
	       sys == EADDRINUSE || sys == EADDRNOTAVAIL;
}

static void
session_failed_at_once(struct hop *hop, const struct error *why)
{
	const struct errand_refusal refusal = {
	    .stage = CLIENT_STAGE_CONNECT,
	    .absent = why->sys == EADDRNOTAVAIL && hop->target.local.family != AF_UNSPEC,
	    .status = "4.4.1",
	    .text = why->text,
	};

	if (!is_own_trouble(why->sys))
		hop_note_sick(hop, why->text);
	hop_refused(hop, &refusal);
}

int
session_open(struct hop *hop)
{
	struct hops *hops = hop->hops;
	struct session *session = xcalloc(1, sizeof *session);
	struct error why = {.code = ERROR_NONE};

	session->hop = hop;
	session->opening = true;
	session->client =
	    client_new(&hops->options.client, &hop->target, &session_events, session, &why);
	if (session->client == NULL) {
		free(session);
		session_failed_at_once(hop, &why);
		return -1;
	}
	LIST_INSERT_HEAD(&hop->sessions, session, link);
	hop->session_count++;
	hop->opening++;
	hop->host->opening++;
	hop->host->quota.used++;
	hops->quota.used++;
	hop_note_trying(hop);
	hop_begin_race(hop);
	return 0;
}

void
session_take(struct session *session)
{
	session_unlink_idle(session);
	session->taken++;
	client_take(session->client, hop_dequeue(session->hop));
}

void
session_quit(struct session *session)
{
	session_leave(session);
	client_quit(session->client);
	free(session);
}

void
session_cut(struct session *session)
{
	session_opened(session);
	session_leave(session);
	client_free(session->client);
	free(session);
}

/* The oldest stays: it will tell whether the host is there. */
void
hop_cut_surplus(struct hop *hop)
{
	size_t wanted = hop_needs(hop);

	while (hop->opening > wanted && hop->opening > 1) {
		struct session *youngest = LIST_FIRST(&hop->sessions);

		session_cut(youngest);
		hop_call_lines(hop);
	}
}
