/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/rows and matching: cells, defaults and what is not given, rows that fail and where,
 * pieces joined, ids that come twice; rows beside a table: set, unchanged, brought back, new,
 * pruned; passwords kept, dropped, copied, missing; a table that changes between two slices; and
 * that slices of any size come to the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/matching.h"
#include "relayd/routes/rows.h"

static const unsigned usual[] = {ROWS_ID, ROUTE_DESTINATION, ROUTE_REMOTE_HOST, ROUTE_REMOTE_PORT};

/* "id destination host port", one row a line: as rows_read() takes it, but with ',' for tabs. */
static void
read_columns(struct rows *rows, const unsigned *columns, size_t count, const char *text)
{
	char *copy = xstrdup(text);
	size_t len = strlen(copy);

	for (char *c = copy; *c != '\0'; c++) {
		if (*c == ',')
			*c = '\t';
	}
	rows_read(rows, columns, count, copy, len);
	/* Secrets are gone. */
	for (size_t i = 0; i < len; i++)
		assert_int_equal(copy[i], 0);
	free(copy);
}

static struct rows
read_usual(const char *text)
{
	struct rows rows = {.items = NULL};

	read_columns(&rows, usual, 4, text);
	return rows;
}

static void
cells(void **state)
{
	struct rows rows = read_usual("7,EXAMPLE.org,Mail.example.org,2525\n"
				      ",,mail.example.org,\n"
				      "\x1a,\x1a,[2001:db8::1],\x1a\n"
				      "8,*.a.org,[2001:db8::1],25\n");

	(void)state;
	assert_int_equal(rows.failure_count, 0);
	assert_int_equal(rows.count, 4);
	assert_int_equal(rows.items[0].id, 7);
	assert_string_equal(rows.items[0].route->destination, "example.org");
	assert_string_equal(rows.items[0].route->remote_host, "mail.example.org");
	assert_int_equal(rows.items[0].route->remote_port, 2525);
	assert_int_equal(rows.items[1].id, 0);
	assert_string_equal(rows.items[1].route->destination, "*");
	assert_int_equal(rows.items[1].given, 1u << ROUTE_DESTINATION | 1u << ROUTE_REMOTE_HOST |
						  1u << ROUTE_REMOTE_PORT);
	assert_int_equal(rows.items[2].given, 1u << ROUTE_REMOTE_HOST);
	assert_string_equal(rows.items[2].route->remote_host, "2001:db8::1");
	assert_string_equal(rows.items[3].route->remote_host, "2001:db8::1");
	assert_string_equal(rows.items[3].route->destination, ".a.org");
	rows_clear(&rows);
}

static void
rows_that_fail(void **state)
{
	struct rows rows = read_usual("1,a.org,h,70000\n"
				      "x,a.org,h,25\n"
				      "0,a.org,h,25\n"
				      "2,a b,h,25\n"
				      "3,a.org,,25\n"
				      "4,a.org,h\n"
				      "5,a.org,h,25,25\n"
				      "9007199254740993,a.org,h,25\n"
				      "6,a.org,h,25\n");
	static const unsigned columns[] = {
	    ROUTE_REMOTE_PORT, ROWS_ID,      ROWS_ID,      ROUTE_DESTINATION,
	    ROUTE_REMOTE_HOST, ROWS_COLUMNS, ROWS_COLUMNS, ROWS_ID};

	(void)state;
	assert_int_equal(rows.count, 9);
	assert_int_equal(rows.failure_count, 8);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(rows.failures[i].row, i);
		assert_int_equal(rows.failures[i].column, columns[i]);
		assert_int_equal(rows.failures[i].why.code, ERROR_REFUSED);
		assert_null(rows.items[i].route);
	}
	rows_clear(&rows);
}

static void
pieces(void **state)
{
	struct rows rows = read_usual("3,a.org,h,25\n"),
		    more = read_usual("2,a.org,h,0\n1,b.org,h,25\n");
	struct rows twice = read_usual("3,c.org,h,25\n,c.org,h,25\n");

	(void)state;
	rows_join(&rows, &more);
	assert_int_equal(more.count, 0);
	assert_int_equal(rows.count, 3);
	assert_int_equal(rows.failure_count, 1);
	assert_int_equal(rows.failures[0].row, 1);
	rows_join(&rows, &twice);
	rows_seal(&rows);
	assert_int_equal(rows.by_id_count, 4);
	assert_int_equal(rows.failure_count, 2);
	assert_int_equal(rows.failures[1].row, 3);
	assert_int_equal(rows.failures[1].column, ROWS_ID);
	assert_string_equal(rows.failures[1].why.text, "the id 3 comes twice");
	rows_clear(&rows);
}

static void
columns_have_names(void **state)
{
	unsigned column;

	(void)state;
	for (unsigned i = 0; i < ROWS_COLUMNS; i++) {
		assert_int_equal(rows_column_of(rows_column_name(i), &column), 0);
		assert_int_equal(column, i);
	}
	assert_int_equal(rows_column_of("state", &column), -1);
	assert_null(rows_column_name(ROWS_COLUMNS));
}

/* ---- beside a table ---- */

static void
put(struct table *table, uint64_t id, const char *record)
{
	struct route *route = route_decode(id, record, strlen(record), NULL);

	assert_non_null(route);
	table_put(table, route);
	route_unref(route);
}

/* "~3 +0 -4 *9": set, add, delete, restore. */
static void
assert_steps(const struct change_steps *steps, const char *expected)
{
	static const char marks[] = {
	    [CHANGE_ADD] = '+', [CHANGE_SET] = '~', [CHANGE_DELETE] = '-', [CHANGE_RESTORE] = '*'};
	struct strbuf text = STRBUF_INIT;

	for (size_t i = 0; i < steps->count; i++) {
		const struct change_step *step = &steps->items[i];

		strbuf_printf(&text, "%s%c%u", i > 0 ? " " : "", marks[step->what],
			      (unsigned)(step->route != NULL ? step->route->id : step->id));
	}
	assert_string_equal(text.len > 0 ? text.data : "", expected);
	strbuf_clear(&text);
}

static struct table *
some_table(void)
{
	struct table *table = table_new();

	put(table, 1, "destination=a.org\nremote_host=h\n");
	put(table, 2, "destination=b.org\nremote_host=h\nremote_login=l\nremote_password=p\n");
	put(table, 3, "destination=c.org\nremote_host=h\ncomment=kept\n");
	put(table, 5, "destination=d.org\nremote_host=h\n");
	return table;
}

static void
what_is_to_be_done(void **state)
{
	struct table *table = some_table();
	struct rows rows = read_usual("3,c.org,h,2525\n"
				      ",e.org,h,25\n"
				      "1,a.org,H,25\n"
				      "9,f.org,h,25\n"
				      "2,b.org,h,25\n");
	struct matching *matching;
	const struct route *route;

	(void)state;
	rows_seal(&rows);
	matching = matching_new(&rows, true);
	assert_int_equal(rows.count, 0);
	assert_true(matching_slice(matching, table, 4, SIZE_MAX));
	assert_int_equal(matching_rows(matching)->failure_count, 0);
	assert_steps(matching_steps(matching), "~3 *9 +0 -5");
	route = matching_steps(matching)->items[0].route;
	assert_int_equal(route->remote_port, 2525);
	assert_string_equal(route->comment, "kept");
	matching_free(matching);
	table_free(table);
}

static void
passwords(void **state)
{
	static const unsigned columns[] = {ROWS_ID, ROUTE_REMOTE_HOST, ROUTE_REMOTE_LOGIN,
					   ROUTE_REMOTE_PASSWORD, ROWS_PASSWORD_FROM};
	struct table *table = some_table();
	struct rows rows = {.items = NULL};
	const struct change_steps *steps;
	struct matching *matching;

	(void)state;
	read_columns(&rows, columns, 5,
		     "2,h,,,\n"    /* the login goes, and the password with it */
		     "1,h,l,,2\n"  /* copied */
		     "3,h,m,q,\n"  /* given */
		     ",x,l,r,\n"); /* given, new */
	rows_seal(&rows);
	matching = matching_new(&rows, false);
	assert_true(matching_slice(matching, table, 1, SIZE_MAX));
	steps = matching_steps(matching);
	assert_steps(steps, "~1 ~2 ~3 +0");
	assert_string_equal(steps->items[0].route->remote_password, "p");
	assert_null(steps->items[1].route->remote_login);
	assert_null(steps->items[1].route->remote_password);
	assert_string_equal(steps->items[2].route->remote_password, "q");
	assert_string_equal(steps->items[3].route->remote_password, "r");
	matching_free(matching);

	rows = (struct rows){.items = NULL};
	read_columns(&rows, columns, 5,
		     "2,h,other,,\n" /* kept under another login */
		     ",h,l,,\n"      /* none */
		     ",h,l,,1\n"     /* that one has none */
		     ",h,l,,77\n"    /* that one is not there */
		     ",h,,q,\n");    /* a password without a login */
	rows_seal(&rows);
	matching = matching_new(&rows, false);
	assert_true(matching_slice(matching, table, 1, SIZE_MAX));
	assert_steps(matching_steps(matching), "~2");
	assert_int_equal(matching_rows(matching)->failure_count, 4);
	assert_int_equal(matching_rows(matching)->failures[0].column, ROUTE_REMOTE_PASSWORD);
	assert_int_equal(matching_rows(matching)->failures[1].column, ROWS_PASSWORD_FROM);
	assert_int_equal(matching_rows(matching)->failures[2].why.code, ERROR_NOT_FOUND);
	assert_int_equal(matching_rows(matching)->failures[3].row, 4);
	matching_free(matching);
	table_free(table);
}

static void
table_that_changes(void **state)
{
	struct table *table = some_table();
	struct rows rows = read_usual("1,a.org,x,25\n2,b.org,h,25\n4,n.org,h,25\n");
	struct matching *matching;

	(void)state;
	rows_seal(&rows);
	matching = matching_new(&rows, true);
	assert_false(matching_slice(matching, table, 8, 2));
	assert_steps(matching_steps(matching), "~1");
	put(table, 1, "destination=a.org\nremote_host=x\n");
	put(table, 4, "destination=n.org\nremote_host=h\nremote_port=26\n");
	assert_int_equal(table_remove(table, 5), 0);
	while (!matching_slice(matching, table, 9, 2))
		;
	assert_steps(matching_steps(matching), "~4 -3");
	matching_free(matching);
	table_free(table);
}

static void
slices_of_any_size(void **state)
{
	(void)state;
	srandom(3);
	for (int round = 0; round < 300; round++) {
		struct strbuf text = STRBUF_INIT, expected = STRBUF_INIT;
		struct table *table = table_new();

		for (unsigned id = 1; id <= 30; id++) {
			char record[80];

			snprintf(record, sizeof(record), "remote_host=h\nremote_port=%u\n",
				 26 + id % 3);
			if (random() % 3 > 0)
				put(table, id, record);
		}
		for (unsigned id = 1; id <= 40; id++) {
			if (random() % 2 == 0)
				strbuf_printf(&text, "%u,,h,%u\n", id, 26 + (unsigned)random() % 3);
			if (random() % 4 == 0)
				strbuf_puts(&text, ",,new,25\n");
		}
		if (text.len == 0)
			strbuf_puts(&text, ",,new,25\n");
		for (size_t size = 1; size < 100; size = size * 2 + 1) {
			struct rows rows = read_usual(text.data);
			struct matching *matching;
			struct strbuf found = STRBUF_INIT;

			rows_seal(&rows);
			matching = matching_new(&rows, round % 2 == 0);
			while (!matching_slice(matching, table, 5, size))
				;
			for (size_t i = 0; i < matching_steps(matching)->count; i++) {
				const struct change_step *step =
				    &matching_steps(matching)->items[i];

				strbuf_printf(
				    &found, "%d:%u:%u ", (int)step->what,
				    (unsigned)(step->route != NULL ? step->route->id : step->id),
				    step->route != NULL ? step->route->remote_port : 0);
			}
			strbuf_putc(&found, '.');
			if (expected.len == 0)
				strbuf_puts(&expected, found.data);
			assert_string_equal(found.data, expected.data);
			strbuf_clear(&found);
			matching_free(matching);
		}
		strbuf_clear(&text);
		strbuf_clear(&expected);
		table_free(table);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cells),
	    cmocka_unit_test(rows_that_fail),
	    cmocka_unit_test(pieces),
	    cmocka_unit_test(columns_have_names),
	    cmocka_unit_test(what_is_to_be_done),
	    cmocka_unit_test(passwords),
	    cmocka_unit_test(table_that_changes),
	    cmocka_unit_test(slices_of_any_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
