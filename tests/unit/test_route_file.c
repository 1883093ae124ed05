/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * console/route_file with its CSV and its JSON, and console/line_words: values as they stand and as
 * they are quoted or escaped, what is given and what is not, where each begins, forms told from
 * each other, files without rows, the place of what is wrong, and damaged files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "console/line_words.h"
#include "console/route_file.h"

/* As if it was a file. */
static void
open_text(struct route_file *file, const char *text, size_t len)
{
	char path[] = "/tmp/test_route_file.XXXXXX";
	struct session session = {.in = -1};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
	assert_int_equal(route_file_open(file, &session, path, FILE_ANY, NULL), 0);
	assert_int_equal(unlink(path), 0);
}

/* All rows: cells in the order of the columns, "-" for one that is not given, rows end in '/'. */
static char *
read_rows(const char *text, struct route_file *file, int *rc, struct error *why)
{
	struct route_cell cells[FILE_COLUMNS];
	struct strbuf out = STRBUF_INIT;

	open_text(file, text, strlen(text));
	strbuf_puts(&out, "");
	*rc = route_file_begin(file, why);
	while (*rc == 0 && (*rc = route_file_next(file, cells, why)) > 0) {
		for (unsigned i = 0; i < FILE_COLUMNS; i++) {
			if (!cells[i].given)
				continue;
			strbuf_printf(&out, "%s=", route_file_column(i));
			strbuf_append(&out, cells[i].text, cells[i].len);
			strbuf_putc(&out, ';');
		}
		strbuf_putc(&out, '/');
		*rc = 0;
	}
	return strbuf_take(&out);
}

static void
assert_rows(const char *text, const char *expected)
{
	struct route_file file;
	struct error why;
	char *rows;
	int rc;

	rows = read_rows(text, &file, &rc, &why);
	assert_int_equal(rc, 0);
	assert_string_equal(rows, expected);
	free(rows);
	route_file_close(&file);
}

static void
csv(void **state)
{
	(void)state;
	assert_rows("remote_host,comment\na,b\n", "remote_host=a;comment=b;/");
	assert_rows("comment,remote_host\r\n\"b, \"\"c\"\"\",a\r\n,\"\"\r\n",
		    "remote_host=a;comment=b, \"c\";/remote_host=;comment=;/");
	assert_rows("\xef\xbb\xbfremote_host,state,comment\n\n\r\na,up,\"x\ny\"",
		    "remote_host=a;comment=x\ny;/");
	/* What only describes may have quotes too, and texts in other cells keep their places. */
	assert_rows("comment,state,remote_login,remote_host\n\"\"\"1\",\"\"\"2\",\"3\"\"\",h\n",
		    "remote_host=h;remote_login=3\";comment=\"1;/");
	assert_rows("remote_host\tcomment\na\tb,\"c\n", "remote_host=a;comment=b,\"c;/");
	assert_rows("remote_host\n", "");
	assert_rows("id,remote_host,remote_password_from\n7,a,@x\n",
		    "remote_host=a;id=7;remote_password_from=@x;/");
}

static void
json(void **state)
{
	(void)state;
	assert_rows(
	    "{\"schema\":\"x\",\"revision\":3,\"routes\":[\n{\"id\":1,\"remote_host\":\"a\"},"
	    "\n{\"remote_host\":\"b\",\"comment\":null}\n],\"more\":[1,{}]}\n",
	    "remote_host=a;id=1;/remote_host=b;comment=;/");
	assert_rows(
	    " [ { \"remote_host\" : \"a\" , \"enabled\" : false , \"remote_port\" : 25 } ] ",
	    "remote_host=a;remote_port=25;enabled=false;/");
	assert_rows("{\"remote_host\":\"a\",\"shared_with\":[1,[2]],\"state\":\"\\\"\"}\n"
		    "{\"remote_host\":\"b\"}\n\n",
		    "remote_host=a;/remote_host=b;/");
	assert_rows(
	    "[{\"remote_host\":\"\\u00fc\\ud834\\udd1e\\n\\\\\",\"comment\":\"\\/x\",\"user\":"
	    "\"u\"}]",
	    "remote_host=\xc3\xbc\xf0\x9d\x84\x9e\n\\;user=u;comment=/x;/");
	assert_rows("[]", "");
	assert_rows("{\"routes\":[]}", "");
	assert_rows("[{}]", "/");
	/* One route whose members come in any order is no document. */
	assert_rows("{\"revision\":4,\"remote_host\":\"a\"}", "remote_host=a;/");
}

static const struct wrong {
	const char *text;
	size_t line, column;
	const char *said;
} wrongs[] = {
    {"", 1, 1, "no header"},
    {"remote_hast\n", 1, 1, "Did you mean 'remote_host'?"},
    {"remote_host,zzzzzz\n", 1, 13, "no member 'zzzzzz'"},
    {"comment\nx\n", 1, 1, "no column remote_host"},
    {"remote_host,comment\n\xc3\xa9,\"x", 2, 3, "quotes are not closed"},
    {"remote_host,comment\na,\"x\"y\n", 2, 6, "follows the quotes"},
    {"remote_host,comment\na,b\nc\n", 3, 1, "1 values for 2 columns"},
    {"[{\"remote_host\":\"a\"},]", 1, 22, "'{' is missing"},
    {"[{\"remote_host\":\"a\n\"}]", 1, 17, "not closed on its line"},
    {"[{\"remote_host\":\"\\x\"}]", 1, 18, "unknown escape"},
    {"[{\"remote_host\":}]", 1, 17, "a value is missing"},
    {"[{\"remote_host\":5}]", 1, 17, "wrong type"},
    {"[{\"priority\":\"5\",\"remote_port\":tru}]", 1, 32, "wrong type"},
    {"[{\"state\":tru}]", 1, 11, "unknown word"},
    {"[{\"state\":[1,2}]", 1, 15, "not JSON"},
    {"[{\"remote_host\":\"a\"}]\n{}", 2, 1, "something follows"},
    {"{\"routes\":[]", 1, 13, "not JSON"},
    {"{\"routes\":[]} x", 1, 15, "something follows"},
};

static void
places_of_what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct route_file file;
		struct error why = {.code = ERROR_NONE};
		size_t line, column;
		char *rows;
		int rc;

		print_message("%s\n", wrongs[i].text);
		rows = read_rows(wrongs[i].text, &file, &rc, &why);
		assert_int_equal(rc, -1);
		assert_non_null(strstr(why.text, wrongs[i].said));
		route_file_place(&file, file.failed_at, &line, &column);
		assert_int_equal(line, wrongs[i].line);
		assert_int_equal(column, wrongs[i].column);
		free(rows);
		route_file_close(&file);
	}
}

/* Cut anywhere, and with any byte changed: an answer, whatever it is, and no access beyond. */
static void
damaged(void **state)
{
	static const char *const texts[] = {
	    "remote_host,comment,state\n\"a\"\"b\",\"c\",d\r\ne,f,\"g\"\n",
	    "{\"routes\":[{\"id\":1,\"remote_host\":\"\\ud834\\udd1e\",\"x\":[{}]},{\"enabled\":"
	    "true}]}",
	};
	struct error why;

	(void)state;
	srandom(12);
	for (int round = 0; round < 3000; round++) {
		char *text = xstrdup(texts[round % 2]);
		size_t len = strlen(text);
		struct route_file file = {.name = NULL};
		struct route_cell cells[FILE_COLUMNS];

		text[(size_t)random() % len] = "\",\n{}[]\\u0\xff"[random() % 11];
		len = round % 3 == 0 ? (size_t)random() % (len + 1) : len;
		file.text = xstrndup(text, len);
		file.len = len;
		file.format = round % 2 == 0 ? FILE_CSV : FILE_JSON;
		if (route_file_begin(&file, &why) == 0) {
			while (route_file_next(&file, cells, &why) > 0)
				;
		}
		assert_true(file.failed_at <= len);
		route_file_close(&file);
		free(text);
	}
}

/* ---- words ---- */

static void
assert_words(const char *line, const char *expected)
{
	struct line_words words;
	struct strbuf text = STRBUF_INIT;
	struct error why;
	size_t column;

	assert_int_equal(line_words_split(line, strlen(line), &words, &column, &why), 0);
	for (size_t i = 0; i < words.count; i++)
		strbuf_printf(&text, "%zu:%s|", words.columns[i], words.words[i]);
	assert_string_equal(text.len > 0 ? text.data : "", expected);
	assert_null(words.words[words.count]);
	strbuf_clear(&text);
	line_words_clear(&words);
}

static void
words(void **state)
{
	struct line_words words;
	struct error why;
	size_t column;

	(void)state;
	assert_words("", "");
	assert_words("  # nothing", "");
	assert_words("add -d a.org\t-rh x\r", "1:add|5:-d|8:a.org|14:-rh|18:x|");
	assert_words("a#b #c d", "1:a#b|");
	assert_words("'a b'c\"d e\" ''", "1:a bcd e|13:|");
	assert_words("\"a\\\"b\\\\c\\d\" 'e\\f' \\# g\\ h", "1:a\"b\\c\\d|13:e\\f|19:#|22:g h|");
	assert_words("\xc3\xa9\xc3\xa9 x \\", "1:\xc3\xa9\xc3\xa9|4:x|6:\\|");
	assert_words("1 2 3 4 5 6 7 8 9 10", "1:1|3:2|5:3|7:4|9:5|11:6|13:7|15:8|17:9|19:10|");

	assert_int_equal(line_words_split("a b\"c d", 7, &words, &column, &why), -1);
	assert_int_equal(column, 4);
	line_words_clear(&words);
	assert_int_equal(line_words_split("a\0b", 3, &words, &column, &why), -1);
	line_words_clear(&words);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(csv),
	    cmocka_unit_test(json),
	    cmocka_unit_test(places_of_what_is_wrong),
	    cmocka_unit_test(damaged),
	    cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
