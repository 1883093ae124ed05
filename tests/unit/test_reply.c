/* SPDX-License-Identifier: GPL-3.0-or-later */
/* smtp/reply: whole and split replies, several lines, enhanced status codes, everything malformed or endless,
 * and the one line that is shown. */
#include "relayd/smtp/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sample {
	const char *bytes;
	int result;
	int code;
	const char *status;
	const char *text;
};

static const struct sample samples[] = {
    {"220 mail.example.org ESMTP\r\n", 1, 220, "", "mail.example.org ESMTP"},
    {"250 2.1.5 Ok\r\n", 1, 250, "2.1.5", "2.1.5 Ok"},
    {"250\r\n", 1, 250, "", ""},
    {"250 \r\n", 1, 250, "", ""},
    {"250-one\r\n250-two\r\n250 three\r\n", 1, 250, "", "one\ntwo\nthree"},
    {"550-5.1.1 no\r\n550 5.1.1 such user\r\n", 1, 550, "5.1.1", "5.1.1 no\n5.1.1 such user"},
    {"250 bare LF ends a line too\n", 1, 250, "", "bare LF ends a line too"},
    {"550 4.1.1 of another class\r\n", 1, 550, "", "4.1.1 of another class"},
    {"550 5.1234.1 too long\r\n", 1, 550, "", "5.1234.1 too long"},
    {"550 5.1 too short\r\n", 1, 550, "", "5.1 too short"},
    {"550 5.1.1\r\n", 1, 550, "5.1.1", "5.1.1"},
    {"550 5.1.1x\r\n", 1, 550, "", "5.1.1x"},
    {"250-one\r\n", 0, 0, NULL, NULL},
    {"25", 0, 0, NULL, NULL},
    {"250-one\r\n251 two\r\n", -1, 0, NULL, NULL},
    {"hello\r\n", -1, 0, NULL, NULL},
    {"\r\n", -1, 0, NULL, NULL},
    {"2500 four digits\r\n", -1, 0, NULL, NULL},
    {"199 too low\r\n", -1, 0, NULL, NULL},
    {"600 too high\r\n", -1, 0, NULL, NULL},
    {"250_odd\r\n", -1, 0, NULL, NULL},
};

/* Feed in pieces of `step` bytes, as client_data does: what is not taken is offered again. */
static int
feed(const char *bytes, size_t step, struct reply *reply)
{
	struct reply_reader reader = {0};
	size_t len = strlen(bytes), from = 0, to = 0;
	int got = 0;

	while (got == 0 && to < len) {
		size_t taken;

		to = to + step < len ? to + step : len;
		got = reply_read(&reader, bytes + from, to - from, &taken, reply);
		from += taken;
	}
	if (got == 1)
		assert_int_equal(from, len);
	reply_reader_clear(&reader);
	return got;
}

static void
test_samples(void **state)
{
	size_t i, step;

	(void)state;
	for (i = 0; i < sizeof samples / sizeof *samples; i++)
		for (step = 1; step <= 80; step++) {
			const struct sample *sample = &samples[i];
			struct reply reply = REPLY_INIT;

			assert_int_equal(feed(sample->bytes, step, &reply), sample->result);
			if (sample->result == 1) {
				assert_int_equal(reply.code, sample->code);
				assert_string_equal(reply.status, sample->status);
				assert_string_equal(reply.text.len ? reply.text.data : "", sample->text);
			}
			reply_clear(&reply);
		}
}

static void
test_two_in_one(void **state)
{
	const char *bytes = "250 first\r\n354 second\r\n";
	struct reply_reader reader = {0};
	struct reply reply = REPLY_INIT;
	size_t taken;

	(void)state;
	assert_int_equal(reply_read(&reader, bytes, strlen(bytes), &taken, &reply), 1);
	assert_int_equal(taken, 11);
	assert_int_equal(reply.code, 250);
	assert_int_equal(reply_read(&reader, bytes + 11, strlen(bytes) - 11, &taken, &reply), 1);
	assert_int_equal(reply.code, 354);
	reply_clear(&reply);
	reply_reader_clear(&reader);
}

static void
test_endless(void **state)
{
	char *line = malloc(REPLY_LINE_MAX + 2);
	struct reply_reader reader = {0};
	struct reply reply = REPLY_INIT;
	size_t taken, lines;
	int got = 0;

	(void)state;
	assert_non_null(line);
	memset(line, '2', REPLY_LINE_MAX + 2);
	assert_int_equal(reply_read(&reader, line, REPLY_LINE_MAX, &taken, &reply), 0);
	assert_int_equal(reply_read(&reader, line, REPLY_LINE_MAX + 1, &taken, &reply), -1);
	reply_reader_clear(&reader);
	for (lines = 0; got == 0 && lines < 10 * REPLY_TEXT_MAX; lines++)
		got = reply_read(&reader, "250-\r\n", 6, &taken, &reply);
	assert_int_equal(got, -1);
	reply_reader_clear(&reader);
	reply_clear(&reply);
	free(line);
}

static void
test_line_is_safe(void **state)
{
	struct strbuf line = STRBUF_INIT;
	struct reply reply = REPLY_INIT;

	(void)state;
	assert_int_equal(feed("550-5.7.1 \033[2Jno\r\n550 5.7.1 \tway\r\n", 100, &reply), 1);
	reply_line(&reply, &line);
	assert_string_equal(line.data, "550 5.7.1 \\x1b[2Jno 5.7.1  way");
	strbuf_clear(&line);
	reply_clear(&reply);
}

/* At most 400 octets, whatever has to be escaped; neither a character nor an escape is cut in two. */
static void
test_line_is_short(void **state)
{
	static const struct {
		const char *unit, *shown;
	} units[] = {{"x", "x"}, {"\033", "\\x1b"}, {"\303\251", "\303\251"}, {"\377", "\\xff"}};
	size_t i, j, k;

	(void)state;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 8; j++) {
			struct strbuf text = STRBUF_INIT, line = STRBUF_INIT;
			struct reply reply = REPLY_INIT;
			size_t len = strlen(units[i].shown), filled;

			strbuf_puts(&text, "550 ");
			for (k = 0; k < j; k++)
				strbuf_putc(&text, 'a');
			for (k = 0; k < 1000; k++)
				strbuf_puts(&text, units[i].unit);
			strbuf_puts(&text, "\r\n");
			assert_int_equal(feed(text.data, 4096, &reply), 1);
			reply_line(&reply, &line);
			assert_in_range(line.len, 397, 400);
			filled = line.len - 4 - j;
			assert_int_equal(filled % len, 0);
			for (k = 0; k < filled; k += len)
				assert_memory_equal(line.data + 4 + j + k, units[i].shown, len);
			strbuf_clear(&text);
			strbuf_clear(&line);
			reply_clear(&reply);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_samples),
	    cmocka_unit_test(test_two_in_one),
	    cmocka_unit_test(test_endless),
	    cmocka_unit_test(test_line_is_safe),
	    cmocka_unit_test(test_line_is_short),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
