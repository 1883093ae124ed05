/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/hops: sessions are reused, shared and bounded (per hop and in total), idle ones make room,
 * hops that stand in line get their turn; what waits for a hop that is dead is told, what waits for
 * one that has had enough is served by the sessions there; nothing waits for ever, nothing is sent
 * twice.
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
#include "tests/unit/mail_fixture.h"
#include "tests/unit/script_server.h"

enum { ERRANDS_MAX = 200 };

static const char *const to[] = {"one@example.net", NULL};

struct sent {
	struct errand errand;
	struct client_recipient recipient;
	unsigned finished;
};

struct scene {
	struct mail *mail;
	struct envelope *env;
	struct sent errands[ERRANDS_MAX];
	size_t count, finished;
};

static void
finished(void *ctx, struct client_job *job)
{
	struct scene *scene = ctx;
	struct sent *sent = (struct sent *)((char *)job - offsetof(struct sent, errand.job));

	assert_int_equal(client_job_open(job), 0);
	assert_int_equal(sent->finished++, 0);
	scene->finished++;
}

static struct client_target
target_of(const struct script_server *server, const char *local)
{
	struct client_target target = {
	    .remote = script_server_address(server), .name = "next.test", .tls = ROUTE_TLS_NONE};

	if (local != NULL)
		assert_int_equal(netaddr_parse(local, &target.local), 0);
	return target;
}

static void
send_by(struct scene *scene, const struct client_target *target)
{
	struct sent *sent = &scene->errands[scene->count++];

	assert_true(scene->count <= ERRANDS_MAX);
	sent->recipient.address = scene->env->recipients[0].address;
	sent->errand.job = (struct client_job){.envelope = scene->env,
					       .count = 1,
					       .recipients = &sent->recipient,
					       .finished = finished,
					       .ctx = scene};
	hops_send(scene->mail->hops, target, &sent->errand);
	assert_int_equal(sent->finished, 0);
}

static void
send_to(struct scene *scene, const struct script_server *server)
{
	const struct client_target target = target_of(server, NULL);

	send_by(scene, &target);
}

static bool
all_finished(void *ctx)
{
	const struct scene *scene = ctx;

	return scene->finished == scene->count;
}

static size_t
accepted(const struct scene *scene)
{
	size_t i, count = 0;

	for (i = 0; i < scene->count; i++)
		count += scene->errands[i].recipient.verdict == CLIENT_ACCEPTED;
	return count;
}

static struct scene *
scene_new(unsigned total, unsigned per_host)
{
	struct scene *scene = xcalloc(1, sizeof *scene);

	scene->mail = mail_new();
	scene->mail->hops_options.total = total;
	scene->mail->hops_options.per_host = per_host;
	mail_open(scene->mail);
	scene->env = mail_commit(scene->mail, "s@example.org", "Subject: x\r\n\r\nx\r\n", to);
	return scene;
}

static void
scene_free(struct scene *scene)
{
	size_t i;

	mail_close(scene->mail);
	envelope_free(scene->env);
	for (i = 0; i < scene->count; i++)
		client_job_clear(&scene->errands[i].errand.job);
	mail_free(scene->mail);
	free(scene);
}

static bool
no_sessions(void *ctx)
{
	const struct scene *scene = ctx;

	return hops_sessions(scene->mail->hops) == 0;
}

static bool
nobody_is_there(void *ctx)
{
	return script_server_open(ctx) == 0;
}

static void
test_reuse(void **state)
{
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(10, 10);
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		send_to(scene, server);
		mail_until(scene->mail, all_finished, scene);
	}
	assert_int_equal(accepted(scene), 5);
	assert_int_equal(script_server_connections(server), 1);
	/* Idle sessions go. */
	mail_until(scene->mail, no_sessions, scene);
	mail_until(scene->mail, nobody_is_there, server);
	assert_int_equal(script_server_heard(server, "QUIT"), 1);
	send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(script_server_connections(server), 2);
	scene_free(scene);
	script_server_free(server);
}

/* Each pair of addresses is a hop of its own. */
static void
test_local(void **state)
{
	static const char *const locals[] = {"127.0.0.5", "127.0.0.6", "127.0.0.5"};
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(10, 10);
	struct netaddr peer, local;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct client_target target = target_of(server, locals[i]);

		send_by(scene, &target);
		mail_until(scene->mail, all_finished, scene);
	}
	assert_int_equal(accepted(scene), 3);
	assert_int_equal(script_server_connections(server), 2);
	for (i = 0; i < 2; i++) {
		peer = script_server_peer(server, i);
		assert_int_equal(netaddr_parse(locals[i], &local), 0);
		assert_true(netaddr_same_host(&peer, &local));
	}
	/* An address that this host has not: at once, and nobody else's trouble. */
	{
		struct client_target target = target_of(server, "192.0.2.1");

		send_by(scene, &target);
		mail_until(scene->mail, all_finished, scene);
		assert_int_equal(scene->errands[3].recipient.verdict, CLIENT_TEMPORARY);
		assert_int_equal(scene->errands[3].recipient.stage, CLIENT_STAGE_CONNECT);
		assert_true(scene->errands[3].errand.job.unreachable);
		assert_true(scene->errands[3].errand.absent);
		assert_int_equal(health_count(scene->mail->health), 0);
	}
	scene_free(scene);
	script_server_free(server);
}

static bool
three_messages(void *ctx)
{
	return script_server_messages(ctx) == 3;
}

/* In parallel, no more than the limit; at the limit the next message goes behind the one that waits
 * for its reply. */
static void
test_per_hop(void **state)
{
	static const struct script script = {.at = {[AT_DOT] = "hold:250 ok|250 ok"}};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct scene *scene = scene_new(100, 3);
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		send_to(scene, server);
	mail_until(scene->mail, three_messages, server);
	assert_int_equal(scene->finished, 0);
	assert_int_equal(script_server_most_open(server), 3);
	for (i = 0; i < 3; i++)
		send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 6);
	assert_int_equal(script_server_connections(server), 3);
	for (i = 0; i < 90; i++)
		send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 96);
	assert_int_equal(script_server_messages(server), 96);
	assert_int_equal(script_server_most_open(server), 3);
	scene_free(scene);
	script_server_free(server);
}

static bool
some_message(void *ctx)
{
	return script_server_messages(ctx) >= 1;
}

/* Below the limit nobody is put behind a reply that is long in coming. */
static void
test_not_behind(void **state)
{
	static const struct script scripts[] = {{.at = {[AT_DOT] = "silence"}}, {0}};
	struct script_server *server = script_server_new("127.0.0.1", scripts, 2);
	struct scene *scene = scene_new(100, 3);

	(void)state;
	send_to(scene, server);
	mail_until(scene->mail, some_message, server);
	send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(scene->errands[0].recipient.verdict, CLIENT_UNCERTAIN);
	assert_int_equal(scene->errands[1].recipient.verdict, CLIENT_ACCEPTED);
	assert_int_equal(script_server_connections(server), 2);
	scene_free(scene);
	script_server_free(server);
}

/* More hops than sessions, each with several messages. */
static void
test_total(void **state)
{
	enum { SERVERS = 6 };
	struct script_server *servers[SERVERS];
	struct scene *scene = scene_new(2, 5);
	struct hops_options options = scene->mail->hops_options;
	size_t i, j;

	(void)state;
	/* A session that is idle elsewhere makes room: nobody waits until it goes by itself. */
	options.client.idle_ms = 2 * MAIL_PATIENCE_MS;
	hops_configure(scene->mail->hops, &options);
	for (i = 0; i < SERVERS; i++)
		servers[i] = script_server_new("127.0.0.1", &(struct script){0}, 1);
	for (j = 0; j < 10; j++)
		for (i = 0; i < SERVERS; i++)
			send_to(scene, servers[i]);
	while (scene->finished < scene->count) {
		assert_int_equal(loop_once(scene->mail->loop, 10), 0);
		assert_true(hops_sessions(scene->mail->hops) <= 2);
	}
	assert_int_equal(accepted(scene), scene->count);
	for (i = 0; i < SERVERS; i++) {
		assert_int_equal(script_server_messages(servers[i]), 10);
		send_to(scene, servers[i]);
		mail_until(scene->mail, all_finished, scene);
		assert_int_equal(script_server_messages(servers[i]), 11);
	}
	scene_free(scene);
	for (i = 0; i < SERVERS; i++)
		script_server_free(servers[i]);
}

/* One session for several hops that all have much to send. */
static void
share_one(unsigned per_hop)
{
	enum { SERVERS = 3 };
	struct script_server *servers[SERVERS];
	struct scene *scene = scene_new(1, per_hop);
	size_t i, j;

	for (i = 0; i < SERVERS; i++)
		servers[i] = script_server_new("127.0.0.1", &(struct script){0}, 1);
	for (i = 0; i < SERVERS; i++)
		for (j = 0; j < 30; j++)
			send_to(scene, servers[i]);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), scene->count);
	for (i = 0; i < SERVERS; i++) {
		assert_int_equal(script_server_messages(servers[i]), 30);
		/* In turns, but not a session for each message. */
		assert_in_range(script_server_connections(servers[i]), 2, 4);
	}
	scene_free(scene);
	for (i = 0; i < SERVERS; i++)
		script_server_free(servers[i]);
}

static void
test_one_for_all(void **state)
{
	(void)state;
	share_one(5);
	share_one(1);
}

struct busy {
	struct scene *scene;
	struct script_server *server;
	size_t first; /* errand that is waited for */
};

static bool
first_is_finished(void *ctx)
{
	const struct busy *busy = ctx;

	return busy->scene->errands[busy->first].finished > 0;
}

/* A hop that never runs dry does not keep the others waiting. */
static void
test_fair(void **state)
{
	/* Slow enough that the other has its chance on a machine that is busy, too. */
	static const struct script slow = {.at = {[AT_DOT] = "bytes:250 2.0.0 slowly"}};
	struct script_server *busy_server = script_server_new("127.0.0.1", &slow, 1),
			     *other = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(2, 2);
	struct busy busy = {.scene = scene, .server = busy_server};
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		send_to(scene, busy_server);
	mail_until(scene->mail, some_message, busy_server);
	busy.first = scene->count;
	send_to(scene, other);
	mail_until(scene->mail, first_is_finished, &busy);
	assert_true(scene->finished < 60);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 101);
	assert_int_equal(script_server_messages(busy_server), 100);
	scene_free(scene);
	script_server_free(busy_server);
	script_server_free(other);
}

/* One session in all; who stands in line loses its jobs, and the next one must not wait in vain. */
static void
test_line_goes_on(void **state)
{
	static const struct script silent = {.at = {[AT_GREETING] = "silence"}};
	struct script_server *dead = script_server_new("127.0.0.1", &silent, 1),
			     *well = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(1, 5);
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		send_to(scene, dead);
	send_to(scene, well);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 1);
	assert_int_equal(scene->errands[4].recipient.verdict, CLIENT_ACCEPTED);
	for (i = 0; i < 4; i++) {
		assert_int_equal(scene->errands[i].recipient.verdict, CLIENT_TEMPORARY);
		assert_int_equal(scene->errands[i].recipient.stage, CLIENT_STAGE_GREETING);
	}
	scene_free(scene);
	script_server_free(dead);
	script_server_free(well);
}

/* Refused while others are served there: these do it. */
static void
test_narrow(void **state)
{
	static const struct script scripts[] = {
	    {0}, {.at = {[AT_GREETING] = "421 4.7.0 too many connections"}}};
	struct script_server *server = script_server_new("127.0.0.1", scripts, 2);
	struct scene *scene = scene_new(100, 10);
	int i;

	(void)state;
	send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	for (i = 0; i < 50; i++)
		send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 51);
	assert_int_equal(script_server_messages(server), 51);
	scene_free(scene);
	script_server_free(server);
}

static bool
second_is_finished(void *ctx)
{
	const struct scene *scene = ctx;

	return scene->errands[1].finished > 0;
}

/* ... but not for ever: when the time is over, what still waits gets a session of its own. */
static void
test_narrow_ends(void **state)
{
	static const struct script scripts[] = {
	    {.features = "SIZE", .at = {[AT_DOT] = "silence"}},
	    {.at = {[AT_GREETING] = "421 4.7.0 too many connections"}},
	    {0}};
	struct script_server *server = script_server_new("127.0.0.1", scripts, 3);
	struct scene *scene = scene_new(100, 10);
	struct hops_options options = scene->mail->hops_options;

	(void)state;
	options.client.remote_command_ms = 2 * MAIL_PATIENCE_MS;
	options.narrow_ms = 200;
	hops_configure(scene->mail->hops, &options);
	send_to(scene, server);
	mail_until(scene->mail, some_message, server);
	send_to(scene, server);
	mail_until(scene->mail, second_is_finished, scene);
	assert_int_equal(scene->errands[0].finished, 0);
	assert_int_equal(accepted(scene), 1);
	assert_int_equal(script_server_connections(server), 3);
	scene_free(scene);
	script_server_free(server);
}

/* ---- one host, several hops ---- */

/* A session is for the name and the policy that it was opened for. */
static void
test_not_shared(void **state)
{
	static const struct {
		const char *name;
		enum route_tls tls;
	} ways[] = {{"a.test", ROUTE_TLS_NONE},
		    {"b.test", ROUTE_TLS_NONE},
		    {"a.test", ROUTE_TLS_MAY},
		    {NULL, ROUTE_TLS_NONE}};
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(10, 10);
	struct hops_options options = scene->mail->hops_options;
	size_t i, j;

	(void)state;
	options.client.idle_ms = 2 * MAIL_PATIENCE_MS;
	hops_configure(scene->mail->hops, &options);
	for (j = 0; j < 3; j++)
		for (i = 0; i < 4; i++) {
			struct client_target target = target_of(server, NULL);

			target.name = ways[i].name;
			target.tls = ways[i].tls;
			send_by(scene, &target);
			mail_until(scene->mail, all_finished, scene);
		}
	assert_int_equal(accepted(scene), 12);
	assert_int_equal(script_server_connections(server), 4);
	scene_free(scene);
	script_server_free(server);
}

/* The limit of a host is one for all its hops; each of them gets its turn. */
static void
test_host_limit(void **state)
{
	static const char *const hops_of_host[] = {"a.test", "b.test", "c.test"};
	unsigned limit;

	(void)state;
	for (limit = 1; limit <= 2; limit++) {
		struct script_server *server =
		    script_server_new("127.0.0.1", &(struct script){0}, 1);
		struct scene *scene = scene_new(100, limit);
		size_t i, j;

		for (i = 0; i < 3; i++)
			for (j = 0; j < 30; j++) {
				struct client_target target = target_of(server, NULL);

				target.name = hops_of_host[i];
				send_by(scene, &target);
			}
		while (scene->finished < scene->count) {
			assert_int_equal(loop_once(scene->mail->loop, 10), 0);
			assert_true(hops_sessions(scene->mail->hops) <= limit);
		}
		assert_int_equal(accepted(scene), 90);
		assert_int_equal(script_server_messages(server), 90);
		/* In turns, but not a session for each message. */
		assert_in_range(script_server_connections(server), 3, 20);
		scene_free(scene);
		script_server_free(server);
	}
}

/* A hop that never runs dry does not keep another one of its host waiting. */
static void
test_host_fair(void **state)
{
	static const struct script slow = {.at = {[AT_DOT] = "bytes:250 2.0.0 slowly"}};
	struct script_server *server = script_server_new("127.0.0.1", &slow, 1);
	struct scene *scene = scene_new(100, 2);
	struct busy busy = {.scene = scene, .server = server};
	struct client_target target = target_of(server, NULL);
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		send_by(scene, &target);
	mail_until(scene->mail, some_message, server);
	busy.first = scene->count;
	target.name = "other.test";
	send_by(scene, &target);
	mail_until(scene->mail, first_is_finished, &busy);
	assert_true(scene->finished < 90);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 101);
	scene_free(scene);
	script_server_free(server);
}

static void
test_dead(void **state)
{
	static const char *const greetings[] = {"554 no", "421 no", "drop", "reset", "silence"};
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof greetings / sizeof *greetings; i++) {
		const struct script script = {.at = {[AT_GREETING] = greetings[i]}};
		struct script_server *server = script_server_new("127.0.0.1", &script, 1);
		struct scene *scene = scene_new(100, 5);

		for (j = 0; j < 30; j++)
			send_to(scene, server);
		mail_until(scene->mail, all_finished, scene);
		assert_int_equal(accepted(scene), 0);
		for (j = 0; j < 30; j++) {
			assert_int_equal(scene->errands[j].recipient.verdict, CLIENT_TEMPORARY);
			assert_true(scene->errands[j].errand.job.unreachable);
			assert_int_equal(scene->errands[j].recipient.from_remote, i < 2);
		}
		mail_until(scene->mail, no_sessions, scene);
		scene_free(scene);
		script_server_free(server);
	}
}

/* It closes after each message, in every way it may: each message arrives, once. */
static void
test_one_a_connection(void **state)
{
	static const char *const mails[] = {"250 ok|421 enough", "250 ok|drop", "250 ok|reset"};
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof mails / sizeof *mails; i++) {
		const struct script script = {.at = {[AT_MAIL] = mails[i]}};
		struct script_server *server = script_server_new("127.0.0.1", &script, 1);
		struct scene *scene = scene_new(100, 2);

		for (j = 0; j < 40; j++)
			send_to(scene, server);
		mail_until(scene->mail, all_finished, scene);
		if (strstr(mails[i], "reset") == NULL) {
			assert_int_equal(accepted(scene), 40);
			assert_int_equal(script_server_messages(server), 40);
		}
		/* A reset may overtake the last reply: then nobody knows, and it is not sent again.
		 */
		for (j = 0; j < 40; j++)
			assert_true(scene->errands[j].recipient.verdict == CLIENT_ACCEPTED ||
				    scene->errands[j].recipient.verdict == CLIENT_UNCERTAIN);
		assert_int_equal(script_server_messages(server), 40);
		scene_free(scene);
		script_server_free(server);
	}
}

/* An idle session that its server closes, and one that it has closed unnoticed. */
static void
test_closed_while_idle(void **state)
{
	static const struct script script = {.at = {[AT_IDLE] = "drop"}};
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct scene *scene = scene_new(100, 2);
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		send_to(scene, server);
		mail_until(scene->mail, all_finished, scene);
		if (i % 2 == 0)
			mail_until(scene->mail, no_sessions, scene);
	}
	assert_int_equal(accepted(scene), 20);
	assert_int_equal(script_server_messages(server), 20);
	scene_free(scene);
	script_server_free(server);
}

/* A next hop that does well again is used again, although its last refusal was just now. */
static void
test_recovers(void **state)
{
	static const struct script scripts[] = {{.at = {[AT_GREETING] = "421 no"}}, {0}};
	struct script_server *server = script_server_new("127.0.0.1", scripts, 2);
	struct scene *scene = scene_new(100, 2);

	(void)state;
	send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	send_to(scene, server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 1);
	scene_free(scene);
	script_server_free(server);
}

/* Cut with jobs waiting, connecting and under way: forgotten without a call. */
static void
test_cut(void **state)
{
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	int rounds, i;

	(void)state;
	for (rounds = 0; rounds < 12; rounds++) {
		struct scene *scene = scene_new(3, 3);

		for (i = 0; i < 10; i++)
			send_to(scene, server);
		for (i = 0; i < rounds; i++)
			assert_int_equal(loop_once(scene->mail->loop, 1), 0);
		scene_free(scene);
	}
	script_server_free(server);
}

/* A limit that is raised, then lowered, while hops stand in line. */
static void
test_configure(void **state)
{
	static const struct script slow = {.at = {[AT_GREETING] = "silence"}};
	struct script_server *server = script_server_new("127.0.0.1", &slow, 1),
			     *well = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(1, 5);
	struct hops_options options = scene->mail->hops_options;
	struct busy busy = {.scene = scene, .first = 1};

	(void)state;
	options.client.remote_command_ms = MAIL_PATIENCE_MS;
	hops_configure(scene->mail->hops, &options);
	send_to(scene, server);
	mail_run(scene->mail, 20);
	send_to(scene, well);
	mail_run(scene->mail, 50);
	assert_int_equal(scene->errands[1].finished, 0);
	options.total = 2;
	hops_configure(scene->mail->hops, &options);
	mail_until(scene->mail, first_is_finished, &busy);
	assert_int_equal(scene->errands[0].finished, 0);
	options.total = 1;
	hops_configure(scene->mail->hops, &options);
	script_server_free(server);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 1);
	send_to(scene, well);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(accepted(scene), 2);
	scene_free(scene);
	script_server_free(well);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reuse),
	    cmocka_unit_test(test_local),
	    cmocka_unit_test(test_per_hop),
	    cmocka_unit_test(test_not_behind),
	    cmocka_unit_test(test_total),
	    cmocka_unit_test(test_one_for_all),
	    cmocka_unit_test(test_fair),
	    cmocka_unit_test(test_line_goes_on),
	    cmocka_unit_test(test_narrow),
	    cmocka_unit_test(test_narrow_ends),
	    cmocka_unit_test(test_not_shared),
	    cmocka_unit_test(test_host_limit),
	    cmocka_unit_test(test_host_fair),
	    cmocka_unit_test(test_dead),
	    cmocka_unit_test(test_one_a_connection),
	    cmocka_unit_test(test_closed_while_idle),
	    cmocka_unit_test(test_recovers),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_configure),
	};

	return cmocka_run_group_tests_name("hops", tests, NULL, NULL);
}
