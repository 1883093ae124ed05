/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/smtp/syntax and answers: where command lines end (at every cut), how they fall into parts,
 * which paths and parameters MAIL and RCPT take and what the others are refused with, and the form
 * of each answer.
 */
#include "relayd/smtp/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/xalloc.h"
#include "relayd/smtp/answers.h"

#define BYTES(text) (text), sizeof(text) - 1

static void
test_line_ends(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum syntax_line found;
		size_t used;
	} examples[] = {
	    {BYTES("NOOP\r\n"), SYNTAX_LINE_WHOLE, 6},
	    {BYTES("\r\n"), SYNTAX_LINE_WHOLE, 2},
	    {BYTES("NOOP\r\nQUIT\r\n"), SYNTAX_LINE_WHOLE, 6},
	    {BYTES("NOOP\r\n\n"), SYNTAX_LINE_WHOLE, 6},
	    {BYTES("NO\0P\r\n"), SYNTAX_LINE_WHOLE, 6},
	    {BYTES("NOOP"), SYNTAX_LINE_PART, 0},
	    {BYTES("NOOP\r"), SYNTAX_LINE_PART, 0},
	    {BYTES(""), SYNTAX_LINE_PART, 0},
	    {BYTES("NOOP\nQUIT\r\n"), SYNTAX_LINE_BARE, 5},
	    {BYTES("NOOP\rQUIT\r\n"), SYNTAX_LINE_BARE, 5},
	    {BYTES("NOOP\r\r\n"), SYNTAX_LINE_BARE, 5},
	    {BYTES("NOOP\n\r\n"), SYNTAX_LINE_BARE, 5},
	    {BYTES("\n"), SYNTAX_LINE_BARE, 1},
	    {BYTES("NOOP\r\0\n"), SYNTAX_LINE_BARE, 5},
	};
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		assert_int_equal(syntax_line(examples[i].bytes, examples[i].len, &used),
				 examples[i].found);
		assert_int_equal(used, examples[i].used);
		/* With less of it the answer is the same, or that more is needed. */
		for (size_t len = 0; len < examples[i].len; len++) {
			enum syntax_line found = syntax_line(examples[i].bytes, len, &used);

			assert_true(found == SYNTAX_LINE_PART ||
				    (found == examples[i].found && used == examples[i].used));
		}
	}
}

static void
test_line_length(void **state)
{
	char *line = xmalloc(SYNTAX_LINE_MAX * 2);
	size_t used;
	bool ended;

	(void)state;
	memset(line, 'x', SYNTAX_LINE_MAX * 2);
	assert_int_equal(syntax_line(line, SYNTAX_LINE_MAX - 1, &used), SYNTAX_LINE_PART);
	assert_int_equal(syntax_line(line, SYNTAX_LINE_MAX, &used), SYNTAX_LINE_TOO_LONG);
	assert_int_equal(used, SYNTAX_LINE_MAX);
	memcpy(line + SYNTAX_LINE_MAX - 2, "\r\n", 2);
	assert_int_equal(syntax_line(line, SYNTAX_LINE_MAX * 2, &used), SYNTAX_LINE_WHOLE);
	/* One octet more; the CR is left for the skipping to see. */
	memcpy(line + SYNTAX_LINE_MAX - 2, "x\r\n", 3);
	assert_int_equal(syntax_line(line, SYNTAX_LINE_MAX * 2, &used), SYNTAX_LINE_TOO_LONG);
	assert_int_equal(used, SYNTAX_LINE_MAX - 1);
	assert_int_equal(syntax_skip_line(line + used, SYNTAX_LINE_MAX, &ended), 2);
	assert_true(ended);
	free(line);
}

static void
test_skipping(void **state)
{
	static const char line[] = "rest\n\r\rof \n\n\r it\r\nQUIT\r\n";
	size_t end = (size_t)(strstr(line, "\r\nQUIT") - line) + 2, used;
	bool ended;

	(void)state;
	for (size_t cut = 0; cut <= end; cut++) {
		used = syntax_skip_line(line, cut, &ended);
		assert_int_equal(ended, cut == end);
		if (!ended) {
			used += syntax_skip_line(line + used, sizeof(line) - 1 - used, &ended);
			assert_true(ended);
		}
		assert_int_equal(used, end);
	}
}

static void
test_splitting(void **state)
{
	static const struct {
		const char *line;
		size_t len;
		enum answer refusal;
		const char *verb;
		const char *argument;
	} examples[] = {
	    {BYTES("NOOP"), ANSWER_NONE, "NOOP", ""},
	    {BYTES("noop  \t"), ANSWER_NONE, "noop", ""},
	    {BYTES("MAIL FROM:<> SIZE=1 "), ANSWER_NONE, "MAIL", "FROM:<> SIZE=1"},
	    {BYTES("HELO   a b"), ANSWER_NONE, "HELO", "a b"},
	    {BYTES("HELO \xc3\xa4"), ANSWER_NONE, "HELO", "\xc3\xa4"},
	    {BYTES(""), ANSWER_NONE, "", ""},
	    {BYTES(" NOOP"), ANSWER_NONE, "", "NOOP"},
	    {BYTES("NO\0OP"), ANSWER_CONTROLS, NULL, NULL},
	    {BYTES("NOOP\0"), ANSWER_CONTROLS, NULL, NULL},
	    {BYTES("NOOP \tx"), ANSWER_CONTROLS, NULL, NULL},
	    {BYTES("HELO \x1b[2J"), ANSWER_CONTROLS, NULL, NULL},
	    {BYTES("HELO \x7f"), ANSWER_CONTROLS, NULL, NULL},
	};
	struct syntax_command command;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		assert_int_equal(syntax_split(examples[i].line, examples[i].len, &command),
				 examples[i].refusal);
		if (examples[i].refusal != ANSWER_NONE)
			continue;
		assert_int_equal(command.verb_len, strlen(examples[i].verb));
		assert_memory_equal(command.verb, examples[i].verb, command.verb_len);
		assert_int_equal(command.argument_len, strlen(examples[i].argument));
		assert_memory_equal(command.argument, examples[i].argument, command.argument_len);
	}
	syntax_split(BYTES("qUiT"), &command);
	assert_true(syntax_is_verb(&command, "QUIT"));
	assert_false(syntax_is_verb(&command, "QUI"));
	assert_false(syntax_is_verb(&command, "QUITS"));
}

static void
test_mail(void **state)
{
	static const struct {
		const char *argument;
		enum answer refusal;
		const char *sender;
		uint64_t size; /* 1: none */
		bool is_8bit;
	} examples[] = {
	    {"FROM:<a@example.org>", ANSWER_NONE, "a@example.org", 1, false},
	    {"from:<a@EXAMPLE.org>", ANSWER_NONE, "a@example.org", 1, false},
	    {"FROM: <a@example.org>", ANSWER_NONE, "a@example.org", 1, false},
	    {"FROM:<>", ANSWER_NONE, "", 1, false},
	    {"FROM:<> SIZE=0", ANSWER_NONE, "", 0, false},
	    {"FROM:<> SIZE=00000000000000000512", ANSWER_NONE, "", 512, false},
	    {"FROM:<> SIZE=18446744073709551615", ANSWER_NONE, "", UINT64_MAX, false},
	    {"FROM:<> SIZE=99999999999999999999", ANSWER_NONE, "", UINT64_MAX, false},
	    {"FROM:<> BODY=8BITMIME", ANSWER_NONE, "", 1, true},
	    {"FROM:<>  body=7bit  size=7", ANSWER_NONE, "", 7, false},
	    {"FROM:<\"a b\"@example.org>", ANSWER_NONE, "\"a b\"@example.org", 1, false},
	    {"FROM:<\"a>b\"@example.org>", ANSWER_NONE, "\"a>b\"@example.org", 1, false},
	    {"FROM:<\"a\\\"> b\"@example.org> SIZE=3", ANSWER_NONE, "\"a\\\"> b\"@example.org", 3,
	     false},
	    {"FROM:<\"ab\"@example.org>", ANSWER_NONE, "ab@example.org", 1, false},
	    {"FROM:<a@[192.0.2.1]>", ANSWER_NONE, "a@[192.0.2.1]", 1, false},
	    {"FROM:<a@[IPv6:2001:DB8::1]>", ANSWER_NONE, "a@[IPv6:2001:db8::1]", 1, false},
	    {"FROM:<@b.example,@c.example:a@example.org>", ANSWER_NONE, "a@example.org", 1, false},

	    {"", ANSWER_NOT_A_FROM, NULL, 1, false},
	    {"FROM", ANSWER_NOT_A_FROM, NULL, 1, false},
	    {"TO:<a@example.org>", ANSWER_NOT_A_FROM, NULL, 1, false},
	    {"FROM <a@example.org>", ANSWER_NOT_A_FROM, NULL, 1, false},
	    {"FROM:", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:a@example.org", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<a@example.org", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<a@example.org>>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<<a@example.org>>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<a@example.org>SIZE=1", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<a>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<postmaster>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<a@>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<@example.org>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:< >", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<\"a@example.org>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<@b.example:>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<@b.example a@example.org>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<@b.example,c.example:a@example.org>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<@:a@example.org>", ANSWER_BAD_SENDER, NULL, 1, false},
	    {"FROM:<\xc3\xa4@example.org>", ANSWER_BAD_SENDER, NULL, 1, false},

	    {"FROM:<> SIZE", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=-1", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=1x", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=1=2", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=000000000000000000001", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=1 SIZE=1", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> BODY", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> BODY=BINARYMIME", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> =1", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> -X=1", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> X=\xff", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> <x>", ANSWER_BAD_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZES=1", ANSWER_UNKNOWN_PARAMETER, NULL, 1, false},
	    {"FROM:<> SIZE=1 SMTPUTF8", ANSWER_UNKNOWN_PARAMETER, NULL, 1, false},
	    {"FROM:<> NOTIFY=NEVER", ANSWER_UNKNOWN_PARAMETER, NULL, 1, false},
	    {"FROM:<a@b@c> SIZE=x", ANSWER_BAD_PARAMETER, NULL, 1, false},
	};
	struct syntax_mail mail;
	enum answer refusal;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		refusal = syntax_mail(examples[i].argument, strlen(examples[i].argument), &mail);
		if (refusal != examples[i].refusal)
			fail_msg("MAIL %s: %d", examples[i].argument, (int)refusal);
		if (refusal != ANSWER_NONE)
			continue;
		assert_string_equal(mail.sender, examples[i].sender);
		assert_int_equal(mail.has_size, examples[i].size != 1);
		if (mail.has_size)
			assert_true(mail.size == examples[i].size);
		assert_int_equal(mail.is_8bit, examples[i].is_8bit);
		free(mail.sender);
	}
}

static void
test_rcpt(void **state)
{
	static const struct {
		const char *argument;
		enum answer refusal;
		const char *recipient;
	} examples[] = {
	    {"TO:<a@Example.ORG>", ANSWER_NONE, "a@example.org"},
	    {"to: <A@example.org>", ANSWER_NONE, "A@example.org"},
	    {"TO:<postmaster>", ANSWER_NONE, "postmaster"},
	    {"TO:<PostMaster>", ANSWER_NONE, "postmaster"},
	    {"TO:<PostMaster@example.org>", ANSWER_NONE, "PostMaster@example.org"},
	    {"TO:<@relay.example:a@example.org>", ANSWER_NONE, "a@example.org"},
	    {"TO:<a%other.example@example.org>", ANSWER_NONE, "a%other.example@example.org"},
	    {"TO:<other.example!a@example.org>", ANSWER_NONE, "other.example!a@example.org"},
	    {"TO:<\"a@other.example\"@example.org>", ANSWER_NONE,
	     "\"a@other.example\"@example.org"},
	    {"TO:<a@[10.0.0.1]>", ANSWER_NONE, "a@[10.0.0.1]"},

	    {"", ANSWER_NOT_A_TO, NULL},
	    {"FROM:<a@example.org>", ANSWER_NOT_A_TO, NULL},
	    {"TO:<>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<a>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<other!a>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<@b.example:postmaster>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<a@b@c>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<a b@example.org>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:a@example.org", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<@a.example,@b.example:>", ANSWER_BAD_RECIPIENT, NULL},
	    {"TO:<a@example.org> SIZE=1", ANSWER_UNKNOWN_PARAMETER, NULL},
	    {"TO:<a@example.org> ORCPT=rfc822;a@example.org", ANSWER_UNKNOWN_PARAMETER, NULL},
	};
	struct syntax_rcpt rcpt;
	enum answer refusal;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		refusal = syntax_rcpt(examples[i].argument, strlen(examples[i].argument), &rcpt);
		if (refusal != examples[i].refusal)
			fail_msg("RCPT %s: %d", examples[i].argument, (int)refusal);
		if (refusal != ANSWER_NONE)
			continue;
		assert_string_equal(rcpt.recipient, examples[i].recipient);
		free(rcpt.recipient);
	}
}

/* Bytes that mean something, in random order: nothing may be read outside of the argument (a
 * sanitizer watches), and what is accepted holds no character that could leave a command line. */
static void
test_random_paths(void **state)
{
	static const char pieces[] = "<>@,:\"\\ a.[]1=\xffSIZE-%!";
	struct syntax_rcpt rcpt;
	struct syntax_mail mail;
	const char *start;
	char *copy;
	size_t len;

	(void)state;
	srandom(7);
	for (unsigned round = 0; round < 200000; round++) {
		start = round % 2 == 0 ? "TO:<" : "FROM:<";
		len = strlen(start) + (size_t)random() % 24;
		copy = xmalloc(len);
		memcpy(copy, start, strlen(start));
		for (size_t i = strlen(start); i < len; i++)
			copy[i] = pieces[(size_t)random() % (sizeof(pieces) - 1)];
		if (round % 2 == 0 && syntax_rcpt(copy, len, &rcpt) == ANSWER_NONE) {
			assert_null(strpbrk(rcpt.recipient, "\r\n"));
			free(rcpt.recipient);
		} else if (round % 2 == 1 && syntax_mail(copy, len, &mail) == ANSWER_NONE) {
			assert_null(strpbrk(mail.sender, "\r\n"));
			free(mail.sender);
		}
		free(copy);
	}
}

/* "250 2.0.0 Text\r\n": one line, the status of the code's own class (RFC 2034 §4). */
static void
test_answers(void **state)
{
	struct strbuf out = STRBUF_INIT;
	const char *line;

	(void)state;
	for (int answer = ANSWER_NONE + 1; answer <= ANSWER_LAST; answer++) {
		strbuf_reset(&out);
		answer_put((enum answer)answer, "mx.example.org", &out);
		line = out.data;
		assert_true(strlen(line) <= 512);
		assert_ptr_equal(strstr(line, "\r\n"), line + out.len - 2);
		assert_int_equal(strtoul(line, NULL, 10), answer_code((enum answer)answer));
		assert_int_equal(answer_is_refusal((enum answer)answer), line[0] >= '4');
		assert_int_equal(line[3], ' ');
		if (answer != ANSWER_START_DATA) {
			assert_int_equal(line[4], line[0]);
			assert_int_equal(line[5], '.');
		}
		assert_int_equal(strstr(line, "mx.example.org") != NULL,
				 answer_code((enum answer)answer) == 421);
	}
	assert_false(answer_is_refusal(ANSWER_NONE));
	strbuf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_line_ends),    cmocka_unit_test(test_line_length),
	    cmocka_unit_test(test_skipping),     cmocka_unit_test(test_splitting),
	    cmocka_unit_test(test_mail),         cmocka_unit_test(test_rcpt),
	    cmocka_unit_test(test_random_paths), cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
