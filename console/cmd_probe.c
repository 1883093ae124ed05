/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_probe.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "console/route_rows.h"
#include "console/words.h"

/* One question at a time: each has the time of one answer for all of its sessions. */
enum { PROBES_AT_ONCE = 8, MARGIN_MS = 500 };

const struct command_flag cmd_probe_flags[PROBE_FLAGS] = {
    [PROBE_ALL] = {.names = "--all", .help = "all routes that are enabled"},
};

/* ---- rows ---- */

static void
cell_remote(const json_t *row, struct strbuf *out)
{
	if (json_is_null(json_object_get(row, "remote")))
		route_rows_remote(row, out);
	else
		output_value(json_object_get(row, "remote"), out);
}

static void
cell_local(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "local"), "any", out);
}

static void
cell_result(const json_t *row, struct strbuf *out)
{
	if (json_is_true(json_object_get(row, "ok")))
		strbuf_puts(out, "ok");
	else
		strbuf_printf(out, "FAILED %s",
			      json_string_value(json_object_get(row, "stage")) != NULL
				  ? json_string_value(json_object_get(row, "stage"))
				  : "");
}

static void
cell_tls(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "tls"), "-", out);
	if (json_is_true(json_object_get(row, "verified")))
		strbuf_puts(out, ", verified");
	else if (json_is_false(json_object_get(row, "verified")))
		strbuf_puts(out, ", not verified");
}

static void
cell_auth(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "auth"), "-", out);
}

static const struct output_column columns[] = {
    {.title = "ROUTE", .member = "route", .right = true},
    {.title = "REMOTE", .cell = cell_remote},
    {.title = "LOCAL", .cell = cell_local},
    {.title = "RESULT", .cell = cell_result},
    {.title = "MS", .member = "ms", .right = true},
    {.title = "TLS", .cell = cell_tls},
    {.title = "AUTH", .cell = cell_auth},
    {.title = "REPLY", .member = "reply"},
};

static const char *const members[] = {"route",  "remote_host", "remote_port", "remote", "local",
				      "ok",     "ms",          "stage",       "reply",  "tls",
				      "cipher", "verified",    "auth",        NULL};

const struct output_kind cmd_probe_kind = {
    .schema = "tmail.probe/1",
    .list = "probes",
    .members = members,
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
};

/* "route 2  192.0.2.1:25 from 192.0.2.9  ok, 12 ms, TLSv1.3, verified, login by PLAIN" */
static void
put_line(const json_t *row, struct strbuf *out)
{
	struct strbuf reply = STRBUF_INIT;

	strbuf_puts(out, "route ");
	output_value(json_object_get(row, "route"), out);
	strbuf_puts(out, "  ");
	cell_remote(row, out);
	if (!json_is_null(json_object_get(row, "local"))) {
		strbuf_puts(out, " from ");
		output_value(json_object_get(row, "local"), out);
	}
	strbuf_puts(out, "  ");
	cell_result(row, out);
	if (json_is_true(json_object_get(row, "ok"))) {
		strbuf_puts(out, ", ");
		output_value(json_object_get(row, "ms"), out);
		strbuf_puts(out,
			    json_is_null(json_object_get(row, "tls")) ? " ms, no TLS" : " ms, ");
		if (!json_is_null(json_object_get(row, "tls")))
			cell_tls(row, out);
		if (!json_is_null(json_object_get(row, "auth"))) {
			strbuf_puts(out, ", login by ");
			cell_auth(row, out);
		}
	} else {
		output_value(json_object_get(row, "reply"), &reply);
		strbuf_puts(out, ": ");
		strbuf_escaped(out, reply.len > 0 ? reply.data : "", reply.len);
	}
	strbuf_putc(out, '\n');
	strbuf_clear(&reply);
}

/* ---- probing ---- */

struct probing {
	struct session *session;
	struct output *output; /* NULL: nothing was printed yet */
	bool failed;           /* one of them did */
};

static void
put_results(struct probing *probing, const json_t *reply)
{
	struct strbuf line = STRBUF_INIT;
	const json_t *row;
	size_t i;

	if (probing->output == NULL)
		probing->output = output_new(probing->session->out, &probing->session->style,
					     &cmd_probe_kind, -1);
	json_array_foreach(json_object_get(reply, "probes"), i, row)
	{
		probing->failed = probing->failed || !json_is_true(json_object_get(row, "ok"));
		strbuf_reset(&line);
		put_line(row, &line);
		output_text(probing->output, line.data, line.len);
		output_row(probing->output, row);
	}
	output_flush(probing->output);
	strbuf_clear(&line);
}

/* Some routes; `ids` is stolen. */
static int
probe_some(struct probing *probing, json_t *ids, struct error *why)
{
	int64_t timeout_ms = probing->session->timeout_ms - MARGIN_MS;
	json_t *reply;

	if (timeout_ms < MARGIN_MS)
		timeout_ms = MARGIN_MS;
	reply = session_call(
	    probing->session, "routes.probe",
	    json_pack("{s:o, s:I}", "ids", ids, "timeout_ms", (json_int_t)timeout_ms), false, why);
	if (reply == NULL)
		return -1;
	put_results(probing, reply);
	json_decref(reply);
	return 0;
}

/* The next ids from where *after stands; an empty array at the end, NULL on failure. */
static json_t *
next_ids(struct probing *probing, json_int_t *after, struct error *why)
{
	json_t *reply, *ids = json_array();
	const json_t *route, *next;
	size_t i;

	while (*after >= 0 && json_array_size(ids) == 0) {
		reply = session_call(probing->session, "routes.list",
				     json_pack("{s:I, s:i, s:s}", "after", *after, "limit",
					       PROBES_AT_ONCE, "filter", "-off"),
				     false, why);
		if (reply == NULL) {
			json_decref(ids);
			return NULL;
		}
		json_array_foreach(json_object_get(reply, "routes"), i, route)
		{
			json_array_append(ids, json_object_get(route, "id"));
		}
		next = json_object_get(reply, "next");
		*after = json_is_integer(next) ? json_integer_value(next) : -1;
		json_decref(reply);
	}
	return ids;
}

static int
probe_all(struct probing *probing, struct error *why)
{
	json_int_t after = 0;
	json_t *ids;

	for (;;) {
		ids = next_ids(probing, &after, why);
		if (ids == NULL)
			return -1;
		if (json_array_size(ids) == 0) {
			json_decref(ids);
			return 0;
		}
		if (probe_some(probing, ids, why) != 0)
			return -1;
	}
}

static int
probe_named(struct probing *probing, const struct command_call *call, struct error *why)
{
	json_t *ids = json_array();
	uint64_t id;

	for (size_t i = 0; i < call->operand_count; i++) {
		if (words_number(call->operands[i], &id) != 0 || id > INT64_MAX) {
			json_decref(ids);
			return error_set(why, ERROR_USAGE, "%s: a route id is a number",
					 call->operands[i]);
		}
		json_array_append_new(ids, json_integer((json_int_t)id));
		if (json_array_size(ids) < PROBES_AT_ONCE && i + 1 < call->operand_count)
			continue;
		if (probe_some(probing, ids, why) != 0)
			return -1;
		ids = json_array();
	}
	json_decref(ids);
	return 0;
}

int
cmd_probe_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct probing probing = {.session = session};
	bool all = call->values[PROBE_ALL] != NULL;
	json_t *nothing;
	int result;

	if (all != (call->operand_count == 0))
		return error_set(why, ERROR_USAGE,
				 "routes probe: it takes route ids, or --all instead of them");
	result = all ? probe_all(&probing, why) : probe_named(&probing, call, why);
	if (result != 0) {
		if (probing.output != NULL)
			output_abandon(probing.output);
		return -1;
	}
	if (probing.output == NULL) {
		nothing = json_object();
		put_results(&probing, nothing);
		json_decref(nothing);
	}
	result = output_end(probing.output, why);
	if (result == 0 && probing.failed) {
		*why = (struct error){.code = ERROR_DIFFERS};
		return -1;
	}
	return result;
}
