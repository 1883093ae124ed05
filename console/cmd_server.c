/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_server.h"

#include <inttypes.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/when.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static const int read_exits[] = {0, 2, 6, 7, 8, 70, -1};
static const int reload_exits[] = {0, 2, 5, 6, 7, 8, 70, -1};

/* ---- status
 * -------------------------------------------------------------------------------------- */

static const struct output_column status_columns[] = {
    {.title = "HOSTNAME", .member = "hostname"},
    {.title = "VERSION", .member = "version"},
    {.title = "REVISION", .member = "revision", .right = true},
    {.title = "ROUTES", .member = "routes", .right = true},
    {.title = "QUEUE", .member = "queue_messages", .right = true},
    {.title = "ACTIVE", .member = "queue_active", .right = true},
    {.title = "IN", .member = "connections_in", .right = true},
    {.title = "OUT", .member = "connections_out", .right = true},
    {.title = "STARTED", .member = "started", .wide = true},
    {.title = "DELIVERED", .member = "delivered", .right = true, .wide = true},
    {.title = "DEFERRED", .member = "deferred", .right = true, .wide = true},
    {.title = "FAILED", .member = "failed", .right = true, .wide = true},
    {.title = "SPOOL BYTES", .member = "spool_disk_bytes", .right = true, .wide = true},
};

static const char *const status_members[] = {"hostname",
					     "version",
					     "pid",
					     "started",
					     "uptime_s",
					     "revision",
					     "confirm_revision",
					     "confirm_by",
					     "routes",
					     "queue_messages",
					     "queue_active",
					     "delivered",
					     "deferred",
					     "failed",
					     "spool_messages",
					     "spool_bytes",
					     "spool_disk_bytes",
					     "spool_segments",
					     "spool_failures",
					     "connections_in",
					     "connections_out",
					     NULL};

static const struct output_kind status_kind = {
    .schema = "tmail.status/1",
    .members = status_members,
    .columns = status_columns,
    .column_count = sizeof(status_columns) / sizeof(status_columns[0]),
};

static json_int_t
number(const json_t *reply, const char *member)
{
	return json_integer_value(json_object_get(reply, member));
}

static void
append_bytes(json_int_t bytes, struct strbuf *out)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double amount = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		strbuf_printf(out, "%" JSON_INTEGER_FORMAT " bytes", bytes);
		return;
	}
	for (amount /= 1024; amount >= 1024 && unit < 3; unit++)
		amount /= 1024;
	strbuf_printf(out, "%.1f %s", amount, units[unit]);
}

static void
append_text(struct strbuf *out, const char *label, const json_t *value)
{
	strbuf_printf(out, "%-13s", label);
	strbuf_escaped(out, json_string_value(value), json_string_length(value));
	strbuf_putc(out, '\n');
}

static const char *
plural(json_int_t count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

/* A change that waits to be confirmed is something to be done: it has a line of its own. */
static void
append_timed(const json_t *reply, struct strbuf *out)
{
	if (!json_is_integer(json_object_get(reply, "confirm_revision")))
		return;
	strbuf_printf(out, "%-13srevision %" JSON_INTEGER_FORMAT " until ", "to confirm",
		      number(reply, "confirm_revision"));
	when_local(json_string_value(json_object_get(reply, "confirm_by")), out);
	strbuf_puts(out, ", then it is undone\n");
}

static void
append_status(const json_t *reply, struct strbuf *out)
{
	json_int_t messages = number(reply, "queue_messages"),
		   segments = number(reply, "spool_segments");
	json_int_t routes = number(reply, "routes");

	append_text(out, "hostname", json_object_get(reply, "hostname"));
	append_text(out, "version", json_object_get(reply, "version"));
	strbuf_printf(out, "%-13s", "uptime");
	when_span(number(reply, "uptime_s"), out);
	strbuf_puts(out, ", since ");
	when_local(json_string_value(json_object_get(reply, "started")), out);
	strbuf_printf(out, "\n%-13s%" JSON_INTEGER_FORMAT ", revision %" JSON_INTEGER_FORMAT "\n",
		      "routes", routes, number(reply, "revision"));
	append_timed(reply, out);
	strbuf_printf(
	    out, "%-13s%" JSON_INTEGER_FORMAT " %s, %" JSON_INTEGER_FORMAT " being delivered\n",
	    "queue", messages, plural(messages, "message", "messages"),
	    number(reply, "queue_active"));
	strbuf_printf(out,
		      "%-13s%" JSON_INTEGER_FORMAT " delivered, %" JSON_INTEGER_FORMAT
		      " deferrals, %" JSON_INTEGER_FORMAT " failed, since the start\n",
		      "recipients", number(reply, "delivered"), number(reply, "deferred"),
		      number(reply, "failed"));
	strbuf_printf(out, "%-13s", "spool");
	append_bytes(number(reply, "spool_bytes"), out);
	strbuf_puts(out, " in use, ");
	append_bytes(number(reply, "spool_disk_bytes"), out);
	strbuf_printf(out, " on disk in %" JSON_INTEGER_FORMAT " %s", segments,
		      plural(segments, "segment", "segments"));
	if (number(reply, "spool_failures") > 0)
		strbuf_printf(out, ", %" JSON_INTEGER_FORMAT " FAILED COMMITS",
			      number(reply, "spool_failures"));
	strbuf_printf(out, "\n%-13s%" JSON_INTEGER_FORMAT " in, %" JSON_INTEGER_FORMAT " out\n",
		      "connections", number(reply, "connections_in"),
		      number(reply, "connections_out"));
}

/* One object: its members, or its lines. */
static int
print_object(const struct session *session, const struct output_kind *kind, const json_t *row,
	     const struct strbuf *text, struct error *why)
{
	struct output *output = output_new(session->out, &session->style, kind, -1);

	output_text(output, text->data, text->len);
	output_row(output, row);
	return output_end(output, why);
}

static int
run_status(struct session *session, const struct command_call *call, struct error *why)
{
	struct strbuf text = STRBUF_INIT;
	json_t *reply;
	int result;

	(void)call;
	reply = session_call(session, "server.status", NULL, false, why);
	if (reply == NULL)
		return -1;
	append_status(reply, &text);
	result = print_object(session, &status_kind, reply, &text, why);
	strbuf_clear(&text);
	json_decref(reply);
	return result;
}

/* ---- version
 * ------------------------------------------------------------------------------------- */

static const struct output_column version_columns[] = {
    {.title = "TMAIL", .member = "tmail"},
    {.title = "RELAYD", .member = "relayd"},
};

static const char *const version_members[] = {"tmail", "relayd", NULL};

static const struct output_kind version_kind = {
    .schema = "tmail.version/1",
    .members = version_members,
    .columns = version_columns,
    .column_count = sizeof(version_columns) / sizeof(version_columns[0]),
};

static int
run_version(struct session *session, const struct command_call *call, struct error *why)
{
	struct strbuf text = STRBUF_INIT;
	json_t *reply, *row;
	int result = -1;

	(void)call;
	strbuf_puts(&text, "tmail " PACKAGE_VERSION "\n");
	reply = session_call(session, "server.version", NULL, false, why);
	if (reply == NULL) {
		/* Half of the answer is known whether or not there is a daemon. */
		if (session->style.format == OUTPUT_TEXT)
			(void)output_write(session->out, text.data, text.len, NULL);
		goto out;
	}
	strbuf_puts(&text, "relayd ");
	output_value(json_object_get(reply, "version"), &text);
	strbuf_putc(&text, '\n');
	row = json_pack("{s:s, s:O?}", "tmail", PACKAGE_VERSION, "relayd",
			json_object_get(reply, "version"));
	result = print_object(session, &version_kind, row, &text, why);
	json_decref(row);
	json_decref(reply);
out:
	strbuf_clear(&text);
	return result;
}

/* ---- reload
 * -------------------------------------------------------------------------------------- */

static int
run_reload(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *reply;

	(void)call;
	reply = session_call(session, "server.reload", NULL, true, why);
	if (reply == NULL)
		return -1;
	session_say(session, "the configuration was read again and is in force");
	json_decref(reply);
	return 0;
}

/* ---- the tables
 * ---------------------------------------------------------------------------------- */

static const struct command status_commands[] = {
    {.help = "how relayd is doing: routes, queue, spool, connections",
     .operands = "",
     .no_id = true,
     .kind = &status_kind,
     .examples = {"tmail status", "tmail status -o json"},
     .exits = read_exits,
     .run = run_status},
};

static const struct command version_commands[] = {
    {.help = "the versions of tmail and of the relayd that answers",
     .operands = "",
     .no_id = true,
     .kind = &version_kind,
     .examples = {"tmail version", "tmail version -o json"},
     .exits = read_exits,
     .run = run_version},
};

static const struct command reload_commands[] = {
    {.help = "have relayd read its configuration again, as SIGHUP does",
     .operands = "",
     .no_id = true,
     .examples = {"tmail reload", "relayd -n && tmail reload"},
     .exits = reload_exits,
     .run = run_reload},
};

const struct command_noun cmd_status = {
    .word = "status",
    .help = "how relayd is doing",
    .commands = status_commands,
    .command_count = 1,
};

const struct command_noun cmd_version = {
    .word = "version",
    .help = "the versions of tmail and relayd",
    .commands = version_commands,
    .command_count = 1,
};

const struct command_noun cmd_reload = {
    .word = "reload",
    .help = "read the configuration again",
    .commands = reload_commands,
    .command_count = 1,
};
