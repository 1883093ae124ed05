/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/change_flags.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/when.h"
#include "console/words.h"

static const int64_t within_most_ms = 30LL * 86400 * 1000;

const struct command_flag change_flags[CHANGE_FLAGS] = {
    [CHANGE_NOTE] = {.names = "--note",
		     .value = "TEXT",
		     .help = "why; kept with the change and shown by 'routes log'"},
    [CHANGE_EXPECT_REVISION] = {.names = "--expect-revision",
				.value = "N",
				.type = FLAG_NUMBER,
				.help = "only if the routes are still at revision N"},
    [CHANGE_CONFIRM_WITHIN] = {.names = "--confirm-within",
			       .value = "TIME",
			       .help = "undone by itself after TIME (90s, 5m, 2h), unless 'routes "
				       "confirm' comes before"},
    [CHANGE_DRY_RUN] = {.names = "--dry-run",
			.help = "print what would be changed, and change nothing"},
};

static const char *
value_of(const struct command_call *call, enum change_flag flag)
{
	return call->values[call->command->flag_count + (size_t)flag];
}

bool
change_flags_dry_run(const struct command_call *call)
{
	return value_of(call, CHANGE_DRY_RUN) != NULL;
}

int
change_flags_params(const struct command_call *call, json_t *params, struct error *why)
{
	const char *note = value_of(call, CHANGE_NOTE);
	const char *expected = value_of(call, CHANGE_EXPECT_REVISION);
	const char *within = value_of(call, CHANGE_CONFIRM_WITHIN);
	int64_t within_ms;
	uint64_t revision;
	json_t *text;

	if (note != NULL) {
		text = json_string(note);
		if (text == NULL)
			return error_set(why, ERROR_USAGE, "--note: the text is not UTF-8");
		json_object_set_new(params, "note", text);
	}
	if (expected != NULL) {
		if (words_number(expected, &revision) != 0 || revision > INT64_MAX)
			return error_set(why, ERROR_USAGE,
					 "--expect-revision %s: there is no such revision",
					 expected);
		json_object_set_new(params, "expected_revision",
				    json_integer((json_int_t)revision));
	}
	if (within != NULL) {
		if (when_parse_span(within, &within_ms) != 0 || within_ms > within_most_ms)
			return error_set(
			    why, ERROR_USAGE,
			    "--confirm-within %s: it is a time like 90s, 5m, 2h or 1d, "
			    "30 days at most",
			    within);
		json_object_set_new(params, "confirm_within_ms", json_integer(within_ms));
	}
	if (change_flags_dry_run(call))
		json_object_set_new(params, "dry_run", json_true());
	return 0;
}

/* ---- the difference ---- */

static void
append_value(const json_t *value, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;

	if (value == NULL || json_is_null(value)) {
		strbuf_puts(out, "none");
		return;
	}
	output_value(value, &text);
	strbuf_escaped(out, text.data, text.len);
	strbuf_clear(&text);
}

/* "priority 3 -> 2, comment none -> x"; of a route that comes or goes, its fields alone. */
static void
append_fields(const json_t *change, const char *what, struct strbuf *out)
{
	const json_t *field;
	size_t i;

	json_array_foreach(json_object_get(change, "fields"), i, field)
	{
		strbuf_printf(out, "%s%s ", i > 0 ? ", " : "",
			      json_string_value(json_object_get(field, "field")));
		if (strcmp(what, "add") != 0)
			append_value(json_object_get(field, "from"), out);
		if (strcmp(what, "set") == 0)
			strbuf_puts(out, " -> ");
		if (strcmp(what, "delete") != 0)
			append_value(json_object_get(field, "to"), out);
	}
}

static char
mark_of(const char *what)
{
	if (strcmp(what, "add") == 0)
		return '+';
	return strcmp(what, "delete") == 0 ? '-' : '~';
}

void
change_flags_difference(const json_t *reply, struct strbuf *out)
{
	json_int_t left_out = json_integer_value(json_object_get(reply, "left_out"));
	const json_t *change;
	size_t i;

	json_array_foreach(json_object_get(reply, "changes"), i, change)
	{
		const char *what = json_string_value(json_object_get(change, "what"));

		if (what == NULL)
			continue;
		strbuf_printf(out, "%c ", mark_of(what));
		/* One that only would be added. */
		if (json_is_null(json_object_get(change, "id")))
			strbuf_puts(out, "new route");
		else
			strbuf_printf(out, "route %" JSON_INTEGER_FORMAT,
				      json_integer_value(json_object_get(change, "id")));
		if (json_array_size(json_object_get(change, "fields")) > 0)
			strbuf_puts(out, ": ");
		else if (strcmp(what, "set") == 0)
			strbuf_puts(out, ": as it is");
		append_fields(change, what, out);
		strbuf_putc(out, '\n');
	}
	if (left_out > 0)
		strbuf_printf(out, "and %" JSON_INTEGER_FORMAT " more\n", left_out);
}

/* ---- what came of it ---- */

static void
cell_fields(const json_t *row, struct strbuf *out)
{
	append_fields(row, json_string_value(json_object_get(row, "what")), out);
}

static const struct output_column columns[] = {
    {.title = "WHAT", .member = "what"},
    {.title = "ID", .member = "id", .right = true},
    {.title = "FIELDS", .cell = cell_fields},
};

static const char *const members[] = {"what", "id", "fields", NULL};

const struct output_kind change_flags_kind = {
    .schema = "tmail.difference/1",
    .list = "changes",
    .members = members,
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
};

void
change_flags_put(struct output *output, const json_t *reply)
{
	struct strbuf lines = STRBUF_INIT;
	const json_t *change;
	size_t i;

	change_flags_difference(reply, &lines);
	output_text(output, lines.len > 0 ? lines.data : "", lines.len);
	strbuf_clear(&lines);
	json_array_foreach(json_object_get(reply, "changes"), i, change)
	{
		output_row(output, change);
	}
}

static int
print_difference(const struct session *session, const json_t *reply, struct error *why)
{
	struct output *output = output_new(session->out, &session->style, &change_flags_kind,
					   json_integer_value(json_object_get(reply, "revision")));

	change_flags_put(output, reply);
	return output_end(output, why);
}

int
change_flags_print(const struct session *session, const json_t *reply, struct error *why)
{
	if (session->style.format == OUTPUT_TEXT || session->quiet)
		return 0;
	return print_difference(session, reply, why);
}

/* That it has to be confirmed, if so. */
static void
say_timed(const struct session *session, const json_t *reply)
{
	const char *confirm_by = json_string_value(json_object_get(reply, "confirm_by"));
	struct strbuf when = STRBUF_INIT;

	if (confirm_by == NULL || json_is_true(json_object_get(reply, "dry_run")))
		return;
	when_local(confirm_by, &when);
	session_say(session, "'tmail routes confirm' keeps it, or it is undone at %s", when.data);
	strbuf_clear(&when);
}

json_t *
change_flags_call(struct session *session, const struct command_call *call, const char *method,
		  json_t *params, struct error *why)
{
	json_t *reply;

	if (change_flags_params(call, params, why) != 0) {
		json_decref(params);
		return NULL;
	}
	reply = session_call(session, method, params, !change_flags_dry_run(call), why);
	if (reply != NULL && change_flags_dry_run(call) && !session->quiet &&
	    print_difference(session, reply, why) != 0) {
		json_decref(reply);
		return NULL;
	}
	if (reply != NULL)
		say_timed(session, reply);
	return reply;
}

void
change_flags_say(const struct session *session, const json_t *reply)
{
	json_int_t revision = json_integer_value(json_object_get(reply, "revision"));
	struct strbuf lines = STRBUF_INIT;
	char *line, *rest;

	change_flags_difference(reply, &lines);
	for (line = lines.data; line != NULL && *line != '\0'; line = rest) {
		rest = strchr(line, '\n');
		*rest++ = '\0';
		session_say(session, "%s (revision %" JSON_INTEGER_FORMAT ")", line, revision);
	}
	strbuf_clear(&lines);
}

void
change_flags_say_counts(const struct session *session, const json_t *reply)
{
	json_int_t added = json_integer_value(json_object_get(reply, "added"));
	json_int_t changed = json_integer_value(json_object_get(reply, "changed"));
	json_int_t deleted = json_integer_value(json_object_get(reply, "deleted"));

	if (added + changed + deleted == 0)
		session_say(session, "it is so already: nothing was changed");
	else
		session_say(session,
			    "%" JSON_INTEGER_FORMAT " added, %" JSON_INTEGER_FORMAT
			    " changed, %" JSON_INTEGER_FORMAT
			    " deleted (revision %" JSON_INTEGER_FORMAT ")",
			    added, changed, deleted,
			    json_integer_value(json_object_get(reply, "revision")));
}
