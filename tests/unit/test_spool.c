/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The spool in good health: commit, progress and finish over a restart and a kill; shared syncs;
 * large bodies, abort, back pressure; readers; memory; cleaning; the lock; ids. */
#include "tests/unit/spool_fixture.h"

static int
setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int
teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static void
what_was_committed_is_there(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 100, 4096, 256 << 10, (256 << 10) + 1, 3 << 20};
	struct fixture *fixture = *state;
	uint64_t last = 0;

	fixture_open(fixture);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct envelope *env = fixture_commit(fixture, sizes[i]);

		assert_true(env->id > last);
		assert_int_equal(env->size, sizes[i]);
		last = env->id;
		assert_int_equal(spool_is_in_memory(fixture->spool, env), sizes[i] <= 256 << 10);
		fixture_check(fixture, env);
		spool_forget_memory(fixture->spool, env);
		assert_false(spool_is_in_memory(fixture->spool, env));
		fixture_check(fixture, env);
	}
	assert_int_equal(fixture_files(fixture, "/large", ""), 2);
	for (int round = 0; round < 3; round++) {
		fixture_close(fixture);
		fixture_open(fixture);
		assert_int_equal(fixture->count, sizeof(sizes) / sizeof(*sizes));
		for (size_t i = 0; i < fixture->count; i++) {
			assert_int_equal(fixture->envs[i]->size, sizes[i]);
			assert_string_equal(fixture->envs[i]->sender, "sender@example.org");
			assert_int_equal(fixture->envs[i]->recipient_count, 2);
			assert_false(spool_is_in_memory(fixture->spool, fixture->envs[i]));
			fixture_check(fixture, fixture->envs[i]);
		}
	}
	assert_int_equal(fixture_stats(fixture).messages, fixture->count);
}

/* Committed together, synced together. */
static void
commits_share_their_sync(void **state)
{
	struct fixture *fixture = *state;
	struct outcome outcomes[100];

	fixture_open(fixture);
	for (size_t i = 0; i < 100; i++)
		fixture_send(fixture, 4096, &outcomes[i]);
	for (size_t i = 0; i < 100; i++)
		fixture_until(fixture, fixture_is_told, &outcomes[i]);
	assert_int_equal(fixture_stats(fixture).commits, 100);
	assert_int_equal(fixture_stats(fixture).syncs, 1);
	/* What is committed while a sync runs shares the next one. */
	fixture_send(fixture, 4096, &outcomes[0]);
	loop_once(fixture->loop, 0);
	for (size_t i = 1; i < 100; i++)
		fixture_send(fixture, 4096, &outcomes[i]);
	for (size_t i = 0; i < 100; i++)
		fixture_until(fixture, fixture_is_told, &outcomes[i]);
	assert_in_range(fixture_stats(fixture).syncs, 2, 3);
}

static void
progress_and_finish(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *first, *second, *large;

	fixture_open(fixture);
	first = fixture_commit(fixture, 100);
	second = fixture_commit(fixture, 100);
	large = fixture_commit(fixture, 1 << 20);
	first->attempts = 3;
	first->next_attempt_ms = 12345;
	first->recipients[0].state = RECIPIENT_DELIVERED;
	spool_progress(fixture->spool, first);
	first->attempts = 4;
	first->recipients[1].last_reply = xstrdup("450 busy");
	spool_progress(fixture->spool, first);
	spool_progress(fixture->spool, second);
	fixture_finish(fixture, second);
	fixture_finish(fixture, large);
	fixture_close(fixture);
	assert_int_equal(fixture_files(fixture, "/large", ""), 0);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 1);
	assert_int_equal(fixture->envs[0]->attempts, 4);
	assert_int_equal(fixture->envs[0]->next_attempt_ms, 12345);
	assert_int_equal(fixture->envs[0]->recipients[0].state, RECIPIENT_DELIVERED);
	assert_string_equal(fixture->envs[0]->recipients[1].last_reply, "450 busy");
	fixture_check(fixture, fixture->envs[0]);
	assert_int_equal(fixture_stats(fixture).messages, 1);
}

struct kill_test {
	struct fixture *fixture;
	uint32_t attempts;
	size_t count;
};

/* Would a kill now leave so many messages, the first with so many attempts? */
static bool
kill_leaves(void *ctx)
{
	const struct kill_test *test = ctx;
	struct fixture *copy = fixture_snapshot(test->fixture);
	bool holds;

	fixture_open(copy);
	holds = copy->count == test->count && copy->envs[0]->attempts == test->attempts;
	fixture_free(copy);
	return holds;
}

/* No close: progress and finish get to the disk by themselves, and the large body goes. */
static void
a_kill_keeps_progress(void **state)
{
	struct fixture *fixture = *state;
	struct kill_test test = {.fixture = fixture};
	struct envelope *env, *large;
	uint64_t syncs;

	fixture_open(fixture);
	env = fixture_commit(fixture, 100);
	large = fixture_commit(fixture, 1 << 20);
	syncs = fixture_stats(fixture).syncs;
	env->attempts = 9;
	spool_progress(fixture->spool, env);
	fixture_finish(fixture, large);
	test.attempts = 9;
	test.count = 1;
	fixture_until(fixture, kill_leaves, &test);
	assert_int_equal(fixture_stats(fixture).syncs, syncs);
	assert_int_equal(fixture_files(fixture, "/large", ""), 1);
	while (fixture_files(fixture, "/large", "") > 0)
		loop_once(fixture->loop, 20);
	assert_int_equal(fixture_stats(fixture).syncs, syncs + 1);
}

static bool
no_large_file(void *ctx)
{
	const struct fixture *fixture = ctx;

	return fixture_files(fixture, "/large", "") == 0;
}

static void
abort_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct spool_draft *draft;

	fixture_open(fixture);
	spool_abort(spool_begin(fixture->spool));
	spool_abort(fixture_draft(fixture, 1000));
	spool_abort(fixture_draft(fixture, 600 << 10)); /* while its first job runs */
	draft = fixture_draft(fixture, 600 << 10);
	while (fixture_files(fixture, "/large", "") < 1)
		loop_once(fixture->loop, 20);
	offload_finish(fixture->offload);
	spool_abort(draft); /* and when none does */
	fixture_until(fixture, no_large_file, fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 0);
}

struct relief {
	bool relieved;
};

static void
set_relieved(void *ctx)
{
	struct relief *relief = ctx;

	assert_false(relief->relieved);
	relief->relieved = true;
}

static bool
is_relieved(void *ctx)
{
	const struct relief *relief = ctx;

	return relief->relieved;
}

/* 12 MiB in small pieces: the writer is told to wait, and no more than a few MiB are in memory. */
static void
back_pressure(void **state)
{
	enum { TOTAL = 12 << 20, STEP = 8 << 10 };
	struct fixture *fixture = *state;
	struct outcome outcome = {.fixture = fixture, .env = fixture_envelope()};
	char *body = xmalloc(TOTAL);
	struct spool_draft *draft;
	unsigned waits = 0;

	fixture_open(fixture);
	draft = spool_begin(fixture->spool);
	fixture_body(body, TOTAL, spool_draft_id(draft));
	for (size_t at = 0; at < TOTAL; at += STEP) {
		assert_int_equal(spool_write(draft, body + at, STEP, NULL), 0);
		if (spool_draft_is_behind(draft)) {
			struct relief relief = {0};

			spool_draft_on_relief(draft, set_relieved, &relief);
			fixture_until(fixture, is_relieved, &relief);
			assert_false(spool_draft_is_behind(draft));
			waits++;
		}
	}
	free(body);
	assert_true(waits > 2);
	spool_commit(draft, outcome.env, fixture_told, &outcome);
	fixture_until(fixture, fixture_is_told, &outcome);
	assert_int_equal(outcome.why.code, ERROR_NONE);
	fixture_check(fixture, outcome.env);
	fixture_close(fixture);
	fixture_open(fixture);
	fixture_check(fixture, fixture->envs[0]);
}

static void
one_process_at_a_time(void **state)
{
	struct fixture *fixture = *state;
	char pid[32];
	struct error why = {0};

	fixture_open(fixture);
	snprintf(pid, sizeof(pid), "in use by process %ld", (long)getpid());
	assert_null(spool_open(&fixture->options, fixture_found, fixture, &why));
	assert_non_null(strstr(why.text, pid));
	assert_non_null(strstr(why.text, fixture->dir));
	fixture_close(fixture);
	fixture_open(fixture);
}

static void
ids_are_never_given_twice(void **state)
{
	struct fixture *fixture = *state;
	struct fixture *copy;
	struct spool_draft *draft;
	uint64_t last = 0, id;

	fixture->options.segment_bytes = 20000;
	for (int round = 0; round < 10; round++) {
		fixture_open(fixture);
		for (int i = 0; i < 10 && round != 5; i++) {
			struct envelope *env = fixture_commit(fixture, 3000);

			assert_true(env->id > last);
			last = env->id;
			fixture_finish(fixture, env);
		}
		/* Not even those that came to nothing, nor after a kill (if anything was written
		 * since the start). */
		draft = spool_begin(fixture->spool);
		assert_true(spool_draft_id(draft) > last);
		last = spool_draft_id(draft);
		spool_abort(draft);
		copy = fixture_snapshot(fixture);
		fixture_open(copy);
		draft = spool_begin(copy->spool);
		id = spool_draft_id(draft);
		spool_abort(draft);
		fixture_free(copy);
		assert_true(id > last || round == 5);
		fixture_close(fixture);
	}
}

/* As many bodies as fit; each that goes makes room; what a reader holds stays. */
static void
memory_is_bounded(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *envs[4];
	struct spool_reader *reader;
	struct reading reading = {0};

	fixture->options.memory_bytes = 10000;
	fixture_open(fixture);
	for (size_t i = 0; i < 4; i++)
		envs[i] = fixture_commit(fixture, 4000);
	assert_true(spool_is_in_memory(fixture->spool, envs[0]));
	assert_true(spool_is_in_memory(fixture->spool, envs[1]));
	assert_false(spool_is_in_memory(fixture->spool, envs[2]));
	assert_false(spool_is_in_memory(fixture->spool, envs[3]));
	for (size_t i = 0; i < 4; i++)
		fixture_check(fixture, envs[i]);
	reader = spool_reader_new(fixture->spool, envs[0], NULL);
	assert_non_null(reader);
	spool_forget_memory(fixture->spool, envs[0]);
	/* Still in memory, for the reader: no room yet. */
	assert_false(spool_is_in_memory(fixture->spool, fixture_commit(fixture, 4000)));
	fixture_read_on(fixture, reader, &reading);
	fixture_check_bytes(envs[0], &reading);
	free(reading.bytes);
	assert_true(spool_is_in_memory(fixture->spool, fixture_commit(fixture, 4000)));
	fixture_finish(fixture, envs[1]);
	assert_true(spool_is_in_memory(fixture->spool, fixture_commit(fixture, 4000)));
}

static bool
first_segment_is_gone(void *ctx)
{
	const struct fixture *fixture = ctx;
	char *path = xasprintf("%s/0000000001.seg", fixture->dir);
	bool gone = access(path, F_OK) < 0;

	free(path);
	return gone;
}

static bool
is_clean(void *ctx)
{
	struct spool_stats stats = fixture_stats(ctx);

	return stats.bytes_on_disk <= 2 * stats.bytes_alive + UINT64_C(4) * 100000;
}

/* Most go, some stay, small and large, with progress and without: these move from segment to
 * segment and lose nothing. */
static void
old_segments_are_cleaned(void **state)
{
	struct fixture *fixture = *state;
	struct spool_stats stats;

	fixture->options.segment_bytes = 100000;
	fixture->options.inline_bytes = 8000;
	fixture_open(fixture);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 150; i++) {
			struct envelope *env = fixture_commit(fixture, 3000 + (size_t)i * 40);

			if (i % 50 == 0) {
				env->attempts = (uint32_t)(i + round);
				spool_progress(fixture->spool, env);
			} else if (i % 50 != 7 && i != 149) {
				fixture_finish(fixture, env);
			}
		}
		fixture_until(fixture, is_clean, fixture);
		/* Those of the first round have moved, again and again. */
		if (round > 4)
			assert_true(first_segment_is_gone(fixture));
	}
	assert_int_equal(fixture->count, 70);
	stats = fixture_stats(fixture);
	assert_int_equal(stats.messages, 70);
	assert_int_equal(fixture_files(fixture, "", ".gone"), 1);
	for (size_t i = 0; i < fixture->count; i++) {
		spool_forget_memory(fixture->spool, fixture->envs[i]);
		fixture_check(fixture, fixture->envs[i]);
	}
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 70);
	for (size_t i = 0; i < fixture->count; i++) {
		fixture_check(fixture, fixture->envs[i]);
		assert_int_equal(fixture->envs[i]->attempts,
				 i % 7 < 6 && i % 7 % 2 == 0 ? i % 7 / 2 * 50 + i / 7 : 0);
	}
}

/* A reader that was begun works on, whatever happens to its message and to the files. */
static void
readers_outlive_their_message(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *env, *large;
	struct envelope copy, large_copy;
	struct spool_reader *reader, *large_reader, *unread;
	struct reading reading = {0}, large_reading = {0};

	fixture->options.segment_bytes = 400000;
	fixture_open(fixture);
	env = fixture_commit(fixture, 200000);
	large = fixture_commit(fixture, 600000);
	spool_forget_memory(fixture->spool, env);
	copy = *env;
	large_copy = *large;
	reader = spool_reader_new(fixture->spool, env, NULL);
	unread = spool_reader_new(fixture->spool, env, NULL);
	large_reader = spool_reader_new(fixture->spool, large, NULL);
	assert_true(reader != NULL && unread != NULL && large_reader != NULL);
	spool_reader_next(reader, fixture_got, &reading);
	fixture_until(fixture, fixture_has_got, &reading);
	fixture_finish(fixture, env);
	fixture_finish(fixture, large);
	fixture_commit(fixture, 250000);
	fixture_until(fixture, first_segment_is_gone, fixture);
	fixture_until(fixture, no_large_file, fixture);
	fixture_read_on(fixture, reader, &reading);
	fixture_check_bytes(&copy, &reading);
	fixture_read_on(fixture, large_reader, &large_reading);
	fixture_check_bytes(&large_copy, &large_reading);
	spool_reader_next(unread, fixture_got, &reading);
	spool_reader_free(unread); /* while its piece is on its way */
	free(reading.bytes);
	free(large_reading.bytes);
}

static void
a_damaged_body_is_not_passed_on(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *env;
	struct reading reading = {0};
	char *path = xasprintf("%s/0000000001.seg", fixture->dir);
	int fd;

	fixture_open(fixture);
	env = fixture_commit(fixture, 200000);
	spool_forget_memory(fixture->spool, env);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "X", 1, 150000), 1);
	assert_int_equal(close(fd), 0);
	fixture_read_on(fixture, spool_reader_new(fixture->spool, env, NULL), &reading);
	assert_int_equal(reading.why.code, ERROR_STORAGE);
	assert_non_null(strstr(reading.why.text, path));
	assert_true(reading.len < 200000);
	free(reading.bytes);
	free(path);
}

static void
empty_segments_do_not_pile_up(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 20; i++) {
		fixture_open(fixture);
		fixture_finish(fixture, fixture_commit(fixture, 100));
		fixture_close(fixture);
		assert_in_range(fixture_files(fixture, "", ".seg"), 1, 2);
	}
	/* And a start that does nothing leaves nothing. */
	for (int i = 0; i < 5; i++) {
		fixture_open(fixture);
		fixture_close(fixture);
		assert_int_equal(fixture_files(fixture, "", ".seg"), 1);
	}
}

/* What is under way at the close is durable, and its owner is told. */
static void
close_waits(void **state)
{
	struct fixture *fixture = *state;
	struct outcome small, large;

	fixture_open(fixture);
	fixture_send(fixture, 100, &small);
	fixture_send(fixture, 2 << 20, &large);
	spool_close(fixture->spool);
	fixture->spool = NULL;
	assert_true(small.told && small.why.code == ERROR_NONE);
	assert_true(large.told && large.why.code == ERROR_NONE);
	fixture_forget_envelopes(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 2);
	fixture_check(fixture, fixture->envs[0]);
	fixture_check(fixture, fixture->envs[1]);
}

static void
other_files_are_left_alone(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {"README", "12.seg", "large/note", "large/007"};

	fixture_open(fixture);
	fixture_commit(fixture, 100);
	for (size_t i = 0; i < 4; i++) {
		char *path = xasprintf("%s/%s", fixture->dir, names[i]);
		int fd = open(path, O_WRONLY | O_CREAT, 0600);

		assert_true(fd >= 0);
		assert_int_equal(close(fd), 0);
		free(path);
	}
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 1);
	for (size_t i = 0; i < 4; i++) {
		char *path = xasprintf("%s/%s", fixture->dir, names[i]);

		assert_int_equal(access(path, F_OK), 0);
		free(path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_was_committed_is_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(commits_share_their_sync, setup, teardown),
	    cmocka_unit_test_setup_teardown(progress_and_finish, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_kill_keeps_progress, setup, teardown),
	    cmocka_unit_test_setup_teardown(abort_leaves_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(back_pressure, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_process_at_a_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(ids_are_never_given_twice, setup, teardown),
	    cmocka_unit_test_setup_teardown(memory_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(old_segments_are_cleaned, setup, teardown),
	    cmocka_unit_test_setup_teardown(readers_outlive_their_message, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_damaged_body_is_not_passed_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(empty_segments_do_not_pile_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(close_waits, setup, teardown),
	    cmocka_unit_test_setup_teardown(other_files_are_left_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
