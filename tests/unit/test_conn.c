/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/net/conn against a raw socket of the test's own: split input and what is left over, pause
 * and resume, back-pressure at max_input, large output with a slow reader, drained, the two ends of
 * a connection (orderly, reset, last words before a reset, half-closed), connecting (refused, an
 * address that this host has not, from a given address), the deadline, finish with its linger, and
 * conn_free inside each callback. One send a burst is checked by counting what the peer's reads
 * see.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/conn.h"

enum on_callback { ON_NONE, ON_CONNECTED, ON_DATA, ON_DRAINED, ON_CLOSED, ON_TIMED_OUT };

struct fixture {
	struct loop *loop;
	struct conn *conn;
	int listener;
	struct netaddr address;
	int peer;
	struct strbuf got; /* what `data` took */
	size_t keep;       /* `data` takes whole units of so many bytes; 0: all */
	bool take_nothing;
	bool pause_on_data;
	bool finish_on_data;
	bool echo;
	enum on_callback free_on;
	int connected;
	int data;
	int drained;
	int closed;
	int timed_out;
	size_t offered; /* the most that one `data` saw */
	size_t pending_in_data;
	bool orderly;
	int sys;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
until(struct fixture *f, const int *count, int wanted)
{
	int64_t end = now_ms() + 20000;

	while (*count < wanted && now_ms() < end)
		assert_int_equal(loop_once(f->loop, 100), 0);
	assert_int_equal(*count, wanted);
}

static void
until_got(struct fixture *f, size_t wanted)
{
	int64_t end = now_ms() + 20000;

	while (f->got.len < wanted && now_ms() < end)
		assert_int_equal(loop_once(f->loop, 100), 0);
	assert_int_equal(f->got.len, wanted);
}

/* A few rounds in which nothing is expected to happen. */
static void
idle(struct fixture *f)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_once(f->loop, 5), 0);
}

static void
maybe_free(struct fixture *f, enum on_callback here)
{
	if (f->free_on != here)
		return;
	conn_free(f->conn);
	conn_free(f->conn); /* twice is harmless while its memory lasts */
	f->conn = NULL;
}

static void
on_connected(void *ctx)
{
	struct fixture *f = ctx;

	f->connected++;
	maybe_free(f, ON_CONNECTED);
}

static size_t
on_data(void *ctx, const char *data, size_t len)
{
	struct fixture *f = ctx;
	size_t taken = f->take_nothing ? 0 : f->keep == 0 ? len : len - len % f->keep;

	f->data++;
	f->offered = len > f->offered ? len : f->offered;
	f->pending_in_data = conn_input_pending(f->conn);
	if (f->pause_on_data)
		conn_pause(f->conn);
	if (f->echo)
		conn_write(f->conn, data, taken);
	if (f->finish_on_data) {
		conn_write(f->conn, "bye\r\n", 5);
		conn_finish(f->conn, 5000);
	}
	maybe_free(f, ON_DATA);
	/* the bytes are still there */
	strbuf_append(&f->got, data, taken);
	return taken;
}

static void
on_drained(void *ctx)
{
	struct fixture *f = ctx;

	f->drained++;
	maybe_free(f, ON_DRAINED);
}

static void
on_closed(void *ctx, const struct error *why)
{
	struct fixture *f = ctx;

	f->closed++;
	f->orderly = why == NULL;
	f->sys = why != NULL ? why->sys : 0;
	maybe_free(f, ON_CLOSED);
}

static void
on_timed_out(void *ctx)
{
	struct fixture *f = ctx;

	f->timed_out++;
	maybe_free(f, ON_TIMED_OUT);
}

static const struct conn_events events = {.connected = on_connected,
					  .data = on_data,
					  .drained = on_drained,
					  .closed = on_closed,
					  .timed_out = on_timed_out};

static int
listen_on_loopback(struct netaddr *address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	netaddr_from_sockaddr(address, (struct sockaddr *)&sin);
	return fd;
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->loop = loop_new(NULL);
	f->listener = listen_on_loopback(&f->address);
	f->peer = -1;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	conn_free(f->conn);
	if (f->peer >= 0)
		close(f->peer);
	close(f->listener);
	loop_free(f->loop);
	strbuf_clear(&f->got);
	free(f);
	return 0;
}

/* An accepted connection, `peer` being the client's raw end. */
static void
accept_pair(struct fixture *f, const struct conn_options *options)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(&f->address, &ss);
	int fd;

	f->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->peer, (struct sockaddr *)&ss, len), 0);
	fd = accept(f->listener, NULL, NULL);
	assert_true(fd >= 0);
	f->conn = conn_new(f->loop, fd, options, &events, f);
}

static void
peer_send(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
peer_reset(struct fixture *f)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(f->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(f->peer);
	f->peer = -1;
}

/* Everything up to the conn's end, the loop running meanwhile. */
static void
peer_read_all(struct fixture *f, struct strbuf *into, size_t wanted)
{
	int64_t end = now_ms() + 20000;

	assert_int_equal(fcntl(f->peer, F_SETFL, O_NONBLOCK), 0);
	while (now_ms() < end && (wanted == 0 || into->len < wanted)) {
		ssize_t n = read(f->peer, strbuf_reserve(into, 65536), 65536);

		if (n == 0)
			return;
		if (n > 0) {
			strbuf_grew(into, (size_t)n);
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(loop_once(f->loop, 1), 0);
	}
	assert_int_equal(into->len, wanted);
}

static void
input_comes_in_pieces(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	f->keep = 4;
	peer_send(f, "ab");
	until(f, &f->data, 1);
	assert_int_equal(f->got.len, 0);
	assert_int_equal(f->pending_in_data, 2);
	assert_int_equal(conn_input_pending(f->conn), 2);
	peer_send(f, "cdef");
	until(f, &f->data, 2);
	assert_int_equal(f->offered, 6);
	assert_int_equal(f->pending_in_data, 6);
	assert_string_equal(f->got.data, "abcd");
	assert_int_equal(conn_input_pending(f->conn), 2);
	idle(f); /* not offered again without news */
	assert_int_equal(f->data, 2);
	peer_send(f, "gh");
	until_got(f, 8);
	assert_string_equal(f->got.data, "abcdefgh");
	assert_int_equal(conn_input_pending(f->conn), 0);
	assert_int_equal(f->closed, 0);
}

static void
addresses_are_known(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	assert_true(netaddr_equal(conn_local(f->conn), &f->address));
	assert_true(netaddr_same_host(conn_remote(f->conn), &f->address));
	assert_int_not_equal(conn_remote(f->conn)->port, f->address.port);
	assert_true(conn_fd(f->conn) >= 0);
}

static void
paused_input_waits(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	conn_pause(f->conn);
	assert_true(conn_is_paused(f->conn));
	peer_send(f, "one");
	idle(f);
	peer_send(f, "two");
	idle(f);
	assert_int_equal(f->data, 0);
	assert_int_equal(conn_input_pending(f->conn), 6);
	conn_resume(f->conn);
	assert_int_equal(f->data, 0); /* in a later callback */
	until_got(f, 6);
	assert_int_equal(f->data, 1);
	assert_string_equal(f->got.data, "onetwo");
}

static void
pause_inside_data(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	f->pause_on_data = true;
	f->keep = 2;
	peer_send(f, "abc");
	until(f, &f->data, 1);
	peer_send(f, "d");
	idle(f);
	assert_int_equal(f->data, 1);
	conn_resume(f->conn);
	until(f, &f->data, 2);
	assert_string_equal(f->got.data, "abcd");
	conn_resume(f->conn);
	idle(f);
	assert_int_equal(f->data, 2); /* nothing there, nothing offered */
}

static void
end_waits_for_paused_input(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	conn_pause(f->conn);
	peer_send(f, "QUIT");
	close(f->peer);
	f->peer = -1;
	idle(f);
	assert_int_equal(f->closed, 0);
	conn_resume(f->conn);
	until(f, &f->closed, 1);
	assert_string_equal(f->got.data, "QUIT");
	assert_true(f->orderly);
	idle(f);
	assert_int_equal(f->closed, 1);
}

static void
end_is_seen_while_paused(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	conn_pause(f->conn);
	close(f->peer);
	f->peer = -1;
	until(f, &f->closed, 1);
	assert_true(f->orderly);
	assert_int_equal(f->data, 0);
}

static void
input_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct conn_options options = {.max_input = 1000};
	char *block = xcalloc(1, 1 << 20);
	size_t sent = 0, last = 1;

	accept_pair(f, &options);
	f->take_nothing = true;
	memset(block, 'x', 1 << 20);
	fcntl(f->peer, F_SETFL, O_NONBLOCK);
	/* until the kernel's buffers are full and nothing moves */
	for (int still = 0; still < 5;) {
		ssize_t n = send(f->peer, block, 1 << 20, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		still = sent == last ? still + 1 : 0;
		last = sent;
		loop_once(f->loop, 5);
	}
	assert_int_equal(conn_input_pending(f->conn), 1000);
	assert_true(sent > 1000);
	f->take_nothing = false;
	shutdown(f->peer, SHUT_WR);
	conn_pause(f->conn);
	conn_resume(f->conn);
	until(f, &f->closed, 1);
	assert_int_equal(f->got.len, sent);
	assert_int_equal(f->offered, 1000);
	assert_true(f->orderly);
	free(block);
}

static void
output_gathers_in_one_segment(void **state)
{
	struct fixture *f = *state;
	char bytes[256];

	accept_pair(f, NULL);
	conn_write(f->conn, "250-one\r\n", 9);
	conn_write(f->conn, "250-two\r\n", 9);
	conn_write(f->conn, "250 three\r\n", 11);
	assert_int_equal(conn_pending(f->conn), 29);
	assert_int_equal(f->drained, 0);
	until(f, &f->drained, 1);
	assert_int_equal(conn_pending(f->conn), 0);
	assert_int_equal(read(f->peer, bytes, sizeof(bytes)), 29);
	idle(f);
	assert_int_equal(f->drained, 1);
}

static void
large_output_to_a_slow_reader(void **state)
{
	enum { TOTAL = 32 * 1024 * 1024 };
	struct fixture *f = *state;
	struct strbuf back = STRBUF_INIT;
	unsigned char *block = xmalloc(TOTAL);

	accept_pair(f, NULL);
	for (size_t i = 0; i < TOTAL; i++)
		block[i] = (unsigned char)(i * 2654435761U >> 24);
	conn_write(f->conn, block, 10);
	conn_write(f->conn, block + 10, TOTAL - 10);
	assert_true(conn_pending(f->conn) > 0);
	idle(f);
	assert_true(conn_pending(f->conn) > 16 * 1024);
	assert_int_equal(f->drained, 0);
	peer_read_all(f, &back, TOTAL);
	until(f, &f->drained, 1);
	assert_int_equal(conn_pending(f->conn), 0);
	assert_int_equal(back.len, TOTAL);
	assert_memory_equal(back.data, block, TOTAL);
	strbuf_clear(&back);
	free(block);
}

static void
echo_both_ways_at_once(void **state)
{
	enum { TOTAL = 8 * 1024 * 1024 };
	struct fixture *f = *state;
	struct strbuf back = STRBUF_INIT;
	char *block = xmalloc(TOTAL);
	size_t sent = 0;
	int64_t end = now_ms() + 30000;

	accept_pair(f, NULL);
	f->echo = true;
	f->keep = 7;
	for (size_t i = 0; i < TOTAL; i++)
		block[i] = (char)('a' + i % 23);
	fcntl(f->peer, F_SETFL, O_NONBLOCK);
	while (back.len < TOTAL - TOTAL % 7 && now_ms() < end) {
		ssize_t n =
		    sent < TOTAL ? send(f->peer, block + sent, TOTAL - sent, MSG_NOSIGNAL) : 0;

		sent += n > 0 ? (size_t)n : 0;
		loop_once(f->loop, 0);
		n = read(f->peer, strbuf_reserve(&back, 65536), 65536);
		if (n > 0)
			strbuf_grew(&back, (size_t)n);
	}
	assert_int_equal(back.len, TOTAL - TOTAL % 7);
	assert_memory_equal(back.data, block, back.len);
	strbuf_clear(&back);
	free(block);
}

static void
peer_resets(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	peer_reset(f);
	until(f, &f->closed, 1);
	assert_false(f->orderly);
	assert_int_equal(f->sys, ECONNRESET);
	conn_write(f->conn, "lost", 4); /* dropped, no signal */
	idle(f);
	assert_int_equal(conn_pending(f->conn), 0);
	assert_int_equal(f->closed, 1);
}

static void
write_to_a_reset_peer(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	conn_pause(f->conn);
	peer_reset(f);
	conn_write(f->conn, "late", 4);
	assert_int_equal(f->closed, 0);
	until(f, &f->closed, 1);
	assert_false(f->orderly);
	assert_true(f->sys == ECONNRESET || f->sys == EPIPE);
}

/* A server says why and closes; what we send afterwards is answered by a reset. Its words count. */
static void
last_words_before_a_reset(void **state)
{
	struct fixture *f = *state;
	struct pollfd pfd;

	accept_pair(f, NULL);
	peer_send(f, "421 go away\r\n");
	close(f->peer);
	f->peer = -1;
	/* two sends before the loop looks: the first makes the peer reset, the second fails */
	assert_int_equal(send(conn_fd(f->conn), "x", 1, MSG_NOSIGNAL), 1);
	pfd = (struct pollfd){.fd = conn_fd(f->conn), .events = 0};
	assert_int_equal(poll(&pfd, 1, 10000), 1); /* the reset is here */
	conn_write(f->conn, "y", 1);

	until(f, &f->closed, 1);
	assert_string_equal(f->got.data, "421 go away\r\n");
	assert_false(f->orderly);
}

static void
half_closed_peer_is_answered(void **state)
{
	struct fixture *f = *state;
	struct strbuf back = STRBUF_INIT;

	accept_pair(f, NULL);
	f->echo = true;
	peer_send(f, "last question");
	shutdown(f->peer, SHUT_WR);
	until(f, &f->closed, 1);
	assert_true(f->orderly);
	conn_write(f->conn, "!", 1);
	conn_finish(f->conn, 5000);
	f->conn = NULL;
	peer_read_all(f, &back, 0);
	assert_string_equal(back.data, "last question!");
	strbuf_clear(&back);
}

static void
connects_and_talks(void **state)
{
	struct fixture *f = *state;
	struct netaddr from;
	struct error why;
	char bytes[8];

	assert_int_equal(netaddr_parse("127.0.0.9", &from), 0);
	f->conn = conn_connect(f->loop, &f->address, &from, NULL, &events, f, &why);
	assert_non_null(f->conn);
	assert_int_equal(f->connected, 0);
	conn_write(f->conn, "early", 5); /* waits for the connection */
	until(f, &f->connected, 1);
	assert_true(netaddr_same_host(conn_local(f->conn), &from));
	assert_true(netaddr_equal(conn_remote(f->conn), &f->address));
	f->peer = accept(f->listener, NULL, NULL);
	until(f, &f->drained, 1);
	assert_int_equal(read(f->peer, bytes, sizeof(bytes)), 5);
	peer_send(f, "220 hello\r\n");
	until_got(f, 11);
	assert_int_equal(f->connected, 1);
}

static void
refused_connect(void **state)
{
	struct fixture *f = *state;
	struct netaddr address;
	struct error why = {0};

	close(listen_on_loopback(&address));
	f->conn = conn_connect(f->loop, &address, NULL, NULL, &events, f, &why);
	if (f->conn == NULL) {
		assert_int_equal(why.sys, ECONNREFUSED);
		return;
	}
	until(f, &f->closed, 1);
	assert_int_equal(f->sys, ECONNREFUSED);
	assert_int_equal(f->connected, 0);
}

static void
connect_from_a_foreign_address(void **state)
{
	struct fixture *f = *state;
	struct netaddr from;
	struct error why = {0};

	assert_int_equal(netaddr_parse("192.0.2.77", &from), 0);
	assert_null(conn_connect(f->loop, &f->address, &from, NULL, &events, f, &why));
	assert_int_equal(why.sys, EADDRNOTAVAIL);
	assert_non_null(strstr(why.text, "192.0.2.77"));
	assert_int_equal(netaddr_parse("::1", &from), 0);
	assert_null(conn_connect(f->loop, &f->address, &from, NULL, &events, f, &why));
	assert_int_equal(why.sys, EAFNOSUPPORT);
}

static void
deadline_passes(void **state)
{
	struct fixture *f = *state;
	int64_t begin = now_ms();

	accept_pair(f, NULL);
	conn_set_deadline(f->conn, -1);
	conn_set_deadline(f->conn, 60000);
	conn_set_deadline(f->conn, 20);
	peer_send(f, "x"); /* traffic does not move it */
	until(f, &f->timed_out, 1);
	assert_true(now_ms() - begin < 10000);
	assert_int_equal(f->closed, 0); /* it still stands */
	peer_send(f, "y");
	until_got(f, 2);
	conn_set_deadline(f->conn, 10);
	conn_set_deadline(f->conn, -1);
	idle(f);
	assert_int_equal(f->timed_out, 1);
	conn_set_deadline(f->conn, 10);
	close(f->peer);
	f->peer = -1;
	until(f, &f->closed, 1);
	idle(f);
	assert_int_equal(f->timed_out, 1); /* not after the end */
}

static void
finish_writes_first(void **state)
{
	enum { TOTAL = 16 * 1024 * 1024 };
	struct fixture *f = *state;
	struct strbuf back = STRBUF_INIT;
	char *block = xcalloc(1, TOTAL);

	accept_pair(f, NULL);
	conn_write(f->conn, block, TOTAL);
	conn_finish(f->conn, 20000);
	f->conn = NULL;
	peer_read_all(f, &back, 0);
	assert_int_equal(back.len, TOTAL);
	strbuf_clear(&back);
	free(block);
	/* our end of it is gone when the peer's is */
	close(f->peer);
	f->peer = -1;
	idle(f);
	assert_int_equal(f->closed + f->timed_out, 0);
}

/* Unread input must not turn the last reply into a reset. */
static void
finish_over_unread_input(void **state)
{
	struct fixture *f = *state;
	struct strbuf back = STRBUF_INIT;

	accept_pair(f, NULL);
	f->finish_on_data = true;
	peer_send(f, "QUIT\r\n");
	until(f, &f->data, 1);
	f->conn = NULL;
	peer_send(f, "more\r\n");
	peer_send(f, "and more\r\n");
	peer_read_all(f, &back, 0);
	assert_string_equal(back.data, "bye\r\n");
	assert_int_equal(f->data, 1); /* ignored */
	strbuf_clear(&back);
}

static void
finish_gives_up(void **state)
{
	enum { TOTAL = 16 * 1024 * 1024 };
	struct fixture *f = *state;
	char *block = xcalloc(1, TOTAL);
	int64_t begin = now_ms(), end = begin + 10000;
	int fd;

	accept_pair(f, NULL);
	fd = conn_fd(f->conn);
	conn_write(f->conn, block, TOTAL);
	conn_finish(f->conn, 50);
	f->conn = NULL;
	/* a reader that does not read */
	while (now_ms() < end && fcntl(fd, F_GETFD) >= 0)
		assert_int_equal(loop_once(f->loop, 10), 0);
	assert_true(now_ms() < end);
	assert_true(now_ms() - begin >= 45);
	free(block);
}

static void
finish_that_the_loop_ends(void **state)
{
	struct fixture *f = *state;

	accept_pair(f, NULL);
	conn_write(f->conn, "x", 1);
	conn_finish(f->conn, 60000); /* still lingering when teardown frees the loop: no leak */
	conn_finish(f->conn, 1);
	f->conn = NULL;
	idle(f);
}

static void
finish_while_connecting(void **state)
{
	struct fixture *f = *state;
	struct error why;

	f->conn = conn_connect(f->loop, &f->address, NULL, NULL, &events, f, &why);
	assert_non_null(f->conn);
	conn_finish(f->conn, 60000);
	f->conn = NULL;
	idle(f);
	assert_int_equal(f->connected + f->closed, 0);
}

static void
free_inside_each_callback(void **state)
{
	struct fixture *f = *state;
	struct error why;

	f->free_on = ON_CONNECTED;
	f->conn = conn_connect(f->loop, &f->address, NULL, NULL, &events, f, &why);
	conn_write(f->conn, "x", 1);
	until(f, &f->connected, 1);
	close(accept(f->listener, NULL, NULL));

	f->free_on = ON_DATA;
	accept_pair(f, NULL);
	conn_write(f->conn, "x", 1);
	peer_send(f, "abc");
	until(f, &f->data, 1);
	assert_null(f->conn);
	close(f->peer);

	/* the same from the conn's own buffer */
	f->free_on = ON_NONE;
	f->take_nothing = true;
	accept_pair(f, NULL);
	peer_send(f, "abc");
	until(f, &f->data, 2);
	f->free_on = ON_DATA;
	f->take_nothing = false;
	peer_send(f, "def");
	until(f, &f->data, 3);
	assert_null(f->conn);
	close(f->peer);

	f->free_on = ON_DRAINED;
	accept_pair(f, NULL);
	conn_write(f->conn, "x", 1);
	until(f, &f->drained, 1);
	assert_null(f->conn);
	close(f->peer);

	f->free_on = ON_CLOSED;
	accept_pair(f, NULL);
	close(f->peer);
	until(f, &f->closed, 1);
	assert_null(f->conn);

	f->free_on = ON_TIMED_OUT;
	accept_pair(f, NULL);
	conn_set_deadline(f->conn, 5);
	until(f, &f->timed_out, 1);
	assert_null(f->conn);
	close(f->peer);
	f->peer = -1;
	idle(f);
	assert_int_equal(f->connected + f->data + f->drained + f->closed + f->timed_out, 7);
}

static void
unix_stream(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	f->peer = fds[0];
	f->conn = conn_new(f->loop, fds[1], NULL, &events, f);
	assert_int_equal(conn_remote(f->conn)->family, AF_UNSPEC);
	assert_int_equal(conn_local(f->conn)->family, AF_UNSPEC);
	f->echo = true;
	peer_send(f, "{}\n");
	until_got(f, 3);
	until(f, &f->drained, 1);
	close(f->peer);
	f->peer = -1;
	until(f, &f->closed, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(input_comes_in_pieces),
	    TEST(addresses_are_known),
	    TEST(paused_input_waits),
	    TEST(pause_inside_data),
	    TEST(end_waits_for_paused_input),
	    TEST(end_is_seen_while_paused),
	    TEST(input_is_bounded),
	    TEST(output_gathers_in_one_segment),
	    TEST(large_output_to_a_slow_reader),
	    TEST(echo_both_ways_at_once),
	    TEST(peer_resets),
	    TEST(write_to_a_reset_peer),
	    TEST(last_words_before_a_reset),
	    TEST(half_closed_peer_is_answered),
	    TEST(connects_and_talks),
	    TEST(refused_connect),
	    TEST(connect_from_a_foreign_address),
	    TEST(deadline_passes),
	    TEST(finish_writes_first),
	    TEST(finish_over_unread_input),
	    TEST(finish_gives_up),
	    TEST(finish_that_the_loop_ends),
	    TEST(finish_while_connecting),
	    TEST(free_inside_each_callback),
	    TEST(unix_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
