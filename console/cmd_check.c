/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `tmail routes check`: of the table, or of a file of routes that is not imported yet. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "console/cmd_probe.h"
#include "console/pages.h"
#include "console/route_file.h"
#include "console/route_rows.h"

enum { PAGE_ROUTES = 2000, FILE_MOST = 10000 };

static void
cell_id(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "id"), "-", out);
}

static const struct output_column columns[] = {
    {.title = "SEVERITY", .member = "severity"},
    {.title = "ROUTE", .cell = cell_id, .right = true},
    {.title = "LINE", .member = "line", .right = true, .wide = true},
    {.title = "CHECK", .member = "check", .wide = true},
    {.title = "FINDING", .member = "text"},
};

static const char *const members[] = {"severity", "id", "line", "check", "text", "other", NULL};

const struct output_kind cmd_check_kind = {
    .schema = "tmail.check/1",
    .list = "findings",
    .members = members,
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
};

/* What the answers are made into. */
struct checking {
	const char *file; /* NULL: the table */
	size_t *lines;    /* of the file's routes, by their places */
	json_t **ids;     /* as the file has them; NULL: none */
	size_t count;
	size_t counted_to, line; /* newlines are counted once */
};

static void
put_finding(struct output *output, const json_t *finding, const char *file)
{
	struct strbuf line = STRBUF_INIT;

	output_value(json_object_get(finding, "severity"), &line);
	if (file != NULL) {
		strbuf_printf(&line, ": %s:", file);
		output_value(json_object_get(finding, "line"), &line);
	} else {
		strbuf_puts(&line, ": route ");
		output_value(json_object_get(finding, "id"), &line);
	}
	strbuf_puts(&line, ": ");
	output_value(json_object_get(finding, "text"), &line);
	strbuf_putc(&line, '\n');
	output_text(output, line.data, line.len);
	output_row(output, finding);
	strbuf_clear(&line);
}

/* ---- the table ---- */

static int
check_table(struct session *session, size_t *found, struct error *why)
{
	struct output *output = NULL;
	const json_t *finding, *next;
	json_int_t after = 0;
	json_t *reply;
	size_t i;

	do {
		reply = session_call(session, "routes.check",
				     json_pack("{s:I, s:i}", "after", after, "limit", PAGE_ROUTES),
				     false, why);
		if (reply == NULL) {
			if (output != NULL)
				output_abandon(output);
			return -1;
		}
		if (output == NULL)
			output = output_new(session->out, &session->style, &cmd_check_kind,
					    json_integer_value(json_object_get(reply, "revision")));
		json_array_foreach(json_object_get(reply, "findings"), i, finding)
		{
			json_object_set_new((json_t *)(uintptr_t)finding, "line", json_null());
			put_finding(output, finding, NULL);
			++*found;
		}
		next = json_object_get(reply, "next");
		after = json_is_integer(next) ? json_integer_value(next) : -1;
		json_decref(reply);
	} while (after >= 0 && !output_failed(output));
	return output_end(output, why);
}

/* ---- a file ---- */

static int
fail_at(const struct route_file *file, size_t at, struct error *why)
{
	size_t line, column;

	route_file_place(file, at, &line, &column);
	return error_prefix(why, "%s:%zu:%zu", file->name, line, column);
}

/* A row as a route, and where it stands. */
static json_t *
take_row(struct checking *checking, const struct route_file *file, const struct route_cell *cells)
{
	json_t *route = json_object();
	size_t at = SIZE_MAX;

	checking->lines = xreallocarray(checking->lines, checking->count + 1, sizeof(size_t));
	checking->ids = xreallocarray(checking->ids, checking->count + 1, sizeof(json_t *));
	checking->ids[checking->count] = NULL;
	for (unsigned i = 0; i < FILE_COLUMNS; i++) {
		if (!cells[i].given)
			continue;
		if (cells[i].at < at)
			at = cells[i].at;
		if (i < ROUTE_FIELDS)
			json_object_set_new(route, route_file_column(i),
					    json_stringn(cells[i].text, cells[i].len));
		else if (i == FILE_ID)
			checking->ids[checking->count] = json_stringn(cells[i].text, cells[i].len);
	}
	for (; at != SIZE_MAX && checking->counted_to < at; checking->counted_to++)
		checking->line += file->text[checking->counted_to] == '\n';
	checking->lines[checking->count++] = checking->line + 1;
	return route;
}

static json_t *
read_file(struct checking *checking, struct route_file *file, struct error *why)
{
	struct route_cell cells[FILE_COLUMNS];
	json_t *routes = json_array();
	int more;

	if (route_file_begin(file, why) != 0) {
		fail_at(file, file->failed_at, why);
		goto failed;
	}
	while ((more = route_file_next(file, cells, why)) == 1) {
		if (checking->count == FILE_MOST) {
			error_set(why, ERROR_REFUSED,
				  "%s: a file of more than %d routes can't be checked before it is "
				  "imported",
				  file->name, FILE_MOST);
			goto failed;
		}
		json_array_append_new(routes, take_row(checking, file, cells));
	}
	if (more == 0)
		return routes;
	fail_at(file, file->failed_at, why);
failed:
	json_decref(routes);
	return NULL;
}

static json_t *
file_id(const struct checking *checking, json_int_t place)
{
	const json_t *id = checking->ids[place - 1];

	if (id == NULL || json_string_length(id) == 0)
		return json_null();
	return json_integer(strtoll(json_string_value(id), NULL, 10));
}

/* The daemon counts the routes; the file has lines, and maybe ids. */
static void
place_finding(const struct checking *checking, json_t *finding)
{
	json_int_t place = json_integer_value(json_object_get(finding, "id"));
	json_int_t other = json_integer_value(json_object_get(finding, "other"));
	const char *text = json_string_value(json_object_get(finding, "text"));

	if (place < 1 || (size_t)place > checking->count || (size_t)other > checking->count)
		return;
	json_object_set_new(finding, "line", json_integer((json_int_t)checking->lines[place - 1]));
	json_object_set_new(finding, "id", file_id(checking, place));
	if (other < 1)
		return;
	json_object_set_new(finding, "text",
			    json_sprintf("%s (line %zu)", text, checking->lines[other - 1]));
	json_object_set_new(finding, "other", file_id(checking, other));
}

/* "routes[17]: ..." is of no use to somebody who has a file. */
static void
place_error(const struct checking *checking, struct error *why)
{
	size_t place;
	int end = 0;
	struct error said = *why;

	if (sscanf(why->text, "routes[%zu]: %n", &place, &end) != 1 || end == 0 ||
	    place >= checking->count)
		return;
	error_set(why, said.code, "%s:%zu: %s", checking->file, checking->lines[place],
		  said.text + end);
}

static int
check_rows(struct session *session, struct checking *checking, json_t *routes, size_t *found,
	   struct error *why)
{
	struct output *output;
	const json_t *finding;
	json_t *reply;
	size_t i;

	reply =
	    session_call(session, "routes.check", json_pack("{s:o}", "routes", routes), false, why);
	if (reply == NULL) {
		place_error(checking, why);
		return -1;
	}
	output = output_new(session->out, &session->style, &cmd_check_kind, -1);
	json_array_foreach(json_object_get(reply, "findings"), i, finding)
	{
		place_finding(checking, (json_t *)(uintptr_t)finding);
		put_finding(output, finding, checking->file);
		++*found;
	}
	json_decref(reply);
	return output_end(output, why);
}

static int
check_file(struct session *session, const char *path, size_t *found, struct error *why)
{
	struct checking checking = {0};
	struct route_file file = {0};
	json_t *routes;
	int result = -1;

	if (route_file_open(&file, session, path, FILE_ANY, why) != 0) {
		if (file.text != NULL && file.name != NULL)
			fail_at(&file, file.failed_at, why);
		goto out;
	}
	checking.file = file.name;
	routes = read_file(&checking, &file, why);
	if (routes != NULL)
		result = check_rows(session, &checking, routes, found, why);
	for (size_t i = 0; i < checking.count; i++)
		json_decref(checking.ids[i]);
	free(checking.ids);
	free(checking.lines);
out:
	route_file_close(&file);
	return result;
}

int
cmd_check_run(struct session *session, const struct command_call *call, struct error *why)
{
	size_t found = 0;
	int result;

	if (call->operand_count > 0)
		result = check_file(session, call->operands[0], &found, why);
	else
		result = check_table(session, &found, why);
	if (result == 0 && found > 0) {
		*why = (struct error){.code = ERROR_DIFFERS};
		return -1;
	}
	return result;
}
