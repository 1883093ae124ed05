/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_list.h"

#include <inttypes.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/pages.h"
#include "console/route_rows.h"
#include "console/words.h"

/* Routes of one answer: the daemon serves mail between two of them. */
enum { PAGE_LINES = 2000, PAGE_OBJECTS = 500 };

/* ---- list ---- */

const struct command_flag cmd_list_flags[LIST_FLAGS] = {
    [LIST_SORT] = {.names = "--sort",
		   .value = "COLUMN[,...]",
		   .help = "by these members of the record (-o json), - before one: descending"},
    [LIST_LIMIT] = {.names = "--limit",
		    .value = "N",
		    .type = FLAG_NUMBER,
		    .help = "no more than N routes"},
    [LIST_AT] = {.names = "--at",
		 .value = "REVISION",
		 .type = FLAG_NUMBER,
		 .help = "as the routes were at that revision (see 'routes log')"},
};

static void
put_page(struct output *output, enum output_format format, const json_t *reply, bool first)
{
	static const char nothing[] = "There is no routes configurated, all mails are routed "
				      "following MX records\n";

	(void)format;
	if (first && json_integer_value(json_object_get(reply, "count")) == 0)
		output_text(output, nothing, sizeof(nothing) - 1);
	route_rows_put(output, reply);
}

json_t *
cmd_list_filter(const struct command_call *call, struct error *why)
{
	struct strbuf filter = STRBUF_INIT;
	json_t *params = json_object();

	for (size_t i = 0; i < call->operand_count; i++)
		strbuf_printf(&filter, "%s%s", i > 0 ? " " : "", call->operands[i]);
	if (filter.len > 0 &&
	    json_object_set_new(params, "filter", json_string(filter.data)) != 0) {
		error_set(why, ERROR_USAGE, "the filter is not UTF-8");
		json_decref(params);
		params = NULL;
	}
	strbuf_clear(&filter);
	return params;
}

static int
put_revision(const struct command_call *call, json_t *params, struct error *why)
{
	const char *at = call->values[LIST_AT];
	uint64_t revision;

	if (at == NULL)
		return 0;
	if (words_number(at, &revision) != 0 || revision > INT64_MAX)
		return error_set(why, ERROR_NOT_FOUND, "there is no revision %s yet", at);
	json_object_set_new(params, "at", json_integer((json_int_t)revision));
	return 0;
}

/* Ids come as ready lines: a million of them are soon there. */
static void
put_ids(struct output *output, enum output_format format, const json_t *reply, bool first)
{
	(void)format;
	(void)first;
	route_rows_put(output, reply);
}

static void
choose_form(struct session *session, const struct command_call *call, struct pages *pages)
{
	if (session->style.format == OUTPUT_ID && call->values[LIST_AT] == NULL) {
		session->style.format = OUTPUT_TEXT;
		pages->put = put_ids;
		pages->form = "ids";
	} else {
		pages->form = session->style.format == OUTPUT_TEXT ? "lines" : "objects";
	}
	pages->limit = session->style.format == OUTPUT_TEXT ? PAGE_LINES : PAGE_OBJECTS;
}

int
cmd_list_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct pages pages = {
	    .method = "routes.list",
	    .kind = &route_rows,
	    .put = put_page,
	};
	const struct output_style style = session->style;
	json_t *params;
	int result;

	if (call->values[LIST_LIMIT] != NULL &&
	    (words_number(call->values[LIST_LIMIT], &pages.most) != 0 || pages.most == 0))
		return error_set(why, ERROR_USAGE, "--limit %s: it is a number from 1 on",
				 call->values[LIST_LIMIT]);
	params = cmd_list_filter(call, why);
	if (params == NULL)
		return -1;
	if (call->values[LIST_SORT] != NULL)
		json_object_set_new(params, "sort", json_string(call->values[LIST_SORT]));
	pages.params = params;
	choose_form(session, call, &pages);
	result = put_revision(call, params, why);
	if (result == 0)
		result = pages_print(session, &pages, why);
	session->style = style;
	json_decref(params);
	return result;
}

/* ---- get ---- */

const struct command_flag cmd_get_flags[GET_FLAGS] = {
    [GET_EXISTS] = {.names = "--exists", .help = "print nothing: exit 0 if it is there, else 1"},
};

static void
put_field(struct strbuf *out, const char *label, const char *value)
{
	strbuf_printf(out, "%-15s", label);
	strbuf_escaped(out, value, strlen(value));
	strbuf_putc(out, '\n');
}

/* A cell as a field. */
static void
put_cell(struct strbuf *out, const char *label, const json_t *route,
	 void (*cell)(const json_t *row, struct strbuf *out))
{
	struct strbuf text = STRBUF_INIT;

	cell(route, &text);
	put_field(out, label, text.len > 0 ? text.data : "");
	strbuf_clear(&text);
}

static void
put_member(struct strbuf *out, const char *label, const json_t *route, const char *member,
	   const char *unset)
{
	struct strbuf text = STRBUF_INIT;

	route_rows_text(json_object_get(route, member), unset, &text);
	put_field(out, label, text.len > 0 ? text.data : "");
	strbuf_clear(&text);
}

static const char *
standard_tls(const json_t *route)
{
	if (!json_is_null(json_object_get(route, "remote_login")))
		return "verify (the default with a login)";
	if (json_integer_value(json_object_get(route, "remote_port")) == 465)
		return "implicit (the default for port 465)";
	return "may (the default)";
}

static void
put_rank(struct strbuf *out, const json_t *route)
{
	const json_t *shared = json_object_get(route, "shared_with"), *id;
	struct strbuf text = STRBUF_INIT;
	size_t i;

	route_rows_text(json_object_get(route, "group_rank"), "none: it is disabled", &text);
	json_array_foreach(shared, i, id)
	{
		strbuf_puts(&text, i > 0 ? ", " : ", shared at random with ");
		output_value(id, &text);
	}
	put_field(out, "rank in group", text.data);
	strbuf_clear(&text);
}

/* All fields, one a line. */
static void
put_route(struct strbuf *out, const json_t *route)
{
	bool login = !json_is_null(json_object_get(route, "remote_login"));

	put_member(out, "id", route, "id", "");
	put_member(out, "destination", route, "destination", "*");
	put_member(out, "user", route, "user", "any");
	put_member(out, "mail from", route, "mail_from", "any");
	put_member(out, "priority", route, "priority", "");
	put_member(out, "weight", route, "weight", "");
	put_rank(out, route);
	put_cell(out, "remote", route, route_rows_remote);
	put_member(out, "login", route, "remote_login", "none");
	if (login)
		put_field(out, "password",
			  json_is_true(json_object_get(route, "has_password")) ? "********"
									       : "none");
	put_member(out, "local IPs", route, "local_ips", "default");
	put_member(out, "tls", route, "tls", standard_tls(route));
	put_field(out, "enabled", json_is_true(json_object_get(route, "enabled")) ? "yes" : "no");
	put_member(out, "comment", route, "comment", "none");
	put_member(out, "state", route, "state", "");
	put_cell(out, "per minute", route, route_rows_rate);
	put_cell(out, "deferred, 1 h", route, route_rows_deferred);
	put_member(out, "revision", route, "revision", "not known");
	put_member(out, "changed by", route, "changed_by", "not known");
}

static int
read_id(const char *word, json_int_t *id, struct error *why)
{
	uint64_t number;

	if (words_number(word, &number) != 0)
		return error_set(why, ERROR_USAGE, "%s: a route id is a number", word);
	/* JSON's numbers end there; ids never get so far. */
	if (number > INT64_MAX)
		return error_set(why, ERROR_NOT_FOUND, "no route %" PRIu64, number);
	*id = (json_int_t)number;
	return 0;
}

int
cmd_get_run(struct session *session, const struct command_call *call, struct error *why)
{
	bool exists = call->values[GET_EXISTS] != NULL;
	struct strbuf text = STRBUF_INIT;
	struct output *output;
	const json_t *route;
	json_t *reply = NULL;
	json_int_t id = 0;

	if (read_id(call->operands[0], &id, why) == 0)
		reply =
		    session_call(session, "routes.get", json_pack("{s:I}", "id", id), false, why);
	if (reply == NULL) {
		/* "No" is the answer that was asked for. */
		if (exists && why->code == ERROR_NOT_FOUND)
			*why = (struct error){.code = ERROR_DIFFERS};
		return -1;
	}
	if (exists) {
		json_decref(reply);
		return 0;
	}
	route = json_object_get(reply, "route");
	output = output_new(session->out, &session->style, &route_rows,
			    json_integer_value(json_object_get(reply, "revision")));
	put_route(&text, route);
	output_text(output, text.data, text.len);
	output_row(output, route);
	strbuf_clear(&text);
	json_decref(reply);
	return output_end(output, why);
}
