/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/queue with everything beneath it: attempts, retries, the end of a message's life, reports
 * of failure and that there is never one about a report; one log line for each recipient's fate;
 * what a restart, a stop and a spool that can't be written to leave behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/xalloc.h"
#include "relayd/queue/queue.h"
#include "tests/unit/mail_fixture.h"
#include "tests/unit/script_server.h"

static const char body[] = "Received: x\r\nSubject: a word\r\n\r\nthe text\r\n";
static const char *const one[] = {"one@a.example", NULL};
static const int64_t delays[] = {100};

struct place {
	struct mail *mail;
	struct queue *queue;
	struct queue_options options;
	size_t wanted; /* for conditions */
};

static void
place_open(struct place *place)
{
	struct mail *mail = place->mail;
	size_t i;

	mail_open(mail);
	place->options.loop = mail->loop;
	place->options.log = mail->log;
	place->options.spool = mail->spool;
	place->options.delivery = mail->delivery;
	place->queue = queue_new(&place->options);
	for (i = 0; i < mail->found_count; i++)
		queue_add(place->queue, mail->found[i]);
}

static void
place_close(struct place *place)
{
	hops_free(place->mail->hops);
	place->mail->hops = NULL;
	queue_free(place->queue);
	mail_close(place->mail);
}

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int
setup(void **state)
{
	struct place *place = xcalloc(1, sizeof *place);

	place->mail = mail_new();
	place->options = (struct queue_options){
	    .hostname = "relay.test", .retry_ms = delays, .retry_count = 1, .lifetime_ms = 3600000};
	place_open(place);
	*state = place;
	return 0;
}

static int
teardown(void **state)
{
	struct place *place = *state;

	limit_files(RLIM_INFINITY);
	place_close(place);
	mail_free(place->mail);
	free(place);
	return 0;
}

static void
route(struct place *place, const struct script_server *server, const char *more)
{
	char *record = xasprintf("remote_host=127.0.0.1\nremote_port=%u\n%s",
				 (unsigned)script_server_address(server).port, more);

	(void)mail_route(place->mail, record);
	free(record);
}

static uint64_t
submit(struct place *place, const char *sender, const char *const *to)
{
	struct envelope *env = mail_commit(place->mail, sender, body, to);
	uint64_t id = env->id;

	queue_add(place->queue, env);
	return id;
}

static bool
is_empty(void *ctx)
{
	const struct place *place = ctx;

	return queue_count(place->queue) == 0;
}

static struct queue_stats
stats(const struct place *place)
{
	struct queue_stats now;

	queue_stats(place->queue, &now);
	return now;
}

static bool
deferred_as_wanted(void *ctx)
{
	const struct place *place = ctx;

	return stats(place).deferred >= place->wanted && stats(place).active == 0;
}

static uint64_t
alive(const struct place *place)
{
	struct spool_stats now;

	spool_stats(place->mail->spool, &now);
	return now.messages;
}

/* ---- the common way ---- */

static void
test_delivered(void **state)
{
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct queue_entry entry;
	uint64_t id;

	route(place, server, "");
	id = submit(place, "s@example.org", one);
	assert_int_equal(queue_count(place->queue), 1);
	assert_int_equal(queue_next(place->queue, 0, &entry), 0);
	assert_int_equal(entry.envelope->id, id);
	assert_int_equal(entry.status, QUEUE_SCHEDULED);
	assert_int_equal(queue_next(place->queue, id, &entry), -1);
	mail_run(place->mail, 20);
	assert_int_equal(script_server_connections(server), 0); /* not started */
	queue_start(place->queue);
	mail_until(place->mail, is_empty, place);
	assert_int_equal(script_server_messages(server), 1);
	assert_int_equal(stats(place).delivered, 1);
	assert_int_equal(stats(place).active, 0);
	assert_int_equal(alive(place), 0);
	assert_int_equal(mail_logged(place->mail, " delivered ", "to=one@a.example"), 1);
	assert_int_equal(mail_logged(place->mail, " finished ", NULL), 1);
	script_server_free(server);
}

static void
test_retried(void **state)
{
	static const struct script script = {
	    .at = {[AT_MAIL] = "451 4.3.2 busy|451 4.3.2 busy|250 ok"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	struct queue_entry entry;
	int64_t began_ms = mail_now_ms();
	uint64_t id;

	route(place, server, "");
	queue_start(place->queue);
	id = submit(place, "s@example.org", one);
	place->wanted = 1;
	mail_until(place->mail, deferred_as_wanted, place);
	assert_int_equal(queue_next(place->queue, 0, &entry), 0);
	assert_int_equal(entry.envelope->id, id);
	assert_int_equal(entry.envelope->attempts, 1);
	assert_true(entry.envelope->next_attempt_ms > entry.envelope->arrived_ms);
	assert_non_null(strstr(entry.envelope->recipients[0].last_reply, ": 451 4.3.2 busy"));
	assert_false(spool_is_in_memory(place->mail->spool, entry.envelope));
	mail_until(place->mail, is_empty, place);
	assert_true(mail_now_ms() - began_ms >= 150);
	assert_int_equal(stats(place).deferred, 2);
	assert_int_equal(stats(place).delivered, 1);
	assert_int_equal(mail_logged(place->mail, " deferred ", "status=4.3.2"), 2);
	assert_int_equal(mail_logged(place->mail, " delivered ", "attempt=3"), 1);
	script_server_free(server);
}

/* Three recipients, three fates, one report about one of them; the one who is deferred is tried
 * again alone. */
static void
test_mixed(void **state)
{
	static const char *const to[] = {"well@a.example", "later@a.example", "never@a.example",
					 NULL};
	static const struct script script = {
	    .at = {[AT_RCPT] = "250 ok|450 4.2.1 later|550 5.1.1 never|250 ok"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1),
			     *home = script_server_new("127.0.0.1", &(struct script){0}, 1);
	const char *report;
	size_t len;

	route(place, server, "destination=a.example\n");
	route(place, home, "destination=example.org\n");
	queue_start(place->queue);
	(void)submit(place, "s@example.org", to);
	mail_until(place->mail, is_empty, place);
	assert_int_equal(script_server_messages(server), 2);
	assert_int_equal(script_server_heard(server, "RCPT TO:<well@"), 1);
	assert_int_equal(script_server_heard(server, "RCPT TO:<later@"), 2);
	assert_int_equal(script_server_heard(server, "RCPT TO:<never@"), 1);
	assert_int_equal(script_server_messages(home), 1);
	assert_int_equal(script_server_heard(home, "MAIL FROM:<>"), 1);
	assert_int_equal(script_server_heard(home, "RCPT TO:<s@example.org>"), 1);
	report = script_server_message(home, 0, &len);
	assert_non_null(memmem(report, len, "report-type=delivery-status", 27));
	assert_non_null(memmem(report, len, "Final-Recipient: rfc822; never@a.example", 40));
	assert_null(memmem(report, len, "later@", 6));
	assert_null(memmem(report, len, "well@", 5));
	assert_non_null(memmem(report, len, "Subject: a word", 15));
	assert_null(memmem(report, len, "the text", 8));
	assert_int_equal(mail_logged(place->mail, " delivered ", "to=well@a.example"), 1);
	assert_int_equal(mail_logged(place->mail, " deferred ", "to=later@a.example"), 1);
	assert_int_equal(mail_logged(place->mail, " delivered ", "to=later@a.example"), 1);
	assert_int_equal(mail_logged(place->mail, " failed ", "to=never@a.example"), 1);
	assert_int_equal(mail_logged(place->mail, " failed ", "report="), 1);
	assert_int_equal(alive(place), 0);
	script_server_free(server);
	script_server_free(home);
}

/* ---- the end without success ---- */

static void
test_null_sender(void **state)
{
	static const struct script script = {.at = {[AT_RCPT] = "550 5.1.1 never"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);

	route(place, server, "");
	queue_start(place->queue);
	(void)submit(place, "", one);
	mail_until(place->mail, is_empty, place);
	assert_int_equal(stats(place).failed, 1);
	assert_int_equal(mail_logged(place->mail, " failed ", "to=one@a.example"), 1);
	assert_int_equal(mail_logged(place->mail, " failed ", "report="), 0);
	assert_int_equal(script_server_heard(server, "MAIL"), 1);
	script_server_free(server);
}

/* The report itself is refused: that is the end of it. */
static void
test_no_report_about_a_report(void **state)
{
	static const struct script script = {.at = {[AT_MAIL] = "550 5.7.1 never"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);

	route(place, server, "");
	queue_start(place->queue);
	(void)submit(place, "s@example.org", one);
	mail_until(place->mail, is_empty, place);
	assert_int_equal(script_server_heard(server, "MAIL FROM:<s@example.org>"), 1);
	assert_int_equal(script_server_heard(server, "MAIL FROM:<>"), 1);
	assert_int_equal(stats(place).failed, 2);
	assert_int_equal(alive(place), 0);
	script_server_free(server);
}

static void
test_expired(void **state)
{
	static const struct script busy = {.at = {[AT_DATA] = "451 4.3.2 busy"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &busy, 1),
			     *home = script_server_new("127.0.0.1", &(struct script){0}, 1);
	const char *report;
	size_t len;

	place->options.lifetime_ms = 250;
	queue_configure(place->queue, &place->options);
	route(place, server, "destination=a.example\n");
	route(place, home, "destination=example.org\n");
	queue_start(place->queue);
	(void)submit(place, "s@example.org", one);
	mail_until(place->mail, is_empty, place);
	assert_int_equal(script_server_messages(home), 1);
	assert_in_range(script_server_heard(server, "MAIL"), 1, 4);
	report = script_server_message(home, 0, &len);
	assert_non_null(memmem(report, len, "Status: 4.4.7", 13));
	assert_non_null(memmem(report, len, "451 4.3.2 busy", 14));
	assert_int_equal(mail_logged(place->mail, " failed ", "status=4.4.7"), 1);
	script_server_free(server);
	script_server_free(home);
}

/* ---- the report can't be kept ---- */

static bool
heard_once(void *ctx)
{
	return script_server_heard(ctx, "RCPT") > 0;
}

/* Refused for good while the disk takes nothing: nobody is dropped without a report, nobody is
 * tried without a pause, not even behind the end of the message's life. */
static void
test_unreported(void **state)
{
	static const struct script script = {.at = {[AT_RCPT] = "550 5.1.1 never"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1),
			     *home = script_server_new("127.0.0.1", &(struct script){0}, 1);
	int64_t began_ms;

	place->options.lifetime_ms = 1;
	queue_configure(place->queue, &place->options);
	(void)signal(SIGXFSZ, SIG_IGN);
	route(place, server, "destination=a.example\n");
	route(place, home, "destination=example.org\n");
	(void)submit(place, "s@example.org", one);
	limit_files(1);
	began_ms = mail_now_ms();
	queue_start(place->queue);
	mail_until(place->mail, heard_once, server);
	place->wanted = 4;
	mail_until(place->mail, deferred_as_wanted, place);
	assert_true(mail_now_ms() - began_ms >= 150);
	assert_int_equal(stats(place).failed, 0);
	assert_int_equal(queue_count(place->queue), 1);
	limit_files(RLIM_INFINITY);
	mail_until(place->mail, is_empty, place);
	assert_int_equal(stats(place).failed, 1);
	assert_int_equal(script_server_messages(home), 1);
	script_server_free(server);
	script_server_free(home);
}

/* ---- restart and stop ---- */

static void
test_restart(void **state)
{
	static const struct script script = {
	    .at = {[AT_MAIL] = "451 4.3.2 busy|250 ok", [AT_RCPT] = "250 ok"}};
	static const char *const to[] = {"one@a.example", "two@b.example", NULL};
	static const int64_t hour[] = {3600000};
	struct place *place = *state;
	struct script_server *busy = script_server_new("127.0.0.1", &script, 1),
			     *well = script_server_new("127.0.0.1", &(struct script){0}, 1);
	struct queue_entry entry;
	int64_t next_ms;

	place->options.retry_ms = hour;
	queue_configure(place->queue, &place->options);
	route(place, busy, "destination=a.example\n");
	route(place, well, "destination=b.example\n");
	queue_start(place->queue);
	(void)submit(place, "s@example.org", to);
	place->wanted = 1;
	mail_until(place->mail, deferred_as_wanted, place);
	assert_int_equal(queue_next(place->queue, 0, &entry), 0);
	next_ms = entry.envelope->next_attempt_ms;
	place_close(place);

	place_open(place);
	queue_start(place->queue);
	mail_run(place->mail, 50);
	assert_int_equal(queue_next(place->queue, 0, &entry), 0);
	assert_int_equal(entry.status, QUEUE_SCHEDULED);
	assert_int_equal(entry.envelope->attempts, 1);
	assert_int_equal(entry.envelope->next_attempt_ms, next_ms);
	assert_int_equal(entry.envelope->recipients[0].state, RECIPIENT_OPEN);
	assert_int_equal(entry.envelope->recipients[1].state, RECIPIENT_DELIVERED);
	assert_non_null(strstr(entry.envelope->recipients[0].last_reply, "451"));
	assert_int_equal(script_server_messages(well), 1);
	assert_int_equal(script_server_connections(busy), 1);
	script_server_free(busy);
	script_server_free(well);
}

/* Cut at any moment, opened again: each recipient gets the message or the sender hears of it,
 * nothing is lost. */
static void
test_cut(void **state)
{
	static const struct script script = {.at = {[AT_RCPT] = "550 5.1.1 never"}};
	static const char *const to[] = {"one@a.example", "two@b.example", NULL};
	struct place *place = *state;
	struct script_server *never = script_server_new("127.0.0.1", &script, 1),
			     *well = script_server_new("127.0.0.1", &(struct script){0}, 1),
			     *home = script_server_new("127.0.0.1", &(struct script){0}, 1);
	int rounds, i;

	route(place, never, "destination=a.example\n");
	route(place, well, "destination=b.example\n");
	route(place, home, "destination=example.org\n");
	for (rounds = 0; rounds < 40; rounds++) {
		size_t reports = script_server_messages(home);
		size_t arrived = script_server_messages(well);

		(void)submit(place, "s@example.org", to);
		queue_start(place->queue);
		for (i = 0; i < rounds; i++)
			assert_int_equal(loop_once(place->mail->loop, 1), 0);
		place_close(place);
		place_open(place);
		queue_start(place->queue);
		mail_until(place->mail, is_empty, place);
		assert_in_range(script_server_messages(well) - arrived, 1, 2);
		assert_in_range(script_server_messages(home) - reports, 1, 2);
		assert_int_equal(alive(place), 0);
	}
	script_server_free(never);
	script_server_free(well);
	script_server_free(home);
}

static void
count_call(void *ctx)
{
	unsigned *calls = ctx;

	(*calls)++;
}

static bool
was_called(void *ctx)
{
	const unsigned *calls = ctx;

	return *calls > 0;
}

static bool
is_active(void *ctx)
{
	return stats(ctx).active > 0;
}

/* What is in flight ends, nothing new begins. */
static void
test_stop(void **state)
{
	static const struct script slow = {.at = {[AT_DOT] = "silence"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &slow, 1);
	unsigned calls = 0;

	route(place, server, "");
	queue_start(place->queue);
	(void)submit(place, "s@example.org", one);
	mail_until(place->mail, is_active, place);
	queue_stop(place->queue, count_call, &calls);
	assert_int_equal(calls, 0);
	(void)submit(place, "s@example.org", one);
	mail_until(place->mail, was_called, &calls);
	assert_int_equal(calls, 1);
	assert_int_equal(stats(place).deferred, 1);
	mail_run(place->mail, 200);
	assert_int_equal(script_server_connections(server), 1);
	assert_int_equal(queue_count(place->queue), 2);
	assert_int_equal(calls, 1);
	script_server_free(server);
}

static void
test_stop_idle(void **state)
{
	struct place *place = *state;
	unsigned calls = 0;

	queue_start(place->queue);
	mail_run(place->mail, 10);
	queue_stop(place->queue, count_call, &calls);
	mail_until(place->mail, was_called, &calls);
	assert_int_equal(calls, 1);
}

/* ---- many ---- */

/* No more attempts at once than allowed, and all are made, whatever the fates. */
static void
test_many(void **state)
{
	static const struct script script = {
	    .at = {[AT_MAIL] = "250 ok|250 ok|451 busy|250 ok|421 bye|250 ok|250 ok|drop",
		   [AT_RCPT] = "250 ok|450 later|250 ok|250 ok|250 ok",
		   [AT_DOT] = "250 ok|250 ok|250 ok|451 later|250 ok"}};
	struct place *place = *state;
	struct script_server *server = script_server_new("127.0.0.1", &script, 1);
	size_t i;

	place->options.active = 5;
	queue_configure(place->queue, &place->options);
	route(place, server, "");
	for (i = 0; i < 200; i++)
		(void)submit(place, "", one);
	queue_start(place->queue);
	while (!is_empty(place)) {
		assert_true(stats(place).active <= 5);
		assert_int_equal(loop_once(place->mail->loop, 10), 0);
	}
	assert_int_equal(stats(place).delivered, 200);
	assert_true(stats(place).deferred > 0);
	assert_int_equal(mail_logged(place->mail, " delivered ", NULL), 200);
	assert_int_equal(mail_logged(place->mail, " finished ", NULL), 200);
	assert_int_equal(alive(place), 0);
	script_server_free(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_delivered, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_retried, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_mixed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_null_sender, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_report_about_a_report, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_expired, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unreported, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stop_idle, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
