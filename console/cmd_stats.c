/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In the format text both print a table: nothing parses these. */
#include "console/cmd_stats.h"

#include <stdint.h>
#include <string.h>

#include "console/cmd_list.h"
#include "console/pages.h"
#include "console/route_rows.h"
#include "console/when.h"

enum { PAGE_ROUTES = 500 };

static void
put_local(const json_t *row, const char *member, const char *unset, struct strbuf *out)
{
	const char *utc = json_string_value(json_object_get(row, member));

	if (utc == NULL)
		strbuf_puts(out, unset);
	else
		when_local(utc, out);
}

/* ---- stats ---- */

const struct command_flag cmd_stats_flags[STATS_FLAGS] = {
    [STATS_ALL] = {.names = "--all", .help = "also routes that were never used"},
};

static void
cell_last_used(const json_t *row, struct strbuf *out)
{
	put_local(row, "last_used", "never", out);
}

static const struct output_column stats_columns[] = {
    {.title = "ID", .member = "id", .right = true},
    {.title = "DESTINATION", .member = "destination"},
    {.title = "USER", .cell = route_rows_user, .wide = true},
    {.title = "MAIL FROM", .cell = route_rows_mail_from, .wide = true},
    {.title = "REMOTE", .cell = route_rows_remote},
    {.title = "TRIED", .member = "attempts", .right = true},
    {.title = "SENT", .member = "delivered", .right = true},
    {.title = "DEFERRED", .member = "deferred", .right = true},
    {.title = "FAILED", .member = "failed", .right = true},
    {.title = "/MIN", .cell = route_rows_rate, .right = true},
    {.title = "DEFER 1H", .cell = route_rows_deferred, .right = true},
    {.title = "STATE", .member = "state"},
    {.title = "LAST USED", .cell = cell_last_used, .wide = true},
};

static const char *const stats_members[] = {"id",          "destination", "user",     "mail_from",
					    "remote_host", "remote_port", "attempts", "delivered",
					    "deferred",    "failed",      "rate_1m",  "deferred_1h",
					    "last_used",   "state",       NULL};

const struct output_kind cmd_stats_kind = {
    .schema = "tmail.route-stats/1",
    .list = "routes",
    .members = stats_members,
    .columns = stats_columns,
    .column_count = sizeof(stats_columns) / sizeof(stats_columns[0]),
};

static void
put_stats(struct output *output, enum output_format format, const json_t *reply, bool first)
{
	(void)format;
	(void)first;
	route_rows_put(output, reply);
}

/* Text is the table: put in its place for the time of one command. */
static void
text_is_table(struct session *session)
{
	if (session->style.format == OUTPUT_TEXT)
		session->style.format = OUTPUT_TABLE;
}

int
cmd_stats_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct pages pages = {
	    .method = "routes.stats",
	    .limit = PAGE_ROUTES,
	    .kind = &cmd_stats_kind,
	    .put = put_stats,
	};
	const struct output_style style = session->style;
	json_t *params = cmd_list_filter(call, why);
	int result;

	if (params == NULL)
		return -1;
	if (call->values[STATS_ALL] != NULL)
		json_object_set_new(params, "all", json_true());
	pages.params = params;
	text_is_table(session);
	result = pages_print(session, &pages, why);
	session->style = style;
	json_decref(params);
	return result;
}

/* ---- health ---- */

static void
cell_local(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "local"), "any", out);
}

static void
cell_since(const json_t *row, struct strbuf *out)
{
	put_local(row, "since", "", out);
}

/* The time of the day: it is not longer than an hour. */
static void
cell_until(const json_t *row, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;

	if (json_is_true(json_object_get(row, "suspended"))) {
		put_local(row, "until", "", &text);
		strbuf_append(out, text.data + (text.len >= 19 ? 11 : 0), text.len >= 19 ? 8 : 0);
	} else {
		strbuf_puts(out, "over");
	}
	strbuf_clear(&text);
}

static const struct output_column health_columns[] = {
    {.title = "REMOTE", .member = "remote"},
    {.title = "LOCAL", .cell = cell_local},
    {.title = "FAILURES", .member = "failures", .right = true},
    {.title = "SINCE", .cell = cell_since, .wide = true},
    {.title = "LEFT OUT UNTIL", .cell = cell_until},
    {.title = "LAST ERROR", .member = "last_error"},
};

static const char *const health_members[] = {"remote",   "local",      "suspended",
					     "failures", "since",      "last_failure",
					     "until",    "last_error", NULL};

const struct output_kind cmd_health_kind = {
    .schema = "tmail.health/1",
    .list = "pairs",
    .members = health_members,
    .columns = health_columns,
    .column_count = sizeof(health_columns) / sizeof(health_columns[0]),
};

int
cmd_health_run(struct session *session, const struct command_call *call, struct error *why)
{
	static const char all_well[] = "Every remote address that was tried could be reached.\n";
	const struct output_style style = session->style;
	struct output *output;
	const json_t *pairs, *pair;
	json_t *reply;
	size_t i;

	(void)call;
	reply = session_call(session, "routes.health", NULL, false, why);
	if (reply == NULL)
		return -1;
	pairs = json_object_get(reply, "pairs");
	if (json_array_size(pairs) > 0)
		text_is_table(session);
	output = output_new(session->out, &session->style, &cmd_health_kind, -1);
	session->style = style;
	output_text(output, all_well, sizeof(all_well) - 1);
	json_array_foreach(pairs, i, pair)
	{
		output_row(output, pair);
	}
	json_decref(reply);
	return output_end(output, why);
}
