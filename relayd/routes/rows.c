/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/rows.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/routes/change_steps.h"

/* Neighbours often agree on a value: what it came to is not worked out twice. */
struct memory {
	char *cell;
	char *value;
};

struct reading {
	struct rows *rows;
	const unsigned *columns;
	size_t column_count;
	struct memory host;
};

int
rows_column_of(const char *name, unsigned *column)
{
	enum route_field field;

	if (route_field_of(name, &field) == 0)
		*column = field;
	else if (strcmp(name, "id") == 0)
		*column = ROWS_ID;
	else if (strcmp(name, "remote_password_from") == 0)
		*column = ROWS_PASSWORD_FROM;
	else
		return -1;
	return 0;
}

const char *
rows_column_name(unsigned column)
{
	if (column < ROUTE_FIELDS)
		return route_field_name((enum route_field)column);
	if (column == ROWS_COLUMNS)
		return NULL;
	return column == ROWS_ID ? "id" : "remote_password_from";
}

void
rows_fail(struct rows *rows, size_t row, unsigned column, const struct error *why)
{
	if (rows->failure_count < ROWS_FAILURES)
		rows->failures[rows->failure_count] =
		    (struct row_failure){.row = row, .column = column, .why = *why};
	rows->failure_count++;
}

static struct row *
append(struct rows *rows)
{
	if (rows->count == rows->room) {
		rows->room = rows->room > 0 ? rows->room * 2 : 256;
		rows->items = xreallocarray(rows->items, rows->room, sizeof(rows->items[0]));
	}
	rows->items[rows->count] = (struct row){.id = 0};
	return &rows->items[rows->count++];
}

/* ---- cells ---- */

static int
set_id(uint64_t *id, const char *cell, struct error *why)
{
	uint64_t value = 0;

	for (const char *c = cell; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || value > CHANGE_ID_MAX)
			return error_set(why, ERROR_REFUSED, "a route id is a number");
		value = value * 10 + (uint64_t)(*c - '0');
	}
	if (value > CHANGE_ID_MAX || (value == 0 && *cell != '\0'))
		return error_set(why, ERROR_REFUSED, "a route id is a number from 1 up");
	*id = value;
	return 0;
}

/* As route_set(), but a host that is written as in the row before is only copied. */
static int
set_host(struct reading *reading, struct route *route, const char *cell, struct error *why)
{
	struct memory *memory = &reading->host;

	if (memory->cell != NULL && strcmp(memory->cell, cell) == 0) {
		route_drop_text(route, route->remote_host);
		route->remote_host = xstrdup(memory->value);
		return 0;
	}
	if (route_set(route, ROUTE_REMOTE_HOST, cell, why) != 0)
		return -1;
	free(memory->cell);
	free(memory->value);
	memory->cell = xstrdup(cell);
	memory->value = xstrdup(route->remote_host);
	return 0;
}

static int
set_cell(struct reading *reading, struct row *row, unsigned column, const char *cell,
	 struct error *why)
{
	if (strcmp(cell, ROWS_ABSENT) == 0)
		return 0;
	if (column == ROWS_ID)
		return set_id(&row->id, cell, why);
	if (column == ROWS_PASSWORD_FROM)
		return set_id(&row->password_of, cell, why);
	/* No password is none to be set: the one that the route has stays. */
	if (column == ROUTE_REMOTE_PASSWORD && *cell == '\0')
		return 0;
	row->given |= 1u << column;
	if (column == ROUTE_REMOTE_HOST)
		return set_host(reading, row->route, cell, why);
	return route_set(row->route, (enum route_field)column, cell, why);
}

static int
check_whole(const struct row *row, unsigned *column, struct error *why)
{
	*column = ROUTE_REMOTE_HOST;
	if (row->route->remote_host == NULL)
		return error_set(why, ERROR_REFUSED, "a route needs a remote host");
	*column = ROWS_PASSWORD_FROM;
	if (row->password_of != 0 && (row->given & 1u << ROUTE_REMOTE_PASSWORD) != 0)
		return error_set(
		    why, ERROR_REFUSED,
		    "remote_password and remote_password_from: only one password is needed");
	return 0;
}

/* One line, whose '\n' is a NUL by now. */
static void
read_row(struct reading *reading, char *line)
{
	struct rows *rows = reading->rows;
	size_t number = rows->count, at = 0;
	struct row *row = append(rows);
	struct route *whole;
	unsigned column = ROWS_COLUMNS;
	struct error why;
	char *end;
	int rc = 0;

	row->route = route_new();
	for (; rc == 0 && line != NULL; line = end != NULL ? end + 1 : NULL) {
		end = strchr(line, '\t');
		if (end != NULL)
			*end = '\0';
		column = at < reading->column_count ? reading->columns[at] : ROWS_COLUMNS;
		if (column == ROWS_COLUMNS)
			rc = error_set(&why, ERROR_REFUSED, "more cells than columns");
		else
			rc = set_cell(reading, row, column, line, &why);
		at++;
	}
	if (rc == 0 && at < reading->column_count) {
		column = ROWS_COLUMNS;
		rc = error_set(&why, ERROR_REFUSED, "fewer cells than columns");
	}
	if (rc == 0)
		rc = check_whole(row, &column, &why);
	if (rc != 0) {
		rows_fail(rows, number, column, &why);
		route_unref(row->route);
		row->route = NULL;
		return;
	}
	/* In one block. */
	whole = route_copy(row->route);
	route_unref(row->route);
	row->route = whole;
	whole->id = row->id;
}

void
rows_read(struct rows *rows, const unsigned *columns, size_t column_count, char *text, size_t len)
{
	struct reading reading = {.rows = rows, .columns = columns, .column_count = column_count};
	char *end;

	for (char *line = text; line < text + len; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + len - line));
		if (end == NULL)
			end = text + len;
		*end = '\0';
		read_row(&reading, line);
	}
	free(reading.host.cell);
	free(reading.host.value);
	explicit_bzero(text, len);
}

/* ---- all of them ---- */

void
rows_join(struct rows *rows, struct rows *more)
{
	size_t before = rows->count, count = rows->count + more->count;

	if (count > rows->room) {
		rows->room = count > rows->room * 2 ? count : rows->room * 2;
		rows->items = xreallocarray(rows->items, rows->room, sizeof(rows->items[0]));
	}
	if (more->count > 0)
		memcpy(rows->items + before, more->items, more->count * sizeof(more->items[0]));
	rows->count = count;
	for (size_t i = 0; i < more->failure_count && i < ROWS_FAILURES; i++)
		rows_fail(rows, before + more->failures[i].row, more->failures[i].column,
			  &more->failures[i].why);
	if (more->failure_count > ROWS_FAILURES)
		rows->failure_count += more->failure_count - ROWS_FAILURES;
	more->count = 0;
	rows_clear(more);
}

static int
by_id_and_place(const void *left, const void *right, void *items)
{
	const struct row *rows = items;
	size_t a = *(const size_t *)left, b = *(const size_t *)right;

	if (rows[a].id != rows[b].id)
		return rows[a].id < rows[b].id ? -1 : 1;
	return a < b ? -1 : a > b;
}

void
rows_seal(struct rows *rows)
{
	struct error why;
	bool sorted = true;
	size_t count = 0;

	rows->by_id = xcalloc(rows->count, sizeof(rows->by_id[0]));
	for (size_t i = 0; i < rows->count; i++) {
		if (rows->items[i].id == 0)
			continue;
		sorted = sorted &&
			 (count == 0 || rows->items[rows->by_id[count - 1]].id < rows->items[i].id);
		rows->by_id[count++] = i;
	}
	rows->by_id_count = count;
	if (sorted)
		return;
	qsort_r(rows->by_id, count, sizeof(rows->by_id[0]), by_id_and_place, rows->items);
	for (size_t i = 1; i < count; i++) {
		size_t before = rows->by_id[i - 1], at = rows->by_id[i];

		if (rows->items[before].id != rows->items[at].id)
			continue;
		error_set(&why, ERROR_REFUSED, "the id %" PRIu64 " comes twice",
			  rows->items[at].id);
		rows_fail(rows, at, ROWS_ID, &why);
	}
}

void
rows_clear(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		route_unref(rows->items[i].route);
	free(rows->items);
	free(rows->by_id);
	*rows = (struct rows){.items = NULL};
}
