/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Growing and consuming bytes: contents against a plain model over a long random run, the NUL
 * behind the live bytes, taking, escaping of what would drive a terminal; and the sentences of
 * struct error. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

static void
test_append_and_take(void **state)
{
	struct strbuf buf = STRBUF_INIT;
	char *text;

	(void)state;
	strbuf_puts(&buf, "one");
	strbuf_putc(&buf, ' ');
	strbuf_append(&buf, "two\0three", 9);
	strbuf_printf(&buf, " %d %s", 4, "five");
	assert_int_equal(buf.len, 20);
	assert_memory_equal(buf.data, "one two\0three 4 five", 21);
	strbuf_consume(&buf, 8);
	text = strbuf_take(&buf);
	assert_string_equal(text, "three 4 five");
	assert_int_equal(buf.len, 0);
	free(text);
	text = strbuf_take(&buf);
	assert_string_equal(text, "");
	free(text);
	strbuf_clear(&buf);
}

static void
test_printf_longer_than_the_room(void **state)
{
	struct strbuf buf = STRBUF_INIT;
	char *wide = xmalloc(5001);

	(void)state;
	memset(wide, 'x', 5000);
	wide[5000] = '\0';
	for (size_t len = 0; len < 200; len++) {
		strbuf_clear(&buf);
		strbuf_printf(&buf, "%.*s", (int)len, wide);
		assert_int_equal(buf.len, len);
		strbuf_printf(&buf, "%s|", wide);
		assert_int_equal(buf.len, len + 5001);
		assert_int_equal(buf.data[buf.len - 1], '|');
		assert_int_equal(buf.data[buf.len], '\0');
	}
	strbuf_clear(&buf);
	free(wide);
}

/* A ring of known bytes: what goes in is a counter, and the same counter must come out. */
static void
test_random_appends_and_consumes(void **state)
{
	struct strbuf buf = STRBUF_INIT;
	unsigned char in = 0, out = 0;
	uint32_t seed = 12345;
	size_t len;
	char *room;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		seed = seed * 1664525 + 1013904223;
		len = seed >> 16 & 0x1ff;
		if ((seed >> 30) != 0) {
			room = strbuf_reserve(&buf, len);
			for (size_t i = 0; i < len; i++)
				room[i] = (char)in++;
			strbuf_grew(&buf, len);
		}
		len = (seed >> 8 & 0x3ff) < buf.len ? (seed >> 8 & 0x3ff) : buf.len;
		for (size_t i = 0; i < len; i++)
			assert_int_equal((unsigned char)buf.data[i], out++);
		strbuf_consume(&buf, len);
		assert_int_equal(buf.len % 256, (unsigned char)(in - out));
		if (buf.data != NULL)
			assert_int_equal(buf.data[buf.len], '\0');
	}
	strbuf_clear(&buf);
	assert_null(buf.data);
}

/* What passes through must not stay allocated behind it. */
static void
test_memory_stays_bounded(void **state)
{
	struct strbuf buf = STRBUF_INIT;
	char piece[1000];

	(void)state;
	memset(piece, 'p', sizeof(piece));
	strbuf_append(&buf, piece, sizeof(piece));
	for (int round = 0; round < 10000; round++) {
		strbuf_append(&buf, piece, sizeof(piece));
		strbuf_consume(&buf, sizeof(piece));
	}
	assert_int_equal(buf.len, sizeof(piece));
	assert_true(buf.room <= 16 * sizeof(piece));
	strbuf_clear(&buf);
}

static void
test_truncate_and_reset(void **state)
{
	struct strbuf buf = STRBUF_INIT;

	(void)state;
	strbuf_truncate(&buf, 0);
	strbuf_reset(&buf);
	strbuf_puts(&buf, "abcdef");
	strbuf_consume(&buf, 2);
	strbuf_truncate(&buf, 2);
	assert_string_equal(buf.data, "cd");
	strbuf_reset(&buf);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf.offset, 0);
	assert_string_equal(buf.data, "");
	strbuf_clear(&buf);
}

static void
assert_escaped(const char *text, size_t len, const char *expected)
{
	struct strbuf buf = STRBUF_INIT;

	strbuf_append(&buf, "", 0);
	strbuf_escaped(&buf, text, len);
	assert_string_equal(buf.data, expected);
	strbuf_clear(&buf);
}

static void
test_decimal(void **state)
{
	struct strbuf buf = STRBUF_INIT;

	(void)state;
	strbuf_decimal(&buf, 0);
	strbuf_putc(&buf, ' ');
	strbuf_decimal(&buf, 1000);
	strbuf_putc(&buf, ' ');
	strbuf_decimal(&buf, UINT64_MAX);
	assert_string_equal(buf.data, "0 1000 18446744073709551615");
	strbuf_clear(&buf);
}

static void
test_escaped(void **state)
{
	(void)state;
	assert_escaped("plain text = \"fine\" \\", 21, "plain text = \"fine\" \\");
	assert_escaped("a\0b", 3, "a\\x00b");
	assert_escaped("\x1b[2J\r\n\t\x7f", 8, "\\x1b[2J\\x0d\\x0a\\x09\\x7f");
	assert_escaped("gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80", 13,
		       "gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80");
	/* C1, and the override of the text's direction. */
	assert_escaped("\xc2\x9b", 2, "\\xc2\\x9b");
	assert_escaped("\xe2\x80\xae", 3, "\\xe2\\x80\\xae");
	/* Latin-1, cut short, overlong, a surrogate, above U+10FFFF. */
	assert_escaped("\xfc!", 2, "\\xfc!");
	assert_escaped("\xe2\x82", 2, "\\xe2\\x82");
	assert_escaped("\xc0\xaf", 2, "\\xc0\\xaf");
	assert_escaped("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");
	assert_escaped("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80");
}

static void
test_error_sentences(void **state)
{
	struct error why;
	char wide[1300];

	(void)state;
	assert_int_equal(error_set(&why, ERROR_NOT_FOUND, "no route %d", 42), -1);
	assert_int_equal(why.code, ERROR_NOT_FOUND);
	assert_int_equal(why.sys, 0);
	assert_string_equal(why.text, "no route 42");
	error_prefix(&why, "step %d", 3);
	assert_string_equal(why.text, "step 3: no route 42");
	assert_int_equal(why.code, ERROR_NOT_FOUND);
	error_set(&why, ERROR_REFUSED, "again: %s", why.text);
	assert_string_equal(why.text, "again: step 3: no route 42");

	errno = ENOSPC;
	error_sys(&why, ERROR_STORAGE, "write %s", "a\nb");
	assert_int_equal(why.sys, ENOSPC);
	assert_string_equal(why.text, "write a\\x0ab: No space left on device");

	/* Cut at a character's edge: 511 is odd, and each of these has two bytes. */
	for (size_t i = 0; i + 1 < sizeof(wide); i += 2)
		memcpy(wide + i, "\xc3\xa9", 2);
	wide[1298] = '\0';
	error_set(&why, ERROR_REFUSED, "%s", wide);
	assert_int_equal(strlen(why.text), 510);

	assert_int_equal(error_set(NULL, ERROR_BUG, "nobody asks"), -1);
	errno = EIO;
	assert_int_equal(error_sys(NULL, ERROR_BUG, "nobody asks"), -1);
	assert_int_equal(error_prefix(NULL, "nobody asks"), -1);
}

static void
test_error_names_are_one_to_one(void **state)
{
	static const enum error_code codes[] = {ERROR_NONE,      ERROR_DIFFERS,   ERROR_USAGE,
						ERROR_NOT_FOUND, ERROR_CONFLICT,  ERROR_REFUSED,
						ERROR_DENIED,    ERROR_NO_DAEMON, ERROR_TIMEOUT,
						ERROR_STORAGE,   ERROR_BUG};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(error_code_of(error_name(codes[i])), codes[i]);
	assert_string_equal(error_name(ERROR_NOT_FOUND), "not_found");
	assert_int_equal(error_code_of("nonsense"), ERROR_BUG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_append_and_take),
	    cmocka_unit_test(test_printf_longer_than_the_room),
	    cmocka_unit_test(test_random_appends_and_consumes),
	    cmocka_unit_test(test_memory_stays_bounded),
	    cmocka_unit_test(test_truncate_and_reset),
	    cmocka_unit_test(test_decimal),
	    cmocka_unit_test(test_escaped),
	    cmocka_unit_test(test_error_sentences),
	    cmocka_unit_test(test_error_names_are_one_to_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
