/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp/client before its first transaction, against scripted servers: each TLS policy against
 * servers that offer TLS or not, refuse it, break it at each step or have the wrong certificate;
 * what is put behind the reply to STARTTLS; EHLO after it; AUTH with each mechanism, its refusals,
 * its misuse, and where it is not sent at all; what of it is logged, and that the password never
 * is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/net/tls.h"
#include "relayd/smtp/client.h"
#include "tests/unit/mail_fixture.h"
#include "tests/unit/script_server.h"
#include "tests/unit/tls_peer.h"

static const char *const to[] = {"one@example.net", NULL};
static const char host[] = "mail.test", login[] = "relay@example.org", password[] = "s3cret,pass=x";

enum whose { NOBODY, RIGHT, OTHER_NAME, UNKNOWN_AUTHORITY, IDENTITIES };

struct fixture {
	struct mail *mail;
	struct envelope *env;
	struct tls_identity authority, stranger, identities[IDENTITIES];
};

static void
identity_make(struct fixture *f, enum whose whose, const struct tls_identity *issuer,
	      const char *names)
{
	const struct tls_request request = {
	    .names = names, .common_name = "server", .usage = "serverAuth"};

	tls_identity_make(&f->identities[whose], issuer, &request);
}

static int
setup(void **state)
{
	const struct tls_request authority = {.common_name = "authority"};
	struct fixture *f = xcalloc(1, sizeof *f);
	struct error why;
	char *file;

	f->mail = mail_new();
	tls_identity_make(&f->authority, NULL, &authority);
	tls_identity_make(&f->stranger, NULL, &authority);
	identity_make(f, RIGHT, &f->authority, "DNS:mail.test");
	identity_make(f, OTHER_NAME, &f->authority, "DNS:other.test");
	identity_make(f, UNKNOWN_AUTHORITY, &f->stranger, "DNS:mail.test");
	file = xasprintf("%s/ca.pem", f->mail->dir);
	tls_identity_write(&f->authority, file);
	f->mail->hops_options.client.trust = tls_trust_new(file, &why);
	if (f->mail->hops_options.client.trust == NULL)
		fail_msg("%s", why.text);
	f->mail->hops_options.client.offload = f->mail->offload;
	free(file);
	mail_open(f->mail);
	f->env = mail_commit(f->mail, "s@example.org", "Subject: x\r\n\r\n", to);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	size_t i;

	/* Whatever happened. */
	assert_int_equal(mail_logged(f->mail, password, NULL), 0);
	spool_finish(f->mail->spool, f->env);
	envelope_free(f->env);
	tls_trust_free(f->mail->hops_options.client.trust);
	mail_close(f->mail);
	mail_free(f->mail);
	for (i = RIGHT; i < IDENTITIES; i++)
		tls_identity_clear(&f->identities[i]);
	tls_identity_clear(&f->authority);
	tls_identity_clear(&f->stranger);
	free(f);
	return 0;
}

/* ---- one session ---- */

struct talk {
	struct client *client;
	struct client_job job;
	struct client_recipient recipient;
	unsigned ended, finished;
};

static void
finished(void *ctx, struct client_job *job)
{
	struct talk *talk = ctx;

	(void)job;
	talk->finished++;
}

static void
ready(void *ctx)
{
	(void)ctx;
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
	(void)ctx;
	(void)job;
	fail();
}

static const struct client_events events = {.ready = ready, .ended = ended, .returned = returned};

static bool
is_ready_or_over(void *ctx)
{
	const struct talk *talk = ctx;

	return talk->ended > 0 || client_can_take(talk->client);
}

static bool
is_finished(void *ctx)
{
	const struct talk *talk = ctx;

	return talk->finished > 0;
}

static void
talk_to(struct fixture *f, struct talk *talk, const struct client_target *target)
{
	struct error why;

	*talk = (struct talk){0};
	talk->client = client_new(&f->mail->hops_options.client, target, &events, talk, &why);
	if (talk->client == NULL)
		fail_msg("%s", why.text);
	mail_until(f->mail, is_ready_or_over, talk);
}

static void
talk_send(struct fixture *f, struct talk *talk)
{
	talk->recipient = (struct client_recipient){.address = to[0]};
	talk->job = (struct client_job){.envelope = f->env,
					.count = 1,
					.recipients = &talk->recipient,
					.finished = finished,
					.ctx = talk};
	client_take(talk->client, &talk->job);
	mail_until(f->mail, is_finished, talk);
	assert_int_equal(talk->recipient.verdict, CLIENT_ACCEPTED);
}

static void
talk_end(struct talk *talk)
{
	client_free(talk->client);
	client_job_clear(&talk->job);
}

static void
check_refused(const char *name, const struct talk *talk, enum client_stage stage, const char *text)
{
	if (talk->ended != 1 || client_was_greeted(talk->client))
		fail_msg("%s: there is a session", name);
	if (client_failure_stage(talk->client) != stage ||
	    strstr(client_failure_text(talk->client), text) == NULL)
		fail_msg("%s: %s: %s", name, client_stage_name(client_failure_stage(talk->client)),
			 client_failure_text(talk->client));
	assert_int_equal(client_failure_status(talk->client)[0], '4');
}

/* ---- TLS ---- */

#define OFFERS "PIPELINING\nSTARTTLS"

enum outcome { SECURE, CLEAR, REFUSED };

struct row {
	const char *name;
	enum route_tls tls;
	enum whose whose;
	const char *features;                     /* before TLS */
	const char *starttls, *handshake, *hello; /* what is said there; NULL: the usual */
	enum outcome outcome;
	bool verified;
	enum client_stage stage;
	const char *text;
	size_t connections;
};

#define NONE ROUTE_TLS_NONE
#define MAY ROUTE_TLS_MAY
#define REQUIRE ROUTE_TLS_REQUIRE
#define VERIFY ROUTE_TLS_VERIFY
#define IMPLICIT ROUTE_TLS_IMPLICIT

static const struct row rows[] = {
    {"none, offered", NONE, RIGHT, OFFERS, .outcome = CLEAR, .connections = 1},
    {"may, offered", MAY, RIGHT, OFFERS, .verified = true, .connections = 1},
    {"may, offered, wrong name", MAY, OTHER_NAME, OFFERS, .connections = 1},
    {"may, offered, unknown authority", MAY, UNKNOWN_AUTHORITY, OFFERS, .connections = 1},
    {"may, not offered", MAY, NOBODY, "PIPELINING", .outcome = CLEAR, .connections = 1},
    {"may, HELO alone", MAY, NOBODY, OFFERS, .hello = "502 what", .outcome = CLEAR,
     .connections = 1},
    {"may, refused for now", MAY, RIGHT, OFFERS, "454 4.7.0 no key", .outcome = CLEAR,
     .connections = 2},
    {"may, refused", MAY, RIGHT, OFFERS, "502 5.5.1 no", .outcome = CLEAR, .connections = 2},
    {"may, refused, closes", MAY, RIGHT, OFFERS, "421 4.7.0 no", .outcome = CLEAR,
     .connections = 2},
    {"may, 354", MAY, RIGHT, OFFERS, "354 more", .outcome = CLEAR, .connections = 2},
    {"may, STARTTLS drop", MAY, RIGHT, OFFERS, "drop", .outcome = CLEAR, .connections = 2},
    {"may, STARTTLS reset", MAY, RIGHT, OFFERS, "reset", .outcome = CLEAR, .connections = 2},
    {"may, STARTTLS silence", MAY, RIGHT, OFFERS, "silence", .outcome = CLEAR, .connections = 2},
    {"may, STARTTLS garbage", MAY, RIGHT, OFFERS, "raw:yes!\r\n", .outcome = CLEAR,
     .connections = 2},
    {"may, STARTTLS endless", MAY, RIGHT, OFFERS, "endless", .outcome = CLEAR, .connections = 2},
    {"may, handshake drop", MAY, RIGHT, OFFERS, NULL, "drop", .outcome = CLEAR, .connections = 2},
    {"may, handshake reset", MAY, RIGHT, OFFERS, NULL, "reset", .outcome = CLEAR, .connections = 2},
    {"may, handshake silence", MAY, RIGHT, OFFERS, NULL, "silence", .outcome = CLEAR,
     .connections = 2},
    {"may, handshake garbage", MAY, RIGHT, OFFERS, NULL, "raw:500 what is this?\r\n",
     .outcome = CLEAR, .connections = 2},
    {"may, more behind the reply", MAY, RIGHT, OFFERS, "raw:220 go\r\n250-x\r\n250 AUTH PLAIN\r\n",
     .outcome = REFUSED, .stage = CLIENT_STAGE_STARTTLS, .text = "sent more behind",
     .connections = 1},

    {"require, right", REQUIRE, RIGHT, OFFERS, .verified = true, .connections = 1},
    {"require, wrong name", REQUIRE, OTHER_NAME, OFFERS, .connections = 1},
    {"require, unknown authority", REQUIRE, UNKNOWN_AUTHORITY, OFFERS, .connections = 1},
    {"require, not offered", REQUIRE, NOBODY, "PIPELINING", .outcome = REFUSED,
     .stage = CLIENT_STAGE_STARTTLS, .text = "does not offer", .connections = 1},
    {"require, HELO alone", REQUIRE, RIGHT, OFFERS, .hello = "502 what", .outcome = REFUSED,
     .stage = CLIENT_STAGE_STARTTLS, .text = "does not offer", .connections = 1},
    {"require, refused", REQUIRE, RIGHT, OFFERS, "454 4.7.0 no key", .outcome = REFUSED,
     .stage = CLIENT_STAGE_STARTTLS, .text = "454 4.7.0 no key", .connections = 1},
    {"require, STARTTLS silence", REQUIRE, RIGHT, OFFERS, "silence", .outcome = REFUSED,
     .stage = CLIENT_STAGE_STARTTLS, .text = "timed out", .connections = 1},
    {"require, handshake drop", REQUIRE, RIGHT, OFFERS, NULL, "drop", .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "", .connections = 1},
    {"require, handshake silence", REQUIRE, RIGHT, OFFERS, NULL, "silence", .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "timed out", .connections = 1},
    {"require, more behind the reply", REQUIRE, RIGHT, OFFERS, "raw:220 go\r\n2",
     .outcome = REFUSED, .stage = CLIENT_STAGE_STARTTLS, .text = "sent more behind",
     .connections = 1},

    {"verify, right", VERIFY, RIGHT, OFFERS, .verified = true, .connections = 1},
    {"verify, wrong name", VERIFY, OTHER_NAME, OFFERS, .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "certificate", .connections = 1},
    {"verify, unknown authority", VERIFY, UNKNOWN_AUTHORITY, OFFERS, .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "certificate", .connections = 1},
    {"verify, not offered", VERIFY, NOBODY, "PIPELINING", .outcome = REFUSED,
     .stage = CLIENT_STAGE_STARTTLS, .text = "does not offer", .connections = 1},
    {"verify, refused", VERIFY, RIGHT, OFFERS, "502 5.5.1 no", .outcome = REFUSED,
     .stage = CLIENT_STAGE_STARTTLS, .text = "502 5.5.1 no", .connections = 1},
    {"verify, handshake garbage", VERIFY, RIGHT, OFFERS, NULL, "raw:hello, hello\r\n",
     .outcome = REFUSED, .stage = CLIENT_STAGE_TLS, .text = "", .connections = 1},

    {"implicit, right", IMPLICIT, RIGHT, "PIPELINING", .verified = true, .connections = 1},
    {"implicit, STARTTLS offered all the same", IMPLICIT, RIGHT, OFFERS, .verified = true,
     .connections = 1},
    {"implicit, wrong name", IMPLICIT, OTHER_NAME, "", .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "certificate", .connections = 1},
    {"implicit, in the clear", IMPLICIT, RIGHT, "", NULL, "raw:220 script ESMTP\r\n",
     .outcome = REFUSED, .stage = CLIENT_STAGE_TLS, .text = "", .connections = 1},
    {"implicit, drop", IMPLICIT, RIGHT, "", NULL, "drop", .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "", .connections = 1},
    {"implicit, silence", IMPLICIT, RIGHT, "", NULL, "silence", .outcome = REFUSED,
     .stage = CLIENT_STAGE_TLS, .text = "timed out", .connections = 1},
};

static void
check_session(struct fixture *f, const struct row *row, struct talk *talk,
	      struct script_server *server)
{
	const struct client_facts *facts = &talk->job.facts;
	bool hello_again = row->outcome == SECURE && row->tls != IMPLICIT;

	if (talk->ended > 0)
		fail_msg("%s: %s: %s", row->name,
			 client_stage_name(client_failure_stage(talk->client)),
			 client_failure_text(talk->client));
	talk_send(f, talk);
	if ((row->outcome == SECURE) != (strncmp(facts->tls, "TLSv1.", 6) == 0) ||
	    facts->verified != row->verified ||
	    (facts->tls[0] != '\0') != (facts->cipher[0] != '\0'))
		fail_msg("%s: %s %s %d", row->name, facts->tls, facts->cipher,
			 (int)facts->verified);
	assert_string_equal(facts->auth, "");
	/* Under TLS all is asked anew. */
	assert_int_equal(script_server_heard(server, "EHLO"), row->connections + hello_again);
	assert_int_equal(script_server_heard(server, " secured\n"), row->outcome == SECURE);
}

static void
play(struct fixture *f, const struct row *row)
{
	const struct script script = {
	    .features = row->features,
	    .secure_features = "PIPELINING",
	    .identity = &f->identities[row->whose],
	    .implicit = row->tls == IMPLICIT,
	    .at = {
		[AT_STARTTLS] = row->starttls, [AT_TLS] = row->handshake, [AT_EHLO] = row->hello}};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	const struct client_target target = {.remote = script_server_address(server),
					     .name = host,
					     .tls = row->tls,
					     .route_id = 4711};
	size_t before = mail_logged(f->mail, " tls-failed ", "route=4711"), logged;
	struct talk talk;

	talk_to(f, &talk, &target);
	if (row->outcome == REFUSED)
		check_refused(row->name, &talk, row->stage, row->text);
	else
		check_session(f, row, &talk, server);
	assert_int_equal(script_server_connections(server), row->connections);
	logged = mail_logged(f->mail, " tls-failed ", "route=4711") - before;
	if (logged != (row->outcome == REFUSED || row->connections > 1))
		fail_msg("%s: %zu lines of trouble", row->name, logged);
	talk_end(&talk);
	script_server_free(server);
}

static void
test_tls(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++)
		play(f, &rows[i]);
	assert_true(mail_logged(f->mail, " tls-failed ", "warning") > 0);
	assert_true(mail_logged(f->mail, " tls-failed ", "next=in-the-clear") > 0);
}

/* What was offered in the clear is not believed under TLS: the size limit would refuse the message,
 * and AUTH is another one. */
static void
test_forgotten(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.features = "SIZE 1\nAUTH PLAIN\nSTARTTLS",
				      .secure_features = "AUTH LOGIN\n8BITMIME",
				      .identity = &f->identities[RIGHT],
				      .login = login,
				      .password = password};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	const struct client_target target = {.remote = script_server_address(server),
					     .name = host,
					     .tls = VERIFY,
					     .login = login,
					     .password = password};
	struct talk talk;

	talk_to(f, &talk, &target);
	assert_int_equal(talk.ended, 0);
	talk_send(f, &talk);
	assert_string_equal(talk.job.facts.auth, "LOGIN");
	talk_end(&talk);
	script_server_free(server);
}

/* The second connection of `may` can fail too; and a client can be cut at any moment. */
static void
test_second_connection(void **state)
{
	struct fixture *f = *state;
	const struct script scripts[] = {
	    {.features = OFFERS, .identity = &f->identities[RIGHT], .at = {[AT_STARTTLS] = "drop"}},
	    {.features = OFFERS, .at = {[AT_GREETING] = "554 no"}}};
	struct script_server *server = script_server_new("127.0.0.1", scripts, 2);
	const struct client_target target = {
	    .remote = script_server_address(server), .name = host, .tls = MAY};
	struct talk talk;
	int rounds, i;

	talk_to(f, &talk, &target);
	check_refused("second greeting", &talk, CLIENT_STAGE_GREETING, "554 no");
	assert_int_equal(script_server_connections(server), 2);
	talk_end(&talk);
	script_server_free(server);

	server = script_server_new("127.0.0.1", scripts, 1);
	for (rounds = 0; rounds < 30; rounds++) {
		struct client_target again = target;

		again.remote = script_server_address(server);
		talk = (struct talk){0};
		talk.client =
		    client_new(&f->mail->hops_options.client, &again, &events, &talk, NULL);
		for (i = 0; i < rounds; i++)
			assert_int_equal(loop_once(f->mail->loop, 1), 0);
		talk_end(&talk);
	}
	mail_run(f->mail, 10);
	script_server_free(server);
}

/* ---- AUTH ---- */

#define WELL .login = login, .password = password

struct login_row {
	const char *name;
	const char *offers;
	const char *at; /* NULL: a server that checks */
	bool wrong;     /* the password */
	bool refused;
	const char *mechanism; /* that served */
	const char *text;
	const char *heard; /* part of what the server heard */
	bool silent;       /* no AUTH is heard at all */
};

/* "\0relay@example.org\0s3cret,pass=x", "relay@example.org", "s3cret,pass=x" */
#define PLAIN64 "AHJlbGF5QGV4YW1wbGUub3JnAHMzY3JldCxwYXNzPXg="
#define LOGIN64 "cmVsYXlAZXhhbXBsZS5vcmc="
#define PASS64 "czNjcmV0LHBhc3M9eA=="

static const struct login_row login_rows[] = {
    {"SCRAM-SHA-256", "AUTH LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256", .mechanism = "SCRAM-SHA-256",
     .heard = "AUTH SCRAM-SHA-256 biws"},
    {"CRAM-MD5", "AUTH LOGIN PLAIN CRAM-MD5", .mechanism = "CRAM-MD5", .heard = "AUTH CRAM-MD5\n"},
    {"PLAIN", "AUTH LOGIN PLAIN", .mechanism = "PLAIN", .heard = "AUTH PLAIN " PLAIN64 "\n"},
    {"LOGIN", "AUTH=LOGIN  ", .mechanism = "LOGIN",
     .heard = "AUTH LOGIN\n0 " LOGIN64 "\n0 " PASS64 "\n"},
    {"two lines", "AUTH=LOGIN\nAUTH LOGIN PLAIN", .mechanism = "PLAIN", .heard = ""},

    {"SCRAM-SHA-256, wrong", "AUTH SCRAM-SHA-256 PLAIN", .wrong = true, .refused = true,
     .mechanism = "SCRAM-SHA-256", .text = "535 5.7.8 no", .heard = ""},
    {"CRAM-MD5, wrong", "AUTH CRAM-MD5 PLAIN", .wrong = true, .refused = true,
     .mechanism = "CRAM-MD5", .text = "535 5.7.8 no", .heard = ""},
    {"PLAIN, wrong", "AUTH PLAIN LOGIN", .wrong = true, .refused = true, .mechanism = "PLAIN",
     .text = "535 5.7.8 no", .heard = ""},
    {"LOGIN, wrong", "AUTH LOGIN", .wrong = true, .refused = true, .mechanism = "LOGIN",
     .text = "535 5.7.8 no", .heard = ""},

    {"not offered", "PIPELINING", .refused = true, .text = "offers no AUTH", .silent = true},
    {"none that is known", "AUTH GSSAPI NTLM", .refused = true, .text = "GSSAPI NTLM",
     .silent = true},

    {"454", "AUTH PLAIN LOGIN", "454 4.7.0 later", .refused = true, .mechanism = "PLAIN",
     .text = "454 4.7.0 later", .heard = ""},
    {"421", "AUTH PLAIN LOGIN", "421 4.7.0 bye", .refused = true, .mechanism = "PLAIN",
     .text = "421 4.7.0 bye", .heard = ""},
    {"504 leads to the next", "AUTH PLAIN LOGIN", "504 5.5.4 what|334 VXNlcg==|334 UGFzcw==|235 ok",
     .mechanism = "LOGIN", .heard = "AUTH LOGIN\n0 " LOGIN64 "\n0 " PASS64 "\n"},
    {"534 leads to the next", "AUTH CRAM-MD5 PLAIN", "534 5.7.9 too weak|235 ok",
     .mechanism = "PLAIN", .heard = "AUTH PLAIN " PLAIN64 "\n"},
    {"504 for each", "AUTH PLAIN LOGIN", "504 5.5.4 what", .refused = true,
     .text = "504 5.5.4 what", .heard = "AUTH LOGIN\n"},
    {"500", "AUTH PLAIN LOGIN", "500 5.5.1 what", .refused = true, .mechanism = "PLAIN",
     .text = "500 5.5.1 what", .heard = ""},
    {"silence", "AUTH PLAIN", "silence", .refused = true, .mechanism = "PLAIN", .text = "timed out",
     .heard = ""},
    {"drop", "AUTH PLAIN", "drop", .refused = true, .mechanism = "PLAIN", .text = "closed",
     .heard = ""},
    {"reset", "AUTH PLAIN", "reset", .refused = true, .mechanism = "PLAIN", .text = "reset",
     .heard = ""},
    {"garbage", "AUTH PLAIN", "raw:well done\r\n", .refused = true, .mechanism = "PLAIN",
     .text = "malformed", .heard = ""},
    {"endless", "AUTH PLAIN", "endless", .refused = true, .mechanism = "PLAIN", .text = "malformed",
     .heard = ""},
    {"354", "AUTH PLAIN", "354 go", .refused = true, .mechanism = "PLAIN", .text = "asks for more",
     .heard = ""},
    {"334 after PLAIN", "AUTH PLAIN", "334 bW9yZQ==|501 5.7.0 as you wish", .refused = true,
     .mechanism = "PLAIN", .text = "more than its mechanism", .heard = "\n0 *\n"},
    {"SCRAM, no challenge", "AUTH SCRAM-SHA-256", "334 bm9uc2Vuc2U=|501 5.7.0 as you wish",
     .refused = true, .mechanism = "SCRAM-SHA-256", .text = "SCRAM-SHA-256", .heard = "\n0 *\n"},
    {"SCRAM, not base64", "AUTH SCRAM-SHA-256", "334 no, no|drop", .refused = true,
     .mechanism = "SCRAM-SHA-256", .text = "", .heard = "\n0 *\n"},
    {"SCRAM, yes at once", "AUTH SCRAM-SHA-256 PLAIN", "235 2.7.0 welcome", .refused = true,
     .mechanism = "SCRAM-SHA-256", .text = "before the end of AUTH", .heard = ""},
    {"CRAM-MD5, yes at once", "AUTH CRAM-MD5 PLAIN", "235 2.7.0 welcome", .refused = true,
     .mechanism = "CRAM-MD5", .text = "before the end of AUTH", .heard = ""},
    {"the password repeated", "AUTH LOGIN",
     "334 VXNlcg==|334 UGFzcw==|535 5.7.8 wrong: " PASS64 " is s3cret,pass=x!", .refused = true,
     .mechanism = "LOGIN", .text = "535 5.7.8 wrong: ******************** is *************!",
     .heard = ""},
    {"the line repeated", "AUTH PLAIN", "501 5.5.2 AUTH PLAIN " PLAIN64 " what", .refused = true,
     .mechanism = "PLAIN", .text = "501 5.5.2 AUTH PLAIN ***", .heard = ""},
};

static void
play_login(struct fixture *f, const struct login_row *row, enum route_tls tls)
{
	bool clear = tls == ROUTE_TLS_NONE;
	char *features = xasprintf("STARTTLS\n%s", row->offers);
	const struct script script = {.features = clear ? row->offers : features,
				      .identity =
					  &f->identities[tls == VERIFY ? RIGHT : OTHER_NAME],
				      .at = {[AT_AUTH] = row->at},
				      WELL};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	const struct client_target target = {.remote = script_server_address(server),
					     .name = host,
					     .tls = tls,
					     .login = login,
					     .password = row->wrong ? "not it" : password,
					     .clear_login = clear,
					     .route_id = 4711};
	size_t before = mail_logged(f->mail, " login-failed ", "route=4711"), logged;
	struct talk talk;

	talk_to(f, &talk, &target);
	if (row->refused) {
		check_refused(row->name, &talk, CLIENT_STAGE_AUTH, row->text);
	} else {
		if (talk.ended > 0)
			fail_msg("%s: %s", row->name, client_failure_text(talk.client));
		talk_send(f, &talk);
		assert_string_equal(talk.job.facts.auth, row->mechanism);
	}
	if (row->silent)
		assert_int_equal(script_server_heard(server, "AUTH"), 0);
	else if (row->heard[0] != '\0' && script_server_heard(server, row->heard) != 1)
		fail_msg("%s: %s", row->name, script_server_transcript(server));
	logged = mail_logged(f->mail, " login-failed ", "route=4711") - before;
	if (logged != row->refused)
		fail_msg("%s: %zu lines of trouble", row->name, logged);
	talk_end(&talk);
	script_server_free(server);
	free(features);
}

static void
test_login(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof login_rows / sizeof *login_rows; i++) {
		play_login(f, &login_rows[i], ROUTE_TLS_NONE);
		play_login(f, &login_rows[i], ROUTE_TLS_REQUIRE);
	}
	assert_true(mail_logged(f->mail, " login-failed ", "mechanism=SCRAM-SHA-256") > 0);
	assert_int_equal(mail_logged(f->mail, " login-failed ", "warning"),
			 mail_logged(f->mail, " login-failed ", NULL));
	assert_int_equal(mail_logged(f->mail, PLAIN64, NULL), 0);
	assert_int_equal(mail_logged(f->mail, PASS64, NULL), 0);
}

/* To a server that is known to be the right one, PLAIN goes before CRAM-MD5. */
static void
test_login_verified(void **state)
{
	static const struct login_row row = {"verified", "AUTH CRAM-MD5 PLAIN",
					     .mechanism = "PLAIN",
					     .heard = "AUTH PLAIN " PLAIN64 "\n"};

	play_login(*state, &row, ROUTE_TLS_VERIFY);
}

/* In the clear a login is sent where the route allows that by name, and nowhere else. */
static void
test_clear(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.features = "AUTH PLAIN SCRAM-SHA-256", WELL};
	const struct script breaks = {.features = "STARTTLS\nAUTH PLAIN",
				      .at = {[AT_TLS] = "drop"},
				      .identity = &f->identities[RIGHT],
				      WELL};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1),
			     *broken = script_server_new("127.0.0.1", &breaks, 1);
	struct client_target target = {.remote = script_server_address(server),
				       .name = host,
				       .login = login,
				       .password = password};
	struct talk talk;
	int i;

	for (i = 0; i < 2; i++) {
		target.tls = i == 0 ? NONE : MAY;
		talk_to(f, &talk, &target);
		check_refused("clear", &talk, CLIENT_STAGE_AUTH, "not sent without TLS");
		talk_end(&talk);
	}
	assert_int_equal(script_server_heard(server, "AUTH"), 0);
	target.remote = script_server_address(broken);
	talk_to(f, &talk, &target);
	check_refused("broken TLS", &talk, CLIENT_STAGE_AUTH, "not sent without TLS");
	talk_end(&talk);
	assert_int_equal(script_server_heard(broken, "AUTH"), 0);
	target.clear_login = true;
	talk_to(f, &talk, &target);
	assert_int_equal(talk.ended, 0);
	talk_end(&talk);
	assert_int_equal(script_server_heard(broken, "AUTH PLAIN " PLAIN64), 1);
	script_server_free(server);
	script_server_free(broken);
}

/* Too long for one command: the password waits for the server's word. */
static void
test_long_password(void **state)
{
	struct fixture *f = *state;
	char long_password[2000];
	const struct script script = {
	    .features = "AUTH PLAIN", .login = login, .password = long_password};
	struct script_server *server;
	struct client_target target = {.name = host,
				       .tls = NONE,
				       .clear_login = true,
				       .login = login,
				       .password = long_password};
	struct talk talk;

	memset(long_password, 'p', sizeof long_password - 1);
	long_password[sizeof long_password - 1] = '\0';
	server = script_server_new("127.0.0.1", &script, 1);
	target.remote = script_server_address(server);
	talk_to(f, &talk, &target);
	assert_int_equal(talk.ended, 0);
	talk_send(f, &talk);
	assert_string_equal(talk.job.facts.auth, "PLAIN");
	assert_int_equal(script_server_heard(server, "AUTH PLAIN\n"), 1);
	talk_end(&talk);
	script_server_free(server);
}

/* A challenge longer than a reply may be otherwise; and one longer than AUTH allows. */
static void
test_long_challenge(void **state)
{
	struct fixture *f = *state;
	static const size_t lengths[] = {11996, 12400};
	size_t i;

	for (i = 0; i < 2; i++) {
		char *challenge = xmalloc(lengths[i] + 5), *at;
		struct script script = {.features = "AUTH CRAM-MD5", WELL};
		struct script_server *server;
		struct client_target target = {.name = host,
					       .tls = NONE,
					       .clear_login = true,
					       .login = login,
					       .password = password};
		struct talk talk;

		memcpy(challenge, "334 ", 4);
		memset(challenge + 4, 'A', lengths[i]);
		challenge[lengths[i] + 4] = '\0';
		at = xasprintf("%s|235 ok", challenge);
		script.at[AT_AUTH] = at;
		server = script_server_new("127.0.0.1", &script, 1);
		target.remote = script_server_address(server);
		talk_to(f, &talk, &target);
		if (i == 0)
			assert_int_equal(talk.ended, 0);
		else
			check_refused("too long", &talk, CLIENT_STAGE_AUTH, "malformed");
		talk_end(&talk);
		script_server_free(server);
		free(challenge);
		free(at);
	}
}

/* Cut while a thread computes, and at any other moment. */
static void
test_cut(void **state)
{
	struct fixture *f = *state;
	const struct script script = {
	    .features = "STARTTLS\nAUTH SCRAM-SHA-256", .identity = &f->identities[RIGHT], WELL};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	const struct client_target target = {.remote = script_server_address(server),
					     .name = host,
					     .tls = VERIFY,
					     .login = login,
					     .password = password};
	struct talk talk;
	int rounds, i;

	for (rounds = 0; rounds < 30; rounds++) {
		talk = (struct talk){0};
		talk.client =
		    client_new(&f->mail->hops_options.client, &target, &events, &talk, NULL);
		for (i = 0; i < rounds; i++)
			assert_int_equal(loop_once(f->mail->loop, 1), 0);
		talk_end(&talk);
	}
	mail_run(f->mail, 10);
	script_server_free(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_second_connection, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_login, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_login_verified, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clear, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_long_password, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_long_challenge, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
