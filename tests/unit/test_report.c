/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/report: one report is made durable, with the header of the message it is about and nothing
 * of its text; also of a message whose header has no end, or that can't be read any more; canceled
 * at any moment. (What a report says is test_bounce's; that recipients wait for it is
 * test_queue's.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/queue/report.h"
#include "tests/unit/mail_fixture.h"

static const char *const to[] = {"never@a.example", "well@a.example", "nor@a.example", NULL};

struct result {
	unsigned calls;
	struct envelope *made;
	struct error why;
};

static void
done(void *ctx, struct envelope *made, const struct error *why)
{
	struct result *result = ctx;

	assert_true((made == NULL) == (why != NULL));
	result->calls++;
	result->made = made;
	if (why != NULL)
		result->why = *why;
}

static bool
is_done(void *ctx)
{
	const struct result *result = ctx;

	return result->calls > 0;
}

static struct report *
begin(struct mail *mail, const struct envelope *env, struct result *result)
{
	char first[] = "550 5.1.1 never", third[] = "554 nor";
	struct recipient_fate fates[3] = {
	    {.fate = FATE_FAILED, .status = "5.1.1", .reply = first, .from_remote = true},
	    {.fate = FATE_DELIVERED, .status = "2.0.0"},
	    {.fate = FATE_FAILED, .status = "5.0.0", .reply = third}};
	const struct report_options options = {
	    .loop = mail->loop, .spool = mail->spool, .hostname = "relay.test"};

	memset(result, 0, sizeof *result);
	/* The fates are copied: ours are gone with the return. */
	return report_new(&options, env, fates, done, result);
}

struct text {
	struct strbuf bytes;
	bool whole;
};

static void
got(void *ctx, const char *bytes, size_t len, const struct error *why)
{
	struct text *text = ctx;

	assert_null(why);
	strbuf_append(&text->bytes, bytes, len);
	text->whole = len == 0;
}

/* The whole of a message in the spool; owned by the caller. */
static char *
read_message(struct mail *mail, const struct envelope *env)
{
	struct spool_reader *reader = spool_reader_new(mail->spool, env, NULL);
	struct text text = {.bytes = STRBUF_INIT};

	assert_non_null(reader);
	while (!text.whole) {
		spool_reader_next(reader, got, &text);
		offload_finish(mail->offload);
	}
	spool_reader_free(reader);
	return strbuf_take(&text.bytes);
}

static char *
report_text(struct mail *mail, const struct envelope *env)
{
	struct result result;
	char *text;

	(void)begin(mail, env, &result);
	assert_int_equal(result.calls, 0);
	mail_until(mail, is_done, &result);
	assert_int_equal(result.calls, 1);
	assert_non_null(result.made);
	assert_string_equal(result.made->sender, "");
	assert_int_equal(result.made->recipient_count, 1);
	assert_string_equal(result.made->recipients[0].address, env->sender);
	assert_null(result.made->login);
	assert_true(result.made->id > env->id);
	assert_int_equal(result.made->next_attempt_ms, 0);
	text = read_message(mail, result.made);
	assert_int_equal(result.made->size, strlen(text));
	assert_non_null(strstr(text, "never@a.example"));
	assert_non_null(strstr(text, "nor@a.example"));
	assert_null(strstr(text, "well@a.example"));
	spool_finish(mail->spool, result.made);
	envelope_free(result.made);
	return text;
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

static void
test_header(void **state)
{
	static const char body[] =
	    "Received: here\r\nSubject: a word\r\n\r\nSecret: text\r\n\r\nmore\r\n";
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", body, to);
	char *text = report_text(mail, env);

	assert_non_null(strstr(text, "\r\n\r\nReceived: here\r\nSubject: a word\r\n\r\n--"));
	assert_null(strstr(text, "Secret"));
	free(text);
	/* From the disk as from memory. */
	spool_forget_memory(mail->spool, env);
	text = report_text(mail, env);
	assert_non_null(strstr(text, "\r\n\r\nReceived: here\r\nSubject: a word\r\n\r\n--"));
	assert_null(strstr(text, "Secret"));
	free(text);
	envelope_free(env);
}

/* No text at all: the header ends with the message. */
static void
test_header_alone(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", "Subject: all\r\n", to);
	char *text = report_text(mail, env);

	assert_non_null(strstr(text, "\r\n\r\nSubject: all\r\n\r\n--"));
	free(text);
	envelope_free(env);
	env = mail_commit(mail, "s@example.org", "", to);
	text = report_text(mail, env);
	assert_non_null(strstr(text, "text/rfc822-headers\r\n\r\n\r\n--"));
	free(text);
	envelope_free(env);
}

/* Larger than what is taken along: cut between two lines, whatever the size of the pieces it is
 * read in. */
static void
test_long_header(void **state)
{
	struct mail *mail = *state;
	size_t sizes[] = {60 * 1024, 300 * 1024}, i;

	for (i = 0; i < 2; i++) {
		struct strbuf body = STRBUF_INIT;
		struct envelope *env;
		char *text;
		const char *end;

		while (body.len < sizes[i])
			strbuf_printf(&body, "X-Number-%06zu: %s\r\n", body.len,
				      "a header among many");
		strbuf_puts(&body, "\r\nthe text\r\n");
		env = mail_commit(mail, "s@example.org", body.data, to);
		spool_forget_memory(mail->spool, env);
		text = report_text(mail, env);
		assert_true(strlen(text) < 70 * 1024);
		assert_null(strstr(text, "the text"));
		assert_non_null(strstr(text, "X-Number-000000: "));
		end = strstr(text, "X-Number-");
		while (strstr(end + 1, "X-Number-") != NULL)
			end = strstr(end + 1, "X-Number-");
		assert_memory_equal(end + 15, ": a header among many\r\n\r\n--", 27);
		free(text);
		envelope_free(env);
		strbuf_clear(&body);
	}
}

/* The message is gone: its sender is told all the same. */
static void
test_unreadable(void **state)
{
	struct mail *mail = *state;
	struct strbuf body = STRBUF_INIT;
	struct envelope *env;
	char *path, *text;

	strbuf_puts(&body, "Subject: gone\r\n\r\n");
	while (body.len < 200 * 1024)
		strbuf_puts(&body, "a line of it\r\n");
	env = mail_commit(mail, "s@example.org", body.data, to);
	path = xasprintf("%s/spool/large/%llu", mail->dir, (unsigned long long)env->id);
	assert_int_equal(truncate(path, 5), 0);
	text = report_text(mail, env);
	assert_null(strstr(text, "Subject: gone"));
	free(text);
	assert_int_equal(unlink(path), 0);
	text = report_text(mail, env);
	assert_null(strstr(text, "Subject: gone"));
	free(text);
	free(path);
	strbuf_clear(&body);
	envelope_free(env);
}

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
test_full_disk(void **state)
{
	struct mail *mail = *state;
	struct envelope *env = mail_commit(mail, "s@example.org", "Subject: x\r\n\r\nx\r\n", to);
	struct result result;

	(void)signal(SIGXFSZ, SIG_IGN);
	limit_files(1);
	(void)begin(mail, env, &result);
	mail_until(mail, is_done, &result);
	limit_files(RLIM_INFINITY);
	assert_int_equal(result.calls, 1);
	assert_null(result.made);
	assert_int_equal(result.why.code, ERROR_STORAGE);
	envelope_free(env);
}

/* At every moment, then the spool is closed: no call; what is found afterwards is the message, and
 * the report whole or not at all. */
static void
test_cancel(void **state)
{
	static const char body[] = "Subject: x\r\n\r\nx\r\n";
	int rounds, i;

	(void)state;
	for (rounds = 0; rounds < 8; rounds++) {
		struct mail *mail = mail_new();
		struct envelope *env;
		struct report *report;
		struct result result;
		unsigned calls;
		size_t found;

		mail_open(mail);
		env = mail_commit(mail, "s@example.org", body, to);
		if (rounds % 2 == 0)
			spool_forget_memory(mail->spool, env);
		report = begin(mail, env, &result);
		for (i = 0; i < rounds / 2 && result.calls == 0; i++)
			assert_int_equal(loop_once(mail->loop, 0), 0);
		calls = result.calls;
		if (calls == 0)
			report_cancel(report);
		envelope_free(env);
		mail_close(mail);
		assert_int_equal(result.calls, calls);
		envelope_free(result.made);

		mail_open(mail);
		assert_in_range(mail->found_count, 1, 2);
		for (found = 0; found < mail->found_count; found++)
			envelope_free(mail->found[found]);
		mail_close(mail);
		mail_free(mail);
	}
	report_cancel(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_header, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_header_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_long_header, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	    cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
