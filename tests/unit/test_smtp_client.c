/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp/client against scripted servers: every stage, and what can go wrong at each (refusals for
 * now and for good, 421, silence, closing, resets, garbage, replies without end or octet by octet),
 * with and without PIPELINING; a session that serves several messages; bodies as they travel; SIZE
 * and 8BITMIME.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/smtp/client.h"
#include "tests/unit/mail_fixture.h"
#include "tests/unit/script_server.h"

enum { RECIPIENTS = 2, JOBS = 3 };

static const char *const to[] = {"one@example.net", "two@example.net", NULL};
static const char body[] = "Subject: x\r\n\r\n.\r\n..\r\nline .\r\n.line\r\n\r\n";
/* The same as it travels. */
static const char travelling[] = "Subject: x\r\n\r\n..\r\n...\r\nline .\r\n..line\r\n\r\n";

/* A job, and what was heard of it. */
struct parcel {
	struct client_job job;
	struct client_recipient recipients[RECIPIENTS];
	unsigned finished, returned;
};

/* A session, its jobs, and what it said. */
struct talk {
	struct mail *mail;
	struct client *client;
	struct parcel parcels[JOBS];
	unsigned ready, ended;
};

static void
finished(void *ctx, struct client_job *job)
{
	struct parcel *parcel = ctx;

	assert_ptr_equal(job, &parcel->job);
	assert_int_equal(client_job_open(job), 0);
	parcel->finished++;
}

static void
ready(void *ctx)
{
	struct talk *talk = ctx;

	assert_true(client_can_take(talk->client));
	talk->ready++;
}

static void
ended(void *ctx)
{
	struct talk *talk = ctx;

	talk->ended++;
}

static void
returned(void *ctx, struct client_job *job)
{
	struct parcel *parcel = job->ctx;

	(void)ctx;
	assert_int_equal(client_job_open(job), job->count);
	parcel->returned++;
}

static const struct client_events events = {.ready = ready, .ended = ended, .returned = returned};

static void
talk_to(struct talk *talk, struct mail *mail, const struct netaddr *remote)
{
	const struct client_target target = {.remote = *remote, .tls = ROUTE_TLS_NONE};
	struct error why;

	*talk = (struct talk){.mail = mail};
	talk->client = client_new(&mail->hops_options.client, &target, &events, talk, &why);
	if (talk->client == NULL)
		fail_msg("%s", why.text);
}

static void
talk_end(struct talk *talk)
{
	size_t i;

	client_free(talk->client);
	for (i = 0; i < JOBS; i++)
		client_job_clear(&talk->parcels[i].job);
}

static void
give(struct talk *talk, size_t number, const struct envelope *env)
{
	struct parcel *parcel = &talk->parcels[number];
	size_t i;

	parcel->job = (struct client_job){.envelope = env,
					  .count = RECIPIENTS,
					  .recipients = parcel->recipients,
					  .finished = finished,
					  .ctx = parcel};
	for (i = 0; i < RECIPIENTS; i++)
		parcel->recipients[i].address = env->recipients[i].address;
	client_take(talk->client, &parcel->job);
	assert_int_equal(parcel->finished, 0);
}

static bool
is_ready_or_over(void *ctx)
{
	const struct talk *talk = ctx;

	return talk->ended > 0 || client_can_take(talk->client);
}

static bool
is_over(void *ctx)
{
	const struct talk *talk = ctx;

	return talk->ended > 0;
}

static bool
is_settled(void *ctx)
{
	const struct parcel *parcel = ctx;

	return parcel->finished + parcel->returned > 0;
}

/* ---- one transaction, and all that can go wrong ---- */

struct row {
	const char *name;
	struct script script;
	bool refused; /* no session comes about */
	enum client_stage stage;
	enum client_verdict verdicts[RECIPIENTS];
	const char *reply; /* part of what is said of the first recipient that was not accepted */
	size_t messages;   /* that the server saw the end of */
};

#define A CLIENT_ACCEPTED
#define T CLIENT_TEMPORARY
#define P CLIENT_PERMANENT
#define U CLIENT_UNCERTAIN
#define SESSION_ROW(name_, at_, stage_, reply_)                                                    \
	{                                                                                          \
		.name = (name_), .script = {.at = {at_}}, .refused = true, .stage = (stage_),      \
		.reply = (reply_)                                                                  \
	}
#define ROW(name_, at_, stage_, one_, two_, reply_, messages_)                                     \
	{                                                                                          \
		.name = (name_), .script = {.at = {at_}}, .stage = (stage_),                       \
		.verdicts = {one_, two_}, .reply = (reply_), .messages = (messages_)               \
	}
#define BOTH(a_, b_) a_, b_

static const struct row rows[] = {
    SESSION_ROW("greeting 4xx", [AT_GREETING] = "450 4.3.2 busy", CLIENT_STAGE_GREETING,
		"450 4.3.2 busy"),
    SESSION_ROW("greeting 5xx", [AT_GREETING] = "554 no", CLIENT_STAGE_GREETING, "554 no"),
    SESSION_ROW("greeting 421", [AT_GREETING] = "421 later", CLIENT_STAGE_GREETING, "421 later"),
    SESSION_ROW("greeting 354", [AT_GREETING] = "354 data", CLIENT_STAGE_GREETING, "asks for more"),
    SESSION_ROW("greeting silence", [AT_GREETING] = "silence", CLIENT_STAGE_GREETING, "timed out"),
    SESSION_ROW("greeting drop", [AT_GREETING] = "drop", CLIENT_STAGE_GREETING, "closed"),
    SESSION_ROW("greeting reset", [AT_GREETING] = "reset", CLIENT_STAGE_GREETING, "reset"),
    SESSION_ROW("greeting garbage", [AT_GREETING] = "raw:SSH-2.0-x\r\n", CLIENT_STAGE_GREETING,
		"malformed"),
    SESSION_ROW("greeting half", [AT_GREETING] = "raw:220-half\r\n22", CLIENT_STAGE_GREETING,
		"timed out"),
    SESSION_ROW("greeting endless", [AT_GREETING] = "endless", CLIENT_STAGE_GREETING, "malformed"),
    SESSION_ROW("EHLO 421", [AT_EHLO] = "421 later", CLIENT_STAGE_HELLO, "421 later"),
    SESSION_ROW("EHLO silence", [AT_EHLO] = "silence", CLIENT_STAGE_HELLO, "timed out"),
    SESSION_ROW("EHLO drop", [AT_EHLO] = "drop", CLIENT_STAGE_HELLO, "closed"),
    SESSION_ROW("EHLO reset", [AT_EHLO] = "reset", CLIENT_STAGE_HELLO, "reset"),
    SESSION_ROW("EHLO garbage", [AT_EHLO] = "raw:hello!\r\n", CLIENT_STAGE_HELLO, "malformed"),
    SESSION_ROW("EHLO endless", [AT_EHLO] = "endless", CLIENT_STAGE_HELLO, "malformed"),
    SESSION_ROW("EHLO, HELO 5xx", BOTH([AT_EHLO] = "502 what", [AT_HELO] = "554 no"),
		CLIENT_STAGE_HELLO, "554 no"),
    SESSION_ROW("EHLO, HELO 4xx", BOTH([AT_EHLO] = "450 what", [AT_HELO] = "450 no"),
		CLIENT_STAGE_HELLO, "450 no"),
    SESSION_ROW("HELO silence", BOTH([AT_EHLO] = "502 what", [AT_HELO] = "silence"),
		CLIENT_STAGE_HELLO, "timed out"),

    ROW("all is well", [AT_DOT] = "250 2.0.0 queued", CLIENT_STAGE_DOT, A, A, NULL, 1),
    ROW("EHLO refused, HELO", [AT_EHLO] = "500 what", CLIENT_STAGE_DOT, A, A, NULL, 1),
    ROW("octet by octet",
	BOTH(BOTH([AT_GREETING] = "bytes:220-a\n220 b", [AT_MAIL] =
							    "bytes:250-2.1.0 one\n250 2.1.0 two"),
	     BOTH([AT_DATA] = "bytes:354 go", [AT_DOT] = "bytes:250-a\n250 b")),
	CLIENT_STAGE_DOT, A, A, NULL, 1),

    ROW("MAIL 4xx", [AT_MAIL] = "450 4.2.0 later", CLIENT_STAGE_MAIL, T, T, "450 4.2.0 later", 0),
    ROW("MAIL 5xx", BOTH([AT_MAIL] = "550 5.7.1 no", [AT_RCPT] = "503 5.5.1 need MAIL"),
	CLIENT_STAGE_MAIL, P, P, "550 5.7.1 no", 0),
    ROW("MAIL 421", [AT_MAIL] = "421 4.3.2 bye", CLIENT_STAGE_MAIL, T, T, "421 4.3.2 bye", 0),
    ROW("MAIL 354", [AT_MAIL] = "354 more", CLIENT_STAGE_MAIL, T, T, "asks for more", 0),
    ROW("MAIL silence", [AT_MAIL] = "silence", CLIENT_STAGE_MAIL, T, T, "timed out", 0),
    ROW("MAIL drop", [AT_MAIL] = "drop", CLIENT_STAGE_MAIL, T, T, "closed", 0),
    ROW("MAIL reset", [AT_MAIL] = "reset", CLIENT_STAGE_MAIL, T, T, NULL, 0),
    ROW("MAIL garbage", [AT_MAIL] = "raw:99 bottles\r\n", CLIENT_STAGE_MAIL, T, T, "malformed", 0),
    ROW("MAIL endless", [AT_MAIL] = "endless", CLIENT_STAGE_MAIL, T, T, "malformed", 0),

    ROW("one RCPT 4xx", [AT_RCPT] = "450 4.2.1 full|250 ok", CLIENT_STAGE_RCPT, T, A,
	"450 4.2.1 full", 1),
    ROW("one RCPT 5xx", [AT_RCPT] = "250 ok|550 5.1.1 who", CLIENT_STAGE_RCPT, A, P,
	"550 5.1.1 who", 1),
    ROW("RCPT 4xx and 5xx", BOTH([AT_RCPT] = "450 later|550 who", [AT_DATA] = "554 no recipients"),
	CLIENT_STAGE_RCPT, T, P, "450 later", 0),
    ROW("all RCPT 5xx", BOTH([AT_RCPT] = "550 5.1.1 who", [AT_DATA] = "503 no recipients"),
	CLIENT_STAGE_RCPT, P, P, "550 5.1.1 who", 0),
    ROW("all RCPT 5xx, yet 354", BOTH([AT_RCPT] = "550 5.1.1 who", [AT_DATA] = "354 go"),
	CLIENT_STAGE_RCPT, P, P, "550 5.1.1 who", 0),
    ROW("RCPT 552 5.5.3", [AT_RCPT] = "250 ok|552 5.5.3 too many", CLIENT_STAGE_RCPT, A, T,
	"552 5.5.3", 1),
    ROW("RCPT 552", [AT_RCPT] = "250 ok|552 5.2.2 full", CLIENT_STAGE_RCPT, A, P, "552 5.2.2", 1),
    ROW("RCPT 421", [AT_RCPT] = "250 ok|421 bye", CLIENT_STAGE_RCPT, T, T, "421 bye", 0),
    ROW("RCPT silence", [AT_RCPT] = "250 ok|silence", CLIENT_STAGE_RCPT, T, T, "timed out", 0),
    ROW("RCPT drop", [AT_RCPT] = "550 who|drop", CLIENT_STAGE_RCPT, P, T, "550 who", 0),
    ROW("RCPT reset", [AT_RCPT] = "250 ok|reset", CLIENT_STAGE_RCPT, T, T, NULL, 0),
    ROW("RCPT garbage", [AT_RCPT] = "250 ok|raw:\r\n", CLIENT_STAGE_RCPT, T, T, "malformed", 0),

    ROW("DATA 4xx", [AT_DATA] = "451 4.3.0 later", CLIENT_STAGE_DATA, T, T, "451 4.3.0 later", 0),
    ROW("DATA 5xx", [AT_DATA] = "554 5.7.1 no", CLIENT_STAGE_DATA, P, P, "554 5.7.1 no", 0),
    ROW("DATA 421", [AT_DATA] = "421 bye", CLIENT_STAGE_DATA, T, T, "421 bye", 0),
    ROW("DATA 250", [AT_DATA] = "250 ok", CLIENT_STAGE_DATA, T, T, "neither 354", 0),
    ROW("DATA silence", [AT_DATA] = "silence", CLIENT_STAGE_DATA, T, T, "timed out", 0),
    ROW("DATA drop", [AT_DATA] = "drop", CLIENT_STAGE_DATA, T, T, "closed", 0),
    ROW("DATA reset", [AT_DATA] = "reset", CLIENT_STAGE_DATA, T, T, NULL, 0),
    ROW("DATA garbage", [AT_DATA] = "raw:go ahead\r\n", CLIENT_STAGE_DATA, T, T, "malformed", 0),

    ROW("dot 4xx", [AT_DOT] = "452 4.3.1 full", CLIENT_STAGE_DOT, T, T, "452 4.3.1 full", 1),
    ROW("dot 5xx", [AT_DOT] = "554 5.6.0 no", CLIENT_STAGE_DOT, P, P, "554 5.6.0 no", 1),
    ROW("dot 421", [AT_DOT] = "421 4.3.2 bye", CLIENT_STAGE_DOT, T, T, "421 4.3.2 bye", 1),
    ROW("dot 354", [AT_DOT] = "354 more", CLIENT_STAGE_DOT, U, U, "asks for more", 1),
    ROW("dot silence", [AT_DOT] = "silence", CLIENT_STAGE_DOT, U, U, "timed out", 1),
    ROW("dot drop", [AT_DOT] = "drop", CLIENT_STAGE_DOT, U, U, "closed", 1),
    ROW("dot reset", [AT_DOT] = "reset", CLIENT_STAGE_DOT, U, U, "reset", 1),
    ROW("dot half a reply", [AT_DOT] = "raw:250 2.0.0 o", CLIENT_STAGE_DOT, U, U, "timed out", 1),
    ROW("dot garbage", [AT_DOT] = "raw:fine\r\n", CLIENT_STAGE_DOT, U, U, "malformed", 1),
    ROW("dot endless", [AT_DOT] = "endless", CLIENT_STAGE_DOT, U, U, "malformed", 1),
    ROW("dot after RCPT 5xx", BOTH([AT_RCPT] = "550 who|250 ok", [AT_DOT] = "drop"),
	CLIENT_STAGE_RCPT, P, U, "550 who", 1),
};

/* Before the end of a message that is too large to be on its way as a whole. */
static const struct row early_rows[] = {
    ROW("body 5xx", [AT_BODY] = "552 5.3.4 too large|silence", CLIENT_STAGE_BODY, P, P, "552 5.3.4",
	0),
    ROW("body 4xx", [AT_BODY] = "452 4.3.1 full", CLIENT_STAGE_BODY, T, T, "452 4.3.1", 0),
    ROW("body 421", [AT_BODY] = "421 4.3.2 bye", CLIENT_STAGE_BODY, T, T, "421 4.3.2", 0),
    ROW("body 2xx", [AT_BODY] = "250 2.0.0 fine", CLIENT_STAGE_BODY, T, T, "before the end", 0),
    ROW("body garbage", [AT_BODY] = "raw:?\r\n", CLIENT_STAGE_BODY, T, T, "malformed", 0),
    ROW("body not read", [AT_BODY] = "deaf", CLIENT_STAGE_BODY, T, T, "timed out", 0),
    ROW("body reset", [AT_BODY] = "reset", CLIENT_STAGE_BODY, T, T, NULL, 0),
};

static void
check_recipients(const struct row *row, const struct parcel *parcel)
{
	bool first = true;
	size_t i;

	assert_int_equal(parcel->finished, 1);
	assert_int_equal(parcel->returned, 0);
	for (i = 0; i < RECIPIENTS; i++) {
		const struct client_recipient *recipient = &parcel->recipients[i];

		if (recipient->verdict != row->verdicts[i])
			fail_msg("%s: recipient %zu: verdict %d (%s)", row->name, i,
				 (int)recipient->verdict, recipient->reply);
		assert_non_null(recipient->reply);
		if (recipient->verdict == CLIENT_ACCEPTED || !first)
			continue;
		first = false;
		if (recipient->stage != row->stage)
			fail_msg("%s: stage %s (%s)", row->name,
				 client_stage_name(recipient->stage), recipient->reply);
		if (row->reply != NULL && strstr(recipient->reply, row->reply) == NULL)
			fail_msg("%s: reply %s", row->name, recipient->reply);
	}
}

/* A reset may come before the news that the connection stands: then there was none. */
static bool
failed_where(const struct client *client, const struct row *row)
{
	enum client_stage stage = client_failure_stage(client);

	return stage == row->stage ||
	       (stage == CLIENT_STAGE_CONNECT && row->stage == CLIENT_STAGE_GREETING &&
		strcmp(row->reply, "reset") == 0);
}

static void
play(struct mail *mail, const struct row *row, const char *features, const struct envelope *env)
{
	struct script script = row->script;
	struct script_server *server;
	struct netaddr address;
	struct talk talk;
	int64_t began_ms = mail_now_ms();

	script.features = features;
	server = script_server_new("127.0.0.1", &script, 1);
	address = script_server_address(server);
	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	if (row->refused) {
		assert_int_equal(talk.ended, 1);
		assert_false(client_was_greeted(talk.client));
		if (!failed_where(talk.client, row) ||
		    strstr(client_failure_text(talk.client), row->reply) == NULL)
			fail_msg("%s: %s: %s", row->name,
				 client_stage_name(client_failure_stage(talk.client)),
				 client_failure_text(talk.client));
		assert_int_equal(client_failure_status(talk.client)[0], '4');
	} else {
		if (talk.ended > 0)
			fail_msg("%s: %s", row->name, client_failure_text(talk.client));
		give(&talk, 0, env);
		mail_until(mail, is_settled, &talk.parcels[0]);
		check_recipients(row, &talk.parcels[0]);
		assert_int_equal(script_server_messages(server), row->messages);
	}
	/* Nothing is borne with longer than a few of its timeouts. */
	assert_true(mail_now_ms() - began_ms < 8 * MAIL_REPLY_MS);
	talk_end(&talk);
	script_server_free(server);
}

static int
setup(void **state)
{
	struct mail *mail = mail_new();

	mail_open(mail);
	*state = mail;
	return 0;
}

static int
teardown(void **state)
{
	struct mail *mail = *state;

	mail_close(mail);
	mail_free(mail);
	return 0;
}

static void
test_stages(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		play(mail, &rows[i], "PIPELINING", env);
		play(mail, &rows[i], "SIZE", env);
	}
	spool_finish(mail->spool, env);
	envelope_free(env);
}

static char *
large_body(size_t len)
{
	char *text = xmalloc(len + 1);
	size_t i;

	for (i = 0; i < len; i++)
		text[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
	memcpy(text + len - 2, "\r\n", 3);
	return text;
}

static void
test_early(void **state)
{
	struct mail *mail = *state;
	char *text = large_body(12 << 20);
	struct envelope *env = mail_commit(mail, "s@example.org", text, to);
	size_t i;

	for (i = 0; i < sizeof early_rows / sizeof *early_rows; i++) {
		play(mail, &early_rows[i], "PIPELINING", env);
		play(mail, &early_rows[i], "8BITMIME", env);
	}
	spool_finish(mail->spool, env);
	envelope_free(env);
	free(text);
}

/* ---- no connection ---- */

static void
test_connect(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct netaddr address = script_server_address(server);
	struct client_target target = {.remote = address, .tls = ROUTE_TLS_NONE};
	struct talk talk;
	struct error why;

	script_server_free(server);
	talk_to(&talk, mail, &address);
	mail_until(mail, is_over, &talk);
	assert_int_equal(client_failure_stage(talk.client), CLIENT_STAGE_CONNECT);
	assert_non_null(strstr(client_failure_text(talk.client), "refused"));
	assert_string_equal(client_failure_status(talk.client), "4.4.1");
	talk_end(&talk);

	assert_int_equal(netaddr_parse("192.0.2.1", &target.local), 0);
	assert_null(client_new(&mail->hops_options.client, &target, &events, &talk, &why));
	assert_non_null(strstr(why.text, "192.0.2.1"));
}

/* A full backlog: the kernel answers no further SYN. */
static void
test_connect_silence(void **state)
{
	struct mail *mail = *state;
	int fd = socket(AF_INET, SOCK_STREAM, 0), fill[8];
	struct sockaddr_storage ss;
	struct netaddr address;
	socklen_t len;
	struct talk talk;
	size_t i;

	assert_int_equal(netaddr_parse("127.0.0.1", &address), 0);
	len = netaddr_to_sockaddr(&address, &ss);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	netaddr_from_sockaddr(&address, (struct sockaddr *)&ss);
	for (i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&ss, len);
	}
	talk_to(&talk, mail, &address);
	mail_until(mail, is_over, &talk);
	assert_int_equal(client_failure_stage(talk.client), CLIENT_STAGE_CONNECT);
	assert_string_equal(client_failure_text(talk.client), "connection timed out");
	talk_end(&talk);
	for (i = 0; i < 8; i++)
		assert_int_equal(close(fill[i]), 0);
	assert_int_equal(close(fd), 0);
}

/* ---- bodies ---- */

static void
check_body(struct mail *mail, const char *text, const char *expected, const char *features)
{
	const struct script script = {.features = features};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct netaddr address = script_server_address(server);
	struct envelope *env = mail_commit(mail, "", text, to);
	const char *arrived;
	struct talk talk;
	size_t len;

	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[1].verdict, CLIENT_ACCEPTED);
	assert_int_equal(talk.parcels[0].recipients[1].from_remote, true);
	assert_string_equal(talk.parcels[0].recipients[1].status, "2.0.0");
	assert_string_equal(talk.parcels[0].recipients[1].reply, "250 2.0.0 taken");
	arrived = script_server_message(server, 0, &len);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(arrived, expected, len);
	assert_int_equal(script_server_heard(server, "MAIL FROM:<>"), 1);
	assert_int_equal(script_server_heard(server, "RCPT TO:<two@example.net>"), 1);
	talk_end(&talk);
	script_server_free(server);
	spool_finish(mail->spool, env);
	envelope_free(env);
}

static void
test_bodies(void **state)
{
	struct mail *mail = *state;
	char *text = large_body(3 << 20), *dots = xmalloc(200001), *more = xmalloc(300001);
	size_t i;

	check_body(mail, body, travelling, "PIPELINING");
	check_body(mail, body, travelling, "SIZE");
	check_body(mail, "", "", "PIPELINING");
	check_body(mail, ".\r\n", "..\r\n", "PIPELINING");
	check_body(mail, text, text, "PIPELINING");
	/* A dot at the start of every line, so that pieces of every kind begin and end in between.
	 */
	for (i = 0; i < 50000; i++) {
		memcpy(dots + i * 4, ".x\r\n", 4);
		memcpy(more + i * 5, "..x\r\n", 5);
	}
	dots[200000] = more[250000] = '\0';
	check_body(mail, dots, more, "PIPELINING");
	free(text);
	free(dots);
	free(more);
}

/* A body that does not check any more: nothing of it may be completed. */
static void
test_unreadable(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct netaddr address = script_server_address(server);
	char *text = large_body(1 << 20), *path;
	struct envelope *env = mail_commit(mail, "s@example.org", text, to);
	struct talk talk;
	int fd;

	path = xasprintf("%s/spool/large/%llu", mail->dir, (unsigned long long)env->id);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "XXXX", 4, 1000000), 4);
	assert_int_equal(close(fd), 0);
	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_LOCAL);
	assert_int_equal(talk.ended, 1);
	assert_int_equal(script_server_messages(server), 0);

	/* Gone altogether. */
	assert_int_equal(unlink(path), 0);
	talk_end(&talk);
	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_LOCAL);
	talk_end(&talk);
	script_server_free(server);
	spool_finish(mail->spool, env);
	envelope_free(env);
	free(path);
	free(text);
}

/* ---- what the server does not offer ---- */

static void
test_limits(void **state)
{
	static const struct script script = {.features = "PIPELINING\nsize 100\nSTARTTLS"};
	static const struct script roomy = {.features = "SIZE 5000\n8bitmime"};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1),
			     *other = script_server_new("127.0.0.1", &roomy, 1);
	struct netaddr address = script_server_address(server);
	char *text = large_body(101);
	struct envelope *large = mail_commit(mail, "s@example.org", text, to),
			*small = mail_commit(mail, "s@example.org", body, to);
	struct talk talk;

	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, large);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[1].verdict, CLIENT_PERMANENT);
	assert_string_equal(talk.parcels[0].recipients[1].status, "5.3.4");
	assert_false(talk.parcels[0].recipients[1].from_remote);
	small->has_8bit = true;
	give(&talk, 1, small);
	mail_until(mail, is_settled, &talk.parcels[1]);
	assert_int_equal(talk.parcels[1].recipients[0].verdict, CLIENT_PERMANENT);
	assert_string_equal(talk.parcels[1].recipients[0].status, "5.6.3");
	assert_int_equal(script_server_heard(server, "MAIL"), 0);
	/* The session goes on. */
	small->has_8bit = false;
	give(&talk, 2, small);
	mail_until(mail, is_settled, &talk.parcels[2]);
	assert_int_equal(talk.parcels[2].recipients[0].verdict, CLIENT_ACCEPTED);
	assert_int_equal(script_server_heard(server, "MAIL FROM:<s@example.org> SIZE=38\n"), 1);
	talk_end(&talk);
	script_server_free(server);

	address = script_server_address(other);
	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	small->has_8bit = true;
	give(&talk, 0, small);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_ACCEPTED);
	assert_int_equal(script_server_heard(other, "SIZE=38 BODY=8BITMIME\n"), 1);
	talk_end(&talk);
	script_server_free(other);
	spool_finish(mail->spool, large);
	spool_finish(mail->spool, small);
	envelope_free(large);
	envelope_free(small);
	free(text);
}

/* A job that can't be sent there, given to a session whose end is already in the socket. */
static void
test_refused_at_the_end(void **state)
{
	static const struct script drops = {.features = "SIZE 10", .at = {[AT_MAIL] = "drop"}};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &drops, 1);
	struct netaddr address = script_server_address(server);
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	struct talk talk;

	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	script_server_free(server); /* joins: the end is in our socket now */
	give(&talk, 0, env);
	mail_until(mail, is_over, &talk);
	assert_int_equal(talk.parcels[0].finished, 1);
	assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_PERMANENT);
	mail_run(mail, 20);
	assert_int_equal(talk.parcels[0].finished, 1);
	talk_end(&talk);
	spool_finish(mail->spool, env);
	envelope_free(env);
}

/* ---- a session that serves several messages ---- */

struct second {
	const char *name;
	struct script script;
	bool returned;               /* the second job */
	enum client_verdict verdict; /* else */
};

#define SECOND(name_, at_, returned_, verdict_)                                                    \
	{                                                                                          \
		.name = (name_), .script = {.at = {at_}}, .returned = (returned_),                 \
		.verdict = (verdict_)                                                              \
	}

static const struct second seconds[] = {
    SECOND("well", [AT_DOT] = "250 ok", false, A),
    SECOND("421 at MAIL", [AT_MAIL] = "250 ok|421 enough", true, A),
    SECOND("drop at MAIL", [AT_MAIL] = "250 ok|drop", true, A),
    SECOND("reset at MAIL", [AT_MAIL] = "250 ok|reset", true, A),
    SECOND("silence at MAIL", [AT_MAIL] = "250 ok|silence", false, T),
    SECOND("4xx at MAIL", [AT_MAIL] = "250 ok|450 later", false, T),
    SECOND("drop at RCPT", [AT_RCPT] = "250 ok|250 ok|drop", false, T),
    SECOND("421 at RCPT", [AT_RCPT] = "250 ok|250 ok|421 bye", false, T),
    SECOND("drop at the dot", [AT_DOT] = "250 ok|drop", false, U),
};

static void
play_second(struct mail *mail, const struct second *row, const char *features,
	    const struct envelope *env)
{
	struct script script = row->script;
	struct script_server *server;
	struct netaddr address;
	struct talk talk;

	script.features = features;
	server = script_server_new("127.0.0.1", &script, 1);
	address = script_server_address(server);
	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_ACCEPTED);
	mail_until(mail, is_ready_or_over, &talk);
	assert_true(client_is_idle(talk.client));
	give(&talk, 1, env);
	assert_false(client_is_idle(talk.client));
	mail_until(mail, is_settled, &talk.parcels[1]);
	if (talk.parcels[1].returned != row->returned ||
	    (!row->returned && talk.parcels[1].recipients[0].verdict != row->verdict))
		fail_msg("%s: %d", row->name, (int)talk.parcels[1].recipients[0].verdict);
	assert_int_equal(talk.parcels[1].finished, !row->returned);
	assert_int_equal(script_server_heard(server, "RSET"), 0);
	talk_end(&talk);
	script_server_free(server);
}

static void
test_reuse(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	size_t i;

	for (i = 0; i < sizeof seconds / sizeof *seconds; i++) {
		play_second(mail, &seconds[i], "PIPELINING", env);
		play_second(mail, &seconds[i], "SIZE", env);
	}
	spool_finish(mail->spool, env);
	envelope_free(env);
}

/* What a refused transaction leaves open is closed by RSET, which waits for its reply where it has
 * to. */
static void
play_reset(struct mail *mail, const char *rset, const char *features, const struct envelope *env)
{
	const struct script script = {
	    .features = features, .at = {[AT_RCPT] = "550 who|550 who|250 ok", [AT_RSET] = rset}};
	bool pipelining = strcmp(features, "PIPELINING") == 0;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct netaddr address = script_server_address(server);
	struct talk talk;

	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[1].verdict, CLIENT_PERMANENT);
	/* Without PIPELINING there is no need to say DATA to nobody. */
	assert_int_equal(script_server_heard(server, "DATA"), pipelining);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 1, env);
	mail_until(mail, is_settled, &talk.parcels[1]);
	assert_int_equal(script_server_heard(server, "RSET"), 1);
	if (rset == NULL)
		assert_int_equal(talk.parcels[1].recipients[1].verdict, CLIENT_ACCEPTED);
	else
		assert_int_equal(talk.parcels[1].returned, 1);
	talk_end(&talk);
	script_server_free(server);
}

static void
test_rset(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);

	play_reset(mail, NULL, "PIPELINING", env);
	play_reset(mail, NULL, "SIZE", env);
	play_reset(mail, "500 no", "PIPELINING", env);
	play_reset(mail, "500 no", "SIZE", env);
	play_reset(mail, "421 no", "SIZE", env);
	play_reset(mail, "drop", "SIZE", env);
	spool_finish(mail->spool, env);
	envelope_free(env);
}

/* ---- pipelining ---- */

static bool
can_take(void *ctx)
{
	const struct talk *talk = ctx;

	return client_can_take(talk->client);
}

/* The second message is under way before the reply to the first one's dot; `held` is that reply. */
static void
play_piped(struct mail *mail, const char *held, enum client_verdict first, bool second_returned)
{
	const struct script script = {
	    .at = {[AT_MAIL] = "hold:250 ok", [AT_RCPT] = "hold:250 ok", [AT_DOT] = held}};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct netaddr address = script_server_address(server);
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	struct talk talk;

	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	assert_false(client_can_take(talk.client));
	mail_until(mail, can_take, &talk);
	assert_int_equal(talk.parcels[0].finished, 0);
	assert_false(client_is_idle(talk.client));
	give(&talk, 1, env);
	assert_false(client_can_take(talk.client));
	mail_until(mail, is_settled, &talk.parcels[0]);
	assert_int_equal(talk.parcels[0].recipients[1].verdict, first);
	mail_until(mail, is_settled, &talk.parcels[1]);
	assert_int_equal(talk.parcels[1].returned, second_returned);
	if (!second_returned)
		assert_int_equal(talk.parcels[1].recipients[1].verdict, CLIENT_ACCEPTED);
	talk_end(&talk);
	script_server_free(server);
	spool_finish(mail->spool, env);
	envelope_free(env);
}

static void
test_piped(void **state)
{
	struct mail *mail = *state;

	play_piped(mail, "hold:250 2.0.0 first|250 2.0.0 second", CLIENT_ACCEPTED, false);
	play_piped(mail, "hold:450 later|250 ok", CLIENT_TEMPORARY, false);
	play_piped(mail, "hold:554 no|250 ok", CLIENT_PERMANENT, false);
	play_piped(mail, "421 bye", CLIENT_TEMPORARY, true);
	play_piped(mail, "drop", CLIENT_UNCERTAIN, true);
}

/* The first one's reply does not come: it may have been accepted, the second one was not. */
static void
test_piped_timeout(void **state)
{
	static const struct script script = {.at = {[AT_DOT] = "silence"}};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct netaddr address = script_server_address(server);
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	struct talk talk;

	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	give(&talk, 0, env);
	mail_until(mail, can_take, &talk);
	give(&talk, 1, env);
	mail_until(mail, is_over, &talk);
	assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_UNCERTAIN);
	assert_int_equal(talk.parcels[1].recipients[0].verdict, CLIENT_TEMPORARY);
	talk_end(&talk);
	script_server_free(server);
	spool_finish(mail->spool, env);
	envelope_free(env);
}

/* ---- idle ---- */

static bool
nobody_is_there(void *ctx)
{
	return script_server_open(ctx) == 0;
}

static void
test_idle(void **state)
{
	static const struct script scripts[] = {{0},
						{0},
						{.at = {[AT_IDLE] = "421 4.4.2 idle too long"}},
						{.at = {[AT_IDLE] = "drop"}},
						{.at = {[AT_IDLE] = "250 one reply too many"}}};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", scripts, 5);
	struct netaddr address = script_server_address(server);
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	struct talk talk;
	size_t i;

	/* It goes by itself, and says so. */
	talk_to(&talk, mail, &address);
	mail_until(mail, is_over, &talk);
	assert_true(client_was_greeted(talk.client));
	mail_until(mail, nobody_is_there, server);
	assert_int_equal(script_server_heard(server, "0 QUIT"), 1);
	talk_end(&talk);

	/* It is told to. */
	talk_to(&talk, mail, &address);
	mail_until(mail, is_ready_or_over, &talk);
	client_quit(talk.client);
	mail_until(mail, nobody_is_there, server);
	assert_int_equal(script_server_heard(server, "1 QUIT"), 1);
	assert_int_equal(talk.ended, 0);

	/* The server wants no more, or is out of step. */
	for (i = 0; i < 3; i++) {
		talk_to(&talk, mail, &address);
		mail_until(mail, is_ready_or_over, &talk);
		give(&talk, 0, env);
		mail_until(mail, is_over, &talk);
		assert_int_equal(talk.parcels[0].recipients[0].verdict, CLIENT_ACCEPTED);
		assert_int_equal(talk.parcels[0].finished, 1);
		talk_end(&talk);
	}
	script_server_free(server);
	spool_finish(mail->spool, env);
	envelope_free(env);
}

/* Cut at any moment: no callback any more, nothing is left behind. */
static void
test_cut(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct netaddr address = script_server_address(server);
	char *text = large_body(1 << 20);
	struct envelope *env = mail_commit(mail, "s@example.org", text, to);
	struct talk talk;
	int rounds, i;

	for (rounds = 0; rounds < 40; rounds++) {
		talk_to(&talk, mail, &address);
		for (i = 0; i < rounds; i++) {
			assert_int_equal(loop_once(mail->loop, 1), 0);
			if (talk.parcels[0].job.envelope == NULL && client_can_take(talk.client))
				give(&talk, 0, env);
		}
		talk_end(&talk);
	}
	mail_run(mail, 10);
	script_server_free(server);
	spool_finish(mail->spool, env);
	envelope_free(env);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_stages, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_early, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_connect_silence, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bodies, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused_at_the_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reuse, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rset, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_piped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_piped_timeout, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
	};

	return cmocka_run_group_tests_name("smtp client", tests, NULL, NULL);
}
