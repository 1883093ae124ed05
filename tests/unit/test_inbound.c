/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/smtp/inbound and clients, over loopback sockets and a real spool: a whole conversation,
 * the limits on connections, peers that vanish, half-close, stall or never read, a burst that
 * outruns its replies, a large message, and stopping in order.
 */
#include "relayd/smtp/inbound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/smtp/clients.h"

enum { ROUNDS_MOST = 4000, ROUND_MS = 5 };

struct peer {
	int fd;
	struct strbuf out; /* still to be sent */
	struct strbuf in;
	bool is_closed; /* by the other side */
	bool is_deaf;   /* does not read */
};

struct room {
	char dir[64];
	struct loop *loop;
	struct offload *offload;
	struct spool *spool;
	struct server_shared shared;
	struct inbound_limits limits;
	struct inbound *inbound;
	struct netprefix relay_from;
	int listener;
	struct sockaddr_in address;
	size_t accepted;
	size_t accepted_octets;
	int stopped;
};

static void
take(void *ctx, struct envelope *env)
{
	struct room *room = ctx;

	room->accepted++;
	room->accepted_octets = env->size;
	envelope_free(env);
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

static struct room *
room_new(unsigned connections, unsigned per_client)
{
	struct room *room = xcalloc(1, sizeof(*room));
	socklen_t len = sizeof(room->address);
	struct spool_options options;
	struct error why;

	snprintf(room->dir, sizeof(room->dir), "/tmp/test_inbound.XXXXXX");
	assert_non_null(mkdtemp(room->dir));
	room->loop = loop_new(NULL);
	room->offload = offload_new(room->loop, 2, NULL);
	options =
	    (struct spool_options){.dir = room->dir, .loop = room->loop, .offload = room->offload};
	room->spool = spool_open(&options, found_none, NULL, &why);
	if (room->spool == NULL)
		fail_msg("%s", why.text);
	assert_int_equal(netprefix_parse("127.0.0.0/8", &room->relay_from, NULL), 0);
	room->shared = (struct server_shared){
	    .hostname = "mx.example.org",
	    .message_size = 10000000,
	    .recipients = 3,
	    .errors = 4,
	    .command_ms = 30000,
	    .data_ms = 30000,
	    .policy = {.relay_from = &room->relay_from, .relay_from_count = 1},
	    .spool = room->spool,
	    .accepted = take,
	    .accepted_ctx = room,
	    .wall_ms = clock_ms,
	};
	room->limits.connections = connections;
	room->limits.connections_per_client = per_client;
	room->inbound = inbound_new(room->loop, &room->shared, &room->limits);
	room->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	room->address.sin_family = AF_INET;
	room->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(
	    bind(room->listener, (struct sockaddr *)&room->address, sizeof(room->address)), 0);
	assert_int_equal(listen(room->listener, 16), 0);
	assert_int_equal(getsockname(room->listener, (struct sockaddr *)&room->address, &len), 0);
	return room;
}

static void
room_free(struct room *room)
{
	char *command = xasprintf("rm -rf %s", room->dir);

	inbound_free(room->inbound);
	spool_close(room->spool);
	offload_finish(room->offload);
	offload_free(room->offload);
	loop_free(room->loop);
	assert_int_equal(close(room->listener), 0);
	assert_int_equal(system(command), 0);
	free(command);
	free(room);
}

/* Each peer comes from 127.0.0.`host`. */
static struct peer *
call(struct room *room, unsigned char host)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct peer *peer = xcalloc(1, sizeof(*peer));
	struct netaddr remote;
	socklen_t len = sizeof(from);
	int fd;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(
	    connect(peer->fd, (struct sockaddr *)&room->address, sizeof(room->address)), 0);
	fd = accept4(room->listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	netaddr_from_sockaddr(&remote, (struct sockaddr *)&from);
	inbound_accept(room->inbound, fd, &remote);
	return peer;
}

static void
hang_up(struct peer *peer)
{
	if (peer->fd >= 0)
		assert_int_equal(close(peer->fd), 0);
	strbuf_clear(&peer->in);
	strbuf_clear(&peer->out);
	free(peer);
}

/* With a reset in place of an orderly end. */
static void
slam(struct peer *peer)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	hang_up(peer);
}

static void
exchange(struct peer *peer)
{
	char bytes[65536];
	ssize_t n;

	if (peer->out.len > 0) {
		n = send(peer->fd, peer->out.data, peer->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			strbuf_consume(&peer->out, (size_t)n);
	}
	if (peer->is_deaf || peer->is_closed)
		return;
	n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n > 0)
		strbuf_append(&peer->in, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		peer->is_closed = true;
}

static void
turn(struct room *room, struct peer *peer)
{
	loop_once(room->loop, peer->out.len > 0 ? 0 : ROUND_MS);
	exchange(peer);
}

static bool
has(const struct peer *peer, const char *text)
{
	return peer->in.len > 0 && strstr(peer->in.data, text) != NULL;
}

static void
expect(struct room *room, struct peer *peer, const char *text)
{
	for (int i = 0; i < ROUNDS_MOST && !has(peer, text); i++)
		turn(room, peer);
	if (!has(peer, text))
		fail_msg("no \"%s\" in: %s", text, peer->in.len > 0 ? peer->in.data : "");
}

static void
expect_closed(struct room *room, struct peer *peer)
{
	for (int i = 0; i < ROUNDS_MOST && !peer->is_closed; i++)
		turn(room, peer);
	assert_true(peer->is_closed);
}

static void
expect_count(struct room *room, size_t count)
{
	for (int i = 0; i < ROUNDS_MOST && inbound_count(room->inbound) != count; i++)
		loop_once(room->loop, ROUND_MS);
	assert_int_equal(inbound_count(room->inbound), count);
}

static void
expect_accepted(struct room *room, size_t count)
{
	for (int i = 0; i < ROUNDS_MOST && room->accepted != count; i++)
		loop_once(room->loop, ROUND_MS);
	assert_int_equal(room->accepted, count);
}

#define ENVELOPE "EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"

static void
test_conversation(void **state)
{
	struct room *room = room_new(10, 10);
	struct peer *peer = call(room, 1);

	(void)state;
	expect(room, peer, "220 mx.example.org ESMTP ");
	assert_int_equal(inbound_count(room->inbound), 1);
	strbuf_puts(&peer->out, ENVELOPE);
	expect(room, peer, "\r\n354 ");
	/* The next transaction is sent without waiting for the reply to this one. */
	strbuf_puts(&peer->out, "one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
	expect(room, peer, "Ok: queued as 1\r\n250 2.1.0 ");
	strbuf_puts(&peer->out, "two\r\n.\r\nQUIT\r\n");
	expect(room, peer, "Ok: queued as 2\r\n221 2.0.0 Bye\r\n");
	expect_closed(room, peer);
	hang_up(peer);
	expect_count(room, 0);
	assert_int_equal(room->accepted, 2);
	room_free(room);
}

static void
test_limits(void **state)
{
	struct room *room = room_new(4, 2);
	struct peer *peers[4], *excess;

	(void)state;
	peers[0] = call(room, 1);
	peers[1] = call(room, 1);
	excess = call(room, 1);
	expect(room, excess, "421 4.7.0 mx.example.org ");
	expect_closed(room, excess);
	hang_up(excess);
	peers[2] = call(room, 2);
	peers[3] = call(room, 3);
	excess = call(room, 4);
	expect(room, excess, "421 4.7.0 mx.example.org ");
	expect_closed(room, excess);
	hang_up(excess);
	assert_int_equal(inbound_count(room->inbound), 4);
	/* Who goes makes room. */
	hang_up(peers[0]);
	expect_count(room, 3);
	peers[0] = call(room, 1);
	expect(room, peers[0], "220 ");
	for (size_t i = 0; i < 4; i++)
		hang_up(peers[i]);
	expect_count(room, 0);
	room_free(room);
}

/* The reply to the last message is heard by a peer that has shut its half; a reset loses no
 * message that was being written. */
static void
test_peers_that_leave(void **state)
{
	struct room *room = room_new(10, 10);
	struct peer *peer = call(room, 1);

	(void)state;
	expect(room, peer, "220 ");
	strbuf_puts(&peer->out, ENVELOPE "one\r\n.\r\n");
	exchange(peer);
	assert_int_equal(peer->out.len, 0);
	assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
	expect(room, peer, "queued as");
	expect_closed(room, peer);
	hang_up(peer);
	expect_count(room, 0);
	expect_accepted(room, 1);

	peer = call(room, 1);
	strbuf_puts(&peer->out, ENVELOPE "half of i");
	expect(room, peer, "354 ");
	slam(peer);
	expect_count(room, 0);

	peer = call(room, 1);
	strbuf_puts(&peer->out, ENVELOPE "two\r\n.\r\n");
	exchange(peer);
	expect(room, peer, "354 ");
	slam(peer);
	expect_count(room, 0);
	expect_accepted(room, 2);
	room_free(room);
}

static void
test_stalling(void **state)
{
	struct room *room = room_new(10, 10);
	struct peer *peer;

	(void)state;
	room->shared.command_ms = 60;
	peer = call(room, 1);
	strbuf_puts(&peer->out, "NOO");
	expect(room, peer, "421 4.4.2 ");
	expect_closed(room, peer);
	hang_up(peer);
	room->shared.command_ms = 30000;
	room->shared.data_ms = 60;
	peer = call(room, 1);
	strbuf_puts(&peer->out, ENVELOPE "half");
	expect(room, peer, "421 4.4.2 ");
	expect_closed(room, peer);
	hang_up(peer);
	expect_count(room, 0);
	assert_int_equal(room->accepted, 0);
	room_free(room);
}

static void
keep_small(int fd)
{
	int bytes = 16 * 1024;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

/* Two million octets of commands whose replies nobody reads: they stop being taken. Once the
 * replies are read, every command has had its own. */
static void
test_unread_replies(void **state)
{
	enum { COMMANDS = 400000 };
	struct room *room = room_new(10, 10);
	struct peer *peer;
	size_t before = 0, replies = 0;
	int still = 0;

	(void)state;
	/* Or the kernel would hold it all. */
	keep_small(room->listener);
	peer = call(room, 1);
	keep_small(peer->fd);
	expect(room, peer, "220 ");
	strbuf_reset(&peer->in);
	for (int i = 0; i < COMMANDS; i++)
		strbuf_puts(&peer->out, "HELP\r\n");
	strbuf_puts(&peer->out, "QUIT\r\n");
	peer->is_deaf = true;
	/* Until nothing moves. */
	for (int i = 0; i < ROUNDS_MOST && still < 20; i++) {
		turn(room, peer);
		still = peer->out.len == before ? still + 1 : 0;
		before = peer->out.len;
	}
	assert_true(peer->out.len > 0);
	peer->is_deaf = false;
	for (int i = 0; i < 100 * ROUNDS_MOST && !peer->is_closed; i++)
		turn(room, peer);
	assert_true(peer->is_closed);
	for (size_t i = 0; i < peer->in.len; i++)
		replies += peer->in.data[i] == '\n';
	assert_int_equal(replies, COMMANDS + 1);
	hang_up(peer);
	room_free(room);
}

static void
test_large_message(void **state)
{
	struct room *room = room_new(10, 10);
	struct peer *peer = call(room, 1);

	(void)state;
	strbuf_puts(&peer->out, ENVELOPE);
	expect(room, peer, "354 ");
	for (int i = 0; i < 100000; i++)
		strbuf_puts(&peer->out, "..234567890123456789012345678901234567890123456789\r\n");
	strbuf_puts(&peer->out, ".\r\nQUIT\r\n");
	expect(room, peer, "queued as 1\r\n221 ");
	assert_true(room->accepted_octets > 5100000 && room->accepted_octets < 5101000);
	hang_up(peer);
	room_free(room);
}

static void
on_stopped(void *ctx)
{
	struct room *room = ctx;

	room->stopped++;
}

static void
test_stopping(void **state)
{
	struct room *room = room_new(10, 10);
	struct peer *idle = call(room, 1), *busy = call(room, 1), *late;

	(void)state;
	expect(room, idle, "220 ");
	strbuf_puts(&busy->out, ENVELOPE "half");
	expect(room, busy, "354 ");
	inbound_shut_down(room->inbound, on_stopped, room);
	expect(room, idle, "421 4.3.2 ");
	expect_closed(room, idle);
	late = call(room, 1);
	expect(room, late, "421 4.3.2 ");
	assert_int_equal(room->stopped, 0);
	strbuf_puts(&busy->out, "\r\n.\r\n");
	expect(room, busy, "queued as 1\r\n421 4.3.2 ");
	expect_closed(room, busy);
	for (int i = 0; i < ROUNDS_MOST && room->stopped == 0; i++)
		loop_once(room->loop, ROUND_MS);
	assert_int_equal(room->stopped, 1);
	assert_int_equal(room->accepted, 1);
	hang_up(idle);
	hang_up(busy);
	hang_up(late);
	room_free(room);

	/* With nobody there it is over at once, but not within the call. */
	room = room_new(10, 10);
	inbound_shut_down(room->inbound, on_stopped, room);
	assert_int_equal(room->stopped, 0);
	for (int i = 0; i < ROUNDS_MOST && room->stopped == 0; i++)
		loop_once(room->loop, ROUND_MS);
	assert_int_equal(room->stopped, 1);
	room_free(room);
}

/* Freed with sessions in every state, one of them with a commit on its way. */
static void
test_cutting(void **state)
{
	struct room *room = room_new(10, 10);
	struct peer *peers[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		peers[i] = call(room, 1);
		expect(room, peers[i], "220 ");
	}
	strbuf_puts(&peers[1]->out, ENVELOPE "half");
	expect(room, peers[1], "354 ");
	strbuf_puts(&peers[2]->out, ENVELOPE "whole\r\n.\r\n");
	expect(room, peers[2], "354 ");
	strbuf_puts(&peers[3]->out, "QUIT\r\n");
	expect(room, peers[3], "221 ");
	for (size_t i = 0; i < 4; i++)
		hang_up(peers[i]);
	room_free(room);
}

static void
test_clients(void **state)
{
	struct clients *clients = clients_new();
	struct netaddr a, b, c, v4;
	char text[NETADDR_TEXT_MAX];

	(void)state;
	netaddr_parse("2001:db8:1:2::1", &a);
	netaddr_parse("2001:db8:1:2:ffff::2", &b);
	netaddr_parse("2001:db8:1:3::1", &c);
	netaddr_parse("192.0.2.1", &v4);
	clients_add(clients, &a);
	clients_add(clients, &b);
	clients_add(clients, &v4);
	assert_int_equal(clients_count(clients, &a), 2);
	assert_int_equal(clients_count(clients, &c), 0);
	assert_int_equal(clients_count(clients, &v4), 1);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
		netaddr_parse(text, &c);
		clients_add(clients, &c);
		assert_int_equal(clients_count(clients, &c), 1);
	}
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
		netaddr_parse(text, &c);
		clients_remove(clients, &c);
		assert_int_equal(clients_count(clients, &c), 0);
	}
	assert_int_equal(clients_count(clients, &b), 2);
	clients_remove(clients, &b);
	assert_int_equal(clients_count(clients, &a), 1);
	clients_free(clients);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conversation),     cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_peers_that_leave), cmocka_unit_test(test_stalling),
	    cmocka_unit_test(test_unread_replies),   cmocka_unit_test(test_large_message),
	    cmocka_unit_test(test_stopping),         cmocka_unit_test(test_cutting),
	    cmocka_unit_test(test_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
