/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_history.h"

#include <inttypes.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/change_flags.h"
#include "console/pages.h"
#include "console/when.h"
#include "console/words.h"

enum { PAGE = 200 };

/* A number on the command line: a route or a revision. */
static int
read_number(const char *word, const char *what, json_int_t *number, struct error *why)
{
	uint64_t value;

	if (words_number(word, &value) != 0 || value == 0)
		return error_set(why, ERROR_USAGE, "%s: a %s is a number from 1 on", word, what);
	/* JSON's numbers end there; neither ever gets so far. */
	if (value > INT64_MAX)
		return error_set(why, ERROR_NOT_FOUND, "there is no %s %" PRIu64, what, value);
	*number = (json_int_t)value;
	return 0;
}

/* ---- log ---- */

const struct command_flag cmd_log_flags[LOG_FLAGS] = {
    [LOG_LIMIT] = {.names = "--limit",
		   .value = "N",
		   .type = FLAG_NUMBER,
		   .help = "no more than N changes"},
};

static void
cell_time(const json_t *row, struct strbuf *out)
{
	when_local(json_string_value(json_object_get(row, "time")), out);
}

static void
append_count(const json_t *row, const char *member, const char *word, struct strbuf *out)
{
	json_int_t count = json_integer_value(json_object_get(row, member));

	if (count > 0)
		strbuf_printf(out, "%s%" JSON_INTEGER_FORMAT " %s", out->len > 0 ? ", " : "", count,
			      word);
}

/* "2 added, 1 deleted" */
static void
append_counts(const json_t *row, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;

	append_count(row, "added", "added", &text);
	append_count(row, "changed", "changed", &text);
	append_count(row, "deleted", "deleted", &text);
	if (text.len > 0)
		strbuf_append(out, text.data, text.len);
	strbuf_clear(&text);
}

static void
cell_what(const json_t *row, struct strbuf *out)
{
	const json_t *changes = json_object_get(row, "changes");
	struct strbuf text = STRBUF_INIT;

	if (json_array_size(changes) != 1) {
		append_counts(row, out);
		return;
	}
	change_flags_difference(row, &text);
	strbuf_append(out, text.data, text.len - 1);
	strbuf_clear(&text);
}

static void
cell_note(const json_t *row, struct strbuf *out)
{
	output_value(json_object_get(row, "note"), out);
}

static const struct output_column columns[] = {
    {.title = "REVISION", .member = "revision", .right = true},
    {.title = "TIME", .cell = cell_time},
    {.title = "USER", .member = "user"},
    {.title = "NOTE", .cell = cell_note},
    {.title = "WHAT", .cell = cell_what},
    {.title = "CONFIRM BY", .member = "confirm_by", .wide = true},
};

static const char *const members[] = {"revision", "time",       "user",     "note",
				      "undoes",   "confirm_by", "added",    "changed",
				      "deleted",  "changes",    "left_out", NULL};

const struct output_kind cmd_log_kind = {
    .schema = "tmail.log/1",
    .list = "changes",
    .members = members,
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
};

/* "413 - 2026-11-21 09:12:33 +0100 - marc - ticket 8841", and its steps below, two to the right. */
static void
append_change(const json_t *row, struct strbuf *out)
{
	const json_t *note = json_object_get(row, "note");
	struct strbuf steps = STRBUF_INIT;
	const char *line, *end;

	strbuf_printf(out, "%" JSON_INTEGER_FORMAT " - ",
		      json_integer_value(json_object_get(row, "revision")));
	cell_time(row, out);
	strbuf_puts(out, " - ");
	output_value(json_object_get(row, "user"), out);
	if (json_is_string(note)) {
		strbuf_puts(out, " - ");
		strbuf_escaped(out, json_string_value(note), json_string_length(note));
	}
	strbuf_putc(out, '\n');
	if (json_integer_value(json_object_get(row, "left_out")) > 0) {
		strbuf_puts(out, "  ");
		append_counts(row, out);
		strbuf_putc(out, '\n');
		return;
	}
	change_flags_difference(row, &steps);
	for (line = steps.data; line != NULL && *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		strbuf_printf(out, "  %.*s\n", (int)(end - line), line);
	}
	strbuf_clear(&steps);
}

static void
put_page(struct output *output, enum output_format format, const json_t *reply, bool first)
{
	struct strbuf text = STRBUF_INIT;
	const json_t *row;
	size_t i;

	(void)first;
	json_array_foreach(json_object_get(reply, "changes"), i, row)
	{
		if (format == OUTPUT_TEXT) {
			append_change(row, &text);
			output_text(output, text.data, text.len);
			strbuf_reset(&text);
		}
		output_row(output, row);
	}
	strbuf_clear(&text);
}

int
cmd_log_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct pages pages = {
	    .method = "routes.log", .limit = PAGE, .kind = &cmd_log_kind, .put = put_page};
	json_t *params;
	json_int_t id;
	int result;

	if (call->values[LOG_LIMIT] != NULL &&
	    (words_number(call->values[LOG_LIMIT], &pages.most) != 0 || pages.most == 0))
		return error_set(why, ERROR_USAGE, "--limit %s: it is a number from 1 on",
				 call->values[LOG_LIMIT]);
	params = json_object();
	if (call->operand_count > 0) {
		if (read_number(call->operands[0], "route", &id, why) != 0) {
			json_decref(params);
			return -1;
		}
		json_object_set_new(params, "id", json_integer(id));
	}
	pages.params = params;
	result = pages_print(session, &pages, why);
	json_decref(params);
	return result;
}

/* ---- undo, confirm ---- */

int
cmd_undo_run(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *params = json_object(), *reply;
	json_int_t revision;
	int result;

	if (call->operand_count > 0) {
		if (read_number(call->operands[0], "revision", &revision, why) != 0) {
			json_decref(params);
			return -1;
		}
		json_object_set_new(params, "revision", json_integer(revision));
	}
	reply = change_flags_call(session, call, "routes.undo", params, why);
	if (reply == NULL)
		return -1;
	result = change_flags_dry_run(call) ? 0 : change_flags_print(session, reply, why);
	if (result == 0 && !change_flags_dry_run(call))
		change_flags_say(session, reply);
	json_decref(reply);
	return result;
}

int
cmd_confirm_run(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *reply = session_call(session, "routes.confirm", NULL, true, why);

	(void)call;
	if (reply == NULL)
		return -1;
	session_say(session, "revision %" JSON_INTEGER_FORMAT " is kept",
		    json_integer_value(json_object_get(reply, "revision")));
	json_decref(reply);
	return 0;
}
