/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What commands print: every format of -o for some rows, for none, for one object; quoting of CSV;
 * tables that fit their width, cut with '~' by the width of characters; hostile text made harmless;
 * a full disk and a reader that has gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "console/grid.h"
#include "console/output.h"

static void
cell_both(const json_t *row, struct strbuf *out)
{
	output_value(json_object_get(row, "name"), out);
	strbuf_puts(out, "/");
	output_value(json_object_get(row, "size"), out);
}

static const struct output_column columns[] = {
    {.title = "ID", .member = "id", .right = true},
    {.title = "NAME", .member = "name"},
    {.title = "BOTH", .cell = cell_both, .wide = true},
};

static const char *const members[] = {"id", "name", "size", "on", NULL};

static const struct output_kind list_kind = {"test.things/1", "things", members, columns, 3,
						     cell_both};
static const struct output_kind object_kind = {"test.thing/1", NULL, members, columns, 3, NULL};

static char *
contents(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc((size_t)size + 1, 1);

	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	return text;
}

/* The rows of a JSON array, in a format. */
static void
assert_printed(const struct output_style *style, const struct output_kind *kind, const char *rows,
	       const char *expected)
{
	json_t *array = json_loads(rows, 0, NULL);
	int fd = memfd_create("output", MFD_CLOEXEC);
	struct output *output;
	const json_t *row;
	struct error why;
	char *text;
	size_t i;

	assert_non_null(array);
	output = output_new(fd, style, kind, kind->list != NULL ? 412 : -1);
	json_array_foreach(array, i, row)
	{
		output_text(output, "line\n", 5);
		output_row(output, row);
	}
	assert_int_equal(output_end(output, &why), 0);
	text = contents(fd);
	assert_string_equal(text, expected);
	free(text);
	json_decref(array);
}

static const char rows[] = "[{\"id\":1,\"name\":\"one\",\"size\":null,\"on\":true},"
			   "{\"id\":12,\"name\":\"a \\\"b\\\", c\\td\",\"size\":7,\"on\":false}]";

static void
test_formats(void **state)
{
	(void)state;
	assert_printed(&(struct output_style){OUTPUT_TEXT, NULL, 80, false}, &list_kind, rows,
		       "line\nline\n");
	assert_printed(&(struct output_style){OUTPUT_TABLE, NULL, 80, false}, &list_kind, rows,
		       "ID  NAME\n"
		       " 1  one\n"
		       "12  a \"b\", c\\x09d\n");
	assert_printed(&(struct output_style){OUTPUT_WIDE, NULL, 80, false}, &list_kind, rows,
		       "ID  NAME           BOTH\n"
		       " 1  one            one/\n"
		       "12  a \"b\", c\\x09d  a \"b\", c\\x09d/7\n");
	assert_printed(&(struct output_style){OUTPUT_JSON, NULL, 80, false}, &list_kind, rows,
		       "{\"schema\":\"test.things/1\",\"revision\":412,\"things\":[\n"
		       "{\"id\":1,\"name\":\"one\",\"size\":null,\"on\":true},\n"
		       "{\"id\":12,\"name\":\"a \\\"b\\\", c\\td\",\"size\":7,\"on\":false}\n]}\n");
	assert_printed(&(struct output_style){OUTPUT_JSONL, NULL, 80, false}, &list_kind, rows,
		       "{\"id\":1,\"name\":\"one\",\"size\":null,\"on\":true}\n"
		       "{\"id\":12,\"name\":\"a \\\"b\\\", c\\td\",\"size\":7,\"on\":false}\n");
	assert_printed(&(struct output_style){OUTPUT_CSV, NULL, 80, false}, &list_kind, rows,
		       "id,name,size,on\r\n"
		       "1,one,,true\r\n"
		       "12,\"a \"\"b\"\", c\\x09d\",7,false\r\n");
	assert_printed(&(struct output_style){OUTPUT_TSV, NULL, 80, false}, &list_kind, rows,
		       "id\tname\tsize\ton\n"
		       "1\tone\t\ttrue\n"
		       "12\t\"a \"\"b\"\", c\\x09d\"\t7\tfalse\n");
	assert_printed(&(struct output_style){OUTPUT_ID, NULL, 80, false}, &list_kind, rows, "1\n12\n");
}

static void
test_empty(void **state)
{
	(void)state;
	assert_printed(&(struct output_style){OUTPUT_TEXT, NULL, 80, false}, &list_kind, "[]", "");
	assert_printed(&(struct output_style){OUTPUT_TABLE, NULL, 80, false}, &list_kind, "[]",
		       "ID  NAME\n");
	assert_printed(&(struct output_style){OUTPUT_JSON, NULL, 80, false}, &list_kind, "[]",
		       "{\"schema\":\"test.things/1\",\"revision\":412,\"things\":[]}\n");
	assert_printed(&(struct output_style){OUTPUT_JSONL, NULL, 80, false}, &list_kind, "[]", "");
	assert_printed(&(struct output_style){OUTPUT_CSV, NULL, 80, false}, &list_kind, "[]",
		       "id,name,size,on\r\n");
	assert_printed(&(struct output_style){OUTPUT_ID, NULL, 80, false}, &list_kind, "[]", "");
}

static void
test_object(void **state)
{
	(void)state;
	assert_printed(&(struct output_style){OUTPUT_JSON, NULL, 80, false}, &object_kind,
		       "[{\"id\":1,\"name\":\"one\"}]",
		       "{\"schema\":\"test.thing/1\",\"id\":1,\"name\":\"one\"}\n");
	assert_printed(&(struct output_style){OUTPUT_CSV, NULL, 80, false}, &object_kind,
		       "[{\"id\":1,\"name\":\"one\"}]", "id,name,size,on\r\n1,one,,\r\n");
}

static void
test_colour(void **state)
{
	(void)state;
	assert_printed(&(struct output_style){OUTPUT_TABLE, NULL, 80, true}, &list_kind,
		       "[{\"id\":1,\"name\":\"x\"}]", "\033[1mID  NAME\033[0m\n 1  x\n");
	assert_printed(&(struct output_style){OUTPUT_TEXT, NULL, 80, true}, &list_kind, "[{\"id\":1}]",
		       "line\n");
	assert_printed(&(struct output_style){OUTPUT_CSV, NULL, 80, true}, &list_kind, "[{\"id\":1}]",
		       "id,name,size,on\r\n1,,,\r\n");
}

/* ESC, CSI as one character, DEL, and a mark that turns the direction of text. */
static void
test_hostile(void **state)
{
	static const char hostile[] =
	    "[{\"id\":1,\"name\":\"\\u001b[2J\\u009bm\\u007f\\u202e\\u00e9\"}]";

	(void)state;
	assert_printed(&(struct output_style){OUTPUT_JSONL, NULL, 80, false}, &list_kind, hostile,
		       "{\"id\":1,\"name\":\"\\u001B[2J\\u009bm\\u007f\\u202e\xc3\xa9\"}\n");
	assert_printed(
	    &(struct output_style){OUTPUT_CSV, NULL, 80, false}, &list_kind, hostile,
	    "id,name,size,on\r\n1,\\x1b[2J\\xc2\\x9bm\\x7f\\xe2\\x80\\xae\xc3\xa9,,\r\n");
	assert_printed(&(struct output_style){OUTPUT_TABLE, NULL, 80, false}, &list_kind, hostile,
		       "ID  NAME\n 1  \\x1b[2J\\xc2\\x9bm\\x7f\\xe2\\x80\\xae\xc3\xa9\n");
}

static void
test_fits_width(void **state)
{
	static const struct grid_column three[] = {{"ID", true}, {"LEFT", false}, {"RIGHT", false}};
	const char *const row[] = {"1", "abcdefghijklmnopqrst", "0123456789"};
	struct strbuf out = STRBUF_INIT;
	struct grid *grid;

	(void)state;
	/* 2 + 2 + 20 + 2 + 10 columns are 36: into 36 they go whole, into 28 the longest is cut. */
	grid = grid_new(three, 3, 36, false);
	grid_row(grid, row, &out);
	grid_end(grid, &out);
	assert_string_equal(out.data, "ID  LEFT                  RIGHT\n"
				      " 1  abcdefghijklmnopqrst  0123456789\n");
	strbuf_reset(&out);
	grid = grid_new(three, 3, 28, false);
	grid_row(grid, row, &out);
	grid_end(grid, &out);
	assert_string_equal(out.data, "ID  LEFT          RIGHT\n"
				      " 1  abcdefghijk~  0123456789\n");
	strbuf_reset(&out);
	/* Narrower than any table can be: the line itself is cut. */
	grid = grid_new(three, 3, 10, false);
	grid_row(grid, row, &out);
	grid_end(grid, &out);
	assert_string_equal(out.data, "ID  LEFT ~\n 1  abc~ ~\n");
	strbuf_clear(&out);
}

/* A character of two columns is not halved, and a combining mark stays with its letter. */
static void
test_wide_characters(void **state)
{
	static const struct grid_column one[] = {{"NAME", false}};
	const char *const row[] = {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97"};
	const char *const combined[] = {"e\xcc\x81"
					"e\xcc\x81"
					"e\xcc\x81"
					"e\xcc\x81"
					"e\xcc\x81"
					"e\xcc\x81"};
	struct strbuf out = STRBUF_INIT;
	struct grid *grid;

	(void)state;
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		skip();
	assert_int_equal(grid_width(row[0]), 8);
	assert_int_equal(grid_width(combined[0]), 6);
	grid = grid_new(one, 1, 6, false);
	grid_row(grid, row, &out);
	grid_end(grid, &out);
	/* Two characters are four columns, a third would make six, and '~' needs one. */
	assert_string_equal(out.data, "NAME\n\xe6\xbc\xa2\xe5\xad\x97~\n");
	strbuf_reset(&out);
	grid = grid_new(one, 1, 4, false);
	grid_row(grid, combined, &out);
	grid_end(grid, &out);
	assert_string_equal(out.data, "NAME\ne\xcc\x81"
				      "e\xcc\x81"
				      "e\xcc\x81~\n");
	strbuf_clear(&out);
	setlocale(LC_CTYPE, "C");
}

/* A table as long as you like is written while it comes. */
static void
test_streams(void **state)
{
	const struct output_style style = {OUTPUT_TABLE, NULL, 80, false};
	int fd = memfd_create("output", MFD_CLOEXEC);
	json_t *row = json_pack("{s:i, s:s}", "id", 1, "name", "a");
	struct output *output = output_new(fd, &style, &list_kind, 1);
	struct error why;
	char *text;

	(void)state;
	for (int i = 0; i < 20000; i++)
		output_row(output, row);
	assert_true(lseek(fd, 0, SEEK_END) > 50000);
	/* Wider than all that decided on the width. */
	json_object_set_new(row, "name", json_string("abcdef"));
	output_row(output, row);
	assert_int_equal(output_end(output, &why), 0);
	text = contents(fd);
	assert_non_null(strstr(text, " 1  abc~\n"));
	free(text);
	json_decref(row);
}

static void
assert_write_fails(int fd, int sys)
{
	const struct output_style style = {OUTPUT_ID, NULL, 80, false};
	struct output *output = output_new(fd, &style, &list_kind, 1);
	json_t *row = json_pack("{s:i}", "id", 1234567);
	struct error why = {0};

	for (int i = 0; i < 20000 && !output_failed(output); i++)
		output_row(output, row);
	assert_true(output_failed(output));
	assert_int_equal(output_end(output, &why), -1);
	assert_int_equal(why.code, ERROR_STORAGE);
	assert_int_equal(why.sys, sys);
	json_decref(row);
	close(fd);
}

static void
test_write_fails(void **state)
{
	int ends[2];

	(void)state;
	assert_write_fails(open("/dev/full", O_WRONLY | O_CLOEXEC), ENOSPC);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_write_fails(ends[1], EPIPE);
}

static void
test_abandoned(void **state)
{
	const struct output_style style = {OUTPUT_JSON, NULL, 80, false};
	int fd = memfd_create("output", MFD_CLOEXEC);
	struct output *output = output_new(fd, &style, &list_kind, 1);
	json_t *row = json_pack("{s:i}", "id", 1);
	char *text;

	(void)state;
	output_row(output, row);
	output_abandon(output);
	text = contents(fd);
	assert_string_equal(text, "");
	free(text);
	json_decref(row);
}

static void
test_template(void **state)
{
	static const char hostile[] = "[{\"id\":1,\"name\":\"a\\u001bb\",\"size\":null}]";
	static const struct {
		const char *text, *said;
	} wrong[] = {
	    {"{nam}", "no field {nam}. Did you mean {name}?"},
	    {"{colour}", "there are id, name, size, on"},
	    {"{}", "no field {}"},
	    {"{id", "not closed"},
	    {"id}", "closes nothing"},
	    {"\\x", "behind a backslash"},
	    {"x\\", "behind a backslash"},
	};
	struct output_style style = {.format = OUTPUT_TEMPLATE};
	struct error why;

	(void)state;
	style.template = "{id}\\t<{name}>{size} \\\\ {{{id}}}\\n";
	assert_int_equal(output_style_check(&style, &list_kind, &why), 0);
	assert_printed(&style, &list_kind, hostile, "1\t<a\\x1bb> \\ {1}\n");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		style.template = wrong[i].text;
		assert_int_equal(output_style_check(&style, &list_kind, &why), -1);
		assert_int_equal(why.code, ERROR_USAGE);
		if (strstr(why.text, wrong[i].said) == NULL)
			fail_msg("%s: %s", wrong[i].text, why.text);
	}
	assert_int_equal(output_style_check(&style, NULL, &why), -1);
}

static void
test_commands(void **state)
{
	struct output_style style = {.format = OUTPUT_COMMANDS};
	struct error why;

	(void)state;
	assert_int_equal(output_style_check(&style, &list_kind, &why), 0);
	assert_int_equal(output_style_check(&style, &object_kind, &why), -1);
	assert_int_equal(why.code, ERROR_USAGE);
	assert_int_equal(output_style_check(&style, NULL, &why), -1);
	style.format = OUTPUT_CSV;
	assert_int_equal(output_style_check(&style, NULL, &why), 0);
}

static void
test_names(void **state)
{
	struct output_style style = {0};

	(void)state;
	assert_int_equal(output_style_set(&style, "jsonl"), 0);
	assert_int_equal(style.format, OUTPUT_JSONL);
	assert_int_equal(output_style_set(&style, "JSON"), -1);
	assert_int_equal(output_style_set(&style, ""), -1);
	assert_int_equal(output_style_set(&style, "template"), -1);
	assert_int_equal(output_style_set(&style, "template={id}"), 0);
	assert_int_equal(style.format, OUTPUT_TEMPLATE);
	assert_string_equal(style.template, "{id}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_template),        cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_formats),         cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_object),          cmocka_unit_test(test_colour),
	    cmocka_unit_test(test_hostile),         cmocka_unit_test(test_fits_width),
	    cmocka_unit_test(test_wide_characters), cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_write_fails),     cmocka_unit_test(test_abandoned),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
