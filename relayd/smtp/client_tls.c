/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The handshake, and what follows where it fails and may: the same address once more, in the clear.
 */
#include "relayd/smtp/client_session.h"

#include <stdio.h>

void
client_secure(struct client *client)
{
	char key[NETADDR_TEXT_MAX], address[NETADDR_TEXT_MAX];
	const struct conn_tls_start start = {
	    .trust = client->options.trust,
	    .name = client->name != NULL ? client->name : netaddr_text(&client->remote, address),
	    .verify = client->tls == ROUTE_TLS_VERIFY || client->tls == ROUTE_TLS_IMPLICIT,
	    .session_key = netaddr_text_port(&client->remote, key)};
	struct error why;

	client->state = CLIENT_SECURING;
	client->failure_stage = CLIENT_STAGE_TLS;
	if (start.trust == NULL)
		client_end(client, false, "4.7.5", "there is nothing to check certificates with");
	else if (conn_start_tls(client->conn, &start, &why) != 0)
		client_end(client, false, "4.7.5", why.text);
	else
		client_wait(client);
}

void
client_secured(void *ctx)
{
	struct client *client = ctx;
	const struct tls_facts *facts = conn_tls(client->conn);

	(void)snprintf(client->facts.tls, sizeof client->facts.tls, "%s", facts->version);
	(void)snprintf(client->facts.cipher, sizeof client->facts.cipher, "%s", facts->cipher);
	client->facts.verified = facts->verified;
	client->may_fall_back = false;
	client_forget(client);
	if (client->tls == ROUTE_TLS_IMPLICIT) {
		client_await_greeting(client);
		return;
	}
	hello_begin(client);
	client_wait(client);
}

void
client_fall_back(struct client *client, const char *reason)
{
	struct error why;

	log_event(client->options.log, LOG_LEVEL_NOTICE, 0, "tls-failed",
		  LOG_U("route", client->route_id), LOG_S("remote", client->label),
		  LOG_S("policy", route_tls_name(client->tls)),
		  LOG_S("stage", client_stage_name(client->failure_stage)), LOG_S("reason", reason),
		  LOG_S("next", "in-the-clear"));
	client->may_fall_back = false;
	client->tls = ROUTE_TLS_NONE;
	if (client->failure_is_reply && client->reply.code != 421)
		client_leave(client);
	else
		conn_free(client->conn);
	client->conn = NULL;
	client->failure_is_reply = false;
	client_forget(client);
	if (client_connect(client, &why) != 0)
		client_end(client, false, "4.4.1", why.text);
}
