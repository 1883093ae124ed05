/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_edit.h"

#include <stdio.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/change_flags.h"
#include "console/route_rows.h"

/* ---- add
 * ----------------------------------------------------------------------------------------- */

/* The nth line of a text, without what follows it. */
static void
print_line(struct output *output, const char *lines, size_t n)
{
	const char *end;

	for (; lines != NULL; lines = end + 1) {
		end = strchr(lines, '\n');
		if (end == NULL)
			return;
		if (n-- == 0) {
			output_text(output, lines, (size_t)(end - lines) + 1);
			return;
		}
	}
}

/* Of all routes that were written the one that is new: it has the highest id. */
static size_t
find_added(const json_t *routes)
{
	json_int_t highest = 0, id;
	const json_t *route;
	size_t found = 0, i;

	json_array_foreach(routes, i, route)
	{
		id = json_integer_value(json_object_get(route, "id"));
		if (id <= highest)
			continue;
		highest = id;
		found = i;
	}
	return found;
}

static int
print_added(struct session *session, const json_t *reply, struct error *why)
{
	const json_t *present = json_object_get(reply, "present"), *routes = present;
	json_int_t revision = json_integer_value(json_object_get(reply, "revision")), id;
	const char *lines = json_string_value(json_object_get(reply, "present_lines"));
	size_t at = 0;
	struct output *output;

	if (present == NULL) {
		routes = json_object_get(reply, "routes");
		lines = json_string_value(json_object_get(reply, "lines"));
		at = find_added(routes);
	}
	id = json_integer_value(json_object_get(json_array_get(routes, at), "id"));
	if (!session->quiet) {
		output = output_new(session->out, &session->style, &route_rows, revision);
		print_line(output, lines, at);
		output_row(output, json_array_get(routes, at));
		if (output_end(output, why) != 0)
			return -1;
	}
	if (present != NULL) {
		session_say(session,
			    "route %" JSON_INTEGER_FORMAT
			    " is there already (revision %" JSON_INTEGER_FORMAT ")",
			    id, revision);
		return 0;
	}
	session_say(session,
		    "route %" JSON_INTEGER_FORMAT " added (revision %" JSON_INTEGER_FORMAT ")", id,
		    revision);
	/* Its place may have cost others their priority. */
	if (json_array_size(routes) > 1)
		change_flags_say(session, reply);
	return 0;
}

int
cmd_add_run(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *params = edit_words_params(session, call, false, why), *reply;
	int result = -1;

	if (params == NULL)
		return -1;
	reply = change_flags_call(session, call, "routes.add", json_incref(params), why);
	if (reply != NULL)
		result = change_flags_dry_run(call) ? 0 : print_added(session, reply, why);
	edit_words_wipe(params);
	json_decref(reply);
	return result;
}

/* ---- del
 * ----------------------------------------------------------------------------------------- */

/* Show what is about to go, and ask. 0: go on. */
static int
confirm_del(struct session *session, const json_t *ids, struct error *why)
{
	struct strbuf question = STRBUF_INIT;
	const json_t *id;
	json_t *reply;
	size_t i;
	int result = -1;

	json_array_foreach(ids, i, id)
	{
		reply =
		    session_call(session, "routes.get", json_pack("{s:O}", "id", id), false, why);
		if (reply == NULL)
			goto out;
		output_value(json_object_get(reply, "line"), &question);
		strbuf_putc(&question, '\n');
		json_decref(reply);
	}
	if (json_array_size(ids) == 1)
		strbuf_puts(&question, "Delete this route? [y/N] ");
	else
		strbuf_printf(&question, "Delete these %zu routes? [y/N] ", json_array_size(ids));
	if (session_ask(session, question.data))
		result = 0;
	else
		error_set(why, ERROR_DIFFERS, "nothing was deleted");
out:
	strbuf_clear(&question);
	return result;
}

static void
say_deleted(const struct session *session, const json_t *reply)
{
	const json_t *change;
	size_t i;

	json_array_foreach(json_object_get(reply, "changes"), i, change)
	{
		session_say(session,
			    "route %" JSON_INTEGER_FORMAT " deleted (revision %" JSON_INTEGER_FORMAT
			    ")",
			    json_integer_value(json_object_get(change, "id")),
			    json_integer_value(json_object_get(reply, "revision")));
	}
}

int
cmd_del_run(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *params = edit_words_params(session, call, false, why), *reply = NULL;
	int result = -1;

	if (params == NULL)
		return -1;
	if (call->values[DEL_YES] == NULL && !change_flags_dry_run(call) &&
	    session_can_ask(session) &&
	    confirm_del(session, json_object_get(params, "ids"), why) != 0)
		goto out;
	reply = change_flags_call(session, call, "routes.del", json_incref(params), why);
	if (reply == NULL)
		goto out;
	result = 0;
	if (!change_flags_dry_run(call)) {
		result = change_flags_print(session, reply, why);
		say_deleted(session, reply);
	}
out:
	json_decref(reply);
	json_decref(params);
	return result;
}

/* ---- set, move, enable, disable
 * ------------------------------------------------------------------ */

int
cmd_edit_run(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *params = edit_words_params(session, call, false, why), *reply;
	char method[32];
	int result = -1;

	if (params == NULL)
		return -1;
	snprintf(method, sizeof(method), "routes.%s", call->command->verb);
	reply = change_flags_call(session, call, method, json_incref(params), why);
	edit_words_wipe(params);
	if (reply == NULL)
		return -1;
	if (change_flags_dry_run(call)) {
		result = 0;
	} else {
		result = change_flags_print(session, reply, why);
		if (json_array_size(json_object_get(reply, "changes")) == 0)
			session_say(session, "it is so already: nothing was changed");
		change_flags_say(session, reply);
	}
	json_decref(reply);
	return result;
}
