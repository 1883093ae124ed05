/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_explain.h"

#include <stdint.h>

#include "console/explain_text.h"
#include "console/route_rows.h"

const struct command_flag cmd_explain_flags[EXPLAIN_FLAGS] = {
    [EXPLAIN_USER] = {.names = "-u,--smtp-user,--smtpUser",
		      .value = "LOGIN",
		      .help = "the client authenticated as LOGIN"},
    [EXPLAIN_FROM] = {.names = "-f,--mail-from,--mailFrom",
		      .value = "SENDER",
		      .help = "the envelope sender; without it the null sender"},
};

/* ---- the tries as rows ---- */

static void
cell_route(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "route"), "MX", out);
}

static void
cell_address(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "remote"), "-", out);
}

static void
cell_local(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "local"), "any", out);
}

static void
cell_login(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "login"), "-", out);
}

static const struct output_column columns[] = {
    {.title = "PRI", .member = "priority", .right = true},
    {.title = "SHARE", .cell = explain_text_share, .right = true},
    {.title = "ROUTE", .cell = cell_route, .right = true},
    {.title = "HOST", .cell = route_rows_remote},
    {.title = "ADDRESS", .cell = cell_address},
    {.title = "LOCAL", .cell = cell_local},
    {.title = "TLS", .member = "tls"},
    {.title = "LOGIN", .cell = cell_login},
    {.title = "STATE", .cell = explain_text_state},
};

static const char *const members[] = {
    "priority", "share", "route", "remote_host",     "remote_port", "remote",     "local",
    "tls",      "login", "state", "suspended_until", "failures",    "last_error", NULL};

/* For -o json the answer is the document, as the daemon gave it. */
const struct output_kind cmd_explain_kind = {
    .schema = "tmail.explain/1",
    .members = members,
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
};

/* One row a try, with what it has from its hop; a hop without one has a row, too. */
static void
put_hop(struct output *output, const json_t *hop)
{
	const json_t *tries = json_object_get(hop, "tries"), *try, *lookup;
	json_t *row;
	size_t i;

	json_array_foreach(tries, i, try)
	{
		row = json_copy((json_t *)(uintptr_t)hop);
		json_object_update(row, (json_t *)(uintptr_t)try);
		output_row(output, row);
		json_decref(row);
	}
	if (json_array_size(tries) > 0)
		return;
	lookup = json_object_get(hop, "lookup");
	row = json_copy((json_t *)(uintptr_t)hop);
	json_object_set(row, "state", json_object_get(lookup, "status"));
	json_object_set(row, "last_error", json_object_get(lookup, "why"));
	output_row(output, row);
	json_decref(row);
}

static void
put_answer(struct session *session, struct output *output, const json_t *answer)
{
	struct strbuf text = STRBUF_INIT;
	const json_t *hop;
	size_t i;

	if (session->style.format == OUTPUT_TEXT) {
		explain_text(answer, &text);
		output_text(output, text.data, text.len);
	} else if (session->style.format == OUTPUT_JSON || session->style.format == OUTPUT_JSONL) {
		output_row(output, answer);
	} else {
		json_array_foreach(json_object_get(answer, "plan"), i, hop)
		{
			put_hop(output, hop);
		}
	}
	strbuf_clear(&text);
}

int
cmd_explain_run(struct session *session, const struct command_call *call, struct error *why)
{
	json_t *params = json_pack("{s:s}", "recipient", call->operands[0]), *answer;
	struct output *output;
	int result;

	if (params == NULL)
		return error_set(why, ERROR_USAGE, "the address is not UTF-8");
	if (call->values[EXPLAIN_USER] != NULL)
		json_object_set_new(params, "login", json_string(call->values[EXPLAIN_USER]));
	if (call->values[EXPLAIN_FROM] != NULL)
		json_object_set_new(params, "sender", json_string(call->values[EXPLAIN_FROM]));
	answer = session_call(session, "routes.explain", params, false, why);
	if (answer == NULL)
		return -1;
	output = output_new(session->out, &session->style, &cmd_explain_kind, -1);
	put_answer(session, output, answer);
	result = output_end(output, why);
	if (result == 0 && !json_is_true(json_object_get(answer, "way_out"))) {
		*why = (struct error){.code = ERROR_DIFFERS};
		result = -1;
	}
	json_decref(answer);
	return result;
}
