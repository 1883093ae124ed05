/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AUTH (RFC 4954), where the route has a login: with the strongest mechanism that is offered; one
 * that the server then does not take (504, 534) leads to the next. Without a yes there is no
 * session: mail of a route that has a login is never sent without it.
 *
 * Neither the login's password nor a line that carries it is ever logged or put into an error's
 * text.
 */
#include "relayd/smtp/client_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/vault.h"
#include "common/xalloc.h"

enum {
	LINE_MAX_OCTETS = 12288, /* of base64, with its CRLF: RFC 4954 §4 */
	/* A login and a password of more octets than this could make AUTH with an initial response
	 * longer than a command may be (512, RFC 5321 §4.5.3.1.4): they wait for the server's word.
	 */
	INITIAL_MAX_OCTETS = 100
};

static void login_try(struct client *client);

static void
sasl_drop(struct client *client)
{
	sasl_client_free(client->sasl);
	client->sasl = NULL;
}

void
login_forget(struct client *client)
{
	sasl_drop(client);
	vault_drop(client->password);
	client->password = NULL;
	free(client->cancelled);
	client->cancelled = NULL;
	client->reader.line_max = 0;
}

static void
login_fail(struct client *client, const char *text)
{
	client->failure_stage = CLIENT_STAGE_AUTH;
	client_end(client, false, "4.7.0", text);
}

/* The exchange can't go on: tell the server, and end when it has answered that. */
static void
login_cancel(struct client *client, const char *why)
{
	free(client->cancelled);
	client->cancelled = xstrdup(why);
	client_say(client, "*", EXPECT_AUTH);
	client_wait(client);
}

/* The line that answers a challenge. */
static void
login_answered(void *ctx, const char *answer, const struct error *why)
{
	struct client *client = ctx;

	if (answer == NULL) {
		login_cancel(client, why->text);
	} else if (strlen(answer) + 2 > LINE_MAX_OCTETS) {
		login_cancel(client, "the answer to the server's challenge is too long");
	} else {
		client_say(client, answer, EXPECT_AUTH);
		client_wait(client);
	}
}

static void
login_skip(struct client *client, const char *why)
{
	log_event(client->options.log, LOG_LEVEL_NOTICE, 0, "mechanism-refused",
		  LOG_U("route", client->route_id), LOG_S("remote", client->label),
		  LOG_S("mechanism", sasl_mechanism_name((enum sasl_mechanism)client->mechanism)),
		  LOG_S("reason", why));
	client->mechanisms_refused |= 1U << client->mechanism;
	login_try(client);
}

/* The command, with the initial response. */
static void
login_opened(void *ctx, const char *answer, const struct error *why)
{
	struct client *client = ctx;
	char *line;

	if (answer == NULL) {
		login_skip(client, why->text); /* nothing was said yet */
		return;
	}
	line = xasprintf("AUTH %s %s", sasl_mechanism_name((enum sasl_mechanism)client->mechanism),
			 answer[0] != '\0' ? answer : "=");
	client_say(client, line, EXPECT_AUTH);
	free_secret(line);
}

static void
login_none_left(struct client *client)
{
	struct strbuf text = STRBUF_INIT;

	if (client->reply.code >= 400) {
		client_refused(client, CLIENT_STAGE_AUTH, "4.7.4");
		return;
	}
	strbuf_puts(&text, "the route has a login, and the remote server offers no AUTH");
	if (client->features.mechanisms.len > 0) {
		strbuf_puts(&text, " that it could be used with: ");
		strbuf_escaped(&text, client->features.mechanisms.data,
			       client->features.mechanisms.len - 1);
	}
	login_fail(client, text.data);
	strbuf_clear(&text);
}

static void
login_try(struct client *client)
{
	const struct strbuf *offered = &client->features.mechanisms;
	struct error why;
	char line[64];

	sasl_drop(client);
	client->failure_stage = CLIENT_STAGE_AUTH;
	client->mechanism = sasl_client_choose(offered->len > 0 ? offered->data : "",
					       client->facts.verified, client->mechanisms_refused);
	if (client->mechanism < 0) {
		login_none_left(client);
		return;
	}
	client->sasl = sasl_client_new((enum sasl_mechanism)client->mechanism, client->login,
				       client->password, client->options.offload, &why);
	if (client->sasl == NULL) {
		login_skip(client, why.text);
		return;
	}
	client->sasl_begins = sasl_client_begins(client->sasl);
	if (client->sasl_begins &&
	    strlen(client->login) + strlen(client->password) <= INITIAL_MAX_OCTETS) {
		client->sasl_begins = false;
		sasl_client_answer(client->sasl, "", login_opened, client);
		return;
	}
	(void)snprintf(line, sizeof line, "AUTH %s",
		       sasl_mechanism_name((enum sasl_mechanism)client->mechanism));
	client_say(client, line, EXPECT_AUTH);
}

void
login_begin(struct client *client)
{
	if (client->login == NULL) {
		client_become_ready(client);
		return;
	}
	if (conn_tls(client->conn) == NULL && !client->clear_login) {
		login_fail(client, "the route has a login, and that is not sent without TLS");
		return;
	}
	client->reader.line_max = LINE_MAX_OCTETS;
	login_try(client);
}

/* What the server says may end up in logs and reports; some repeat the line they don't like. */
static void
login_mask(struct strbuf *text, const char *secret)
{
	size_t len = secret != NULL ? strlen(secret) : 0;
	char *at;

	if (len == 0 || text->len == 0)
		return;
	while ((at = memmem(text->data, text->len, secret, len)) != NULL)
		memset(at, '*', len);
}

static void
login_challenged(struct client *client)
{
	const struct strbuf *text = &client->reply.text;
	const char *challenge = text->len > 0 ? text->data : "";

	if (client->sasl_begins) {
		client->sasl_begins = false;
		sasl_client_answer(client->sasl, "", login_answered, client);
	} else if (sasl_client_is_complete(client->sasl)) {
		login_cancel(client, "the remote server asks for more than its mechanism has");
	} else {
		sasl_client_answer(client->sasl, challenge, login_answered, client);
	}
}

void
login_reply(struct client *client)
{
	const struct reply *reply = &client->reply;
	char *cancelled = client->cancelled;

	if (cancelled != NULL) {
		client->cancelled = NULL;
		login_fail(client, cancelled);
		free(cancelled);
		return;
	}
	if (reply->code == 334) {
		login_challenged(client);
		return;
	}
	login_mask(&client->reply.text, client->password);
	login_mask(&client->reply.text, sasl_client_last_line(client->sasl));
	if (reply->code / 100 == 3) {
		login_fail(client, "a reply asks for more where nothing follows");
	} else if (reply_is_positive(reply)) {
		if (!sasl_client_is_complete(client->sasl)) {
			login_fail(client, "the remote server said yes before the end of AUTH");
			return;
		}
		(void)snprintf(client->facts.auth, sizeof client->facts.auth, "%s",
			       sasl_mechanism_name((enum sasl_mechanism)client->mechanism));
		client_become_ready(client);
	} else if (reply->code == 504 || reply->code == 534) {
		struct strbuf line = STRBUF_INIT;

		reply_line(reply, &line);
		login_skip(client, line.data);
		strbuf_clear(&line);
	} else {
		client_refused(client, CLIENT_STAGE_AUTH, "4.7.8");
	}
}
