/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * MAIL, RCPT and DATA: written one after the other, or all at once where the server pipelines
 * (RFC 2920); and what their replies mean for the recipients.
 */
#include "relayd/smtp/client_session.h"

#include <string.h>

void
slot_release(struct slot *slot)
{
	if (slot->reader != NULL)
		spool_reader_free(slot->reader);
	memset(slot, 0, sizeof *slot);
}

/* Every recipient has its verdict: hand the job back. */
static void
slot_finish(struct client *client, struct slot *slot)
{
	struct client_job *job = slot->job;

	slot_release(slot);
	client->served++;
	job->finished(job->ctx, job);
}

/* The verdict that a refusal means, for one recipient or (index < 0) all that are open. */
static void
slot_refuse(struct client *client, struct slot *slot, enum client_stage stage,
	    const struct client_recipient *one)
{
	const struct reply *reply = &client->reply;
	enum client_verdict verdict =
	    reply_is_permanent(reply) ? CLIENT_PERMANENT : CLIENT_TEMPORARY;
	struct strbuf line = STRBUF_INIT;
	size_t i;

	/* RFC 5321 §4.5.3.1.10: "too many recipients" may come as 552, and is not for good then. */
	if (stage == CLIENT_STAGE_RCPT && reply->code == 552 && strcmp(reply->status, "5.5.3") == 0)
		verdict = CLIENT_TEMPORARY;
	reply_line(reply, &line);
	for (i = 0; i < slot->job->count; i++)
		if (one == NULL || one == &slot->job->recipients[i])
			client_recipient_settle(&slot->job->recipients[i], verdict, stage, true,
						reply->status, line.data);
	strbuf_clear(&line);
}

/* ---- writing ---- */

struct slot *
client_sending(struct client *client)
{
	unsigned i;

	for (i = 0; i < CLIENT_SLOTS; i++)
		if (client->slots[i].job != NULL && client->slots[i].phase != PHASE_DOT)
			return &client->slots[i];
	return NULL;
}

unsigned
slot_index(const struct client *client, const struct slot *slot)
{
	return (unsigned)(slot - client->slots);
}

static void
write_mail(struct client *client, struct slot *slot)
{
	const struct envelope *env = slot->job->envelope;
	struct strbuf line = STRBUF_INIT;

	strbuf_printf(&line, "MAIL FROM:<%s>", env->sender);
	if (client->features.size)
		strbuf_printf(&line, " SIZE=%llu", (unsigned long long)env->size);
	if (env->has_8bit)
		strbuf_puts(&line, " BODY=8BITMIME");
	strbuf_puts(&line, "\r\n");
	client_write(client, line.data, line.len);
	client_await(client, EXPECT_MAIL, slot_index(client, slot), 0);
	strbuf_clear(&line);
}

static void
write_rcpt(struct client *client, struct slot *slot)
{
	struct strbuf line = STRBUF_INIT;

	strbuf_printf(&line, "RCPT TO:<%s>\r\n", slot->job->recipients[slot->next].address);
	client_write(client, line.data, line.len);
	client_await(client, EXPECT_RCPT, slot_index(client, slot), slot->next);
	strbuf_clear(&line);
}

/* Write the commands that may be written now: all of them where the peer pipelines, else the next
 * one. */
static void
transaction_advance(struct client *client, struct slot *slot)
{
	do {
		switch (slot->phase) {
		case PHASE_RSET:
			client->stale_rset = false;
			client_write(client, "RSET\r\n", 6);
			client_await(client, EXPECT_RSET, slot_index(client, slot), 0);
			slot->phase = PHASE_MAIL;
			break;
		case PHASE_MAIL:
			write_mail(client, slot);
			slot->phase = PHASE_RCPT;
			break;
		case PHASE_RCPT:
			write_rcpt(client, slot);
			if (++slot->next == slot->job->count)
				slot->phase = PHASE_DATA;
			break;
		case PHASE_DATA:
			client_write(client, "DATA\r\n", 6);
			client_await(client, EXPECT_DATA, slot_index(client, slot), 0);
			slot->phase = PHASE_GO_AHEAD;
			break;
		default:
			return;
		}
	} while (client->features.pipelining);
}

/* ---- replies ---- */

/* All recipients were refused, or DATA was: nothing will be sent. The next transaction begins with
 * RSET. */
static void
slot_give_up(struct client *client, struct slot *slot)
{
	client->stale_rset = true;
	slot_finish(client, slot);
}

static void
reply_to_rset(struct client *client, struct slot *slot)
{
	if (!reply_is_positive(&client->reply)) {
		/* What the last transaction left there might swallow this one. */
		client_end(client, true, "4.5.0", "the reply to RSET is a refusal");
		return;
	}
	if (!client->features.pipelining)
		transaction_advance(client, slot);
}

static void
reply_to_mail(struct client *client, struct slot *slot)
{
	if (!reply_is_positive(&client->reply)) {
		slot_refuse(client, slot, CLIENT_STAGE_MAIL, NULL);
		if (!client->features.pipelining) {
			slot_give_up(client, slot);
			return;
		}
	}
	if (!client->features.pipelining)
		transaction_advance(client, slot);
}

static void
reply_to_rcpt(struct client *client, struct slot *slot, size_t recipient)
{
	slot->answered++;
	if (!reply_is_positive(&client->reply))
		slot_refuse(client, slot, CLIENT_STAGE_RCPT, &slot->job->recipients[recipient]);
	if (client->features.pipelining)
		return;
	if (slot->phase == PHASE_DATA && client_job_open(slot->job) == 0)
		slot_give_up(client, slot);
	else
		transaction_advance(client, slot);
}

static void
reply_to_data(struct client *client, struct slot *slot)
{
	if (client->reply.code == 354) {
		if (client_job_open(slot->job) > 0) {
			body_begin(client, slot);
			return;
		}
		/* Everyone was refused and it wants the message all the same: to end it with a dot
		 * could make an empty message of it somewhere, so the session is cut. */
		client_end(client, false, "4.5.0", "354 after every recipient was refused");
		return;
	}
	if (client->reply.code < 400) {
		client_end(client, false, "4.5.0",
			   "the reply to DATA is neither 354 nor a refusal");
		return;
	}
	slot_refuse(client, slot, CLIENT_STAGE_DATA, NULL);
	slot_give_up(client, slot);
}

static void
reply_to_dot(struct client *client, struct slot *slot)
{
	struct strbuf line = STRBUF_INIT;
	bool early = slot->phase != PHASE_DOT || client_sent(client) < slot->dot_end;

	if (!reply_is_positive(&client->reply)) {
		slot_refuse(client, slot, early ? CLIENT_STAGE_BODY : CLIENT_STAGE_DOT, NULL);
	} else if (!early) {
		reply_line(&client->reply, &line);
		client_job_settle(slot->job, CLIENT_ACCEPTED, CLIENT_STAGE_DOT, true,
				  client->reply.status, line.data);
		strbuf_clear(&line);
	}
	if (early) {
		/* A reply before the message was whole: the two sides no longer agree where it
		 * ends. */
		client_end(client, false, "4.5.0", "a reply came before the end of the message");
		return;
	}
	slot_finish(client, slot);
}

/* RFC 5321 §3.8: the server closes after 421; what is still open shares its fate. */
static void
reply_closes(struct client *client)
{
	struct strbuf line = STRBUF_INIT;

	client->failure_is_reply = true;
	reply_line(&client->reply, &line);
	client_end(client, true, client->reply.status[0] == '4' ? client->reply.status : "4.3.2",
		   line.data);
	strbuf_clear(&line);
}

void
transaction_reply(struct client *client, const struct awaited *awaited)
{
	struct slot *slot = &client->slots[awaited->slot];
	bool closing = client->reply.code == 421;

	if (awaited->what != EXPECT_RSET && slot->job != NULL &&
	    !(closing && awaited->what == EXPECT_MAIL && slot->piped))
		slot->heard = true;
	switch (awaited->what) {
	case EXPECT_RSET:
		reply_to_rset(client, slot);
		break;
	case EXPECT_MAIL:
		/* 421 to the first word of a further message: its limit a connection. Elsewhere, at
		 * once. */
		if (!(closing && slot->piped))
			reply_to_mail(client, slot);
		break;
	case EXPECT_RCPT:
		reply_to_rcpt(client, slot, awaited->recipient);
		break;
	case EXPECT_DATA:
		reply_to_data(client, slot);
		break;
	default:
		reply_to_dot(client, slot);
		break;
	}
	if (closing && client->state != CLIENT_CLOSED)
		reply_closes(client);
}

void
transaction_begin(struct client *client, struct slot *slot, struct client_job *job)
{
	bool piped = client->served > 0 || !client_is_idle(client);

	memset(slot, 0, sizeof *slot);
	slot->job = job;
	slot->piped = piped;
	slot->phase = client->stale_rset ? PHASE_RSET : PHASE_MAIL;
	client->failure_stage = CLIENT_STAGE_MAIL;
	transaction_advance(client, slot);
	client_wait(client);
}
