/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message itself, on its way from the spool to the connection. */
#include "relayd/smtp/client_session.h"

#include <string.h>

enum { BODY_AHEAD = 256 * 1024 /* bytes of a body that may wait in the connection */ };

/* Double the dots that begin a line (RFC 5321 §4.5.2). */
static void
body_write(struct client *client, struct slot *slot, const char *bytes, size_t len)
{
	const char *from = bytes, *end = bytes + len;

	if (len == 0)
		return;
	if (slot->line_start && bytes[0] == '.')
		client_write(client, ".", 1);
	while (from < end) {
		const char *hit = memmem(from, (size_t)(end - from), "\n.", 2);

		if (hit == NULL) {
			client_write(client, from, (size_t)(end - from));
			break;
		}
		client_write(client, from, (size_t)(hit + 1 - from));
		client_write(client, ".", 1);
		from = hit + 1;
		/* The dot itself goes out with the next stretch; memmem can't find this line end
		 * again. */
	}
	slot->line_start = end[-1] == '\n';
}

static void
body_end(struct client *client, struct slot *slot)
{
	if (!slot->line_start)
		client_write(client, "\r\n", 2);
	client_write(client, ".\r\n", 3);
	slot->dot_end = client->written;
	slot->phase = PHASE_DOT;
	client_wait(client);
	client_tell_ready(client);
}

static void
body_got(void *ctx, const char *bytes, size_t len, const struct error *why)
{
	struct client *client = ctx;
	struct slot *slot = client_sending(client);

	if (slot == NULL || client->state == CLIENT_CLOSED)
		return;
	slot->reading = false;
	if (why != NULL) {
		/* Cut before the dot: nothing of a message that can't be read whole may be
		 * completed. */
		log_event(client->options.log, LOG_LEVEL_ERROR, slot->job->envelope->id,
			  "unreadable", LOG_S("reason", why->text));
		client_job_settle(slot->job, CLIENT_LOCAL, CLIENT_STAGE_BODY, false, "4.3.0",
				  why->text);
		client->failure_stage = CLIENT_STAGE_BODY;
		client_end(client, false, "4.3.0", why->text);
		return;
	}
	if (len == 0) {
		body_end(client, slot);
		return;
	}
	body_write(client, slot, bytes, len);
	if (!slot->pumping)
		body_pump(client, slot);
}

/* Ask for pieces while the connection takes them. A piece may be there before the call returns. */
void
body_pump(struct client *client, struct slot *slot)
{
	slot->pumping = true;
	while (client->state == CLIENT_READY && slot->phase == PHASE_BODY && !slot->reading &&
	       conn_pending(client->conn) < BODY_AHEAD) {
		slot->reading = true;
		spool_reader_next(slot->reader, body_got, client);
	}
	slot->pumping = false;
}

void
body_begin(struct client *client, struct slot *slot)
{
	struct error why;

	slot->reader = spool_reader_new(client->options.spool, slot->job->envelope, &why);
	if (slot->reader == NULL) {
		client_job_settle(slot->job, CLIENT_LOCAL, CLIENT_STAGE_BODY, false, "4.3.0",
				  why.text);
		client_end(client, false, "4.3.0", why.text);
		return;
	}
	slot->phase = PHASE_BODY;
	slot->line_start = true;
	client_await(client, EXPECT_DOT, slot_index(client, slot), 0);
	client_wait(client);
	body_pump(client, slot);
}
