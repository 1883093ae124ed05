/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The session's life: its connection (or, where TLS fails and may, its two), its end, and the jobs
 * it is given.
 */
#include "relayd/smtp/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/vault.h"
#include "common/xalloc.h"
#include "relayd/smtp/client_session.h"

enum { QUIT_LINGER_MS = 5000 };

/* ---- its end ---- */

/* Give back every job of a session that is over; oldest first. */
static void
slots_give_back(struct client *client, bool dropped, uint64_t sent, const char *status,
		const char *text)
{
	struct client_job *job = client->refused;
	unsigned round, i;

	if (job != NULL) {
		client->refused = NULL;
		timer_cancel(client->later);
		job->finished(job->ctx, job);
	}
	for (round = 0; round < CLIENT_SLOTS; round++) {
		struct slot *slot = NULL;
		bool untouched;

		for (i = 0; i < CLIENT_SLOTS; i++)
			if (client->slots[i].job != NULL &&
			    (slot == NULL || client->slots[i].phase > slot->phase))
				slot = &client->slots[i];
		if (slot == NULL)
			return;
		job = slot->job;
		untouched = dropped && slot->piped && !slot->heard && slot->phase != PHASE_DOT;
		if (slot->phase == PHASE_DOT && sent >= slot->dot_end)
			client_job_settle(job, CLIENT_UNCERTAIN, CLIENT_STAGE_DOT,
					  client->failure_is_reply, status, text);
		slot_release(slot);
		if (untouched) {
			client->events->returned(client->ctx, job);
			continue;
		}
		client_job_settle(job, CLIENT_TEMPORARY, client->failure_stage,
				  client->failure_is_reply, status, text);
		job->finished(job->ctx, job);
	}
}

void
client_leave(struct client *client)
{
	client_write(client, "QUIT\r\n", 6);
	conn_finish(client->conn, QUIT_LINGER_MS);
	client->conn = NULL;
}

static bool
client_failed_at(const struct client *client, enum client_stage stage)
{
	return client->failure_stage == stage &&
	       (client->state == CLIENT_HELLO || client->state == CLIENT_SECURING);
}

static void
client_warn(const struct client *client, const char *reason)
{
	if (client_failed_at(client, CLIENT_STAGE_AUTH))
		log_event(client->options.log, LOG_LEVEL_WARNING, 0, "login-failed",
			  LOG_U("route", client->route_id), LOG_S("remote", client->label),
			  LOG_S("mechanism",
				client->mechanism < 0
				    ? NULL
				    : sasl_mechanism_name((enum sasl_mechanism)client->mechanism)),
			  LOG_S("reason", reason));
	if (client_failed_at(client, CLIENT_STAGE_STARTTLS) ||
	    client_failed_at(client, CLIENT_STAGE_TLS))
		log_event(client->options.log, LOG_LEVEL_WARNING, 0, "tls-failed",
			  LOG_U("route", client->route_id), LOG_S("remote", client->label),
			  LOG_S("policy", route_tls_name(client->tls)),
			  LOG_S("stage", client_stage_name(client->failure_stage)),
			  LOG_S("reason", reason));
}

void
client_end(struct client *client, bool dropped, const char *status, const char *text)
{
	uint64_t sent;

	if (client->state == CLIENT_CLOSED)
		return;
	if (client->may_fall_back && (client_failed_at(client, CLIENT_STAGE_STARTTLS) ||
				      client_failed_at(client, CLIENT_STAGE_TLS))) {
		client_fall_back(client, text);
		return;
	}
	client_warn(client, text);
	login_forget(client);
	sent = client_sent(client);
	client->state = CLIENT_CLOSED;
	free(client->failure_text);
	client->failure_text = xstrdup(text);
	(void)snprintf(client->failure_status, sizeof client->failure_status, "%s", status);
	if (client->conn != NULL)
		conn_free(client->conn);
	client->conn = NULL;
	slots_give_back(client, dropped, sent, status, text);
	client->events->ended(client->ctx);
}

void
client_lost(struct client *client, bool dropped, const char *status, const char *text)
{
	client->failure_stage = client_awaited_stage(client);
	client_end(client, dropped, status, text);
}

void
client_refused(struct client *client, enum client_stage stage, const char *status)
{
	struct strbuf line = STRBUF_INIT;

	client->failure_stage = stage;
	client->failure_is_reply = true;
	reply_line(&client->reply, &line);
	client_end(client, false, client->reply.status[0] == '4' ? client->reply.status : status,
		   line.data);
	strbuf_clear(&line);
}

/* ---- the connection ---- */

void
client_await_greeting(struct client *client)
{
	client->state = CLIENT_GREETING;
	client->failure_stage = CLIENT_STAGE_GREETING;
	client_await(client, EXPECT_GREETING, 0, 0);
	client_wait(client);
}

static void
client_connected(void *ctx)
{
	struct client *client = ctx;

	if (client->tls == ROUTE_TLS_IMPLICIT)
		client_secure(client);
	else
		client_await_greeting(client);
}

static void
client_drained(void *ctx)
{
	struct client *client = ctx;
	struct slot *slot = client_sending(client);

	if (slot == NULL || slot->phase != PHASE_BODY)
		return;
	client_wait(client);
	body_pump(client, slot);
}

static void
client_closed(void *ctx, const struct error *why)
{
	struct client *client = ctx;
	const char *status = client->state == CLIENT_CONNECTING ? "4.4.1"
			     : client->state == CLIENT_SECURING ? "4.7.5"
								: "4.4.2";

	if (why != NULL)
		client_lost(client, client->state == CLIENT_READY, status, why->text);
	else
		client_lost(client, true, status, "the remote server closed the connection");
}

static void
client_timed_out(void *ctx)
{
	struct client *client = ctx;

	if (client->state == CLIENT_READY && client_is_idle(client)) {
		client_leave(client);
		client_end(client, true, "2.0.0", "idle");
	} else if (client->state == CLIENT_CONNECTING) {
		client_lost(client, false, "4.4.1", "connection timed out");
	} else if (client->state == CLIENT_SECURING) {
		client_lost(client, false, "4.7.5", "timed out during the TLS handshake");
	} else {
		client_lost(client, false, "4.4.2", "timed out waiting for a reply");
	}
}

static const struct conn_events client_conn_events = {
    .connected = client_connected,
    .secured = client_secured,
    .data = client_data,
    .drained = client_drained,
    .closed = client_closed,
    .timed_out = client_timed_out,
};

int
client_connect(struct client *client, struct error *why)
{
	client->state = CLIENT_CONNECTING;
	client->failure_stage = CLIENT_STAGE_CONNECT;
	client->conn = conn_connect(client->options.loop, &client->remote,
				    client->local.family == AF_UNSPEC ? NULL : &client->local, NULL,
				    &client_conn_events, client, why);
	if (client->conn == NULL)
		return -1;
	conn_set_deadline(client->conn, client->options.connect_ms);
	return 0;
}

/* ---- the owner's side ---- */

void
client_become_ready(struct client *client)
{
	login_forget(client);
	client->greeted = true;
	client->state = CLIENT_READY;
}

void
client_tell_ready(struct client *client)
{
	if (client_can_take(client))
		client->events->ready(client->ctx);
}

static void
client_give_refused(void *ctx)
{
	struct client *client = ctx;
	struct client_job *job = client->refused;

	client->refused = NULL;
	job->finished(job->ctx, job);
	client_tell_ready(client);
}

static char *
target_label(const struct client_target *target)
{
	char text[NETADDR_TEXT_MAX];

	if (target->name == NULL)
		return xstrdup(netaddr_text_port(&target->remote, text));
	return xasprintf("%s[%s]:%u", target->name, netaddr_text(&target->remote, text),
			 (unsigned)target->remote.port);
}

struct client *
client_new(const struct client_options *options, const struct client_target *target,
	   const struct client_events *events, void *ctx, struct error *why)
{
	struct client *client = xcalloc(1, sizeof *client);

	client->options = *options;
	client->hostname = xstrdup(options->hostname);
	client->events = events;
	client->ctx = ctx;
	client->remote = target->remote;
	client->local = target->local;
	client->name = xstrdup(target->name);
	client->label = target_label(target);
	client->tls = target->tls;
	client->may_fall_back = target->tls == ROUTE_TLS_MAY;
	client->login = xstrdup(target->login);
	client->password = vault_keep(target->password);
	client->clear_login = target->clear_login;
	client->route_id = target->route_id;
	client->mechanism = -1;
	client->later = timer_new(options->loop, client_give_refused, client);
	if (options->trust != NULL)
		client->options.trust = tls_trust_keep(options->trust);
	if (client_connect(client, why) == 0)
		return client;
	client_free(client);
	return NULL;
}

bool
client_can_take(const struct client *client)
{
	unsigned i, waiting = 0;

	if (client->state != CLIENT_READY || client->refused != NULL)
		return false;
	for (i = 0; i < CLIENT_SLOTS; i++) {
		if (client->slots[i].job == NULL)
			continue;
		if (client->slots[i].phase != PHASE_DOT)
			return false;
		waiting++;
	}
	return waiting == 0 || (waiting < CLIENT_SLOTS && client->features.pipelining);
}

static bool
client_must_refuse(const struct client *client, struct client_job *job)
{
	const struct envelope *env = job->envelope;
	char text[160];

	if (env->has_8bit && !client->features.eightbit) {
		client_job_settle(
		    job, CLIENT_PERMANENT, CLIENT_STAGE_MAIL, false, "5.6.3",
		    "the message holds 8-bit data and the remote server does not offer 8BITMIME");
		return true;
	}
	if (client->features.size && client->features.size_max > 0 &&
	    env->size > client->features.size_max) {
		(void)snprintf(
		    text, sizeof text, "the message has %llu octets, the remote server takes %llu",
		    (unsigned long long)env->size, (unsigned long long)client->features.size_max);
		client_job_settle(job, CLIENT_PERMANENT, CLIENT_STAGE_MAIL, false, "5.3.4", text);
		return true;
	}
	return false;
}

void
client_take(struct client *client, struct client_job *job)
{
	if (!client_can_take(client))
		fatal("smtp client: given a job it can't take");
	job->facts = client->facts;
	if (client_must_refuse(client, job)) {
		client->refused = job;
		timer_set(client->later, 0);
		return;
	}
	transaction_begin(client, &client->slots[client->slots[0].job == NULL ? 0 : 1], job);
}

bool
client_is_idle(const struct client *client)
{
	unsigned i;

	for (i = 0; i < CLIENT_SLOTS; i++)
		if (client->slots[i].job != NULL)
			return false;
	return client->state == CLIENT_READY && client->refused == NULL;
}

const struct client_facts *
client_facts(const struct client *client)
{
	return &client->facts;
}

bool
client_was_greeted(const struct client *client)
{
	return client->greeted;
}

bool
client_is_connected(const struct client *client)
{
	return client->state != CLIENT_CONNECTING;
}

enum client_stage
client_failure_stage(const struct client *client)
{
	return client->failure_stage;
}

bool
client_failure_is_reply(const struct client *client)
{
	return client->failure_is_reply;
}

const char *
client_failure_text(const struct client *client)
{
	return client->failure_text != NULL ? client->failure_text : "";
}

const char *
client_failure_status(const struct client *client)
{
	return client->failure_status;
}

void
client_quit(struct client *client)
{
	if (client->conn != NULL && client->state == CLIENT_READY)
		client_leave(client);
	client_free(client);
}

void
client_free(struct client *client)
{
	unsigned i;

	if (client == NULL)
		return;
	if (client->conn != NULL)
		conn_free(client->conn);
	for (i = 0; i < CLIENT_SLOTS; i++)
		slot_release(&client->slots[i]);
	timer_free(client->later);
	login_forget(client);
	client_forget(client);
	reply_clear(&client->reply);
	tls_trust_free(client->options.trust);
	free(client->awaited);
	free(client->failure_text);
	free(client->hostname);
	free(client->login);
	free(client->name);
	free(client->label);
	free(client);
}
