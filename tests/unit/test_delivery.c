/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/delivery and queue/leg, by real deliveries to scripted servers: what leads to the next
 * entry of the plan in the same attempt, to a deferral, to a failure for good (relayd-routes(7));
 * which recipients share a transaction; weights; local addresses; names; suspended remotes; races.
 * Mail exchangers are asked
 * for on port 25 and are left to the tests of the whole program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "tests/unit/mail_fixture.h"
#include "tests/unit/script_server.h"

static const char body[] = "Subject: x\r\n\r\nx\r\n";
static const char *const one[] = {"one@a.example", NULL};
static const char *const two[] = {"one@a.example", "two@a.example", NULL};

/* What an attempt came to; the fates are copies. */
struct outcome {
	size_t count;
	struct recipient_fate fates[250];
	unsigned done;
};

static void
done(void *ctx, struct recipient_fate *fates)
{
	struct outcome *outcome = ctx;
	size_t i;

	outcome->done++;
	for (i = 0; i < outcome->count; i++) {
		outcome->fates[i] = fates[i];
		/* Taken over: what is left is freed by its owner. */
		memset(&fates[i], 0, sizeof fates[i]);
	}
}

static bool
is_done(void *ctx)
{
	const struct outcome *outcome = ctx;

	return outcome->done > 0;
}

static void
outcome_clear(struct outcome *outcome)
{
	size_t i;

	for (i = 0; i < outcome->count; i++)
		recipient_fate_clear(&outcome->fates[i]);
}

static void
attempt(struct mail *mail, const struct envelope *env, struct outcome *outcome)
{
	memset(outcome, 0, sizeof *outcome);
	outcome->count = env->recipient_count;
	(void)delivery_attempt(mail->delivery, env, done, outcome);
	assert_int_equal(outcome->done, 0);
	mail_until(mail, is_done, outcome);
	assert_int_equal(outcome->done, 1);
}

static uint64_t
route_to(struct mail *mail, const struct script_server *server, const char *more)
{
	struct netaddr address = script_server_address(server);
	char text[NETADDR_TEXT_MAX];
	char *record = xasprintf("remote_host=%s\nremote_port=%u\n%s", netaddr_text(&address, text),
				 (unsigned)address.port, more);
	uint64_t id = mail_route(mail, record);

	free(record);
	return id;
}

/* A port where nobody listens. */
static uint16_t
closed_port(void)
{
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	uint16_t port = script_server_address(server).port;

	script_server_free(server);
	return port;
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

/* ---- what follows from a try ---- */

struct row {
	const char *name;
	const char *features;
	const char *at[SCRIPT_STAGES];
	bool next;          /* the second server is asked */
	enum fate fates[2]; /* of the two recipients, in the end */
	size_t copies;      /* messages that the second server has got */
};

#define DELIVERED FATE_DELIVERED
#define DEFERRED FATE_DEFERRED
#define FAILED FATE_FAILED

static const struct row rows[] = {
    {"well", NULL, {0}, false, {DELIVERED, DELIVERED}, 0},
    {"greeting 4xx", NULL, {[AT_GREETING] = "450 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"greeting 5xx", NULL, {[AT_GREETING] = "554 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"greeting silence", NULL, {[AT_GREETING] = "silence"}, true, {DELIVERED, DELIVERED}, 1},
    {"EHLO, HELO 5xx",
     NULL,
     {[AT_EHLO] = "500 no", [AT_HELO] = "500 no"},
     true,
     {DELIVERED, DELIVERED},
     1},
    {"MAIL 4xx", NULL, {[AT_MAIL] = "450 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"MAIL 421", NULL, {[AT_MAIL] = "421 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"MAIL 5xx", NULL, {[AT_MAIL] = "550 no"}, false, {FAILED, FAILED}, 0},
    {"MAIL drop", NULL, {[AT_MAIL] = "drop"}, true, {DELIVERED, DELIVERED}, 1},
    {"one RCPT 4xx", NULL, {[AT_RCPT] = "250 ok|450 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"one RCPT 5xx", NULL, {[AT_RCPT] = "550 no|250 ok"}, false, {FAILED, DELIVERED}, 0},
    {"RCPT 4xx and 5xx",
     NULL,
     {[AT_RCPT] = "550 no|450 no", [AT_DATA] = "554 no"},
     true,
     {FAILED, DELIVERED},
     1},
    {"DATA 4xx", NULL, {[AT_DATA] = "451 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"DATA 5xx", NULL, {[AT_DATA] = "554 no"}, false, {FAILED, FAILED}, 0},
    {"DATA silence", NULL, {[AT_DATA] = "silence"}, true, {DELIVERED, DELIVERED}, 1},
    {"dot 4xx", NULL, {[AT_DOT] = "451 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"dot 421", NULL, {[AT_DOT] = "421 no"}, true, {DELIVERED, DELIVERED}, 1},
    {"dot 5xx", NULL, {[AT_DOT] = "554 no"}, false, {FAILED, FAILED}, 0},
    {"dot silence", NULL, {[AT_DOT] = "silence"}, false, {DEFERRED, DEFERRED}, 0},
    {"dot drop", NULL, {[AT_DOT] = "drop"}, false, {DEFERRED, DEFERRED}, 0},
    {"dot garbage", NULL, {[AT_DOT] = "raw:?\r\n"}, false, {DEFERRED, DEFERRED}, 0},
    {"RCPT 4xx, then dot drop",
     NULL,
     {[AT_RCPT] = "250 ok|450 no", [AT_DOT] = "drop"},
     true,
     {DEFERRED, DELIVERED},
     1},
    {"too large", "SIZE 5", {0}, false, {FAILED, FAILED}, 0},
};

static void
test_next_entry(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		struct script script = {.features = row->features};
		struct script_server *first, *second;
		struct mail *mail = mail_new();
		struct envelope *env;
		struct outcome outcome;
		uint64_t ids[2];

		memcpy(script.at, row->at, sizeof script.at);
		mail_open(mail);
		first = script_server_new("127.0.0.1", &script, 1);
		second = script_server_new("127.0.0.2", &(struct script){0}, 1);
		ids[0] = route_to(mail, first, "priority=1\n");
		ids[1] = route_to(mail, second, "priority=2\n");
		env = mail_commit(mail, "s@example.org", body, two);
		attempt(mail, env, &outcome);
		for (j = 0; j < 2; j++) {
			const struct recipient_fate *fate = &outcome.fates[j];

			if (fate->fate != row->fates[j])
				fail_msg("%s: recipient %zu: %d: %s", row->name, j, (int)fate->fate,
					 fate->reply);
			assert_non_null(fate->reply);
			assert_int_equal(fate->status[0], fate->fate == DELIVERED ? '2'
							  : fate->fate == FAILED  ? '5'
										  : '4');
			assert_non_null(fate->remote);
			assert_true(fate->route_id == ids[0] ||
				    (row->next && fate->route_id == ids[1]));
		}
		assert_int_equal(script_server_connections(second), row->next);
		assert_int_equal(script_server_messages(second), row->copies);
		assert_int_equal(script_server_connections(first), 1);
		outcome_clear(&outcome);
		envelope_free(env);
		mail_close(mail);
		mail_free(mail);
		script_server_free(first);
		script_server_free(second);
	}
}

/* The plan is used up: deferred, with what the last one said. */
static void
test_used_up(void **state)
{
	static const struct script busy = {.at = {[AT_MAIL] = "451 4.3.0 busy"}};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &busy, 1);
	struct outcome outcome;
	struct envelope *env;
	char *record =
	    xasprintf("remote_host=127.0.0.1\nremote_port=%u\n", (unsigned)closed_port());
	uint64_t id = route_to(mail, server, "priority=2\n");

	(void)mail_route(mail, record);
	env = mail_commit(mail, "s@example.org", body, one);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
	assert_string_equal(outcome.fates[0].status, "4.3.0");
	assert_string_equal(outcome.fates[0].reply, "451 4.3.0 busy");
	assert_string_equal(outcome.fates[0].remote_name, "127.0.0.1");
	assert_true(outcome.fates[0].from_remote);
	assert_int_equal(outcome.fates[0].route_id, id);
	assert_int_equal(mail_logged(mail, " tried ", "refused"), 1);
	outcome_clear(&outcome);
	envelope_free(env);
	free(record);
	script_server_free(server);
}

/* ---- names and addresses ---- */

/* both.test has two addresses; nobody listens at the first. */
static void
test_addresses(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	char *record = xasprintf("remote_host=both.test\nremote_port=%u\n",
				 (unsigned)script_server_address(server).port);
	struct envelope *env;
	struct outcome outcome;
	char expected[64];

	(void)mail_route(mail, record);
	env = mail_commit(mail, "s@example.org", body, one);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
	(void)snprintf(expected, sizeof expected, "both.test[127.0.0.1]:%u",
		       (unsigned)script_server_address(server).port);
	assert_string_equal(outcome.fates[0].remote, expected);
	assert_string_equal(outcome.fates[0].remote_name, "both.test");
	assert_string_equal(outcome.fates[0].local, "");
	outcome_clear(&outcome);
	envelope_free(env);
	free(record);
	script_server_free(server);
}

/* A name that can't be looked up for now, one whose addresses have no local IP of their family: the
 * next entry. */
static void
test_skipped(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct envelope *env;
	struct outcome outcome;

	(void)mail_route(mail, "remote_host=nowhere.test\npriority=1\n");
	(void)mail_route(mail, "remote_host=six.test\npriority=4\nlocal_ips=127.0.0.1\n");
	env = mail_commit(mail, "s@example.org", body, one);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
	assert_string_equal(outcome.fates[0].status, "4.4.4");
	assert_null(outcome.fates[0].remote);
	outcome_clear(&outcome);
	assert_int_equal(mail_logged(mail, " skipped ", NULL), 2);

	(void)route_to(mail, server, "priority=5\n");
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
	outcome_clear(&outcome);
	envelope_free(env);
	script_server_free(server);
}

/* '&': in the order written; an address that this host has not leads to the next. */
static void
test_local_ips(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct netaddr peer, local;
	struct envelope *env;
	struct outcome outcome;

	(void)route_to(mail, server, "local_ips=192.0.2.1&127.0.0.7&127.0.0.8\n");
	env = mail_commit(mail, "s@example.org", body, one);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
	assert_string_equal(outcome.fates[0].local, "127.0.0.7");
	peer = script_server_peer(server, 0);
	assert_int_equal(netaddr_parse("127.0.0.7", &local), 0);
	assert_true(netaddr_same_host(&peer, &local));
	outcome_clear(&outcome);
	/* The default is for routes that have none. */
	delivery_configure(mail->delivery, "relay.test", "127.0.0.9");
	(void)route_to(mail, server, "destination=b.example\n");
	envelope_free(env);
	env = mail_commit(mail, "s@example.org", body, (const char *const[]){"x@b.example", NULL});
	attempt(mail, env, &outcome);
	assert_string_equal(outcome.fates[0].local, "127.0.0.9");
	outcome_clear(&outcome);
	envelope_free(env);
	script_server_free(server);
}

/* A local IP that this host has not is said once, not once a mail; it is nobody else's trouble, and
 * nothing is tried from it again in the same attempt. */
static void
test_absent_local_ip(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	char *record = xasprintf("remote_host=both.test\nremote_port=%u\n"
				 "local_ips=198.51.100.1&198.51.100.2&127.0.0.7\n",
				 (unsigned)script_server_address(server).port);
	struct envelope *env;
	struct outcome outcome;
	unsigned i;

	(void)mail_route(mail, record);
	env = mail_commit(mail, "s@example.org", body, one);
	for (i = 0; i < 5; i++) {
		attempt(mail, env, &outcome);
		assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
		assert_string_equal(outcome.fates[0].local, "127.0.0.7");
		outcome_clear(&outcome);
	}
	assert_int_equal(mail_logged(mail, " local-ip-absent ", "local=198.51.100.1"), 1);
	assert_int_equal(mail_logged(mail, " local-ip-absent ", "local=198.51.100.2"), 1);
	assert_int_equal(mail_logged(mail, " tried ", "local=198.51.100."), 5 * 2);
	/* Only both.test's first address, where nobody listens, is sick, from the one local IP. */
	assert_int_equal(health_count(mail->health), 1);
	envelope_free(env);
	free(record);
	script_server_free(server);

	/* Nothing but such: deferred, and said in the report's words. */
	(void)mail_route(mail, "destination=b.example\nremote_host=127.0.0.1\n"
			       "local_ips=198.51.100.1|198.51.100.2\n");
	env = mail_commit(mail, "s@example.org", body, (const char *const[]){"x@b.example", NULL});
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
	assert_non_null(strstr(outcome.fates[0].reply, "198.51.100."));
	outcome_clear(&outcome);
	envelope_free(env);
}

/* What could not be connected to is left out of the next attempts, until nothing else is left. */
static void
test_suspended(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	char *record =
	    xasprintf("remote_host=127.0.0.1\nremote_port=%u\n", (unsigned)closed_port());
	uint64_t id;
	struct envelope *env;
	struct outcome outcome;
	unsigned i;

	(void)mail_route(mail, record);
	id = route_to(mail, server, "priority=2\n");
	env = mail_commit(mail, "s@example.org", body, one);
	for (i = 0; i < 3; i++) {
		attempt(mail, env, &outcome);
		assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
		assert_int_equal(outcome.fates[0].route_id, id);
		outcome_clear(&outcome);
		assert_int_equal(mail_logged(mail, " tried ", NULL), 1);
	}
	assert_int_equal(mail_logged(mail, " remote-suspended ", "refused"), 1);
	/* The other one goes as well: both are tried, all the same. */
	script_server_free(server);
	mail_run(mail, 2 * MAIL_IDLE_MS);
	for (i = 0; i < 2; i++) {
		attempt(mail, env, &outcome);
		assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
		assert_int_equal(outcome.fates[0].route_id, id);
		outcome_clear(&outcome);
		/* At first the second one alone: the first is still left out. */
		assert_int_equal(mail_logged(mail, " tried ", NULL), i == 0 ? 2 : 4);
	}
	assert_int_equal(health_count(mail->health), 2);
	envelope_free(env);
	free(record);
}

/* Two routes that lead to one address by two names: what failed is not tried twice. */
static void
test_same_by_two_names(void **state)
{
	static const struct script busy = {.at = {[AT_MAIL] = "451 4.3.0 busy"}};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &busy, 1);
	unsigned port = script_server_address(server).port;
	char *records[2] = {xasprintf("remote_host=one.test\nremote_port=%u\n", port),
			    xasprintf("remote_host=127.0.0.1\nremote_port=%u\npriority=2\n", port)};
	struct envelope *env;
	struct outcome outcome;

	(void)mail_route(mail, records[0]);
	(void)mail_route(mail, records[1]);
	env = mail_commit(mail, "s@example.org", body, one);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
	assert_string_equal(outcome.fates[0].remote_name, "one.test");
	assert_int_equal(script_server_heard(server, "MAIL FROM"), 1);
	assert_int_equal(mail_logged(mail, " passed-over ", "has failed"), 1);
	outcome_clear(&outcome);
	envelope_free(env);
	free(records[0]);
	free(records[1]);
	script_server_free(server);
}

/* ---- races ---- */

/* Takes no connection: a socket that listens, its backlog full. */
struct black_hole {
	int fds[5];
};

static struct black_hole
black_hole_open(const char *address, uint16_t port)
{
	struct black_hole hole;
	struct sockaddr_storage ss;
	struct netaddr at;
	socklen_t len;
	size_t i;

	assert_int_equal(netaddr_parse(address, &at), 0);
	at.port = port;
	len = netaddr_to_sockaddr(&at, &ss);
	for (i = 0; i < 5; i++) {
		hole.fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(hole.fds[i] >= 0);
		if (i == 0) {
			assert_int_equal(bind(hole.fds[0], (struct sockaddr *)&ss, len), 0);
			assert_int_equal(listen(hole.fds[0], 0), 0);
		} else {
			(void)connect(hole.fds[i], (struct sockaddr *)&ss, len);
		}
	}
	return hole;
}

static void
black_hole_close(const struct black_hole *hole)
{
	size_t i;

	for (i = 0; i < 5; i++)
		assert_int_equal(close(hole->fds[i]), 0);
}

static void
set_connect_ms(struct mail *mail, int64_t connect_ms)
{
	struct hops_options options = mail->hops_options;

	options.client.connect_ms = connect_ms;
	hops_configure(mail->hops, &options);
}

static char *
route_to_both(uint16_t port)
{
	return xasprintf("remote_host=both.test\nremote_port=%u\n", (unsigned)port);
}

/* both.test's first address does not answer: the second takes the mail, once. */
static void
test_race(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	uint16_t port = script_server_address(server).port;
	struct black_hole hole = black_hole_open("127.0.0.3", port);
	char *record = route_to_both(port);
	struct envelope *env;
	struct outcome outcome;
	int64_t begin;

	set_connect_ms(mail, MAIL_PATIENCE_MS);
	(void)mail_route(mail, record);
	env = mail_commit(mail, "s@example.org", body, one);
	begin = mail_now_ms();
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
	assert_true(mail_now_ms() - begin < MAIL_PATIENCE_MS / 2);
	assert_non_null(strstr(outcome.fates[0].remote, "[127.0.0.1]"));
	assert_int_equal(script_server_messages(server), 1);
	assert_int_equal(mail_logged(mail, " tried ", NULL), 0);
	outcome_clear(&outcome);
	envelope_free(env);
	free(record);
	black_hole_close(&hole);
	script_server_free(server);
}

/* Two recipients, one of whom the second address puts off: the first address was not tried, so its
 * turn is still to come; in vain. */
static void
test_race_leaves_open(void **state)
{
	static const struct script script = {.at = {[AT_RCPT] = "250 ok|450 4.2.0 later"}};
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	uint16_t port = script_server_address(server).port;
	struct black_hole hole = black_hole_open("127.0.0.3", port);
	char *record = route_to_both(port);
	struct envelope *env;
	struct outcome outcome;

	set_connect_ms(mail, 6 * HOPS_RACE_MS);
	(void)mail_route(mail, record);
	env = mail_commit(mail, "s@example.org", body, two);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
	assert_int_equal(outcome.fates[1].fate, FATE_DEFERRED);
	assert_string_equal(outcome.fates[1].status, "4.4.1");
	assert_int_equal(script_server_messages(server), 1);
	assert_int_equal(mail_logged(mail, " tried ", NULL), 2);
	assert_int_equal(mail_logged(mail, " tried ", "stage=RCPT"), 1);
	assert_int_equal(mail_logged(mail, " tried ", "[127.0.0.3]"), 1);
	outcome_clear(&outcome);
	envelope_free(env);
	free(record);
	black_hole_close(&hole);
	script_server_free(server);
}

/* The rival refuses and the first one stands up too late: each is told of in the log, once. */
static void
test_race_is_lost(void **state)
{
	struct mail *mail = *state;
	uint16_t port = closed_port();
	struct black_hole hole = black_hole_open("127.0.0.3", port);
	char *record = route_to_both(port);
	struct envelope *env;
	struct outcome outcome;

	set_connect_ms(mail, 2 * HOPS_RACE_MS);
	(void)mail_route(mail, record);
	env = mail_commit(mail, "s@example.org", body, one);
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
	assert_string_equal(outcome.fates[0].status, "4.4.1");
	assert_int_equal(mail_logged(mail, " tried ", NULL), 2);
	assert_int_equal(mail_logged(mail, " tried ", "127.0.0.1"), 1);
	assert_int_equal(mail_logged(mail, " tried ", "127.0.0.3"), 1);
	assert_int_equal(health_count(mail->health), 2);
	outcome_clear(&outcome);
	envelope_free(env);
	free(record);
	black_hole_close(&hole);
}

/* No route and an address literal: the address itself, port 25; not one that can be reached at all:
 * failed. */
static void
test_literal(void **state)
{
	struct mail *mail = *state;
	struct envelope *env =
	    mail_commit(mail, "s@example.org", body,
			(const char *const[]){"a@[127.0.0.99]", "b@[x-net:1]", NULL});
	struct outcome outcome;

	attempt(mail, env, &outcome);
	/* Something may listen on port 25 of this host; relayed by it or not, it was asked. */
	if (outcome.fates[0].fate == FATE_DEFERRED)
		assert_string_equal(outcome.fates[0].remote, "127.0.0.99[127.0.0.99]:25");
	assert_int_equal(outcome.fates[0].route_id, 0);
	assert_int_equal(outcome.fates[1].fate, FATE_FAILED);
	assert_string_equal(outcome.fates[1].status, "5.1.2");
	outcome_clear(&outcome);
	envelope_free(env);
}

/* No route, and no name server that answers: another time. */
static void
test_mx_unknown(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", body, one);
	struct outcome outcome;

	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_DEFERRED);
	assert_string_equal(outcome.fates[0].status, "4.4.3");
	assert_null(outcome.fates[0].remote);
	outcome_clear(&outcome);
	envelope_free(env);
}

/* ---- who travels with whom ---- */

static void
test_sharing(void **state)
{
	static const char *const to[] = {"1@a.example", "2@b.example",     "3@c.example",
					 "4@a.example", "5@sub.c.example", NULL};
	struct mail *mail = *state;
	struct script_server *a = script_server_new("127.0.0.1", &(struct script){0}, 1),
			     *rest = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct envelope *env;
	struct outcome outcome;
	size_t i;

	(void)route_to(mail, a, "destination=a.example\n");
	(void)route_to(mail, rest, "");
	env = mail_commit(mail, "s@example.org", body, to);
	env->recipients[1].state = RECIPIENT_DELIVERED;
	attempt(mail, env, &outcome);
	for (i = 0; i < 5; i++)
		assert_int_equal(outcome.fates[i].fate, i == 1 ? FATE_NONE : FATE_DELIVERED);
	assert_int_equal(script_server_messages(a), 1);
	assert_int_equal(script_server_messages(rest), 1);
	assert_int_equal(script_server_heard(a, "RCPT"), 2);
	assert_int_equal(script_server_heard(rest, "RCPT"), 2);
	outcome_clear(&outcome);
	envelope_free(env);
	script_server_free(a);
	script_server_free(rest);
}

/* More than a hundred recipients, in transactions of a hundred. */
static void
test_many_recipients(void **state)
{
	struct mail *mail = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	char *to[251] = {0};
	struct envelope *env;
	struct outcome outcome;
	size_t i;

	for (i = 0; i < 250; i++)
		to[i] = xasprintf("r%zu@a.example", i);
	(void)route_to(mail, server, "");
	env = mail_commit(mail, "s@example.org", body, (const char *const *)to);
	attempt(mail, env, &outcome);
	for (i = 0; i < 250; i++)
		assert_int_equal(outcome.fates[i].fate, FATE_DELIVERED);
	assert_int_equal(script_server_messages(server), 3);
	assert_int_equal(script_server_heard(server, "RCPT"), 250);
	for (i = 0; i < 250; i++)
		free(to[i]);
	outcome_clear(&outcome);
	envelope_free(env);
	script_server_free(server);
}

/* Nobody is open any more: the attempt ends, and says nothing. */
static void
test_nobody(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", body, one);
	struct outcome outcome;

	env->recipients[0].state = RECIPIENT_FAILED;
	attempt(mail, env, &outcome);
	assert_int_equal(outcome.fates[0].fate, FATE_NONE);
	envelope_free(env);
}

/* By weight: 3 to 1. With 400 attempts, 250 and 350 are six standard deviations away. */
static void
test_weights(void **state)
{
	struct mail *mail = *state;
	struct script_server *big = script_server_new("127.0.0.1", &(struct script){0}, 1),
			     *small = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct envelope *env;
	struct outcome outcome;
	size_t i;

	(void)route_to(mail, big, "weight=2\n");
	(void)route_to(mail, big, "");
	(void)route_to(mail, small, "");
	env = mail_commit(mail, "s@example.org", body, one);
	for (i = 0; i < 400; i++) {
		attempt(mail, env, &outcome);
		assert_int_equal(outcome.fates[0].fate, FATE_DELIVERED);
		outcome_clear(&outcome);
	}
	assert_int_equal(script_server_messages(big) + script_server_messages(small), 400);
	assert_in_range(script_server_messages(big), 250, 350);
	envelope_free(env);
	script_server_free(big);
	script_server_free(small);
}

/* Canceled at every stage: no call, nothing left. As at the end of the daemon, the hops go first.
 */
static void
test_cancel(void **state)
{
	int rounds, i;

	(void)state;
	for (rounds = 0; rounds < 10; rounds++) {
		struct mail *mail = mail_new();
		struct script_server *server =
		    script_server_new("127.0.0.1", &(struct script){0}, 1);
		struct outcome outcome = {.count = 1};
		struct attempt *cut;
		struct envelope *env;
		char *record;

		mail_open(mail);
		record = xasprintf("remote_host=both.test\nremote_port=%u\n",
				   (unsigned)script_server_address(server).port);
		(void)mail_route(mail, record);
		env = mail_commit(mail, "s@example.org", body, one);
		cut = delivery_attempt(mail->delivery, env, done, &outcome);
		for (i = 0; i < rounds && outcome.done == 0; i++)
			assert_int_equal(loop_once(mail->loop, 1), 0);
		hops_free(mail->hops);
		mail->hops = NULL;
		if (outcome.done == 0)
			attempt_cancel(cut);
		outcome_clear(&outcome);
		envelope_free(env);
		mail_close(mail);
		mail_free(mail);
		free(record);
		script_server_free(server);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_next_entry),
	    cmocka_unit_test_setup_teardown(test_used_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_skipped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_local_ips, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_absent_local_ip, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_suspended, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_same_by_two_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_race_leaves_open, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_race_is_lost, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_literal, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_mx_unknown, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sharing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_recipients, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_weights, setup, teardown),
	    cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
