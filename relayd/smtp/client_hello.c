/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From the greeting to the login: EHLO, STARTTLS (RFC 3207), EHLO again. What the server said
 * before the handshake could have been anybody's: nothing of it is kept.
 */
#include "relayd/smtp/client_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void
learn_keyword(struct features *features, const char *word, size_t len)
{
	if (len == 10 && strncasecmp(word, "PIPELINING", 10) == 0)
		features->pipelining = true;
	else if (len == 8 && strncasecmp(word, "8BITMIME", 8) == 0)
		features->eightbit = true;
	else if (len == 8 && strncasecmp(word, "STARTTLS", 8) == 0)
		features->starttls = true;
	else if (len >= 4 && strncasecmp(word, "SIZE", 4) == 0 && (len == 4 || word[4] == ' ')) {
		features->size = true;
		features->size_max = len > 5 ? strtoull(word + 5, NULL, 10) : 0;
	} else if (len > 5 && strncasecmp(word, "AUTH", 4) == 0 &&
		   (word[4] == ' ' || word[4] == '=')) {
		/* "AUTH=" is how some wrote it before RFC 2554; often beside the other. */
		strbuf_append(&features->mechanisms, word + 5, len - 5);
		strbuf_putc(&features->mechanisms, ' ');
	}
}

static void
learn_features(struct client *client)
{
	const char *at = client->reply.text.len ? client->reply.text.data : "";
	const char *end = at + client->reply.text.len;

	features_forget(&client->features);
	/* The first line is the greeting, the keywords follow (RFC 5321 §4.1.1.1). */
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		const char *next;
		size_t len;

		at++;
		next = memchr(at, '\n', (size_t)(end - at));
		len = (size_t)((next ? next : end) - at);
		while (len > 0 && at[len - 1] == ' ')
			len--;
		learn_keyword(&client->features, at, len);
	}
}

void
features_forget(struct features *features)
{
	strbuf_clear(&features->mechanisms);
	memset(features, 0, sizeof *features);
}

void
hello_begin(struct client *client)
{
	char line[300];

	client->state = CLIENT_HELLO;
	client->failure_stage = CLIENT_STAGE_HELLO;
	(void)snprintf(line, sizeof line, "EHLO %s", client->hostname);
	client_say(client, line, EXPECT_EHLO);
}

/* The server has said what it offers. */
static void
hello_done(struct client *client)
{
	bool wanted = client->tls != ROUTE_TLS_NONE && conn_tls(client->conn) == NULL;

	if (wanted && client->features.starttls) {
		client_say(client, "STARTTLS", EXPECT_STARTTLS);
	} else if (wanted && client->tls != ROUTE_TLS_MAY) {
		client->failure_stage = CLIENT_STAGE_STARTTLS;
		client_end(client, false, "4.7.4",
			   "TLS is required, and the remote server does not offer it");
	} else {
		login_begin(client);
	}
}

static void
reply_to_hello(struct client *client, enum expected what)
{
	char line[300];

	if (reply_is_positive(&client->reply)) {
		if (what == EXPECT_EHLO)
			learn_features(client);
		hello_done(client);
		return;
	}
	if (what == EXPECT_HELO || client->reply.code == 421) {
		client_refused(client, CLIENT_STAGE_HELLO, "4.4.2");
		return;
	}
	(void)snprintf(line, sizeof line, "HELO %s", client->hostname);
	client_say(client, line, EXPECT_HELO);
}

static void
reply_to_starttls(struct client *client)
{
	if (!reply_is_positive(&client->reply)) {
		client_refused(client, CLIENT_STAGE_STARTTLS, "4.7.4");
		return;
	}
	if (client->unread > 0) {
		/* Whoever put it there wants it taken for the server's word under TLS; such a
		 * connection is not to be had in the clear either. */
		client->may_fall_back = false;
		client_end(client, false, "4.7.0",
			   "the remote server sent more behind its reply to STARTTLS");
		return;
	}
	client_secure(client);
}

void
hello_reply(struct client *client, enum expected what)
{
	switch (what) {
	case EXPECT_GREETING:
		if (reply_is_positive(&client->reply))
			hello_begin(client);
		else
			client_refused(client, CLIENT_STAGE_GREETING, "4.4.2");
		break;
	case EXPECT_STARTTLS:
		reply_to_starttls(client);
		break;
	default:
		reply_to_hello(client, what);
		break;
	}
}
