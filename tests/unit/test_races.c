/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/hops, races (RFC 8305 §5): a connection that does not come about in time gets one rival,
 * which takes the job if it stands first; no job is sent twice; what comes of the slower one;
 * limits; what health is told. A black hole is a listening socket whose backlog is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "tests/unit/mail_fixture.h"
#include "tests/unit/script_server.h"

enum { ERRANDS_MAX = 100, TARGETS_MAX = 4, FILLERS = 4, LONG_MS = 10 * MAIL_PATIENCE_MS };

static const char *const to[] = {"one@example.net", NULL};

/* ---- black holes ---- */

struct black_hole {
	int listener;
	int fillers[FILLERS];
	struct netaddr address;
};

/* At `address`; at `port` unless 0. */
static struct black_hole
black_hole_open(const char *address, uint16_t port)
{
	struct black_hole hole;
	struct sockaddr_storage ss;
	socklen_t len;
	size_t i;

	assert_int_equal(netaddr_parse(address, &hole.address), 0);
	hole.address.port = port;
	hole.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(hole.listener >= 0);
	len = netaddr_to_sockaddr(&hole.address, &ss);
	assert_int_equal(bind(hole.listener, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(hole.listener, 0), 0);
	assert_int_equal(getsockname(hole.listener, (struct sockaddr *)&ss, &len), 0);
	netaddr_from_sockaddr(&hole.address, (struct sockaddr *)&ss);
	for (i = 0; i < FILLERS; i++) {
		hole.fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(hole.fillers[i] >= 0);
		(void)connect(hole.fillers[i], (struct sockaddr *)&ss, len);
	}
	return hole;
}

static void
black_hole_close(struct black_hole *hole)
{
	size_t i;

	for (i = 0; i < FILLERS; i++)
		assert_int_equal(close(hole->fillers[i]), 0);
	assert_int_equal(close(hole->listener), 0);
}

/* ---- the scene ---- */

struct scene;

struct sent {
	struct errand errand;
	struct client_recipient recipient;
	struct scene *scene;
	unsigned finished;
	unsigned asked;   /* for another target */
	unsigned refused; /* bits of targets */
	int64_t finished_ms;
};

struct scene {
	struct mail *mail;
	struct envelope *env;
	struct client_target targets[TARGETS_MAX];
	size_t target_count;
	struct sent sent[ERRANDS_MAX];
	size_t count, finished;
};

static void
finished(void *ctx, struct client_job *job)
{
	struct sent *sent = ctx;

	assert_int_equal(client_job_open(job), 0);
	assert_int_equal(sent->finished++, 0);
	sent->scene->finished++;
	sent->finished_ms = mail_now_ms();
}

static bool
another(void *ctx, struct client_target *target)
{
	struct sent *sent = ctx;

	assert_int_equal(sent->finished, 0);
	sent->asked++;
	if (sent->errand.named == sent->scene->target_count)
		return false;
	*target = sent->scene->targets[sent->errand.named];
	return true;
}

static void
refused(void *ctx, unsigned number, const struct errand_refusal *refusal)
{
	struct sent *sent = ctx;

	assert_int_equal(sent->finished, 0);
	assert_true(number < sent->scene->target_count);
	assert_int_equal(sent->refused & 1U << number, 0);
	assert_true(strlen(refusal->text) > 0);
	sent->refused |= 1U << number;
}

static struct scene *
scene_new(int64_t connect_ms, unsigned total)
{
	struct scene *scene = xcalloc(1, sizeof *scene);

	scene->mail = mail_new();
	scene->mail->hops_options.client.connect_ms = connect_ms;
	scene->mail->hops_options.total = total;
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
		client_job_clear(&scene->sent[i].errand.job);
	mail_free(scene->mail);
	free(scene);
}

static void
scene_target(struct scene *scene, struct netaddr address)
{
	assert_true(scene->target_count < TARGETS_MAX);
	scene->targets[scene->target_count++] =
	    (struct client_target){.remote = address, .name = "next.test", .tls = ROUTE_TLS_NONE};
}

static struct sent *
scene_send(struct scene *scene)
{
	struct sent *sent = &scene->sent[scene->count++];

	assert_true(scene->count <= ERRANDS_MAX);
	sent->scene = scene;
	sent->recipient.address = scene->env->recipients[0].address;
	sent->errand = (struct errand){
	    .job = {.envelope = scene->env,
		    .count = 1,
		    .recipients = &sent->recipient,
		    .finished = finished,
		    .ctx = sent},
	    .another = another,
	    .refused = refused,
	    .ctx = sent,
	};
	hops_send(scene->mail->hops, &scene->targets[0], &sent->errand);
	assert_int_equal(sent->finished, 0);
	return sent;
}

static bool
all_finished(void *ctx)
{
	const struct scene *scene = ctx;

	return scene->finished == scene->count;
}

static bool
one_session(void *ctx)
{
	const struct scene *scene = ctx;

	return hops_sessions(scene->mail->hops) <= 1;
}

static bool
some_sick(void *ctx)
{
	const struct scene *scene = ctx;

	return health_count(scene->mail->health) > 0;
}

/* A port at which nobody listens. */
static struct netaddr
closed_address(void)
{
	struct script_server *server = script_server_new("127.0.0.9", &(struct script){0}, 1);
	struct netaddr address = script_server_address(server);

	script_server_free(server);
	return address;
}

/* ---- who wins ---- */

static void
test_black_hole(void **state)
{
	struct black_hole hole = black_hole_open("127.0.0.3", 0);
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(LONG_MS, 100);
	struct sent *sent;
	int64_t begin = mail_now_ms();
	int i;

	(void)state;
	scene_target(scene, hole.address);
	scene_target(scene, script_server_address(server));
	sent = scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(sent->recipient.verdict, CLIENT_ACCEPTED);
	assert_int_equal(sent->errand.number, 1);
	assert_int_equal(sent->asked, 1);
	assert_int_equal(sent->refused, 0);
	/* The loop's clock is as coarse as the kernel's tick. */
	assert_true(sent->finished_ms - begin >= HOPS_RACE_MS - 20);
	/* It is known to be slow: the next ones do not wait. And one connection waits on there, no
	 * more. */
	begin = mail_now_ms();
	for (i = 0; i < 20; i++) {
		scene_send(scene);
		mail_until(scene->mail, all_finished, scene);
		assert_int_equal(scene->sent[1 + i].recipient.verdict, CLIENT_ACCEPTED);
		assert_int_equal(scene->sent[1 + i].errand.number, 1);
	}
	assert_true(mail_now_ms() - begin < 20 * HOPS_RACE_MS);
	assert_int_equal(script_server_messages(server), 21);
	assert_true(hops_sessions(scene->mail->hops) <= 3);
	assert_int_equal(health_count(scene->mail->health), 0);
	scene_free(scene);
	script_server_free(server);
	black_hole_close(&hole);
}

/* Of many connections that are on their way when the other address takes over, one is let go on. */
static void
test_one_goes_on(void **state)
{
	struct black_hole hole = black_hole_open("127.0.0.3", 0);
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(LONG_MS, 100);
	int i;

	(void)state;
	scene_target(scene, hole.address);
	scene_target(scene, script_server_address(server));
	for (i = 0; i < 20; i++)
		scene_send(scene);
	mail_run(scene->mail, 50);
	assert_int_equal(hops_sessions(scene->mail->hops), scene->mail->hops_options.per_host);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(script_server_messages(server), 20);
	mail_until(scene->mail, one_session, scene);
	mail_run(scene->mail, 50);
	assert_int_equal(hops_sessions(scene->mail->hops), 1);
	scene_free(scene);
	script_server_free(server);
	black_hole_close(&hole);
}

/* No rival for one that stands, however long its greeting takes. */
static void
test_no_race(void **state)
{
	static const struct script slow = {.at = {[AT_GREETING] = "silence"}};
	struct script_server *servers[2] = {script_server_new("127.0.0.1", &slow, 1),
					    script_server_new("127.0.0.2", &(struct script){0}, 1)};
	struct scene *scene = scene_new(LONG_MS, 100);
	struct hops_options options = scene->mail->hops_options;
	struct sent *sent;
	int i;

	(void)state;
	options.client.remote_command_ms = 3 * HOPS_RACE_MS;
	hops_configure(scene->mail->hops, &options);
	for (i = 0; i < 2; i++)
		scene_target(scene, script_server_address(servers[i]));
	sent = scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(sent->recipient.verdict, CLIENT_TEMPORARY);
	assert_int_equal(sent->recipient.stage, CLIENT_STAGE_GREETING);
	assert_int_equal(sent->errand.number, 0);
	assert_int_equal(sent->asked, 0);
	assert_int_equal(script_server_connections(servers[1]), 0);
	/* It could be connected to. */
	assert_int_equal(health_count(scene->mail->health), 0);
	scene_free(scene);
	for (i = 0; i < 2; i++)
		script_server_free(servers[i]);
}

/* Without a rival the connection goes on as long as it may. */
static void
test_alone(void **state)
{
	struct black_hole hole = black_hole_open("127.0.0.3", 0);
	struct scene *scene = scene_new(2 * HOPS_RACE_MS, 100);
	int64_t begin = mail_now_ms();
	int i;

	(void)state;
	scene_target(scene, hole.address);
	for (i = 0; i < 5; i++)
		scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_true(mail_now_ms() - begin >= 2 * HOPS_RACE_MS - 20);
	for (i = 0; i < 5; i++) {
		assert_int_equal(scene->sent[i].recipient.verdict, CLIENT_TEMPORARY);
		assert_int_equal(scene->sent[i].recipient.stage, CLIENT_STAGE_CONNECT);
		assert_true(scene->sent[i].errand.job.unreachable);
		assert_int_equal(scene->sent[i].asked, 1);
	}
	scene_free(scene);
	black_hole_close(&hole);
}

/* A rival that refuses makes room for the next; two at a time, no more. */
static void
test_rival_refuses(void **state)
{
	struct black_hole holes[2] = {black_hole_open("127.0.0.3", 0),
				      black_hole_open("127.0.0.4", 0)};
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(4 * HOPS_RACE_MS, 100);
	struct sent *sent;
	int64_t begin = mail_now_ms();
	int i;

	(void)state;
	scene_target(scene, holes[0].address);
	scene_target(scene, closed_address());
	scene_target(scene, script_server_address(server));
	sent = scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(sent->recipient.verdict, CLIENT_ACCEPTED);
	assert_int_equal(sent->errand.number, 2);
	assert_int_equal(sent->asked, 2);
	assert_int_equal(sent->refused, 1U << 1);
	assert_true(sent->finished_ms - begin < 4 * HOPS_RACE_MS);

	/* Two black holes: the third has its chance when the first has failed. */
	scene->targets[1] = scene->targets[2];
	scene->targets[1].remote = holes[1].address;
	begin = mail_now_ms();
	sent = scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(sent->recipient.verdict, CLIENT_ACCEPTED);
	assert_int_equal(sent->errand.number, 2);
	assert_int_not_equal(sent->refused, 0);
	assert_int_equal(script_server_messages(server), 2);
	scene_free(scene);
	script_server_free(server);
	for (i = 0; i < 2; i++)
		black_hole_close(&holes[i]);
}

/* All come to nothing: settled once, by the last; health knows both. */
static void
test_all_refuse(void **state)
{
	struct black_hole holes[2] = {black_hole_open("127.0.0.3", 0),
				      black_hole_open("127.0.0.4", 0)};
	struct scene *scene = scene_new(2 * HOPS_RACE_MS, 100);
	struct sent *sent;
	int i;

	(void)state;
	for (i = 0; i < 2; i++)
		scene_target(scene, holes[i].address);
	sent = scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(sent->recipient.verdict, CLIENT_TEMPORARY);
	assert_true(sent->errand.job.unreachable);
	assert_int_equal(sent->errand.number, 1);
	assert_int_equal(sent->refused, 1U << 0);
	assert_int_equal(health_count(scene->mail->health), 2);
	assert_int_equal(mail_logged(scene->mail, " remote-suspended ", "timed out"), 2);
	scene_free(scene);
	for (i = 0; i < 2; i++)
		black_hole_close(&holes[i]);
}

/* ---- what comes of the slower one ---- */

static void
test_health_learns(void **state)
{
	struct black_hole hole = black_hole_open("127.0.0.3", 0);
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct scene *scene = scene_new(3 * HOPS_RACE_MS, 100);
	const struct health_pair *pair;

	(void)state;
	scene_target(scene, hole.address);
	scene_target(scene, script_server_address(server));
	scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(health_count(scene->mail->health), 0);
	mail_until(scene->mail, some_sick, scene);
	pair = health_next(scene->mail->health, NULL);
	assert_true(netaddr_equal(&pair->remote, &hole.address));
	assert_int_equal(pair->local.family, AF_UNSPEC);
	assert_int_equal(pair->failures, 1);
	assert_int_equal(scene->sent[0].refused, 0);
	scene_free(scene);
	script_server_free(server);
	black_hole_close(&hole);
}

static bool
both_connected(void *ctx)
{
	struct script_server *const *servers = ctx;

	return script_server_open(servers[0]) == 1 && script_server_connections(servers[1]) == 1;
}

/* The slower one stands at last: it is kept for the next message, and the first is not sent again.
 */
static void
test_slow_one_is_kept(void **state)
{
	struct script_server *servers[2];
	struct black_hole hole = black_hole_open("127.0.0.3", 0);
	struct scene *scene = scene_new(LONG_MS, 100);
	struct netaddr address = hole.address;
	struct hops_options options = scene->mail->hops_options;

	(void)state;
	options.client.idle_ms = LONG_MS;
	hops_configure(scene->mail->hops, &options);
	servers[1] = script_server_new("127.0.0.1", &(struct script){0}, 1);
	scene_target(scene, address);
	scene_target(scene, script_server_address(servers[1]));
	scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	/* The hole becomes a server at the same address: the connection that is still being tried
	 * is answered when the kernel asks again. */
	black_hole_close(&hole);
	servers[0] = script_server_at("127.0.0.3", address.port, &(struct script){0}, 1);
	mail_until(scene->mail, both_connected, servers);
	mail_run(scene->mail, 50);
	assert_int_equal(script_server_messages(servers[0]), 0);
	scene_send(scene);
	mail_until(scene->mail, all_finished, scene);
	assert_int_equal(scene->sent[1].errand.number, 0);
	assert_int_equal(script_server_messages(servers[0]), 1);
	assert_int_equal(script_server_messages(servers[1]), 1);
	assert_int_equal(script_server_connections(servers[0]), 1);
	scene_free(scene);
	script_server_free(servers[0]);
	script_server_free(servers[1]);
}

/* ---- limits ---- */

static void
test_limits(void **state)
{
	unsigned total;

	(void)state;
	for (total = 1; total <= 5; total++) {
		struct black_hole hole = black_hole_open("127.0.0.3", 0);
		struct script_server *server =
		    script_server_new("127.0.0.1", &(struct script){0}, 1);
		struct scene *scene = scene_new(2 * HOPS_RACE_MS, total);
		int i;

		scene_target(scene, hole.address);
		scene_target(scene, script_server_address(server));
		for (i = 0; i < 60; i++)
			scene_send(scene);
		while (scene->finished < scene->count) {
			assert_int_equal(loop_once(scene->mail->loop, 10), 0);
			assert_true(hops_sessions(scene->mail->hops) <= total);
		}
		for (i = 0; i < 60; i++) {
			/* One session in all is the hole's until it has failed; then each errand is
			 * where its maker names the next target, or at the server already. */
			if (scene->sent[i].recipient.verdict == CLIENT_ACCEPTED)
				assert_int_equal(scene->sent[i].errand.number, 1);
			else
				assert_int_equal(total, 1);
		}
		assert_true(total == 1 || script_server_messages(server) == 60);
		scene_free(scene);
		script_server_free(server);
		black_hole_close(&hole);
	}
}

/* Cut at any time: forgotten without a call. */
static void
test_cut(void **state)
{
	int64_t after;

	(void)state;
	for (after = 0; after < 2 * HOPS_RACE_MS; after += 60) {
		struct black_hole hole = black_hole_open("127.0.0.3", 0);
		struct script_server *server = script_server_new(
		    "127.0.0.1", &(struct script){.at = {[AT_GREETING] = "silence"}}, 1);
		struct scene *scene = scene_new(LONG_MS, 3);
		int i;

		scene_target(scene, hole.address);
		scene_target(scene, script_server_address(server));
		for (i = 0; i < 5; i++)
			scene_send(scene);
		mail_run(scene->mail, after);
		scene_free(scene);
		script_server_free(server);
		black_hole_close(&hole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_black_hole),    cmocka_unit_test(test_no_race),
	    cmocka_unit_test(test_one_goes_on),   cmocka_unit_test(test_alone),
	    cmocka_unit_test(test_rival_refuses), cmocka_unit_test(test_all_refuse),
	    cmocka_unit_test(test_health_learns), cmocka_unit_test(test_slow_one_is_kept),
	    cmocka_unit_test(test_limits),        cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}
