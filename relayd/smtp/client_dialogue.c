/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is written, what is awaited, and which command a reply belongs to. */
#include "relayd/smtp/client_session.h"

#include <string.h>

#include "common/xalloc.h"

void
client_write(struct client *client, const void *bytes, size_t len)
{
	client->written += len;
	conn_write(client->conn, bytes, len);
}

void
client_await(struct client *client, enum expected what, unsigned slot, size_t recipient)
{
	if (client->awaited_count == client->awaited_room && client->awaited_head > 0) {
		client->awaited_count -= client->awaited_head;
		memmove(client->awaited, client->awaited + client->awaited_head,
			client->awaited_count * sizeof *client->awaited);
		client->awaited_head = 0;
	}
	if (client->awaited_count == client->awaited_room) {
		client->awaited_room = client->awaited_room ? client->awaited_room * 2 : 16;
		client->awaited =
		    xreallocarray(client->awaited, client->awaited_room, sizeof *client->awaited);
	}
	client->awaited[client->awaited_count++] =
	    (struct awaited){.what = what, .slot = slot, .recipient = recipient};
}

bool
client_awaits(const struct client *client)
{
	return client->awaited_head < client->awaited_count;
}

uint64_t
client_sent(const struct client *client)
{
	return client->written - (client->conn != NULL ? conn_pending(client->conn) : 0);
}

void
client_say(struct client *client, const char *line, enum expected what)
{
	client_write(client, line, strlen(line));
	client_write(client, "\r\n", 2);
	client_await(client, what, 0, 0);
}

void
client_wait(struct client *client)
{
	int64_t ms = client->options.idle_ms;
	unsigned i;

	if (client->state == CLIENT_CONNECTING)
		ms = client->options.connect_ms;
	else if (client->state != CLIENT_READY)
		ms = client->options.remote_command_ms;
	if (client_awaits(client)) {
		ms = client->options.remote_command_ms;
		if (client->awaited[client->awaited_head].what == EXPECT_DOT)
			ms *= 2; /* RFC 5321 §4.5.3.2.6: the longest wait of all, since giving up
				    doubles mail */
	}
	for (i = 0; i < CLIENT_SLOTS; i++)
		if (client->slots[i].phase == PHASE_BODY && client->slots[i].job != NULL)
			ms = client->options.remote_command_ms;
	conn_set_deadline(client->conn, ms);
}

static enum client_stage
awaited_stage(const struct client *client, const struct awaited *awaited)
{
	const struct slot *slot = &client->slots[awaited->slot];

	switch (awaited->what) {
	case EXPECT_GREETING:
		return CLIENT_STAGE_GREETING;
	case EXPECT_EHLO:
	case EXPECT_HELO:
		return CLIENT_STAGE_HELLO;
	case EXPECT_STARTTLS:
		return CLIENT_STAGE_STARTTLS;
	case EXPECT_AUTH:
		return CLIENT_STAGE_AUTH;
	case EXPECT_RSET:
	case EXPECT_MAIL:
		return CLIENT_STAGE_MAIL;
	case EXPECT_RCPT:
		return CLIENT_STAGE_RCPT;
	case EXPECT_DATA:
		return CLIENT_STAGE_DATA;
	case EXPECT_DOT:
		break;
	}
	return slot->phase == PHASE_DOT && client_sent(client) >= slot->dot_end ? CLIENT_STAGE_DOT
										: CLIENT_STAGE_BODY;
}

enum client_stage
client_awaited_stage(const struct client *client)
{
	return client_awaits(client) ? awaited_stage(client, &client->awaited[client->awaited_head])
				     : client->failure_stage;
}

void
client_forget(struct client *client)
{
	client->awaited_head = client->awaited_count = 0;
	client->written = 0;
	reply_reader_clear(&client->reader);
	features_forget(&client->features);
}

/* One reply is whole: it belongs to the oldest command that has none. */
static void
client_reply(struct client *client)
{
	struct awaited awaited;

	if (!client_awaits(client)) {
		/* 421 on an idle session, as a rule */
		client_refused(client,
			       client->state == CLIENT_READY ? CLIENT_STAGE_MAIL
							     : client->failure_stage,
			       "4.4.2");
		return;
	}
	awaited = client->awaited[client->awaited_head++];
	client->failure_stage = awaited_stage(client, &awaited);
	if (client->reply.code / 100 == 3 && awaited.what != EXPECT_DATA &&
	    awaited.what != EXPECT_AUTH) {
		/* It waits for something that we do not have: nothing after this can be matched. */
		client_end(client, false, "4.5.0", "a reply asks for more where nothing follows");
		return;
	}
	if (awaited.what >= EXPECT_RSET)
		transaction_reply(client, &awaited);
	else if (awaited.what == EXPECT_AUTH)
		login_reply(client);
	else
		hello_reply(client, awaited.what);
	if (client->state == CLIENT_CLOSED)
		return;
	client_wait(client);
	client_tell_ready(client);
}

size_t
client_data(void *ctx, const char *bytes, size_t len)
{
	struct client *client = ctx;
	const struct conn *conn = client->conn;
	size_t taken = 0;

	/* What is left when the connection was given up, or TLS began, is nothing of ours. */
	while (client->conn == conn && client->state != CLIENT_SECURING && taken < len) {
		size_t used;
		int got =
		    reply_read(&client->reader, bytes + taken, len - taken, &used, &client->reply);

		taken += used;
		if (got == 0)
			break;
		if (got < 0) {
			client_lost(client, false, "4.5.0", "malformed reply");
			break;
		}
		client->unread = len - taken;
		client_reply(client);
	}
	return taken;
}
