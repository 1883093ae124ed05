/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * common/json_text, and its use by common/protocol: what is written is what jansson reads, what
 * jansson writes is read, and what is not a string in JSON is left to jansson, which refuses it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_text.h"
#include "common/protocol.h"

enum { LONG = 100000 };

static uint64_t
draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % below;
}

/* Text of all that needs care, and runs of what needs none. */
static void
random_text(struct strbuf *out, size_t pieces, uint64_t *seed)
{
	static const char *const special[] = {"\"",
					      "\\",
					      "\n",
					      "\t",
					      "\r",
					      "\x01",
					      "\x1f",
					      "\x7f",
					      "/",
					      "\xc3\xa9",
					      "\xe2\x82\xac",
					      "\xf0\x9f\x98\x80",
					      "\\n",
					      "\",\"lines\":\""};

	while (pieces-- > 0) {
		for (uint64_t run = draw(seed, 20); run > 0; run--)
			strbuf_putc(out, (char)(' ' + draw(seed, 95)));
		strbuf_puts(out, special[draw(seed, sizeof(special) / sizeof(special[0]))]);
	}
}

static void
written_as_jansson_reads(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (size_t i = 0; i < 3000; i++) {
		struct strbuf text = STRBUF_INIT, json = STRBUF_INIT, back = STRBUF_INIT;
		json_t *value;
		bool plain;

		strbuf_reserve(&text, 1);
		random_text(&text, i % 30, &seed);
		strbuf_putc(&json, '"');
		json_text_write(&json, text.data, text.len);
		strbuf_putc(&json, '"');
		value = json_loadb(json.data, json.len, JSON_DECODE_ANY, NULL);
		assert_non_null(value);
		assert_int_equal(json_string_length(value), text.len);
		assert_memory_equal(json_string_value(value), text.data, text.len);
		json_decref(value);
		/* And we read it. */
		assert_int_equal(json_text_read(json.data + 1, json.len - 1, &back, &plain),
				 json.len - 2);
		assert_int_equal(back.len, text.len);
		assert_memory_equal(back.data, text.data, text.len);
		strbuf_clear(&text);
		strbuf_clear(&json);
		strbuf_clear(&back);
	}
}

/* As reading ends: the text, NULL where it is not for us. */
static void
assert_read(const char *inside, const char *text, bool is_plain)
{
	struct strbuf out = STRBUF_INIT;
	bool plain;
	size_t used = json_text_read(inside, strlen(inside), &out, &plain);

	if (text == NULL) {
		assert_true(used == SIZE_MAX);
	} else {
		assert_int_equal(inside[used], '"');
		assert_string_equal(out.data, text);
		assert_int_equal(plain, is_plain);
	}
	strbuf_clear(&out);
}

static void
escapes(void **state)
{
	struct strbuf out = STRBUF_INIT;
	bool plain;

	(void)state;
	assert_read("\"", "", true);
	assert_read("a\\nb\"}", "a\nb", true);
	assert_read("\\\"\\\\\\/\"", "\"\\/", true);
	assert_read("\\b\\f\\r\\t\"", "\b\f\r\t", false);
	assert_read("\\u0041\\u000a\"", "A\n", true);
	assert_read("\\u001B\"", "\x1b", false);
	assert_read("\xc3\xa9\"", "\xc3\xa9", false);
	assert_read("\\u00e9\"", NULL, false);
	assert_read("\\u0000\"", NULL, false);
	assert_read("\\u00g1\"", NULL, false);
	assert_read("\\x\"", NULL, false);
	assert_read("a\nb\"", NULL, false);
	/* Cut anywhere: the end is missing, or half an escape is there. */
	assert_int_equal(json_text_read("abc", 3, &out, &plain), 3);
	assert_true(json_text_read("abc\\", 4, &out, &plain) == SIZE_MAX);
	assert_true(json_text_read("abc\\u00", 7, &out, &plain) == SIZE_MAX);
	assert_int_equal(json_text_read("", 0, &out, &plain), 0);
	strbuf_clear(&out);
}

static json_t *
read_reply(const struct strbuf *line)
{
	struct error why;

	/* Without the newline. */
	return protocol_read_reply(line->data, line->len - 1, 7, &why, NULL);
}

/* A result with a long "lines" there and back; `plain` or not, with other members or without. */
static void
long_lines(void **state)
{
	json_t *id = json_integer(7);
	uint64_t seed = 3;

	(void)state;
	for (int i = 0; i < 40; i++) {
		struct strbuf text = STRBUF_INIT, line = STRBUF_INIT, slow = STRBUF_INIT;
		json_t *result = json_object(), *copy, *back;

		random_text(&text, 1 + draw(&seed, 2000), &seed);
		if (i % 4 != 0) {
			json_object_set_new(result, "before", json_string("a,\"lines\":\"b"));
			json_object_set_new(result, "next", json_null());
		}
		json_object_set_new(result, "lines", json_stringn(text.data, text.len));
		if (i % 2 == 0)
			json_object_set_new(result, "after", json_integer(i));
		copy = json_deep_copy(result);
		protocol_write_result(&line, id, json_incref(result));
		/* Who gave it away may still look at it. */
		assert_true(json_equal(result, copy));
		back = read_reply(&line);
		assert_true(json_equal(back, copy));
		json_decref(back);
		/* The same from a daemon that has jansson write all of it. */
		strbuf_puts(&slow, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":");
		{
			char *dumped = json_dumps(copy, i % 3 == 0 ? JSON_ENSURE_ASCII : 0);

			strbuf_puts(&slow, dumped);
			free(dumped);
		}
		strbuf_puts(&slow, "}\n");
		back = read_reply(&slow);
		assert_true(json_equal(back, copy));
		json_decref(back);
		json_decref(copy);
		json_decref(result);
		strbuf_clear(&text);
		strbuf_clear(&line);
		strbuf_clear(&slow);
	}
	json_decref(id);
}

/* What is no reply, with a long text in it: refused as a short one is. */
static void
broken_long_lines(void **state)
{
	static const char *const frames[][2] = {
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1,\"lines\":\"", "}}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1,\"lines\":\"", "\"}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1,\"lines\":\"", "\\\"}}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1,\"lines\":\"", "\x01\"}}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1,\"lines\":\"", "\xff\"}}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":\"1,\"lines\":\"", "\"}}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{\"a\":1,\"lines\":\"", "\"}}"},
	    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1,\"lines\":\"",
	     "\",\"lines\":\"\"}}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct strbuf line = STRBUF_INIT;

		strbuf_puts(&line, frames[i][0]);
		for (size_t j = 0; j < LONG; j++)
			strbuf_putc(&line, 'x');
		strbuf_puts(&line, frames[i][1]);
		strbuf_putc(&line, '\n');
		assert_null(read_reply(&line));
		strbuf_clear(&line);
	}
}

/* Members of that name elsewhere are not taken for it. */
static void
lines_elsewhere(void **state)
{
	static const char *const own[] = {"y", "", NULL};
	struct strbuf line = STRBUF_INIT;
	json_t *result, *inner;

	(void)state;
	for (size_t i = 0; own[i] != NULL; i++) {
		strbuf_puts(&line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"in\":{\"a\":1,"
				   "\"lines\":\"");
		for (size_t j = 0; j < LONG; j++)
			strbuf_putc(&line, 'x');
		strbuf_printf(&line, "\"},\"lines\":\"%s\"}}\n", own[i]);
		result = read_reply(&line);
		assert_string_equal(json_string_value(json_object_get(result, "lines")), own[i]);
		inner = json_object_get(json_object_get(result, "in"), "lines");
		assert_int_equal(json_string_length(inner), LONG);
		json_decref(result);
		strbuf_clear(&line);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(written_as_jansson_reads),
	    cmocka_unit_test(escapes),
	    cmocka_unit_test(long_lines),
	    cmocka_unit_test(broken_long_lines),
	    cmocka_unit_test(lines_elsewhere),
	};

	return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
