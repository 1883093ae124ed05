/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Log lines as they reach the descriptor: both forms, journald's prefix, levels, and that no value
 * can forge a line, a key or a terminal's state. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/log.h"

/* A pipe whose other end the log writes to. */
struct tap {
	int ends[2];
	struct log *log;
	char line[4096];
};

static int
setup(void **state)
{
	struct tap *tap = calloc(1, sizeof(*tap));

	if (tap == NULL || pipe2(tap->ends, O_NONBLOCK) == -1)
		return -1;
	unsetenv("JOURNAL_STREAM");
	tap->log = log_new(tap->ends[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	*state = tap;
	return 0;
}

static int
teardown(void **state)
{
	struct tap *tap = *state;

	log_free(tap->log);
	if (close(tap->ends[0]) == -1 || (tap->ends[1] != -1 && close(tap->ends[1]) == -1))
		return -1;
	unsetenv("JOURNAL_STREAM");
	free(tap);
	return 0;
}

/* What was written since, "" for nothing. */
static const char *
written(struct tap *tap)
{
	ssize_t len = read(tap->ends[0], tap->line, sizeof(tap->line) - 1);

	tap->line[len > 0 ? len : 0] = '\0';
	return tap->line;
}

/* The text behind "YYYY-MM-DDTHH:MM:SS.mmmZ ", having checked that. */
static const char *
behind_time(const char *line)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] == 'd')
			assert_in_range(line[i], '0', '9');
		else
			assert_int_equal(line[i], form[i]);
	}
	return line + sizeof(form) - 1;
}

static void
test_text_line(void **state)
{
	struct tap *tap = *state;

	log_event(tap->log, LOG_LEVEL_INFO, 12564, "delivered", LOG_S("to", "a@b.example"),
		  LOG_D("left", -3), LOG_U("size", UINT64_MAX), LOG_S("absent", NULL),
		  LOG_S("reply", "250 2.0.0 ok"), LOG_S("empty", ""));
	assert_string_equal(behind_time(written(tap)),
			    "info 12564 delivered to=a@b.example left=-3 size=18446744073709551615 "
			    "reply=\"250 2.0.0 ok\" empty=\"\"\n");
	log_event(tap->log, LOG_LEVEL_WARNING, 0, "start", LOG_S("pid", "1"));
	assert_string_equal(behind_time(written(tap)), "warning - start pid=1\n");
}

/* The time is the time: within what passes between two looks at the clock, and in UTC. */
static void
test_time_is_utc(void **state)
{
	struct tap *tap = *state;
	time_t before, after, stamp;
	struct tm tm = {0};

	setenv("TZ", "Pacific/Auckland", 1);
	tzset();
	before = time(NULL);
	log_event(tap->log, LOG_LEVEL_INFO, 0, "now", LOG_S("a", "b"));
	after = time(NULL);
	assert_non_null(strptime(written(tap), "%Y-%m-%dT%H:%M:%S", &tm));
	stamp = timegm(&tm);
	unsetenv("TZ");
	tzset();
	assert_true(stamp >= before && stamp <= after);
}

static void
test_values_can_not_forge(void **state)
{
	struct tap *tap = *state;

	log_event(tap->log, LOG_LEVEL_INFO, 1, "reply",
		  LOG_S("text", "550 no\r\n2 delivered to=\"x\"\\"),
		  LOG_S("esc", "\x1b[2J\xc2\x9b"), LOG_S("eq", "a=b"), LOG_S("latin", "\xe9"),
		  LOG_S("utf8", "\xc3\xa9"));
	assert_string_equal(
	    behind_time(written(tap)),
	    "info 1 reply text=\"550 no\\x0d\\x0a2 delivered to=\\\"x\\\"\\\\\" "
	    "esc=\"\\x1b[2J\\xc2\\x9b\" eq=\"a=b\" latin=\"\\xe9\" utf8=\xc3\xa9\n");
}

static void
test_json_line(void **state)
{
	struct tap *tap = *state;
	json_t *object;
	const char *line;

	log_configure(tap->log, LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
	log_event(tap->log, LOG_LEVEL_DEBUG, 7, "reply",
		  LOG_S("text", "a\"b\\c\r\n\x01\xc2\x9b\xff\xc3\xa9"), LOG_D("left", INT64_MIN),
		  LOG_U("size", 42), LOG_S("absent", NULL));
	line = written(tap);
	assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
	assert_null(strstr(line, "\xc2\x9b"));
	object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(object);
	assert_int_equal(json_object_size(object), 7);
	assert_string_equal(json_string_value(json_object_get(object, "level")), "debug");
	assert_int_equal(json_integer_value(json_object_get(object, "id")), 7);
	assert_string_equal(json_string_value(json_object_get(object, "event")), "reply");
	assert_string_equal(json_string_value(json_object_get(object, "text")),
			    "a\"b\\c\r\n\x01\xc2\x9b\\xff\xc3\xa9");
	assert_true(json_integer_value(json_object_get(object, "left")) == INT64_MIN);
	assert_int_equal(json_integer_value(json_object_get(object, "size")), 42);
	assert_int_equal(strlen(json_string_value(json_object_get(object, "time"))), 24);
	json_decref(object);

	log_event(tap->log, LOG_LEVEL_INFO, 0, "start", LOG_S("a", "b"));
	object = json_loads(written(tap), 0, NULL);
	assert_true(json_is_null(json_object_get(object, "id")));
	json_decref(object);
}

static void
test_levels(void **state)
{
	static const char *const names[] = {"debug", "info", "notice", "warning", "error"};
	struct tap *tap = *state;
	enum log_level level;

	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(log_level_of(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_of("INFO", &level), -1);
	assert_int_equal(log_level_of("", &level), -1);

	log_configure(tap->log, LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
	log_event(tap->log, LOG_LEVEL_NOTICE, 0, "quiet", LOG_S("a", "b"));
	assert_string_equal(written(tap), "");
	assert_false(log_wants(tap->log, LOG_LEVEL_NOTICE));
	assert_true(log_wants(tap->log, LOG_LEVEL_WARNING));
	log_event(tap->log, LOG_LEVEL_ERROR, 0, "loud", LOG_S("a", "b"));
	assert_non_null(strstr(written(tap), "error - loud"));
	assert_false(log_wants(NULL, LOG_LEVEL_ERROR));
	log_event(NULL, LOG_LEVEL_ERROR, 0, "nobody", LOG_S("a", "b"));
}

/* The prefix belongs to the stream that JOURNAL_STREAM names, and to no other descriptor. */
static void
test_journal_prefix(void **state)
{
	struct tap *tap = *state;
	struct log *journal;
	struct stat st;
	char stream[64];

	assert_int_equal(fstat(tap->ends[1], &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	journal = log_new(tap->ends[1], LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	log_event(journal, LOG_LEVEL_ERROR, 9, "failed", LOG_S("why", "x"));
	assert_string_equal(written(tap), "<3>9 failed why=x\n");
	log_event(journal, LOG_LEVEL_DEBUG, 9, "seen", LOG_S("why", "x"));
	assert_string_equal(written(tap), "<7>9 seen why=x\n");
	log_configure(journal, LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
	log_event(journal, LOG_LEVEL_INFO, 9, "seen", LOG_S("why", "x"));
	assert_memory_equal(written(tap), "<6>{", 4);
	log_free(journal);

	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	journal = log_new(tap->ends[1], LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	log_event(journal, LOG_LEVEL_ERROR, 9, "failed", LOG_S("why", "x"));
	assert_string_equal(behind_time(written(tap)), "error 9 failed why=x\n");
	log_free(journal);
}

/* A descriptor that takes nothing must not stop the program. */
static void
test_failed_write_is_dropped(void **state)
{
	struct tap *tap = *state;

	assert_int_equal(close(tap->ends[1]), 0);
	log_event(tap->log, LOG_LEVEL_ERROR, 1, "lost", LOG_S("a", "b"));
	tap->ends[1] = -1;
	assert_string_equal(written(tap), "");
}

static void
test_fatal(void **state)
{
	struct tap *tap = *state;
	pid_t child = fork();
	int status;

	assert_true(child != -1);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		if (dup2(tap->ends[1], STDERR_FILENO) == -1)
			_exit(1);
		fatal("memory \x1b[1m and\n%d", 5);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_string_equal(written(tap), "memory ?[1m and?5\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_text_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_time_is_utc, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_values_can_not_forge, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_json_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_journal_prefix, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_failed_write_is_dropped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fatal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
