/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_routes.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/pages.h"
#include "console/route_flags.h"
#include "console/words.h"

/* Routes of one answer: the daemon serves mail between two of them. */
enum { PAGE_LINES = 2000, PAGE_OBJECTS = 500 };

/* ---- rows
 * ---------------------------------------------------------------------------------------- */

static void
text_or_dash(const json_t *value, const char *unset, struct strbuf *out)
{
	if (value == NULL || json_is_null(value))
		strbuf_puts(out, unset);
	else
		output_value(value, out);
}

static void
cell_user(const json_t *row, struct strbuf *out)
{
	text_or_dash(json_object_get(row, "user"), "-", out);
}

static void
cell_mail_from(const json_t *row, struct strbuf *out)
{
	text_or_dash(json_object_get(row, "mail_from"), "-", out);
}

static void
cell_remote(const json_t *row, struct strbuf *out)
{
	const char *host = json_string_value(json_object_get(row, "remote_host"));

	if (host == NULL)
		return;
	strbuf_printf(out, strchr(host, ':') != NULL ? "[%s]:" : "%s:", host);
	output_value(json_object_get(row, "remote_port"), out);
}

static void
cell_login(const json_t *row, struct strbuf *out)
{
	text_or_dash(json_object_get(row, "remote_login"), "-", out);
	if (json_is_true(json_object_get(row, "has_password")))
		strbuf_puts(out, ":********");
}

static void
cell_local_ips(const json_t *row, struct strbuf *out)
{
	text_or_dash(json_object_get(row, "local_ips"), "default", out);
}

static void
cell_tls(const json_t *row, struct strbuf *out)
{
	text_or_dash(json_object_get(row, "tls"), "default", out);
}

static void
cell_state(const json_t *row, struct strbuf *out)
{
	strbuf_puts(out, json_is_false(json_object_get(row, "enabled")) ? "off" : "on");
}

static void
cell_comment(const json_t *row, struct strbuf *out)
{
	text_or_dash(json_object_get(row, "comment"), "", out);
}

static const struct output_column route_columns[] = {
    {.title = "ID", .member = "id", .right = true},
    {.title = "DESTINATION", .member = "destination"},
    {.title = "USER", .cell = cell_user},
    {.title = "MAIL FROM", .cell = cell_mail_from},
    {.title = "PRI", .member = "priority", .right = true},
    {.title = "WEIGHT", .member = "weight", .right = true, .wide = true},
    {.title = "REMOTE", .cell = cell_remote},
    {.title = "LOGIN", .cell = cell_login, .wide = true},
    {.title = "LOCAL IPS", .cell = cell_local_ips},
    {.title = "TLS", .cell = cell_tls, .wide = true},
    {.title = "STATE", .cell = cell_state},
    {.title = "COMMENT", .cell = cell_comment, .wide = true},
};

static const char *const route_members[] = {
    "id",           "destination", "user",        "mail_from", "priority",
    "weight",       "remote_host", "remote_port", "local_ips", "remote_login",
    "has_password", "tls",         "enabled",     "comment",   NULL};

static const struct output_kind route_kind = {
    .schema = "tmail.routes/1",
    .list = "routes",
    .members = route_members,
    .columns = route_columns,
    .column_count = sizeof(route_columns) / sizeof(route_columns[0]),
};

/* The "lines" and "routes" of a reply. */
static void
put_rows(struct output *output, const json_t *reply)
{
	const json_t *lines = json_object_get(reply, "lines"), *row;
	size_t i;

	if (lines != NULL)
		output_text(output, json_string_value(lines), json_string_length(lines));
	json_array_foreach(json_object_get(reply, "routes"), i, row)
	{
		output_row(output, row);
	}
}

/* ---- list
 * ---------------------------------------------------------------------------------------- */

static void
put_page(struct output *output, enum output_format format, const json_t *reply, bool first)
{
	static const char nothing[] = "There is no routes configurated, all mails are routed "
				      "following MX records\n";

	(void)format;
	if (first && json_integer_value(json_object_get(reply, "count")) == 0)
		output_text(output, nothing, sizeof(nothing) - 1);
	put_rows(output, reply);
}

static int
run_list(struct session *session, const struct command_call *call, struct error *why)
{
	bool text = session->style.format == OUTPUT_TEXT;
	const struct pages pages = {
	    .method = "routes.list",
	    .form = text ? "lines" : "objects",
	    .limit = text ? PAGE_LINES : PAGE_OBJECTS,
	    .kind = &route_kind,
	    .put = put_page,
	};

	(void)call;
	return pages_print(session, &pages, why);
}

/* ---- add
 * ----------------------------------------------------------------------------------------- */

static int
print_added(struct session *session, const json_t *reply, struct error *why)
{
	const json_t *route = json_array_get(json_object_get(reply, "routes"), 0);
	json_int_t revision = json_integer_value(json_object_get(reply, "revision"));
	struct output *output;

	if (session->quiet)
		return 0;
	output = output_new(session->out, &session->style, &route_kind, revision);
	put_rows(output, reply);
	if (output_end(output, why) != 0)
		return -1;
	session_say(session,
		    "route %" JSON_INTEGER_FORMAT " added (revision %" JSON_INTEGER_FORMAT ")",
		    json_integer_value(json_object_get(route, "id")), revision);
	return 0;
}

static int
run_add(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *route = route_flags_object(session, call, why), *reply;
	int result = -1;

	if (route == NULL)
		return -1;
	reply = session_call(session, "routes.add", json_pack("{s:O}", "route", route), true, why);
	if (reply != NULL)
		result = print_added(session, reply, why);
	route_flags_wipe(route);
	json_decref(reply);
	return result;
}

/* ---- del
 * ----------------------------------------------------------------------------------------- */

enum { DEL_YES, DEL_FLAGS };

static const struct command_flag del_flags[DEL_FLAGS] = {
    [DEL_YES] = {.names = "-y,--yes", .help = "do not ask"},
};

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

static json_t *
read_ids(const struct command_call *call, struct error *why)
{
	json_t *ids = json_array();
	uint64_t id;

	for (size_t i = 0; i < call->operand_count; i++) {
		if (words_number(call->operands[i], &id) != 0) {
			error_set(why, ERROR_USAGE, "%s: a route id is a number",
				  call->operands[i]);
			json_decref(ids);
			return NULL;
		}
		/* JSON's numbers end there; ids never get so far. */
		if (id > INT64_MAX) {
			error_set(why, ERROR_NOT_FOUND, "no route %" PRIu64, id);
			json_decref(ids);
			return NULL;
		}
		json_array_append_new(ids, json_integer((json_int_t)id));
	}
	return ids;
}

static int
run_del(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *ids = read_ids(call, why), *reply = NULL;
	json_int_t revision;
	int result = -1;

	if (ids == NULL)
		return -1;
	if (call->values[DEL_YES] == NULL && session_can_ask(session) &&
	    confirm_del(session, ids, why) != 0)
		goto out;
	reply = session_call(session, "routes.del", json_pack("{s:O}", "ids", ids), true, why);
	if (reply == NULL)
		goto out;
	revision = json_integer_value(json_object_get(reply, "revision"));
	for (size_t i = 0; i < json_array_size(ids); i++)
		session_say(session,
			    "route %" JSON_INTEGER_FORMAT " deleted (revision %" JSON_INTEGER_FORMAT
			    ")",
			    json_integer_value(json_array_get(ids, i)), revision);
	result = 0;
out:
	json_decref(reply);
	json_decref(ids);
	return result;
}

/* ---- the table
 * ----------------------------------------------------------------------------------- */

static const int read_exits[] = {0, 2, 6, 7, 8, 70, -1};
static const int add_exits[] = {0, 2, 3, 5, 6, 7, 8, 10, 70, -1};
static const int del_exits[] = {0, 1, 2, 3, 6, 7, 8, 10, 70, -1};

static const struct command route_commands[] = {
    {.verb = "list",
     .help = "list the routes in the order of their ids",
     .operands = "",
     .examples = {"tmail routes list | grep tmail.io", "tmail routes list -o json"},
     .exits = read_exits,
     .run = run_list},
    {.verb = "add",
     .help = "add a route",
     .operands = "",
     .flags = route_flags,
     .flag_count = ROUTE_FLAGS,
     .examples = {"tmail routes add -d tmail.io -rh mail.tmail.io -rp 2525",
		  "tmail routes add -d tmail.io -rh out.example.net -rp 587 -rl login -rpwd -"},
     .exits = add_exits,
     .run = run_add},
    {.verb = "del",
     .help = "delete routes, all of those named or none",
     .operands = "ROUTE_ID [ROUTE_ID ...]",
     .least = 1,
     .most = SIZE_MAX,
     .flags = del_flags,
     .flag_count = DEL_FLAGS,
     .examples = {"tmail routes del 3", "tmail routes del -y 3 4 5"},
     .exits = del_exits,
     .run = run_del},
};

const struct command_noun cmd_routes = {
    .word = "routes",
    .alias = "route",
    .help = "where mail goes: by which next hop, in which order",
    .commands = route_commands,
    .command_count = sizeof(route_commands) / sizeof(route_commands[0]),
};
