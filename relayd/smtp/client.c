/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The session's life:
 *
 *   CONNECTING  the socket is on its way
 *   GREETING    waits for the 220
 *   HELLO       EHLO said; HELO after it where EHLO was refused
 *   READY       transactions may run; none: idle
 *   CLOSED      over; the conn is gone
 *
 * and a transaction's, in its slot:
 *
 *   RSET, MAIL, RCPT, DATA   the next command to be written (RSET where the last one left a
 * transaction open) GO_AHEAD                 DATA written, 354 awaited BODY                     354
 * came: the message is being written DOT                      the final dot is written, its reply
 * awaited
 *
 * Replies are matched to commands by a queue: what is written is noted there, each reply takes the
 * oldest.
 */
#include "relayd/smtp/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/conn.h"

enum client_state { CLIENT_CONNECTING, CLIENT_GREETING, CLIENT_HELLO, CLIENT_READY, CLIENT_CLOSED };

enum phase {
	PHASE_FREE,
	PHASE_RSET,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_GO_AHEAD,
	PHASE_BODY,
	PHASE_DOT
};

enum expected {
	EXPECT_GREETING,
	EXPECT_EHLO,
	EXPECT_HELO,
	EXPECT_RSET,
	EXPECT_MAIL,
	EXPECT_RCPT,
	EXPECT_DATA,
	EXPECT_DOT
};

enum {
	SLOTS = 2,               /* one waits for its final reply, one is being sent */
	BODY_AHEAD = 256 * 1024, /* bytes of a body that may wait in the connection */
	QUIT_LINGER_MS = 5000
};

struct slot {
	struct client_job *job; /* NULL: free */
	enum phase phase;
	size_t next;     /* recipient whose RCPT is to be written */
	size_t answered; /* recipients whose RCPT has its reply */
	bool heard;      /* some reply to this transaction has come */
	bool piped; /* began while another waited for its reply, or in a session that had served */
	uint64_t dot_end; /* count of bytes written, up to and with the final dot */
	bool line_start;  /* the next byte of the body begins a line */
	struct spool_reader *reader;
	bool reading; /* a piece was asked for */
	bool pumping; /* inside body_pump: what a piece brings is handled there */
};

struct awaited {
	enum expected what;
	unsigned slot;
	size_t recipient;
};

struct client {
	struct client_options options; /* but not its hostname: that may change meanwhile */
	char *hostname;
	const struct client_events *events;
	void *ctx;
	struct conn *conn;
	struct timer *later; /* gives back a job that could not be sent at all */
	struct client_job *refused;
	enum client_state state;
	struct netaddr remote;
	bool greeted;
	unsigned served; /* transactions that ended here */

	bool pipelining, eightbit, size, stale_rset;
	uint64_t size_max;

	struct slot slots[SLOTS];
	struct awaited *awaited;
	size_t awaited_head, awaited_count, awaited_room;
	uint64_t written;

	struct reply_reader reader;
	struct reply reply;

	enum client_stage failure_stage;
	bool failure_is_reply; /* the text is the peer's own */
	char failure_status[REPLY_STATUS_MAX];
	char *failure_text;
};

static void client_end(struct client *client, bool dropped, const char *status, const char *text);
static void client_advance(struct client *client, struct slot *slot);
static void body_pump(struct client *client, struct slot *slot);

/* ---- writing, and what is awaited ---- */

static void
client_write(struct client *client, const void *bytes, size_t len)
{
	client->written += len;
	conn_write(client->conn, bytes, len);
}

static void
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

static bool
client_awaits(const struct client *client)
{
	return client->awaited_head < client->awaited_count;
}

/* How many of the bytes written the kernel has taken. */
static uint64_t
client_sent(const struct client *client)
{
	return client->written - (client->conn != NULL ? conn_pending(client->conn) : 0);
}

static void
client_say(struct client *client, const char *line, enum expected what)
{
	client_write(client, line, strlen(line));
	client_write(client, "\r\n", 2);
	client_await(client, what, 0, 0);
}

static void
client_wait(struct client *client)
{
	int64_t ms = client->options.idle_ms;
	unsigned i;

	if (client_awaits(client)) {
		ms = client->options.remote_command_ms;
		if (client->awaited[client->awaited_head].what == EXPECT_DOT)
			ms *= 2; /* RFC 5321 §4.5.3.2.6: the longest wait of all, since giving up
				    doubles mail */
	}
	for (i = 0; i < SLOTS; i++)
		if (client->slots[i].phase == PHASE_BODY && client->slots[i].job != NULL)
			ms = client->options.remote_command_ms;
	conn_set_deadline(client->conn, ms);
}

/* ---- a transaction is settled ---- */

static void
client_tell_ready(struct client *client)
{
	if (client_can_take(client))
		client->events->ready(client->ctx);
}

static void
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
	for (round = 0; round < SLOTS; round++) {
		struct slot *slot = NULL;
		bool untouched;

		for (i = 0; i < SLOTS; i++)
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

/* Which stage the oldest command without a reply belongs to. */
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

/* The session is over. `dropped`: the peer closed it, as it may between transactions. */
static void
client_end(struct client *client, bool dropped, const char *status, const char *text)
{
	uint64_t sent;

	if (client->state == CLIENT_CLOSED)
		return;
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

/* The same, where it is the next reply that will not come. */
static void
client_lost(struct client *client, bool dropped, const char *status, const char *text)
{
	if (client_awaits(client))
		client->failure_stage =
		    awaited_stage(client, &client->awaited[client->awaited_head]);
	client_end(client, dropped, status, text);
}

/* ---- sending a transaction ---- */

static struct slot *
client_sending(struct client *client)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++)
		if (client->slots[i].job != NULL && client->slots[i].phase != PHASE_DOT)
			return &client->slots[i];
	return NULL;
}

static unsigned
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
	if (client->size)
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
client_advance(struct client *client, struct slot *slot)
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
	} while (client->pipelining);
}

/* ---- the body ---- */

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
static void
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

static void
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

/* ---- replies ---- */

static void
learn_keyword(struct client *client, const char *word, size_t len)
{
	if (len == 10 && strncasecmp(word, "PIPELINING", 10) == 0)
		client->pipelining = true;
	else if (len == 8 && strncasecmp(word, "8BITMIME", 8) == 0)
		client->eightbit = true;
	else if (len >= 4 && strncasecmp(word, "SIZE", 4) == 0 && (len == 4 || word[4] == ' ')) {
		client->size = true;
		client->size_max = len > 5 ? strtoull(word + 5, NULL, 10) : 0;
	}
}

static void
learn_features(struct client *client)
{
	const char *at = client->reply.text.len ? client->reply.text.data : "";
	const char *end = at + client->reply.text.len;

	/* The first line is the greeting, the keywords follow (RFC 5321 §4.1.1.1). */
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		const char *next;

		at++;
		next = memchr(at, '\n', (size_t)(end - at));
		learn_keyword(client, at, (size_t)((next ? next : end) - at));
	}
}

static void
client_refused(struct client *client, enum client_stage stage)
{
	struct strbuf line = STRBUF_INIT;

	client->failure_stage = stage;
	client->failure_is_reply = true;
	reply_line(&client->reply, &line);
	client_end(client, false, client->reply.status[0] == '4' ? client->reply.status : "4.4.2",
		   line.data);
	strbuf_clear(&line);
}

static void
reply_to_hello(struct client *client, enum expected what)
{
	char line[300];

	if (reply_is_positive(&client->reply)) {
		if (what == EXPECT_EHLO)
			learn_features(client);
		client->greeted = true;
		client->state = CLIENT_READY;
		return;
	}
	if (what == EXPECT_HELO || client->reply.code == 421) {
		client_refused(client, CLIENT_STAGE_HELLO);
		return;
	}
	(void)snprintf(line, sizeof line, "HELO %s", client->hostname);
	client_say(client, line, EXPECT_HELO);
}

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
	if (!client->pipelining)
		client_advance(client, slot);
}

static void
reply_to_mail(struct client *client, struct slot *slot)
{
	if (!reply_is_positive(&client->reply)) {
		slot_refuse(client, slot, CLIENT_STAGE_MAIL, NULL);
		if (!client->pipelining) {
			slot_give_up(client, slot);
			return;
		}
	}
	if (!client->pipelining)
		client_advance(client, slot);
}

static void
reply_to_rcpt(struct client *client, struct slot *slot, size_t recipient)
{
	slot->answered++;
	if (!reply_is_positive(&client->reply))
		slot_refuse(client, slot, CLIENT_STAGE_RCPT, &slot->job->recipients[recipient]);
	if (client->pipelining)
		return;
	if (slot->phase == PHASE_DATA && client_job_open(slot->job) == 0)
		slot_give_up(client, slot);
	else
		client_advance(client, slot);
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

/* One reply is whole: it belongs to the oldest command that has none. */
static void
client_reply(struct client *client)
{
	struct awaited awaited;
	struct slot *slot;
	bool closing = client->reply.code == 421;

	if (!client_awaits(client)) {
		client_refused(client, CLIENT_STAGE_MAIL); /* 421 on an idle session, as a rule */
		return;
	}
	awaited = client->awaited[client->awaited_head++];
	slot = &client->slots[awaited.slot];
	client->failure_stage = awaited_stage(client, &awaited);
	if (client->reply.code / 100 == 3 && awaited.what != EXPECT_DATA) {
		/* It waits for something that we do not have: nothing after this can be matched. */
		client_end(client, false, "4.5.0", "a reply asks for more where nothing follows");
		return;
	}
	if (awaited.what >= EXPECT_MAIL && slot->job != NULL &&
	    !(closing && awaited.what == EXPECT_MAIL && slot->piped))
		slot->heard = true;
	switch (awaited.what) {
	case EXPECT_GREETING:
		if (!reply_is_positive(&client->reply)) {
			client_refused(client, CLIENT_STAGE_GREETING);
			return;
		}
		client->state = CLIENT_HELLO;
		{
			char line[300];
			(void)snprintf(line, sizeof line, "EHLO %s", client->hostname);
			client_say(client, line, EXPECT_EHLO);
		}
		break;
	case EXPECT_EHLO:
	case EXPECT_HELO:
		reply_to_hello(client, awaited.what);
		break;
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
		reply_to_rcpt(client, slot, awaited.recipient);
		break;
	case EXPECT_DATA:
		reply_to_data(client, slot);
		break;
	case EXPECT_DOT:
		reply_to_dot(client, slot);
		break;
	}
	if (client->state == CLIENT_CLOSED)
		return;
	if (closing) {
		/* RFC 5321 §3.8: the server closes after 421; what is still open shares its fate.
		 */
		struct strbuf line = STRBUF_INIT;
		client->failure_is_reply = true;
		reply_line(&client->reply, &line);
		client_end(client, true,
			   client->reply.status[0] == '4' ? client->reply.status : "4.3.2",
			   line.data);
		strbuf_clear(&line);
		return;
	}
	client_wait(client);
	client_tell_ready(client);
}

static size_t
client_data(void *ctx, const char *bytes, size_t len)
{
	struct client *client = ctx;
	size_t taken = 0;

	while (client->state != CLIENT_CLOSED && taken < len) {
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
		client_reply(client);
	}
	return taken;
}

/* ---- the connection ---- */

static void
client_connected(void *ctx)
{
	struct client *client = ctx;

	client->state = CLIENT_GREETING;
	client->failure_stage = CLIENT_STAGE_GREETING;
	client_await(client, EXPECT_GREETING, 0, 0);
	client_wait(client);
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

	if (why != NULL)
		client_lost(client, client->state == CLIENT_READY,
			    client->state == CLIENT_CONNECTING ? "4.4.1" : "4.4.2", why->text);
	else
		client_lost(client, true, "4.4.2", "the remote server closed the connection");
}

static void
client_timed_out(void *ctx)
{
	struct client *client = ctx;

	if (client->state == CLIENT_READY && client_is_idle(client)) {
		client_write(client, "QUIT\r\n", 6);
		conn_finish(client->conn, QUIT_LINGER_MS);
		client->conn = NULL;
		client_end(client, true, "2.0.0", "idle");
		return;
	}
	if (client->state == CLIENT_CONNECTING)
		client_lost(client, false, "4.4.1", "connection timed out");
	else
		client_lost(client, false, "4.4.2", "timed out waiting for a reply");
}

static const struct conn_events client_conn_events = {
    .connected = client_connected,
    .data = client_data,
    .drained = client_drained,
    .closed = client_closed,
    .timed_out = client_timed_out,
};

/* ---- the owner's side ---- */

static void
client_give_refused(void *ctx)
{
	struct client *client = ctx;
	struct client_job *job = client->refused;

	client->refused = NULL;
	job->finished(job->ctx, job);
	client_tell_ready(client);
}

struct client *
client_new(const struct client_options *options, const struct netaddr *remote,
	   const struct netaddr *local, const struct client_events *events, void *ctx,
	   struct error *why)
{
	struct client *client = xcalloc(1, sizeof *client);

	client->options = *options;
	client->hostname = xstrdup(options->hostname);
	client->events = events;
	client->ctx = ctx;
	client->remote = *remote;
	client->state = CLIENT_CONNECTING;
	client->failure_stage = CLIENT_STAGE_CONNECT;
	client->conn =
	    conn_connect(options->loop, remote, local, NULL, &client_conn_events, client, why);
	if (client->conn == NULL) {
		free(client->hostname);
		free(client);
		return NULL;
	}
	client->later = timer_new(options->loop, client_give_refused, client);
	conn_set_deadline(client->conn, options->connect_ms);
	return client;
}

bool
client_can_take(const struct client *client)
{
	unsigned i, waiting = 0;

	if (client->state != CLIENT_READY || client->refused != NULL)
		return false;
	for (i = 0; i < SLOTS; i++) {
		if (client->slots[i].job == NULL)
			continue;
		if (client->slots[i].phase != PHASE_DOT)
			return false;
		waiting++;
	}
	return waiting == 0 || (waiting < SLOTS && client->pipelining);
}

static bool
client_must_refuse(const struct client *client, struct client_job *job)
{
	const struct envelope *env = job->envelope;
	char text[160];

	if (env->has_8bit && !client->eightbit) {
		client_job_settle(
		    job, CLIENT_PERMANENT, CLIENT_STAGE_MAIL, false, "5.6.3",
		    "the message holds 8-bit data and the remote server does not offer 8BITMIME");
		return true;
	}
	if (client->size && client->size_max > 0 && env->size > client->size_max) {
		(void)snprintf(text, sizeof text,
			       "the message has %llu octets, the remote server takes %llu",
			       (unsigned long long)env->size, (unsigned long long)client->size_max);
		client_job_settle(job, CLIENT_PERMANENT, CLIENT_STAGE_MAIL, false, "5.3.4", text);
		return true;
	}
	return false;
}

void
client_take(struct client *client, struct client_job *job)
{
	struct slot *slot = client->slots[0].job == NULL ? &client->slots[0] : &client->slots[1];
	bool piped = client->served > 0 || !client_is_idle(client);

	if (!client_can_take(client))
		fatal("smtp client: given a job it can't take");
	if (client_must_refuse(client, job)) {
		client->refused = job;
		timer_set(client->later, 0);
		return;
	}
	memset(slot, 0, sizeof *slot);
	slot->job = job;
	slot->piped = piped;
	slot->phase = client->stale_rset ? PHASE_RSET : PHASE_MAIL;
	client->failure_stage = CLIENT_STAGE_MAIL;
	client_advance(client, slot);
	client_wait(client);
}

bool
client_is_idle(const struct client *client)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++)
		if (client->slots[i].job != NULL)
			return false;
	return client->state == CLIENT_READY && client->refused == NULL;
}

bool
client_was_greeted(const struct client *client)
{
	return client->greeted;
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
	if (client->conn != NULL && client->state == CLIENT_READY) {
		client_write(client, "QUIT\r\n", 6);
		conn_finish(client->conn, QUIT_LINGER_MS);
		client->conn = NULL;
	}
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
	for (i = 0; i < SLOTS; i++)
		slot_release(&client->slots[i]);
	timer_free(client->later);
	reply_reader_clear(&client->reader);
	reply_clear(&client->reply);
	free(client->awaited);
	free(client->failure_text);
	free(client->hostname);
	free(client);
}
