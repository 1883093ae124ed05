/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * TLS handshakes of a connection that we open, against OpenSSL's server: which certificates are
 * believed and what is said of the others, with and without `verify`; SNI; versions; peers that
 * speak no TLS, stop in the middle or never answer; bytes smuggled in before the handshake; which
 * sessions are resumed; what a trust store is made of.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/xalloc.h"
#include "tests/unit/conn_tls_fixture.h"

/* ---- whom we believe ---- */

static void
check_established(struct conn_tls *f, const char *name, bool verify)
{
	const struct tls_facts *facts;

	conn_tls_begin(f, name, verify);
	conn_tls_settle(f);
	if (f->closed > 0)
		fail_msg("%s: %s", name, f->why);
	facts = conn_tls(f->conn);
	assert_true(facts->verified);
	assert_null(facts->verify_error);
	assert_false(facts->resumed);
	assert_false(conn_tls_failed(f->conn));
	conn_tls_drop(f);
}

static void
good_certificates(void **state)
{
	struct conn_tls *f = *state;

	for (int verify = 0; verify < 2; verify++) {
		check_established(f, "mail.test", verify);
		assert_string_equal(f->peer.server_name, "mail.test");
		check_established(f, "MAIL.test.", verify);
		assert_string_equal(f->peer.server_name, "MAIL.test");
		check_established(f, "a.wild.test", verify);
		check_established(f, "127.0.0.1", verify);
		assert_string_equal(f->peer.server_name, "");
		check_established(f, "::1", verify);
		check_established(f, "[::1]", verify);
		assert_string_equal(f->peer.server_name, "");
	}
}

/* Refused with this sentence where it must hold; told by the facts where not. */
static void
check_refused(struct conn_tls *f, const char *name, const char *sentence)
{
	const struct tls_facts *facts;
	char text[NETADDR_TEXT_MAX];
	char *wanted = xasprintf("can't set up TLS with %s: %s",
				 netaddr_text_port(&f->peer.address, text), sentence);

	f->secured = f->closed = 0;
	conn_tls_begin(f, name, true);
	conn_tls_settle(f);
	assert_string_equal(f->why, wanted);
	assert_int_equal(f->secured, 0);
	assert_true(f->tls_failed);
	assert_null(conn_tls(f->conn));
	conn_tls_until_flag(f, &f->peer.failed); /* it was told so, and never stood */
	assert_false(f->peer.stands);
	conn_tls_drop(f);

	f->secured = f->closed = 0;
	conn_tls_begin(f, name, false);
	conn_tls_settle(f);
	assert_string_equal(f->closed > 0 ? f->why : "", "");
	facts = conn_tls(f->conn);
	assert_false(facts->verified);
	assert_string_equal(facts->verify_error, sentence);
	conn_tls_drop(f);
	free(wanted);
}

static void
wrong_names(void **state)
{
	struct conn_tls *f = *state;

	check_refused(f, "other.test", "certificate: the name \"other.test\" is not in it");
	check_refused(f, "a.b.wild.test", "certificate: the name \"a.b.wild.test\" is not in it");
	check_refused(f, "wild.test", "certificate: the name \"wild.test\" is not in it");
	check_refused(f, "192.0.2.1", "certificate: the address 192.0.2.1 is not in it");
	check_refused(f, "::2", "certificate: the address ::2 is not in it");
}

static void
with_identity(struct conn_tls *f, const struct tls_identity *issuer,
	      const struct tls_request *request, const char *sentence)
{
	struct tls_identity identity;

	tls_identity_make(&identity, issuer, request);
	tls_peer_clear(&f->peer);
	tls_peer_init(&f->peer, &identity);
	check_refused(f, "mail.test", sentence);
	tls_identity_clear(&identity);
}

/* What is too short is the system's policy where it has one: Debian's says 2048. */
static void
with_level(struct conn_tls *f, const struct tls_identity *issuer, const struct tls_request *request)
{
	struct tls_identity identity;

	tls_identity_make(&identity, issuer, request);
	tls_peer_clear(&f->peer);
	tls_peer_init(&f->peer, &identity);
	f->closed = f->secured = 0;
	conn_tls_begin(f, "mail.test", false);
	conn_tls_until(f, &f->secured, 1);
	conn_tls_drop(f);
	tls_identity_clear(&identity);
}

static void
bad_certificates(void **state)
{
	struct conn_tls *f = *state;
	const struct tls_identity *authority = &f->world->authority;
	struct tls_request request = {.common_name = "mail.test", .names = "DNS:mail.test"};
	struct tls_identity stranger;

	with_identity(f, NULL, &request, "certificate: self-signed");
	tls_identity_make(&stranger, NULL, &(struct tls_request){.common_name = "stranger"});
	with_identity(f, &stranger, &request, "certificate: its issuer is not known here");
	tls_identity_clear(&stranger);
	/* the name of an issuer that we know, the key of another */
	tls_identity_make(&stranger, NULL, &(struct tls_request){.common_name = "root"});
	with_identity(f, &stranger, &request, "certificate: its signature is wrong");
	tls_identity_clear(&stranger);
	request.from_s = -7200;
	request.until_s = -3600;
	with_identity(f, authority, &request, "certificate: expired");
	request.from_s = 3600;
	request.until_s = 7200;
	with_identity(f, authority, &request, "certificate: not valid yet");
	request.from_s = request.until_s = 0;
	request.usage = "clientAuth";
	with_identity(f, authority, &request, "certificate: not one for a server");
	request.usage = NULL;
	/* too short to be believed, and still better than clear text */
	request.rsa_bits = 1024;
	with_level(f, authority, &request);
}

static void
names_that_are_none(void **state)
{
	struct conn_tls *f = *state;
	struct conn_tls_start start = {.trust = f->trust, .verify = true};
	char *longest = xcalloc(1, 300);
	struct error why = {0};

	conn_tls_connect(f, NULL);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
	assert_string_equal(why.text, "TLS: there is no name to verify");
	memset(longest, 'a', 299);
	start.name = longest;
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
	assert_non_null(strstr(why.text, "can't be the name of a server"));
	/* nothing has happened to the connection */
	start.verify = false;
	start.name = NULL;
	assert_int_equal(conn_start_tls(f->conn, &start, &why), 0);
	tls_peer_start(&f->peer);
	conn_tls_until(f, &f->secured, 1);
	assert_false(conn_tls(f->conn)->verified);
	assert_string_equal(conn_tls(f->conn)->verify_error,
			    "certificate: there is no name to check it against");
	free(longest);
}

/* ---- versions ---- */

static void
versions(void **state)
{
	static const struct {
		int most;
		const char *name;
	} known[] = {{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};
	struct conn_tls *f = *state;

	for (size_t i = 0; i < 2; i++) {
		SSL_CTX_set_max_proto_version(f->peer.context, known[i].most);
		conn_tls_begin(f, NULL, true);
		conn_tls_settle(f);
		assert_string_equal(conn_tls(f->conn)->version, known[i].name);
		assert_true(strlen(conn_tls(f->conn)->cipher) > 5);
		conn_tls_drop(f);
	}
	SSL_CTX_set_security_level(f->peer.context, 0);
	SSL_CTX_set_min_proto_version(f->peer.context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(f->peer.context, TLS1_1_VERSION);
	for (int verify = 0; verify < 2; verify++) {
		f->closed = 0;
		conn_tls_begin(f, NULL, verify);
		conn_tls_until(f, &f->closed, 1);
		assert_true(f->tls_failed);
		assert_non_null(strstr(f->why, "protocol version"));
		conn_tls_drop(f);
	}
}

/* A ServerHello of TLS 1.1 from a peer that ignores what we offered. */
static void
downgrade(void **state)
{
	static const unsigned char hello[] = {
	    22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, /* 32 octets of random */
	    1,  2, 3, 4, 5,  6, 7, 8, 1,  2, 3, 4, 5, 6, 7, 8,    1,    2,
	    3,  4, 5, 6, 7,  8, 1, 2, 3,  4, 5, 6, 7, 8, 0, 0xc0, 0x2f, 0};
	struct conn_tls *f = *state;

	conn_tls_begin(f, NULL, false);
	tls_peer_send_raw(&f->peer, hello, sizeof(hello));
	SSL_free(f->peer.ssl);
	f->peer.ssl = NULL;
	conn_tls_until(f, &f->closed, 1);
	assert_true(f->tls_failed);
	assert_non_null(strstr(f->why, "the peer has no TLS 1.2 or later"));
}

/* ---- peers that have none ---- */

static void
what_came_is_not_tls(void **state)
{
	static const char *const words[] = {"250-mail.test\r\n250 SIZE\r\n", "220 hi\r\n",
					    "HTTP/1.1 400 Bad Request\r\n\r\n"};
	struct conn_tls *f = *state;

	for (size_t i = 0; i < 3; i++) {
		f->closed = 0;
		conn_tls_begin(f, NULL, false);
		SSL_free(f->peer.ssl);
		f->peer.ssl = NULL;
		tls_peer_send_raw(&f->peer, words[i], strlen(words[i]));
		conn_tls_until(f, &f->closed, 1);
		assert_true(f->tls_failed);
		assert_non_null(strstr(f->why, "what came is not TLS"));
		assert_int_equal(f->data, 0);
		conn_tls_drop(f);
	}
}

/* Until our hello is there, so that the end comes in the middle. */
static void
hello_arrives(struct conn_tls *f)
{
	SSL_free(f->peer.ssl);
	f->peer.ssl = NULL;
	strbuf_clear(&f->peer.got);
	for (int i = 0; f->peer.got.len == 0 && i < 10000; i++) {
		tls_peer_pump(&f->peer);
		loop_once(f->loop, 1);
	}
	assert_true(f->peer.got.len > 5);
	assert_int_equal(f->peer.got.data[0], 22); /* a handshake record */
}

static void
ends_in_the_middle(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_begin(f, NULL, true);
	hello_arrives(f);
	tls_peer_hang_up(&f->peer, false);
	conn_tls_until(f, &f->closed, 1);
	assert_true(f->tls_failed);
	assert_non_null(strstr(f->why, "closed in the middle of the handshake"));
	conn_free(f->conn);

	conn_tls_begin(f, NULL, true);
	hello_arrives(f);
	tls_peer_send_raw(&f->peer, "\x16\x03\x03\x00\x50\x02", 6); /* the begin of a record */
	tls_peer_hang_up(&f->peer, false);
	conn_tls_until(f, &f->closed, 2);
	assert_true(f->tls_failed);
	assert_non_null(strstr(f->why, "closed in the middle of the handshake"));
	conn_free(f->conn);

	conn_tls_begin(f, NULL, true);
	hello_arrives(f);
	tls_peer_hang_up(&f->peer, true);
	conn_tls_until(f, &f->closed, 3);
	assert_true(f->tls_failed);
	assert_non_null(strstr(f->why, "Connection reset by peer"));
	assert_true(f->sys != 0);
}

static void
alerts_are_told(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_begin(f, NULL, true);
	hello_arrives(f);
	tls_peer_send_raw(&f->peer, "\x15\x03\x03\x00\x02\x02\x28", 7);
	conn_tls_until(f, &f->closed, 1);
	assert_true(f->tls_failed);
	assert_non_null(strstr(f->why, "the peer refuses: handshake failure"));
}

static void
never_answers(void **state)
{
	struct conn_tls *f = *state;

	conn_tls_begin(f, NULL, true);
	hello_arrives(f);
	conn_set_deadline(f->conn, 20);
	conn_tls_until(f, &f->timed_out, 1);
	assert_int_equal(f->closed + f->secured, 0);
	assert_false(conn_tls_failed(f->conn));
	conn_free(f->conn);
	f->conn = NULL;

	/* given up in order: dropped, nobody is told */
	conn_tls_begin(f, NULL, true);
	hello_arrives(f);
	conn_finish(f->conn, 10000);
	f->conn = NULL;
	conn_tls_until_flag(f, &f->peer.cut);
	assert_int_equal(f->closed + f->secured, 0);
}

/* ---- when it may start ---- */

static void
only_on_a_quiet_connection(void **state)
{
	struct conn_tls *f = *state;
	struct conn_tls_start start = {.trust = f->trust, .name = "mail.test"};
	struct error why = {0};

	conn_tls_connect(f, NULL);
	conn_write(f->conn, "STARTTLS\r\n", 10);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
	assert_non_null(strstr(why.text, "pending"));
	conn_tls_until(f, &f->drained, 1);
	f->take_nothing = true;
	tls_peer_send_raw(&f->peer, "220 ready\r\n", 11);
	conn_tls_until(f, &f->data, 1);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
	assert_non_null(strstr(why.text, "in the clear"));
	assert_null(conn_tls(f->conn));
	f->take_nothing = false;
	conn_pause(f->conn);
	conn_resume(f->conn);
	conn_tls_until(f, &f->data, 2);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), 0);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
	assert_non_null(strstr(why.text, "already"));
	tls_peer_start(&f->peer);
	conn_tls_until(f, &f->secured, 1);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
	tls_peer_hang_up(&f->peer, true);
	conn_tls_until(f, &f->closed, 1);
	assert_int_equal(conn_start_tls(f->conn, &start, &why), -1);
}

static void
inside_data(void **state)
{
	struct conn_tls *f = *state;

	f->start = (struct conn_tls_start){.trust = f->trust, .name = "mail.test", .verify = true};
	f->start_in_data = true;
	conn_tls_connect(f, NULL);
	tls_peer_send_raw(&f->peer, "220 ready\r\n", 11);
	conn_tls_until(f, &f->data, 1);
	tls_peer_start(&f->peer);
	conn_tls_until(f, &f->secured, 1);
	assert_string_equal(f->got.data, "220 ready\r\n");
	tls_peer_send(&f->peer, "250 ok\r\n", 8);
	conn_tls_until_len(f, &f->got, 19);
}

/* CVE-2011-0411 seen from the client: replies behind the 220, before the handshake. */
static void
injection_in_one_segment(void **state)
{
	struct conn_tls *f = *state;

	f->start = (struct conn_tls_start){.trust = f->trust, .name = "mail.test"};
	for (int kept = 0; kept < 2; kept++) {
		f->start_in_data = true;
		f->take_first = 11;
		f->data = f->closed = 0;
		strbuf_reset(&f->got);
		conn_tls_connect(f, NULL);
		if (kept) /* offered from the conn's own buffer */
			conn_pause(f->conn);
		tls_peer_send_raw(&f->peer, "220 ready\r\n250 evil\r\n", 21);
		if (kept) {
			conn_tls_idle(f);
			conn_resume(f->conn);
		}
		conn_tls_until(f, &f->closed, 1);
		assert_true(f->tls_failed);
		assert_non_null(strstr(f->why, "in the clear"));
		assert_string_equal(f->got.data, "220 ready\r\n");
		assert_int_equal(f->data, 1);
		assert_int_equal(f->secured, 0);
		conn_tls_drop(f);
	}
}

static void
injection_in_the_next_segment(void **state)
{
	struct conn_tls *f = *state;

	f->start = (struct conn_tls_start){.trust = f->trust, .name = "mail.test"};
	f->start_in_data = true;
	conn_tls_connect(f, NULL);
	tls_peer_send_raw(&f->peer, "220 ready\r\n", 11);
	conn_tls_until(f, &f->data, 1);
	tls_peer_send_raw(&f->peer, "250 evil\r\n", 10);
	tls_peer_start(&f->peer);
	conn_tls_until(f, &f->closed, 1);
	assert_true(f->tls_failed);
	assert_string_equal(f->got.data, "220 ready\r\n");
}

static void
from_the_first_byte(void **state)
{
	struct conn_tls *f = *state;

	f->start = (struct conn_tls_start){.trust = f->trust, .name = "mail.test", .verify = true};
	f->start_in_connected = true;
	conn_tls_connect(f, NULL);
	conn_write(f->conn, "EHLO us\r\n", 9); /* waits for the handshake */
	assert_int_equal(conn_pending(f->conn), 9);
	tls_peer_start(&f->peer);
	tls_peer_send(&f->peer, "220 hello\r\n", 11); /* right behind the last flight */
	conn_tls_until_len(f, &f->got, 11);
	conn_tls_until_len(f, &f->peer.got, 9);
	assert_string_equal(f->got.data, "220 hello\r\n");
	assert_string_equal(f->peer.got.data, "EHLO us\r\n");
	assert_int_equal(conn_pending(f->conn), 0);
	assert_int_equal(f->secured, 1);
}

/* ---- resumption ---- */

/* A whole session; returns whether it resumed one. */
static bool
session(struct conn_tls *f, const char *name, bool verify, const char *key)
{
	bool resumed;

	f->start.session_key = key;
	strbuf_reset(&f->got);
	f->closed = 0;
	conn_tls_begin(f, name, verify);
	conn_tls_settle(f);
	if (f->closed > 0)
		fail_msg("%s", f->why);
	tls_peer_send(&f->peer, "x", 1); /* what comes before it are the tickets */
	conn_tls_until_len(f, &f->got, 1);
	resumed = conn_tls(f->conn)->resumed;
	assert_int_equal(SSL_session_reused(f->peer.ssl), resumed);
	conn_tls_drop(f);
	return resumed;
}

static void
check_resumption(struct conn_tls *f)
{
	assert_false(session(f, "mail.test", true, "hop"));
	assert_true(session(f, "mail.test", true, "hop"));
	assert_true(session(f, "mail.test", true, "hop"));
	assert_false(session(f, "mail.test", true, "another hop"));
	assert_false(session(f, "a.wild.test", true, "hop"));
	assert_false(session(f, "mail.test", true, NULL));
	assert_false(session(f, "mail.test", true, NULL));
	/* one that was not verified never stands in for one that must be */
	assert_false(session(f, "mail.test", false, "hop"));
	assert_true(session(f, "mail.test", false, "hop"));
	assert_true(session(f, "mail.test", true, "hop"));
	assert_false(session(f, "other.test", false, "hop"));
	assert_true(session(f, "other.test", false, "hop"));
	f->start.session_key = "hop";
	conn_tls_begin(f, "other.test", true);
	conn_tls_until(f, &f->closed, 1);
	assert_non_null(strstr(f->why, "the name \"other.test\" is not in it"));
	conn_tls_drop(f);
}

static void
resumption_1_3(void **state)
{
	struct conn_tls *f = *state;

	check_resumption(f);
}

static void
resumption_1_2_by_ticket(void **state)
{
	struct conn_tls *f = *state;

	SSL_CTX_set_max_proto_version(f->peer.context, TLS1_2_VERSION);
	check_resumption(f);
}

static void
resumption_1_2_by_id(void **state)
{
	struct conn_tls *f = *state;

	SSL_CTX_set_max_proto_version(f->peer.context, TLS1_2_VERSION);
	SSL_CTX_set_options(f->peer.context, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_id_context(f->peer.context, (const unsigned char *)"t", 1);
	/* not check_resumption: the server forgets sessions that end without close_notify */
	assert_false(session(f, "mail.test", true, "hop"));
	f->start.session_key = "hop";
	for (int i = 0; i < 2; i++) {
		f->closed = f->secured = 0;
		conn_tls_begin(f, "mail.test", true);
		conn_tls_settle(f);
		assert_int_equal(conn_tls(f->conn)->resumed, i);
		conn_tls_until_flag(f, &f->peer.stands);
		tls_peer_notify(&f->peer);
		conn_tls_until(f, &f->closed, 1);
		assert_true(f->orderly);
		conn_tls_drop(f);
	}
}

/* What an unverified session found is still known when it is resumed. */
static void
facts_of_a_resumed_session(void **state)
{
	struct conn_tls *f = *state;

	f->start.session_key = "hop";
	for (int i = 0; i < 2; i++) {
		strbuf_reset(&f->got);
		conn_tls_begin(f, "other.test", false);
		conn_tls_settle(f);
		assert_int_equal(conn_tls(f->conn)->resumed, i);
		assert_false(conn_tls(f->conn)->verified);
		assert_string_equal(conn_tls(f->conn)->verify_error,
				    "certificate: the name \"other.test\" is not in it");
		tls_peer_send(&f->peer, "x", 1);
		conn_tls_until_len(f, &f->got, 1);
		conn_tls_drop(f);
	}
}

static void
another_trust_resumes_nothing(void **state)
{
	struct conn_tls *f = *state;
	struct tls_trust *trust = tls_trust_new(f->world->ca_file, NULL);

	assert_false(session(f, "mail.test", true, "hop"));
	f->start.trust = trust;
	assert_false(session(f, "mail.test", true, "hop"));
	f->start.trust = NULL;
	assert_true(session(f, "mail.test", true, "hop"));
	/* a connection keeps what it uses */
	f->start.trust = trust;
	conn_tls_begin(f, NULL, true);
	tls_trust_free(trust);
	conn_tls_settle(f);
	assert_true(conn_tls(f->conn)->verified);
}

/* A peer that fails over the session it is offered gets a full handshake the next time. */
static void
resumption_taken_badly(void **state)
{
	struct conn_tls *f = *state;

	assert_false(session(f, "mail.test", true, "hop"));
	f->start.session_key = "hop";
	conn_tls_begin(f, "mail.test", true);
	hello_arrives(f);
	tls_peer_hang_up(&f->peer, true);
	conn_tls_until(f, &f->closed, 1);
	conn_free(f->conn);
	assert_false(session(f, "mail.test", true, "hop"));
	assert_true(session(f, "mail.test", true, "hop"));
}

/* ---- the trust store ---- */

static void
trust_stores(void **state)
{
	struct conn_tls *f = *state;
	char *file = xasprintf("%s/other", f->world->directory);
	struct error why = {0};
	struct tls_trust *trust;
	char *wanted;
	FILE *out;

	trust = tls_trust_new(NULL, &why);
	assert_non_null(trust);
	f->start.trust = trust;
	conn_tls_begin(f, NULL, true);
	conn_tls_until(f, &f->closed, 1);
	assert_non_null(strstr(f->why, "certificate: its issuer is not known here"));
	tls_trust_free(trust);
	tls_trust_free(NULL);

	assert_null(tls_trust_new(file, &why));
	wanted = xasprintf("%s: no certificates could be read: No such file or directory", file);
	assert_string_equal(why.text, wanted);
	free(wanted);
	for (int i = 0; i < 2; i++) {
		out = fopen(file, "we");
		assert_non_null(out);
		if (i == 1)
			fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
			      out);
		assert_int_equal(fclose(out), 0);
		assert_null(tls_trust_new(file, &why));
		assert_non_null(strstr(why.text, "no certificates could be read: "));
		unlink(file);
	}
	free(file);
}

/* Several in one file, and a server's own certificate in it, which no authority signed. */
static void
several_authorities(void **state)
{
	struct conn_tls *f = *state;
	char *file = xasprintf("%s/several.pem", f->world->directory);
	struct tls_identity alone;
	struct tls_trust *trust;

	tls_identity_make(
	    &alone, NULL,
	    &(struct tls_request){.common_name = "alone.test", .names = "DNS:alone.test"});
	tls_identity_write(&alone, file);
	tls_identity_write(&f->world->authority, file);
	trust = tls_trust_new(file, NULL);
	assert_non_null(trust);
	f->start.trust = trust;
	check_established(f, "mail.test", true);
	tls_peer_clear(&f->peer);
	tls_peer_init(&f->peer, &alone);
	check_established(f, "alone.test", true);
	check_refused(f, "mail.test", "certificate: the name \"mail.test\" is not in it");
	tls_trust_free(trust);
	tls_identity_clear(&alone);
	assert_int_equal(unlink(file), 0);
	free(file);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, conn_tls_setup, conn_tls_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(good_certificates),
	    TEST(wrong_names),
	    TEST(bad_certificates),
	    TEST(names_that_are_none),
	    TEST(versions),
	    TEST(downgrade),
	    TEST(what_came_is_not_tls),
	    TEST(ends_in_the_middle),
	    TEST(alerts_are_told),
	    TEST(never_answers),
	    TEST(only_on_a_quiet_connection),
	    TEST(inside_data),
	    TEST(injection_in_one_segment),
	    TEST(injection_in_the_next_segment),
	    TEST(from_the_first_byte),
	    TEST(resumption_1_3),
	    TEST(resumption_1_2_by_ticket),
	    TEST(resumption_1_2_by_id),
	    TEST(facts_of_a_resumed_session),
	    TEST(another_trust_resumes_nothing),
	    TEST(resumption_taken_badly),
	    TEST(trust_stores),
	    TEST(several_authorities),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* OpenSSL's server writes with write(2) */
	return cmocka_run_group_tests(tests, conn_tls_world_setup, conn_tls_world_teardown);
}
