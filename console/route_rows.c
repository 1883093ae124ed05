/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/route_rows.h"

#include <string.h>

/* ---- cells ---- */

void
route_rows_text(const json_t *value, const char *unset, struct strbuf *out)
{
	if (value == NULL || json_is_null(value))
		strbuf_puts(out, unset);
	else
		output_value(value, out);
}

void
route_rows_user(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "user"), "-", out);
}

void
route_rows_mail_from(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "mail_from"), "-", out);
}

void
route_rows_remote(const json_t *row, struct strbuf *out)
{
	const char *host = json_string_value(json_object_get(row, "remote_host"));

	if (host == NULL)
		return;
	strbuf_printf(out, strchr(host, ':') != NULL ? "[%s]:" : "%s:", host);
	output_value(json_object_get(row, "remote_port"), out);
}

void
route_rows_rate(const json_t *row, struct strbuf *out)
{
	const json_t *rate = json_object_get(row, "rate_1m");

	if (json_is_number(rate))
		strbuf_printf(out, "%.1f", json_number_value(rate));
	else
		strbuf_putc(out, '-');
}

void
route_rows_deferred(const json_t *row, struct strbuf *out)
{
	const json_t *deferred = json_object_get(row, "deferred_1h");

	if (json_is_number(deferred))
		strbuf_printf(out, "%.1f%%", 100 * json_number_value(deferred));
	else
		strbuf_putc(out, '-');
}

static void
cell_login(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "remote_login"), "-", out);
	if (json_is_true(json_object_get(row, "has_password")))
		strbuf_puts(out, ":********");
}

static void
cell_local_ips(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "local_ips"), "default", out);
}

static void
cell_tls(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "tls"), "default", out);
}

static void
cell_state(const json_t *row, struct strbuf *out)
{
	const char *state = json_string_value(json_object_get(row, "state"));

	if (json_is_false(json_object_get(row, "enabled")))
		state = "off";
	strbuf_puts(out, state == NULL || strcmp(state, "unknown") == 0 ? "-" : state);
}

static void
cell_comment(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "comment"), "", out);
}

static void
cell_rank(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "group_rank"), "-", out);
	if (json_array_size(json_object_get(row, "shared_with")) > 0)
		strbuf_putc(out, '=');
}

static void
cell_revision(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "revision"), "-", out);
}

static void
cell_changed_by(const json_t *row, struct strbuf *out)
{
	route_rows_text(json_object_get(row, "changed_by"), "-", out);
}

/* ---- commands ---- */

/* For a shell and for `tmail routes batch`: as it is, or in single quotes. */
static void
put_word(struct strbuf *out, const char *flag, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789@%+=:,./_-";

	strbuf_printf(out, " %s ", flag);
	if (*word != '\0' && word[strspn(word, plain)] == '\0') {
		strbuf_puts(out, word);
		return;
	}
	strbuf_putc(out, '\'');
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			strbuf_puts(out, "'\\'");
		strbuf_putc(out, *word);
	}
	strbuf_putc(out, '\'');
}

static void
put_flag(struct strbuf *out, const char *flag, const json_t *value, const char *standard)
{
	struct strbuf text = STRBUF_INIT;

	output_value(value, &text);
	if (text.len > 0 && strcmp(text.data, standard) != 0)
		put_word(out, flag, text.data);
	strbuf_clear(&text);
}

void
route_rows_command(const json_t *row, struct strbuf *out)
{
	static const struct {
		const char *flag, *member, *standard;
	} flags[] = {
	    {"-d", "destination", "*"},   {"-u", "user", ""},      {"-f", "mail_from", ""},
	    {"-p", "priority", "1"},      {"-w", "weight", "1"},   {"-rh", "remote_host", ""},
	    {"-rp", "remote_port", "25"}, {"-l", "local_ips", ""}, {"-rl", "remote_login", ""},
	};

	strbuf_puts(out, "routes add");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		put_flag(out, flags[i].flag, json_object_get(row, flags[i].member),
			 flags[i].standard);
	if (json_is_true(json_object_get(row, "has_password"))) {
		strbuf_puts(out, " -rpwd @route:");
		output_value(json_object_get(row, "id"), out);
	}
	put_flag(out, "--tls", json_object_get(row, "tls"), "");
	put_flag(out, "--comment", json_object_get(row, "comment"), "");
	if (json_is_false(json_object_get(row, "enabled")))
		strbuf_puts(out, " --disabled");
	strbuf_putc(out, '\n');
}

/* ---- the kind ---- */

static const struct output_column columns[] = {
    {.title = "ID", .member = "id", .right = true},
    {.title = "DESTINATION", .member = "destination"},
    {.title = "USER", .cell = route_rows_user},
    {.title = "MAIL FROM", .cell = route_rows_mail_from},
    {.title = "PRI", .member = "priority", .right = true},
    {.title = "WEIGHT", .member = "weight", .right = true, .wide = true},
    {.title = "RANK", .cell = cell_rank, .wide = true},
    {.title = "REMOTE", .cell = route_rows_remote},
    {.title = "LOGIN", .cell = cell_login, .wide = true},
    {.title = "LOCAL IPS", .cell = cell_local_ips},
    {.title = "TLS", .cell = cell_tls, .wide = true},
    {.title = "/MIN", .cell = route_rows_rate, .right = true, .wide = true},
    {.title = "DEFER", .cell = route_rows_deferred, .right = true, .wide = true},
    {.title = "STATE", .cell = cell_state},
    {.title = "REV", .cell = cell_revision, .right = true, .wide = true},
    {.title = "BY", .cell = cell_changed_by, .wide = true},
    {.title = "COMMENT", .cell = cell_comment, .wide = true},
};

/* New ones at the end: scripts count them. */
static const char *const members[] = {
    "id",           "destination", "user",        "mail_from",   "priority",
    "weight",       "remote_host", "remote_port", "local_ips",   "remote_login",
    "has_password", "tls",         "enabled",     "comment",     "group_rank",
    "shared_with",  "state",       "rate_1m",     "deferred_1h", "revision",
    "changed_by",   NULL};

const struct output_kind route_rows = {
    .schema = "tmail.routes/1",
    .list = "routes",
    .members = members,
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
    .command = route_rows_command,
};

void
route_rows_put(struct output *output, const json_t *reply)
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
