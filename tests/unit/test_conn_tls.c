/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A connection under TLS keeps the promises of one in the clear: input in pieces, bounded and
 * paused, though OpenSSL takes more from the kernel than was offered yet; output of any size to
 * slow readers; an orderly end, a cut, a broken stream; half-close; conn_finish; conn_free inside
 * each callback; keys that change and second handshakes that are refused.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/xalloc.h"
#include "tests/unit/conn_tls_fixture.h"

static char *
pattern(size_t len)
{
	char *block = xmalloc(len + 1);

	for (size_t i = 0; i < len; i++)
		block[i] = (char)(i * 2654435761U >> 24);
	return block;
}

/* Both versions: their ends, tickets and alerts differ. */
static int
setup_1_2(void **state)
{
	struct conn_tls *f;

	if (conn_tls_setup(state) != 0)
		return -1;
	f = *state;
	SSL_CTX_set_max_proto_version(f->peer.context, TLS1_2_VERSION);
	return 0;
}

/* ---- input ---- */

static void
input_comes_in_pieces(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	f->keep = 4;
	tls_peer_send(&f->peer, "ab", 2);
	conn_tls_until(f, &f->data, 1);
	assert_int_equal(conn_input_pending(f->conn), 2);
	tls_peer_send(&f->peer, "cdef", 4);
	conn_tls_until_len(f, &f->got, 4);
	assert_int_equal(conn_input_pending(f->conn), 2);
	conn_tls_idle(f);
	assert_int_equal(f->data, 2);
	tls_peer_send(&f->peer, "gh", 2);
	conn_tls_until_len(f, &f->got, 8);
	assert_string_equal(f->got.data, "abcdefgh");
	assert_int_equal(f->closed, 0);
}

/* Records that are here already are offered together. */
static void
many_records_in_one_offer(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	for (int i = 0; i < 100; i++)
		tls_peer_send(&f->peer, "250 ok\r\n", 8);
	conn_tls_until_len(f, &f->got, 800);
	assert_int_equal(f->data, 1);
}

/* One record is more than the conn may hold: the rest of it is in OpenSSL, where no readiness of
 * the descriptor tells of it. */
static void
a_record_larger_than_the_buffer(void **state)
{
	struct conn_tls *f = *state;
	struct conn_options options = {.max_input = 1000};
	char *block = pattern(16000);

	conn_tls_establish(f, &options);
	tls_peer_send(&f->peer, block, 16000);
	conn_tls_until_len(f, &f->got, 16000);
	assert_memory_equal(f->got.data, block, 16000);
	assert_int_equal(f->offered, 1000);

	/* the same with a `data` that takes its time */
	strbuf_reset(&f->got);
	f->take_nothing = true;
	tls_peer_send(&f->peer, block, 16000);
	conn_tls_idle(f);
	assert_int_equal(conn_input_pending(f->conn), 1000);
	f->take_nothing = false;
	conn_pause(f->conn);
	conn_tls_idle(f);
	assert_int_equal(conn_input_pending(f->conn), 1000);
	conn_resume(f->conn);
	conn_tls_until_len(f, &f->got, 16000);
	assert_memory_equal(f->got.data, block, 16000);
	free(block);
}

static void
input_is_bounded(void **state)
{
	enum { TOTAL = 8 * 1024 * 1024 };
	struct conn_tls *f = *state;
	struct conn_options options = {.max_input = 3000};
	char *block = pattern(TOTAL);
	size_t left = 0;

	conn_tls_establish(f, &options);
	f->take_nothing = true;
	tls_peer_send(&f->peer, block, TOTAL);
	for (int still = 0; still < 5; still++) {
		conn_tls_idle(f);
		if (f->peer.to_send.len != left)
			still = 0;
		left = f->peer.to_send.len;
	}
	assert_true(left > 0);
	assert_int_equal(conn_input_pending(f->conn), 3000);
	f->take_nothing = false;
	conn_pause(f->conn);
	conn_resume(f->conn);
	conn_tls_until_len(f, &f->got, TOTAL);
	assert_memory_equal(f->got.data, block, TOTAL);
	assert_int_equal(f->offered, 3000);
	free(block);
}

static void
paused_input_waits(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	f->pause_on_data = true;
	f->keep = 2;
	tls_peer_send(&f->peer, "abc", 3);
	conn_tls_until(f, &f->data, 1);
	tls_peer_send(&f->peer, "d", 1);
	conn_tls_idle(f);
	assert_int_equal(f->data, 1);
	assert_int_equal(conn_input_pending(f->conn), 2);
	conn_resume(f->conn);
	conn_tls_until(f, &f->data, 2);
	assert_string_equal(f->got.data, "abcd");
}

/* ---- the end ---- */

static void
orderly_end(void **state)
{
	struct conn_tls *f = *state;

	for (int hang_up = 0; hang_up < 2; hang_up++) {
		strbuf_reset(&f->got);
		f->closed = 0;
		conn_tls_establish(f, NULL);
		tls_peer_send(&f->peer, "221 bye\r\n", 9);
		tls_peer_notify(&f->peer); /* in one burst with the data */
		if (hang_up)
			tls_peer_hang_up(&f->peer, false);
		conn_tls_until(f, &f->closed, 1);
		assert_true(f->orderly);
		assert_string_equal(f->got.data, "221 bye\r\n");
		conn_free(f->conn);
	}
	/* without a word before it */
	conn_tls_establish(f, NULL);
	tls_peer_notify(&f->peer);
	conn_tls_until(f, &f->closed, 2);
	assert_true(f->orderly);
}

static void
half_closed_peer_is_answered(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	f->echo = true;
	tls_peer_send(&f->peer, "last question", 13);
	tls_peer_notify(&f->peer);
	conn_tls_until(f, &f->closed, 1);
	assert_true(f->orderly);
	conn_write(f->conn, "!", 1);
	conn_finish(f->conn, 5000);
	f->conn = NULL;
	conn_tls_until_flag(f, &f->peer.ended);
	assert_string_equal(f->peer.got.data, "last question!");
}

static void
end_waits_for_paused_input(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	conn_pause(f->conn);
	tls_peer_send(&f->peer, "QUIT", 4);
	tls_peer_notify(&f->peer);
	tls_peer_hang_up(&f->peer, false);
	conn_tls_idle(f);
	assert_int_equal(f->closed, 0);
	conn_resume(f->conn);
	conn_tls_until(f, &f->closed, 1);
	assert_string_equal(f->got.data, "QUIT");
	assert_true(f->orderly);
}

static void
truncated(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	tls_peer_send(&f->peer, "250 half of", 11);
	tls_peer_hang_up(&f->peer, false);
	conn_tls_until(f, &f->closed, 1);
	assert_string_equal(f->got.data, "250 half of");
	assert_false(f->orderly);
	assert_false(f->tls_failed); /* TLS stood: this is a broken connection */
	assert_non_null(strstr(f->why, "lost the connection with 127.0.0.1:"));
	assert_non_null(strstr(f->why, "truncated"));
	assert_non_null(conn_tls(f->conn));
}

static void
reset(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	tls_peer_hang_up(&f->peer, true);
	conn_tls_until(f, &f->closed, 1);
	assert_false(f->orderly);
	assert_false(f->tls_failed);
	assert_non_null(strstr(f->why, "Connection reset by peer"));
	conn_write(f->conn, "lost", 4);
	conn_tls_idle(f);
	assert_int_equal(conn_pending(f->conn), 0);
	assert_int_equal(f->closed, 1);
}

/* Somebody writes into the stream. */
static void
broken_stream(void **state)
{
	static const char *const words[] = {"250 in the clear\r\n",
					    "\x17\x03\x03\x00\x20"
					    "this is not what the key made.."};
	struct conn_tls *f = *state;

	for (int i = 0; i < 2; i++) {
		f->closed = 0;
		strbuf_reset(&f->got);
		conn_tls_establish(f, NULL);
		tls_peer_send(&f->peer, "250 fine\r\n", 10);
		tls_peer_send_raw(&f->peer, words[i], i == 0 ? strlen(words[0]) : 37);
		conn_tls_until(f, &f->closed, 1);
		assert_string_equal(f->got.data, "250 fine\r\n");
		assert_false(f->orderly);
		assert_false(f->tls_failed);
		assert_non_null(strstr(f->why, i == 0 ? "not TLS" : "bad record mac"));
		conn_free(f->conn);
		f->conn = NULL;
	}
}

/* A server says why and closes; what we send afterwards fails. Its words count. */
static void
last_words_before_a_reset(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	conn_pause(f->conn);
	tls_peer_send(&f->peer, "421 go away\r\n", 13);
	conn_tls_idle(f);
	tls_peer_hang_up(&f->peer, true);
	conn_write(f->conn, "late", 4);
	conn_resume(f->conn);
	conn_tls_until(f, &f->closed, 1);
	assert_string_equal(f->got.data, "421 go away\r\n");
	assert_false(f->orderly);
}

/* ---- output ---- */

static void
large_output_to_a_slow_reader(void **state)
{
	enum { TOTAL = 16 * 1024 * 1024 };
	struct conn_tls *f = *state;
	char *block = pattern(TOTAL);
	int size = 4096;

	conn_tls_establish(f, NULL);
	assert_int_equal(setsockopt(conn_fd(f->conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)),
			 0);
	f->peer.deaf = true;
	conn_write(f->conn, block, 10);
	conn_write(f->conn, block + 10, TOTAL / 2 - 10);
	conn_tls_idle(f);
	assert_true(conn_pending(f->conn) > 16 * 1024);
	assert_int_equal(f->drained, 0);
	/* the output moves in memory while a record of it is half written */
	conn_write(f->conn, block + TOTAL / 2, TOTAL / 2);
	f->peer.deaf = false;
	f->peer.chunk = 50000;
	conn_tls_until_len(f, &f->peer.got, TOTAL);
	conn_tls_until(f, &f->drained, 1);
	assert_int_equal(conn_pending(f->conn), 0);
	assert_memory_equal(f->peer.got.data, block, TOTAL);
	free(block);
}

static void
echo_both_ways_at_once(void **state)
{
	enum { TOTAL = 2 * 1024 * 1024 };
	struct conn_tls *f = *state;
	struct conn_options options = {.max_input = 5000};
	char *block = pattern(TOTAL);
	int size = 8192;

	conn_tls_establish(f, &options);
	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? conn_fd(f->conn) : f->peer.fd;

		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	}
	f->echo = true;
	f->keep = 7;
	tls_peer_send(&f->peer, block, TOTAL);
	conn_tls_until_len(f, &f->peer.got, TOTAL - TOTAL % 7);
	assert_memory_equal(f->peer.got.data, block, f->peer.got.len);
	assert_true(f->offered <= 5000);
	free(block);
}

static void
output_gathers_in_one_record(void **state)
{
	struct conn_tls *f = *state;
	char bytes[1024];
	ssize_t n;

	conn_tls_establish(f, NULL);
	conn_tls_idle(f);
	conn_write(f->conn, "MAIL FROM:<>\r\n", 14);
	conn_write(f->conn, "RCPT TO:<a@b>\r\n", 15);
	conn_write(f->conn, "DATA\r\n", 6);
	assert_int_equal(conn_pending(f->conn), 35);
	f->drained = 0;
	for (int i = 0; f->drained == 0 && i < 1000; i++)
		loop_once(f->loop, 1);
	assert_int_equal(conn_pending(f->conn), 0);
	n = recv(f->peer.fd, bytes, sizeof(bytes), MSG_PEEK);
	assert_true(n > 40 && n < 100);
	assert_int_equal(bytes[0], 23);                   /* application data */
	assert_int_equal((unsigned char)bytes[4] + 5, n); /* one record */
	for (ssize_t i = 0; i + 4 < n; i++)
		assert_memory_not_equal(bytes + i, "MAIL", 4);
	conn_tls_until_len(f, &f->peer.got, 35);
}

/* ---- conn_finish ---- */

static void
finish_writes_first(void **state)
{
	enum { TOTAL = 8 * 1024 * 1024 };
	struct conn_tls *f = *state;
	char *block = pattern(TOTAL);

	conn_tls_establish(f, NULL);
	f->peer.chunk = 100000;
	conn_write(f->conn, block, TOTAL);
	conn_finish(f->conn, 20000);
	f->conn = NULL;
	conn_tls_until_flag(f, &f->peer.ended); /* close_notify, not a cut */
	assert_int_equal(f->peer.got.len, TOTAL);
	assert_memory_equal(f->peer.got.data, block, TOTAL);
	tls_peer_hang_up(&f->peer, false);
	conn_tls_idle(f);
	assert_int_equal(f->closed + f->timed_out, 0);
	free(block);
}

/* What the peer still sends, in whatever form, must not turn our last words into a reset. */
static void
finish_over_unread_input(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	f->pause_on_data = true;
	tls_peer_send(&f->peer, "250 one\r\n", 9);
	conn_tls_until(f, &f->data, 1);
	tls_peer_send(&f->peer, "250 two\r\n", 9);
	conn_write(f->conn, "QUIT\r\n", 6);
	conn_finish(f->conn, 5000);
	f->conn = NULL;
	tls_peer_send(&f->peer, "250 three\r\n", 11);
	conn_tls_until_flag(f, &f->peer.ended);
	assert_string_equal(f->peer.got.data, "QUIT\r\n");
	assert_int_equal(f->data, 1);
}

static void
finish_after_a_failure(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	tls_peer_send_raw(&f->peer, "garbage garbage", 15);
	conn_tls_until(f, &f->closed, 1);
	conn_finish(f->conn, 60000); /* nothing to wait for */
	f->conn = NULL;
	conn_tls_until_flag(f, &f->peer.failed);
}

static void
finish_that_the_loop_ends(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	f->peer.deaf = true;
	conn_write(f->conn, "x", 1);
	conn_finish(f->conn, 60000); /* still lingering when teardown frees the loop: no leak */
	f->conn = NULL;
	loop_once(f->loop, 5);
}

/* ---- conn_free ---- */

static void
free_inside_each_callback(void **state)
{
	struct conn_tls *f = *state;

	f->start = (struct conn_tls_start){.trust = f->trust, .name = "mail.test", .verify = true};
	f->start_in_connected = true;
	f->free_on = ON_CONNECTED;
	conn_tls_connect(f, NULL);
	assert_null(f->conn);

	f->free_on = ON_SECURED;
	conn_tls_connect(f, NULL);
	tls_peer_start(&f->peer);
	tls_peer_send(&f->peer, "220 hello\r\n", 11);
	conn_tls_until(f, &f->secured, 1);
	assert_null(f->conn);
	conn_tls_idle(f);
	assert_int_equal(f->data, 0);

	f->start_in_connected = false;
	f->free_on = ON_DATA;
	conn_tls_establish(f, NULL);
	conn_write(f->conn, "x", 1);
	tls_peer_send(&f->peer, "abc", 3);
	conn_tls_until(f, &f->data, 1);
	assert_null(f->conn);

	/* right after conn_start_tls, in the same call */
	f->start_in_data = true;
	conn_tls_connect(f, NULL);
	tls_peer_send_raw(&f->peer, "220 ready\r\n250 evil\r\n", 21);
	conn_tls_until(f, &f->data, 2);
	assert_null(f->conn);
	f->start_in_data = false;

	f->free_on = ON_DRAINED;
	f->drained = 0;
	conn_tls_establish(f, NULL);
	conn_write(f->conn, "x", 1);
	conn_tls_until(f, &f->drained, 1);
	assert_null(f->conn);

	f->free_on = ON_CLOSED;
	conn_tls_establish(f, NULL);
	tls_peer_notify(&f->peer);
	conn_tls_until(f, &f->closed, 1);
	assert_null(f->conn);

	conn_tls_begin(f, "other.test", true);
	conn_tls_until(f, &f->closed, 2);
	assert_null(f->conn);

	f->free_on = ON_TIMED_OUT;
	conn_tls_begin(f, NULL, true);
	f->peer.deaf = true;
	conn_set_deadline(f->conn, 0);
	for (int i = 0; f->timed_out == 0 && i < 1000; i++)
		loop_once(f->loop, 5);
	assert_null(f->conn);
	conn_tls_idle(f);
	assert_int_equal(f->closed, 2);
}

/* ---- what else TLS may bring ---- */

static void
keys_change(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_establish(f, NULL);
	f->echo = true;
	for (int i = 1; i <= 20; i++) {
		assert_int_equal(SSL_key_update(f->peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		tls_peer_send(&f->peer, "0123456789", 10);
		conn_tls_until_len(f, &f->peer.got, (size_t)i * 10);
	}
	assert_int_equal(f->closed, 0);
}

static int
waiting_in_kernel(const struct conn_tls *f)
{
	int bytes = 0;

	assert_int_equal(ioctl(conn_fd(f->conn), FIONREAD, &bytes), 0);
	return bytes;
}

/* What is no data for us must not keep the loop: a peer that changes its keys without end. */
static void
keys_change_without_end(void **state)
{
	struct conn_tls *f = *state;
	int size = 1 << 20, updates = 0, before, after;

	conn_tls_establish(f, NULL);
	conn_tls_idle(f);
	assert_int_equal(setsockopt(conn_fd(f->conn), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)),
			 0);
	while (updates < 8000) { /* 27 octets each */
		if (SSL_key_update(f->peer.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
			break;
		if (SSL_do_handshake(f->peer.ssl) != 1)
			break; /* the kernel's buffers are full */
		updates++;
	}
	before = waiting_in_kernel(f);
	assert_true(before > 150000);
	loop_once(f->loop, 100);
	after = waiting_in_kernel(f);
	assert_true(after > 0 && after < before); /* the others have had their turn meanwhile */
	assert_int_equal(f->data, 0);
	tls_peer_send(&f->peer, "still here", 10);
	conn_tls_until_len(f, &f->got, 10);
}

/* TLS 1.2: the peer wants another handshake, gets none, and the stream goes on. */
static void
no_second_handshake(void **state)
{
	struct conn_tls *f = *state;
	const char *version;

	conn_tls_establish(f, NULL);
	version = conn_tls(f->conn)->version;
	assert_string_equal(version, "TLSv1.2");
	f->echo = true;
	assert_int_equal(SSL_renegotiate(f->peer.ssl), 1);
	SSL_do_handshake(f->peer.ssl); /* writes the HelloRequest */
	conn_tls_idle(f);
	if (f->closed == 0) {
		tls_peer_send(&f->peer, "still here", 10);
		conn_tls_idle(f);
	}
	assert_int_equal(f->secured, 1);
	assert_true(f->closed == 1 || f->got.len == 10);
	if (f->closed == 1)
		assert_false(f->orderly);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, conn_tls_setup, conn_tls_teardown)
#define TEST_1_2(function)                                                                         \
	{                                                                                          \
#function " (TLS 1.2)", function, setup_1_2, conn_tls_teardown, NULL               \
	}
#define TEST_BOTH(function) TEST(function), TEST_1_2(function)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_BOTH(input_comes_in_pieces),
	    TEST_BOTH(many_records_in_one_offer),
	    TEST_BOTH(a_record_larger_than_the_buffer),
	    TEST_BOTH(input_is_bounded),
	    TEST_BOTH(paused_input_waits),
	    TEST_BOTH(orderly_end),
	    TEST_BOTH(half_closed_peer_is_answered),
	    TEST_BOTH(end_waits_for_paused_input),
	    TEST_BOTH(truncated),
	    TEST_BOTH(reset),
	    TEST_BOTH(broken_stream),
	    TEST_BOTH(last_words_before_a_reset),
	    TEST_BOTH(large_output_to_a_slow_reader),
	    TEST_BOTH(echo_both_ways_at_once),
	    TEST_BOTH(output_gathers_in_one_record),
	    TEST_BOTH(finish_writes_first),
	    TEST_BOTH(finish_over_unread_input),
	    TEST_BOTH(finish_after_a_failure),
	    TEST_BOTH(finish_that_the_loop_ends),
	    TEST_BOTH(free_inside_each_callback),
	    TEST(keys_change),
	    TEST(keys_change_without_end),
	    TEST_1_2(no_second_handshake),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* OpenSSL's server writes with write(2) */
	return cmocka_run_group_tests(tests, conn_tls_world_setup, conn_tls_world_teardown);
}
