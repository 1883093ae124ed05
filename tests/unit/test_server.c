/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/smtp/server against a real spool in a temporary directory: conversations as tables (what
 * comes in, what must come out), each fed whole and byte by byte; the extensions, the order of
 * commands, bounds, smuggling through commands and data, what is on disk and handed on behind each
 * 250, deadlines, shutting down, and sessions that are freed in the middle.
 */
#include "relayd/smtp/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/smtp/syntax.h"

enum { ROUNDS_MOST = 2000, ROUND_MS = 10, ENVELOPES_MOST = 8 };

struct room {
	char dir[64];
	struct loop *loop;
	struct offload *offload;
	struct spool *spool;
	struct server_shared shared;
	struct netprefix relay_from;
	struct server *server;
	struct strbuf in;  /* not yet taken */
	struct strbuf out; /* what was said */
	int sends;
	int finished;
	bool is_paused;
	int64_t deadline_ms;
	struct envelope *accepted[ENVELOPES_MOST];
	size_t accepted_count;
	size_t said_at_accepted; /* out.len then: the 250 must come later */
};

static void
io_send(void *ctx, const char *bytes, size_t len)
{
	struct room *room = ctx;

	assert_int_equal(room->finished, 0);
	assert_true(len > 0);
	room->sends++;
	strbuf_append(&room->out, bytes, len);
}

static void
io_pause(void *ctx)
{
	struct room *room = ctx;

	assert_false(room->is_paused);
	room->is_paused = true;
}

static void
io_resume(void *ctx)
{
	struct room *room = ctx;

	assert_true(room->is_paused);
	room->is_paused = false;
}

static void
io_set_deadline(void *ctx, int64_t after_ms)
{
	struct room *room = ctx;

	room->deadline_ms = after_ms;
}

static void
io_finish(void *ctx)
{
	struct room *room = ctx;

	room->finished++;
}

static const struct server_io io = {io_send, io_pause, io_resume, io_set_deadline, io_finish};

static void
take(void *ctx, struct envelope *env)
{
	struct room *room = ctx;

	assert_true(room->accepted_count < ENVELOPES_MOST);
	room->said_at_accepted = room->out.len;
	room->accepted[room->accepted_count++] = env;
}

static int64_t
clock_ms(void *ctx)
{
	(void)ctx;
	return INT64_C(1704449472345);
}

static void
found_none(void *ctx, struct envelope *env)
{
	(void)ctx;
	envelope_free(env);
	fail_msg("a message in an empty spool");
}

static const char *const relay_domains[] = {"example.org"};

static void
open_spool(struct room *room)
{
	struct spool_options options = {
	    .dir = room->dir, .loop = room->loop, .offload = room->offload};
	struct error why;

	room->spool = spool_open(&options, found_none, NULL, &why);
	if (room->spool == NULL)
		fail_msg("%s", why.text);
	room->shared.spool = room->spool;
}

static void
connect_from(struct room *room, const char *client)
{
	struct netaddr remote;

	assert_int_equal(netaddr_parse(client, &remote), 0);
	room->server = server_new(&room->shared, &io, room, &remote);
}

static struct room *
room_new(void)
{
	struct room *room = xcalloc(1, sizeof(*room));

	snprintf(room->dir, sizeof(room->dir), "/tmp/test_server.XXXXXX");
	assert_non_null(mkdtemp(room->dir));
	room->loop = loop_new(NULL);
	room->offload = offload_new(room->loop, 2, NULL);
	assert_int_equal(netprefix_parse("192.0.2.0/24", &room->relay_from, NULL), 0);
	room->shared = (struct server_shared){
	    .hostname = "mx.example.org",
	    .message_size = 100000,
	    .recipients = 3,
	    .errors = 5,
	    .command_ms = 300,
	    .data_ms = 600,
	    .policy = {.relay_from = &room->relay_from,
		       .relay_from_count = 1,
		       .relay_domains = relay_domains,
		       .relay_domains_count = 1},
	    .accepted = take,
	    .accepted_ctx = room,
	    .wall_ms = clock_ms,
	};
	open_spool(room);
	return room;
}

static void
hang_up(struct room *room)
{
	if (room->server != NULL)
		server_free(room->server);
	room->server = NULL;
	strbuf_reset(&room->in);
	strbuf_reset(&room->out);
	for (size_t i = 0; i < room->accepted_count; i++)
		envelope_free(room->accepted[i]);
	room->accepted_count = 0;
	room->sends = room->finished = 0;
	room->is_paused = false;
}

static void
room_free(struct room *room)
{
	char *command = xasprintf("rm -rf %s", room->dir);

	hang_up(room);
	spool_close(room->spool);
	offload_finish(room->offload);
	offload_free(room->offload);
	loop_free(room->loop);
	assert_int_equal(system(command), 0);
	free(command);
	strbuf_clear(&room->in);
	strbuf_clear(&room->out);
	free(room);
}

/* Offer what is there as an owner does: until the server takes no more. */
static void
offer(struct room *room)
{
	size_t taken;

	while (room->in.len > 0 && !room->is_paused && room->finished == 0) {
		taken = server_feed(room->server, room->in.data, room->in.len);
		assert_true(taken <= room->in.len);
		if (taken == 0)
			return;
		strbuf_consume(&room->in, taken);
	}
}

static void
wait_resumed(struct room *room)
{
	for (int i = 0; i < ROUNDS_MOST && room->is_paused && room->finished == 0; i++)
		loop_once(room->loop, ROUND_MS);
	assert_true(!room->is_paused || room->finished > 0);
}

/* All of it, in pieces of `size` bytes, waiting where the server waits. */
static void
feed_bytes(struct room *room, const char *bytes, size_t len, size_t size)
{
	size_t piece;

	for (size_t at = 0; at < len && room->finished == 0; at += piece) {
		piece = len - at < size ? len - at : size;
		strbuf_append(&room->in, bytes + at, piece);
		offer(room);
		while (room->is_paused && room->finished == 0) {
			wait_resumed(room);
			offer(room);
		}
	}
}

static void
feed(struct room *room, const char *text)
{
	feed_bytes(room, text, strlen(text), SIZE_MAX);
}

/* ---- conversations ---- */

/* The beginnings of the replies that must come, one after the other and no others; after the
 * greeting. */
struct conversation {
	const char *name;
	const char *client; /* its address; NULL: one that may relay */
	const char *in;
	size_t in_len;
	const char *replies[12];
	bool is_finished;
	size_t accepted;
};

#define SAYS(text) (text), sizeof(text) - 1
#define HELO "HELO c.example\r\n"
#define TO_RCPT HELO "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\n"
#define TO_DATA TO_RCPT "DATA\r\n"
#define R_HELO "250 mx.example.org\r\n"
#define R_MAIL "250 2.1.0 "
#define R_RCPT "250 2.1.5 "
#define R_DATA R_HELO, R_MAIL, R_RCPT, "354 "
#define R_QUEUED "250 2.0.0 Ok: queued as "

static const struct conversation conversations[] = {
    {"quit", NULL, SAYS("QUIT\r\nNOOP\r\n"), {"221 2.0.0 "}, true, 0},
    {"ehlo",
     NULL,
     SAYS("EHLO c.example\r\n"),
     {"250-mx.example.org\r\n", "250-SIZE 100000\r\n", "250-PIPELINING\r\n", "250-8BITMIME\r\n",
      "250 ENHANCEDSTATUSCODES\r\n"},
     false,
     0},
    {"helo", NULL, SAYS("helo c.example\r\n"), {R_HELO}, false, 0},
    {"odd names",
     NULL,
     SAYS("HELO my pc\r\nHELO _x\r\nHELO \xe4\r\n"),
     {R_HELO, R_HELO, R_HELO},
     false,
     0},
    {"no name", NULL, SAYS("HELO\r\nEHLO \r\n"), {"501 5.5.4 ", "501 5.5.4 "}, false, 0},
    {"verbs without a session",
     NULL,
     SAYS("NOOP\r\nNOOP x y\r\nVRFY a\r\nHELP\r\nRSET\r\nhelp me\r\n"),
     {"250 2.0.0 ", "250 2.0.0 ", "252 ", "214 ", "250 2.0.0 ", "214 "},
     false,
     0},
    {"arguments where none belong",
     NULL,
     SAYS(HELO "RSET x\r\nQUIT x\r\nVRFY\r\nMAIL\r\n"),
     {R_HELO, "501 5.5.4 ", "501 5.5.4 ", "501 5.5.4 ", "501 5.5.4 "},
     false,
     0},
    {"unknown verbs",
     NULL,
     SAYS("XYZZY\r\n\r\n NOOP\r\nDATAA\r\n"),
     {"500 5.5.1 ", "500 5.5.1 ", "500 5.5.1 ", "500 5.5.1 "},
     false,
     0},

    {"one message", NULL, SAYS(TO_DATA "x\r\n.\r\nQUIT\r\n"), {R_DATA, R_QUEUED, "221 "}, true, 1},
    {"two messages",
     NULL,
     SAYS(TO_DATA "x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n.\r\n"),
     {R_DATA, R_QUEUED, R_MAIL, R_RCPT, "354 ", R_QUEUED},
     false,
     2},
    {"anyone may send to a relay domain",
     "198.51.100.1",
     SAYS(HELO "MAIL FROM:<>\r\nRCPT TO:<a@other.example>\r\nRCPT TO:<a@EXAMPLE.org>\r\n"
	       "RCPT TO:<postmaster>\r\n"),
     {R_HELO, R_MAIL, "550 5.7.1 ", R_RCPT, "550 5.7.1 "},
     false,
     0},
    {"one that relays has a postmaster",
     NULL,
     SAYS(HELO "MAIL FROM:<>\r\nRCPT TO:<PostMaster>\r\n"),
     {R_HELO, R_MAIL, R_RCPT},
     false,
     0},
    {"tricks to relay",
     "198.51.100.1",
     SAYS(HELO "MAIL FROM:<>\r\nRCPT TO:<@example.org:a@other.example>\r\n"
	       "RCPT TO:<\"a@example.org\"@other.example>\r\nRCPT TO:<a@[192.0.2.1]>\r\n"
	       "RCPT TO:<a@example.org.>\r\n"),
     {R_HELO, R_MAIL, "550 5.7.1 ", "550 5.7.1 ", "550 5.7.1 ", "501 5.1.3 "},
     false,
     0},

    {"MAIL before HELO", NULL, SAYS("MAIL FROM:<>\r\n"), {"503 5.5.1 "}, false, 0},
    {"RCPT and DATA before MAIL",
     NULL,
     SAYS(HELO "RCPT TO:<c@example.org>\r\nDATA\r\n"),
     {R_HELO, "503 5.5.1 ", "503 5.5.1 "},
     false,
     0},
    {"MAIL twice",
     NULL,
     SAYS(TO_RCPT "MAIL FROM:<>\r\nDATA\r\n"),
     {R_HELO, R_MAIL, R_RCPT, "503 5.5.1 ", "354 "},
     false,
     0},
    {"DATA without RCPT ends the transaction",
     NULL,
     SAYS(HELO "MAIL FROM:<>\r\nDATA\r\nRCPT TO:<c@example.org>\r\nMAIL FROM:<>\r\n"),
     {R_HELO, R_MAIL, "554 5.5.1 ", "503 5.5.1 ", R_MAIL},
     false,
     0},
    {"DATA after refused recipients",
     "198.51.100.1",
     SAYS(HELO "MAIL FROM:<>\r\nRCPT TO:<a@other.example>\r\nDATA\r\nMAIL FROM:<>\r\n"),
     {R_HELO, R_MAIL, "550 5.7.1 ", "554 5.5.1 ", R_MAIL},
     false,
     0},
    {"a refused MAIL leaves nothing",
     NULL,
     SAYS(HELO
	  "MAIL FROM:<> SIZE=100001\r\nRCPT TO:<c@example.org>\r\nMAIL FROM:<> SIZE=100000\r\n"),
     {R_HELO, "552 5.3.4 ", "503 5.5.1 ", R_MAIL},
     false,
     0},
    {"RSET, HELO and EHLO end the transaction",
     NULL,
     SAYS(TO_RCPT "RSET\r\nDATA\r\nMAIL FROM:<>\r\n" HELO "RCPT TO:<c@example.org>\r\n"),
     {R_HELO, R_MAIL, R_RCPT, "250 2.0.0 ", "503 5.5.1 ", R_MAIL, R_HELO, "503 5.5.1 "},
     false,
     0},
    {"a refused EHLO ends none",
     NULL,
     SAYS(TO_RCPT "EHLO\r\nDATA\r\n"),
     {R_HELO, R_MAIL, R_RCPT, "501 5.5.4 ", "354 "},
     false,
     0},
    {"a refused message leaves nothing",
     NULL,
     SAYS(TO_DATA "a\nb\r\n.\r\nRCPT TO:<c@example.org>\r\n"),
     {R_DATA, "550 5.6.11 ", "503 5.5.1 "},
     false,
     0},
    {"too many recipients",
     NULL,
     SAYS(HELO "MAIL FROM:<>\r\nRCPT TO:<1@example.org>\r\nRCPT TO:<2@example.org>\r\n"
	       "RCPT TO:<3@example.org>\r\nRCPT TO:<4@example.org>\r\nRCPT TO:<5@example.org>\r\n"
	       "RCPT TO:<3@example.org>\r\nDATA\r\n"),
     {R_HELO, R_MAIL, R_RCPT, R_RCPT, R_RCPT, "452 4.5.3 ", "452 4.5.3 ", R_RCPT, "354 "},
     false,
     0},
    {"parameters",
     NULL,
     SAYS(HELO "MAIL FROM:<> X=1\r\nMAIL FROM:<> SIZE=x\r\nMAIL FROM:<> BODY=8BITMIME SIZE=5\r\n"
	       "RCPT TO:<c@example.org> X\r\n"),
     {R_HELO, "555 5.5.4 ", "501 5.5.4 ", R_MAIL, "555 5.5.4 "},
     false,
     0},
    {"bad addresses",
     NULL,
     SAYS(HELO "MAIL FROM:<a>\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<a@b_c.->\r\n"),
     {R_HELO, "501 5.1.7 ", R_MAIL, "501 5.1.3 ", "501 5.1.3 "},
     false,
     0},

    {"too many errors",
     NULL,
     SAYS("A\r\nB\r\nC\r\nD\r\nE\r\nNOOP\r\n"),
     {"500 ", "500 ", "500 ", "500 ", "500 ", "421 4.7.0 mx.example.org "},
     true,
     0},
    {"too many errors within a transaction",
     NULL,
     SAYS(TO_RCPT "A\r\nB\r\nC\r\nD\r\nDATA x\r\n"),
     {R_HELO, R_MAIL, R_RCPT, "500 ", "500 ", "500 ", "500 ", "501 ", "421 4.7.0 "},
     true,
     0},
    {"the message that is one error too many",
     NULL,
     SAYS("A\r\nB\r\nC\r\nD\r\n" TO_DATA "a\nb\r\n.\r\nNOOP\r\n"),
     {"500 ", "500 ", "500 ", "500 ", R_DATA, "550 5.6.11 ", "421 4.7.0 "},
     true,
     0},
    {"a line that is one error too many",
     NULL,
     SAYS("A\r\nB\r\nC\r\nD\r\nE\nF\r\nNOOP\r\n"),
     {"500 ", "500 ", "500 ", "500 ", "550 5.6.11 ", "421 4.7.0 "},
     true,
     0},

    /* A line with a bare CR or LF is one line, refused, up to its CRLF. */
    {"LF in a command",
     NULL,
     SAYS("NOOP\nQUIT\r\nNOOP\r\n"),
     {"550 5.6.11 ", "250 2.0.0 "},
     false,
     0},
    {"CR in a command",
     NULL,
     SAYS("NOOP\rQUIT\r\nNOOP\r\n"),
     {"550 5.6.11 ", "250 2.0.0 "},
     false,
     0},
    {"doubled CR in a command",
     NULL,
     SAYS("NOOP\r\r\nNOOP\r\n"),
     {"550 5.6.11 ", "250 2.0.0 "},
     false,
     0},
    {"LF before CRLF", NULL, SAYS("NOOP\n\r\nNOOP\r\n"), {"550 5.6.11 ", "250 2.0.0 "}, false, 0},
    {"many of them",
     NULL,
     SAYS("A\nB\rC\n\rD\nE\r\r\nNOOP\r\n"),
     {"550 5.6.11 ", "250 2.0.0 "},
     false,
     0},
    {"LF in a parameter",
     NULL,
     SAYS(HELO "MAIL FROM:<a@b.example\nRCPT TO:<c@example.org>>\r\nRSET\r\n"),
     {R_HELO, "550 5.6.11 ", "250 2.0.0 "},
     false,
     0},
    {"LF that would begin the data",
     NULL,
     SAYS(TO_RCPT "DATA\nx\r\n.\r\n"),
     {R_HELO, R_MAIL, R_RCPT, "550 5.6.11 ", "500 5.5.1 "},
     false,
     0},
    {"NUL in a command",
     NULL,
     SAYS("NO\0OP\r\nNOOP\0\r\nNOOP\r\n"),
     {"500 5.5.2 ", "500 5.5.2 ", "250 2.0.0 "},
     false,
     0},
    {"controls in a command", NULL, SAYS("HELO \x1b[2J\r\n"), {"500 5.5.2 "}, false, 0},

    /* What would be a second message to a careless reader is part of the first, which is refused.
     */
    {"LF.LF",
     NULL,
     SAYS(TO_DATA "x\n.\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"CR.CR",
     NULL,
     SAYS(TO_DATA "x\r.\rMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"LF.CRLF",
     NULL,
     SAYS(TO_DATA "x\n.\r\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"CRLF.LF",
     NULL,
     SAYS(TO_DATA "x\r\n.\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"CRLF.CR",
     NULL,
     SAYS(TO_DATA "x\r\n.\rMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"CR.CRLF",
     NULL,
     SAYS(TO_DATA "x\r.\r\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"CRLF.CRCRLF",
     NULL,
     SAYS(TO_DATA "x\r\n.\r\r\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, "550 5.6.11 ", "250 2.0.0 Ok\r\n"},
     false,
     0},
    {"NUL before the dot",
     NULL,
     SAYS(TO_DATA "x\r\n\0.\r\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, R_QUEUED, "250 2.0.0 Ok\r\n"},
     false,
     1},
    {"NUL behind the dot",
     NULL,
     SAYS(TO_DATA "x\r\n.\0\r\nMAIL FROM:<>\r\n.\r\nNOOP\r\n"),
     {R_DATA, R_QUEUED, "250 2.0.0 Ok\r\n"},
     false,
     1},
    {"nothing but the end",
     NULL,
     SAYS(TO_DATA ".\r\nNOOP\r\n"),
     {R_DATA, R_QUEUED, "250 2.0.0 Ok\r\n"},
     false,
     1},
};

static void
converse(struct room *room, const struct conversation *talk, size_t piece)
{
	const char *at, *end;

	connect_from(room, talk->client != NULL ? talk->client : "192.0.2.1");
	feed_bytes(room, talk->in, talk->in_len, piece);
	at = room->out.data;
	if (strncmp(at, "220 mx.example.org ESMTP ", 25) != 0)
		fail_msg("greeting: %s", at);
	at = strstr(at, "\r\n") + 2;
	for (size_t i = 0; i < 12 && talk->replies[i] != NULL; i++) {
		if (strncmp(at, talk->replies[i], strlen(talk->replies[i])) != 0)
			fail_msg("%s (pieces of %zu): reply %zu is %s", talk->name, piece, i, at);
		end = strstr(at, "\r\n");
		at = end + 2;
	}
	if (*at != '\0')
		fail_msg("%s (pieces of %zu): too much: %s", talk->name, piece, at);
	assert_int_equal(room->finished, talk->is_finished);
	assert_int_equal(room->accepted_count, talk->accepted);
	hang_up(room);
}

static void
test_conversations(void **state)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 2, 7};
	struct room *room = room_new();

	(void)state;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
			converse(room, &conversations[i], pieces[p]);
	}
	room_free(room);
}

/* ---- what is behind a 250 ---- */

struct read_back {
	struct spool_reader *reader;
	struct strbuf bytes;
	bool is_over;
};

static void
got_piece(void *ctx, const char *bytes, size_t len, const struct error *why)
{
	struct read_back *back = ctx;

	assert_null(why);
	if (len > 0)
		strbuf_append(&back->bytes, bytes, len);
	back->is_over = len == 0;
}

static void
check_stored(struct room *room, const struct envelope *env, const char *expected)
{
	struct read_back back = {.bytes = STRBUF_INIT};
	size_t before;

	back.reader = spool_reader_new(room->spool, env, NULL);
	assert_non_null(back.reader);
	while (!back.is_over) {
		before = back.bytes.len;
		spool_reader_next(back.reader, got_piece, &back);
		for (int i = 0; i < ROUNDS_MOST && !back.is_over && back.bytes.len == before; i++)
			loop_once(room->loop, ROUND_MS);
		assert_true(back.is_over || back.bytes.len > before);
	}
	spool_reader_free(back.reader);
	assert_int_equal(back.bytes.len, strlen(expected));
	assert_memory_equal(back.bytes.data, expected, back.bytes.len);
	strbuf_clear(&back.bytes);
}

static void
test_stored_message(void **state)
{
	struct room *room = room_new();
	const struct envelope *env;
	struct spool_stats stats;
	char *expected, *reply;

	(void)state;
	connect_from(room, "192.0.2.1");
	feed(room, "EHLO client.example\r\nMAIL FROM:<A@B.example> BODY=8BITMIME SIZE=40\r\n"
		   "RCPT TO:<\"c d\"@Example.ORG>\r\nDATA\r\n"
		   "Subject: x\r\n\r\n..dot\r\n\xff\r\n.\r\n");
	assert_int_equal(room->accepted_count, 1);
	env = room->accepted[0];
	assert_string_equal(env->sender, "A@b.example");
	assert_int_equal(env->recipient_count, 1);
	assert_string_equal(env->recipients[0].address, "\"c d\"@example.org");
	assert_true(env->has_8bit);
	reply = xasprintf("250 2.0.0 Ok: queued as %llu\r\n", (unsigned long long)env->id);
	/* It was handed on before the client heard of it, and is the last that was said. */
	assert_string_equal(room->out.data + room->said_at_accepted, reply);
	expected = xasprintf("Received: from client.example ([192.0.2.1])\r\n"
			     "\tby mx.example.org with ESMTP id %llu\r\n"
			     "\tfor <\"c d\"@example.org>;\r\n"
			     "\tFri, 05 Jan 2024 10:11:12 +0000\r\n"
			     "Subject: x\r\n\r\n.dot\r\n\xff\r\n",
			     (unsigned long long)env->id);
	assert_int_equal(env->size, strlen(expected));
	check_stored(room, env, expected);
	spool_stats(room->spool, &stats);
	assert_int_equal(stats.messages, 1);
	free(expected);
	free(reply);
	room_free(room);
}

static char *
message_of(size_t octets)
{
	struct strbuf message = STRBUF_INIT;

	while (message.len + 64 <= octets)
		strbuf_puts(&message,
			    "..2345678901234567890123456789012345678901234567890123456789012\r\n");
	while (message.len + 3 <= octets)
		strbuf_putc(&message, 'x');
	strbuf_puts(&message, "\r\n");
	return strbuf_take(&message);
}

/* The excess is neither stored nor taken for commands. */
static void
test_too_large(void **state)
{
	struct room *room = room_new();
	char *message = message_of(150000);
	struct spool_stats stats;

	(void)state;
	connect_from(room, "192.0.2.1");
	feed(room, TO_DATA);
	feed_bytes(room, message, strlen(message), 1000);
	strbuf_reset(&room->out);
	feed(room, "QUIT\r\n.\r\nNOOP\r\n");
	assert_string_equal(room->out.data,
			    "552 5.3.4 The message is too large\r\n250 2.0.0 Ok\r\n");
	spool_stats(room->spool, &stats);
	assert_int_equal(stats.messages, 0);
	free(message);
	room_free(room);
}

/* Larger than the spool's inline bound: by way of a file, with pauses where the disk is behind. */
static void
test_large_message(void **state)
{
	struct room *room = room_new();
	char *message = message_of(3000000);

	(void)state;
	room->shared.message_size = 4000000;
	connect_from(room, "192.0.2.1");
	feed(room, TO_DATA);
	feed_bytes(room, message, strlen(message), 65536);
	feed(room, ".\r\nQUIT\r\n");
	assert_int_equal(room->accepted_count, 1);
	assert_int_equal(room->finished, 1);
	assert_true(room->accepted[0]->size > 2900000);
	free(message);
	room_free(room);
}

/* ---- bursts and bounds ---- */

static void
test_pipelining(void **state)
{
	struct room *room = room_new();

	(void)state;
	connect_from(room, "192.0.2.1");
	assert_int_equal(room->sends, 1);
	feed(room, TO_RCPT "RCPT TO:<d@example.org>\r\nDATA\r\n");
	assert_int_equal(room->sends, 2);
	/* The next transaction lies behind the end of data: it waits for the disk, then goes on. */
	strbuf_reset(&room->out);
	strbuf_puts(&room->in, "x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<e@example.org>\r\nQUIT\r\n");
	offer(room);
	assert_true(room->is_paused);
	assert_int_equal(room->out.len, 0);
	assert_int_equal(room->accepted_count, 0);
	assert_int_equal(room->deadline_ms, -1);
	wait_resumed(room);
	assert_int_equal(room->sends, 3);
	assert_int_equal(room->deadline_ms, 300);
	offer(room);
	assert_int_equal(room->sends, 4);
	assert_int_equal(room->finished, 1);
	room_free(room);
}

static void
test_long_lines(void **state)
{
	struct room *room = room_new();
	char *line = xcalloc(1, 4 * SYNTAX_LINE_MAX);

	(void)state;
	memset(line, 'x', 4 * SYNTAX_LINE_MAX - 1);
	for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
		connect_from(room, "192.0.2.1");
		strbuf_reset(&room->out);
		for (int i = 0; i < 5; i++) {
			feed_bytes(room, line, strlen(line), piece);
			assert_true(room->in.len < SYNTAX_LINE_MAX);
		}
		assert_int_equal(room->out.len, 0);
		feed_bytes(room, "\r\nNOOP\r\n", 8, piece);
		assert_string_equal(room->out.data,
				    "500 5.5.2 The command line is too long\r\n250 2.0.0 Ok\r\n");
		hang_up(room);
	}
	free(line);
	room_free(room);
}

/* Many short commands: the owner gets to look at the output before all are answered. */
static void
test_output_is_bounded(void **state)
{
	struct strbuf burst = STRBUF_INIT;
	struct room *room = room_new();
	size_t taken;

	(void)state;
	connect_from(room, "192.0.2.1");
	for (int i = 0; i < 10000; i++)
		strbuf_puts(&burst, "HELP\r\n");
	strbuf_reset(&room->out);
	taken = server_feed(room->server, burst.data, burst.len);
	assert_true(taken > 0 && taken < burst.len);
	assert_true(room->out.len < 32 * 1024);
	strbuf_clear(&burst);
	room_free(room);
}

/* ---- the log ---- */

static void
check_log(FILE *file, const char *event, const char *const *parts)
{
	char line[1024], *found = NULL;

	rewind(file);
	while (found == NULL && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, event);
	if (found == NULL)
		fail_msg("no %s in the log", event);
	for (; *parts != NULL; parts++) {
		if (strstr(found, *parts) == NULL)
			fail_msg("no %s in %s", *parts, found);
	}
}

static void
test_log(void **state)
{
	static const char *const accepted[] = {
	    "from=a@b.example ", "rcpt=c@example.org ", "nrcpt=1 ", "size=",
	    "client=192.0.2.1 ", "helo=c.example",      NULL};
	static const char *const refused[] = {"reply=\"550 5.7.1 Relaying denied\" ",
					      "client=198.51.100.1 ",
					      "helo=\"a b\" ",
					      "from=x@y.example ",
					      "rcpt=d@other.example ",
					      "command=\"RCPT TO:<d@OTHER.example>\"",
					      NULL};
	static const char *const too_large[] = {"client=198.51.100.1 ", "from=big@y.example ",
						NULL};
	static const char *const forged[] = {"command=\"fake \\x1b[2J\"\n", NULL};
	static const char *const lost[] = {"client=198.51.100.1 ", "from=x@y.example ", NULL};
	struct room *room = room_new();
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	room->shared.log = log_new(fileno(file), LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	connect_from(room, "192.0.2.1");
	feed(room, TO_DATA "x\r\n.\r\n");
	check_log(file, "1 accepted ", accepted);
	hang_up(room);
	connect_from(room, "198.51.100.1");
	feed(room, "HELO a b\r\nMAIL FROM:<big@y.example> SIZE=99999999\r\n");
	check_log(file, "- refused reply=\"552 5.3.4 ", too_large);
	feed(room, "MAIL FROM:<x@y.example>\r\nRCPT TO:<d@OTHER.example>\r\n");
	check_log(file, "- refused reply=\"550 5.7.1 ", refused);
	feed(room, "fake \x1b[2J\r\n");
	check_log(file, "- refused reply=\"500 5.5.2 ", forged);
	feed(room, "RCPT TO:<c@example.org>\r\nDATA\r\nhalf");
	server_free(room->server);
	room->server = NULL;
	check_log(file, "2 lost ", lost);
	log_free(room->shared.log);
	room->shared.log = NULL;
	assert_int_equal(fclose(file), 0);
	room_free(room);
}

/* ---- time and the end ---- */

static void
test_deadlines(void **state)
{
	struct room *room = room_new();

	(void)state;
	connect_from(room, "192.0.2.1");
	assert_int_equal(room->deadline_ms, 300);
	room->deadline_ms = 0;
	/* Part of a command, or of a line that is too long, is no progress. */
	feed(room, "HEL");
	assert_int_equal(room->deadline_ms, 0);
	feed(room, "O c.example\r\n");
	assert_int_equal(room->deadline_ms, 300);
	feed(room, "MAIL FROM:<>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n");
	assert_int_equal(room->deadline_ms, 600);
	room->deadline_ms = 0;
	feed(room, "x");
	assert_int_equal(room->deadline_ms, 600);
	strbuf_reset(&room->out);
	server_timed_out(room->server);
	assert_string_equal(room->out.data, "421 4.4.2 mx.example.org Waited too long for you\r\n");
	assert_int_equal(room->finished, 1);
	server_timed_out(room->server);
	assert_int_equal(room->finished, 1);
	room_free(room);
}

static void
test_shutting_down(void **state)
{
	static const char stopping[] =
	    "421 4.3.2 mx.example.org Shutting down, try again later\r\n";
	struct room *room = room_new();

	(void)state;
	/* Between commands: at once. */
	connect_from(room, "192.0.2.1");
	feed(room, TO_RCPT);
	strbuf_reset(&room->out);
	server_shut_down(room->server);
	assert_string_equal(room->out.data, stopping);
	assert_int_equal(room->finished, 1);
	hang_up(room);

	/* In data: after its end. */
	connect_from(room, "192.0.2.1");
	feed(room, TO_DATA "x\r\n");
	server_shut_down(room->server);
	assert_int_equal(room->finished, 0);
	strbuf_reset(&room->out);
	feed(room, ".\r\n");
	assert_int_equal(room->accepted_count, 1);
	assert_memory_equal(room->out.data, R_QUEUED, strlen(R_QUEUED));
	assert_non_null(strstr(room->out.data, stopping));
	assert_int_equal(room->finished, 1);
	hang_up(room);

	/* During the commit. */
	connect_from(room, "192.0.2.1");
	strbuf_puts(&room->in, TO_DATA "x\r\n.\r\n");
	offer(room);
	server_shut_down(room->server);
	assert_int_equal(room->finished, 0);
	wait_resumed(room);
	assert_int_equal(room->accepted_count, 1);
	assert_int_equal(room->finished, 1);
	hang_up(room);

	/* A message that is refused ends it just so. */
	connect_from(room, "192.0.2.1");
	feed(room, TO_DATA);
	server_shut_down(room->server);
	feed(room, "a\nb\r\n.\r\nNOOP\r\n");
	assert_non_null(strstr(room->out.data, stopping));
	assert_int_equal(room->finished, 1);
	room_free(room);
}

static void
test_freed_during_commit(void **state)
{
	struct room *room = room_new();

	(void)state;
	connect_from(room, "192.0.2.1");
	strbuf_puts(&room->in, TO_DATA "x\r\n.\r\n");
	offer(room);
	assert_true(room->is_paused);
	assert_int_equal(room->accepted_count, 0);
	server_free(room->server);
	strbuf_reset(&room->out);
	for (int i = 0; i < ROUNDS_MOST && room->accepted_count == 0; i++)
		loop_once(room->loop, ROUND_MS);
	assert_int_equal(room->accepted_count, 1);
	assert_int_equal(room->out.len, 0);
	assert_true(room->is_paused);
	room->server = NULL;
	room_free(room);
}

/* Cut at each point of a conversation: nothing is kept but what was answered with 250. */
static void
test_cut_anywhere(void **state)
{
	static const char talk[] = TO_DATA "x\r\n.\r";
	struct room *room = room_new();
	struct spool_stats stats;

	(void)state;
	for (size_t cut = 0; cut < sizeof(talk); cut++) {
		connect_from(room, "192.0.2.1");
		feed_bytes(room, talk, cut, SIZE_MAX);
		hang_up(room);
	}
	spool_stats(room->spool, &stats);
	assert_int_equal(stats.messages, 0);
	room_free(room);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conversations),       cmocka_unit_test(test_stored_message),
	    cmocka_unit_test(test_too_large),           cmocka_unit_test(test_large_message),
	    cmocka_unit_test(test_pipelining),          cmocka_unit_test(test_long_lines),
	    cmocka_unit_test(test_output_is_bounded),   cmocka_unit_test(test_log),
	    cmocka_unit_test(test_deadlines),           cmocka_unit_test(test_shutting_down),
	    cmocka_unit_test(test_freed_during_commit), cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
