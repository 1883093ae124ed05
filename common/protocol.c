/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/protocol.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json_text.h"
#include "common/log.h"
#include "common/xalloc.h"

/*
 * The text of a list is nearly all of a reply that has one, as are the rows of an import of its
 * request. jansson takes a microsecond a line for
 * it, on either side; so such a text is written and read by common/json_text.c, and jansson has the
 * rest.
 */
enum { LINES_LONG = 4096 };

static const char lines_member[] = "lines";
/* How the member begins behind another one. Inside of a JSON string these bytes can't stand: the
 * quotes would be escaped. */
static const char lines_key[] = ",\"lines\":\"";

static json_t *
read_object(const char *line, size_t len, struct error *why)
{
	json_error_t reason;
	json_t *root;

	if (len > PROTOCOL_LINE_MAX) {
		error_set(why, ERROR_USAGE, "the line is too long");
		return NULL;
	}
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &reason);
	if (root == NULL)
		error_set(why, ERROR_USAGE, "not JSON: %s", reason.text);
	return root;
}

/* An object with the "lines" of its member `name` read by ourselves; NULL where that is not for us:
 * it has none, or there is anything unusual in it. */
static json_t *
read_object_with_lines(const char *line, size_t len, const char *name)
{
	const size_t key_len = sizeof(lines_key) - 1;
	const char *key = len < LINES_LONG ? NULL : memmem(line, len, lines_key, key_len);
	struct strbuf text = STRBUF_INIT, rest = STRBUF_INIT;
	size_t start = key != NULL ? (size_t)(key - line) + key_len : 0, used;
	json_t *root = NULL, *inner, *lines = NULL;
	const char *stand_in;
	bool plain;

	if (key == NULL)
		return NULL;
	/* One piece of memory from the start, to be wiped: an import may hold passwords. */
	strbuf_reserve(&text, len - start);
	used = json_text_read(line + start, len - start, &text, &plain);
	if (used >= len - start)
		goto out;
	strbuf_append(&rest, line, start);
	strbuf_puts(&rest, "\\u0001");
	strbuf_append(&rest, line + start + used, len - start - used);
	root = read_object(rest.data, rest.len, NULL);
	inner = json_object_get(root, name);
	/* It must have been that member, and nothing that has the same name elsewhere. */
	stand_in = json_string_value(json_object_get(inner, lines_member));
	if (stand_in != NULL && strcmp(stand_in, "\x01") == 0)
		lines = plain ? json_stringn_nocheck(text.data, text.len)
			      : json_stringn(text.data, text.len);
	if (lines != NULL && json_object_set(inner, lines_member, lines) == 0)
		goto out;
	json_decref(root);
	root = NULL;
out:
	json_decref(lines);
	explicit_bzero(text.data, text.len);
	strbuf_clear(&text);
	strbuf_clear(&rest);
	return root;
}

/* Whether the "jsonrpc" member of an object says 2.0. */
static bool
is_version_2(const json_t *root)
{
	const char *version = json_string_value(json_object_get(root, "jsonrpc"));

	return version != NULL && strcmp(version, "2.0") == 0;
}

int
protocol_read_request(const char *line, size_t len, struct protocol_request *request, int *rpc_code,
		      struct error *why)
{
	json_t *id;

	memset(request, 0, sizeof(*request));
	*rpc_code = PROTOCOL_PARSE_ERROR;
	request->root = read_object_with_lines(line, len, "params");
	if (request->root == NULL)
		request->root = read_object(line, len, why);
	if (request->root == NULL)
		return -1;
	*rpc_code = PROTOCOL_INVALID_REQUEST;
	if (!json_is_object(request->root))
		return error_set(why, ERROR_USAGE, "a request must be a JSON object");
	id = json_object_get(request->root, "id");
	if (id != NULL && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return error_set(why, ERROR_USAGE, "the id must be a string, a number or null");
	request->id = id;
	if (!is_version_2(request->root))
		return error_set(why, ERROR_USAGE, "jsonrpc must be \"2.0\"");
	request->method = json_string_value(json_object_get(request->root, "method"));
	if (request->method == NULL)
		return error_set(why, ERROR_USAGE, "the method must be a string");
	request->params = json_object_get(request->root, "params");
	if (request->params == NULL) {
		request->params = json_object();
		if (json_object_set_new(request->root, "params", request->params) == -1)
			fatal("out of memory");
	}
	*rpc_code = PROTOCOL_INVALID_PARAMS;
	if (!json_is_object(request->params))
		return error_set(why, ERROR_USAGE, "params must be an object");
	*rpc_code = 0;
	return 0;
}

void
protocol_request_clear(struct protocol_request *request)
{
	json_decref(request->root);
	memset(request, 0, sizeof(*request));
}

static int
append(const char *bytes, size_t len, void *out)
{
	strbuf_append(out, bytes, len);
	return 0;
}

/* NULL is written as null. */
static void
put_value(struct strbuf *out, const json_t *value)
{
	if (value == NULL)
		strbuf_puts(out, "null");
	else if (json_dump_callback(value, append, out,
				    JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) == -1)
		fatal("a JSON value that can't be written: out of memory, or it holds itself");
}

static void
put_string(struct strbuf *out, const char *text)
{
	struct strbuf clean = STRBUF_INIT;
	json_t *value = json_string(text);

	/* jansson refuses what is not UTF-8. */
	if (value == NULL) {
		strbuf_escaped(&clean, text, strlen(text));
		value = json_string(clean.data);
		strbuf_clear(&clean);
	}
	put_value(out, value);
	json_decref(value);
}

/* An object whose member "lines" is a long text: as last member, written by ourselves. */
static void
put_object_with_lines(struct strbuf *out, json_t *object, const json_t *lines)
{
	json_t *rest = json_copy(object);

	if (rest == NULL)
		fatal("out of memory");
	json_object_del(rest, lines_member);
	put_value(out, rest);
	/* The closing brace. */
	strbuf_truncate(out, out->len - 1);
	strbuf_puts(out, json_object_size(rest) > 0 ? lines_key : lines_key + 1);
	json_text_write(out, json_string_value(lines), json_string_length(lines));
	strbuf_puts(out, "\"}");
	json_decref(rest);
}

/* The result of a reply, or the params of a request. */
static void
put_object(struct strbuf *out, json_t *object)
{
	const json_t *lines = json_object_get(object, lines_member);

	if (json_string_length(lines) >= LINES_LONG)
		put_object_with_lines(out, object, lines);
	else
		put_value(out, object);
}

void
protocol_write_request(struct strbuf *out, int64_t id, const char *method, json_t *params_stolen)
{
	strbuf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%" PRId64 ",\"method\":", id);
	put_string(out, method);
	if (params_stolen != NULL) {
		strbuf_puts(out, ",\"params\":");
		put_object(out, params_stolen);
	}
	strbuf_puts(out, "}\n");
	json_decref(params_stolen);
}

static void
open_reply(struct strbuf *out, const json_t *id)
{
	strbuf_puts(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	put_value(out, id);
}

void
protocol_write_result(struct strbuf *out, const json_t *id, json_t *result_stolen)
{
	open_reply(out, id);
	strbuf_puts(out, ",\"result\":");
	put_object(out, result_stolen);
	strbuf_puts(out, "}\n");
	json_decref(result_stolen);
}

void
protocol_write_error_data(struct strbuf *out, const json_t *id, const struct error *why,
			  const char *hint, json_t *data)
{
	const char *name;
	json_t *value;

	open_reply(out, id);
	strbuf_printf(out, ",\"error\":{\"code\":%d,\"message\":", (int)why->code);
	put_string(out, why->text);
	strbuf_printf(out, ",\"data\":{\"name\":\"%s\"", error_name(why->code));
	if (hint != NULL) {
		strbuf_puts(out, ",\"hint\":");
		put_string(out, hint);
	}
	json_object_foreach(data, name, value)
	{
		strbuf_putc(out, ',');
		put_string(out, name);
		strbuf_putc(out, ':');
		put_value(out, value);
	}
	strbuf_puts(out, "}}}\n");
}

void
protocol_write_error(struct strbuf *out, const json_t *id, const struct error *why,
		     const char *hint)
{
	protocol_write_error_data(out, id, why, hint, NULL);
}

void
protocol_write_rpc_error(struct strbuf *out, const json_t *id, int rpc_code, const char *message)
{
	open_reply(out, id);
	strbuf_printf(out, ",\"error\":{\"code\":%d,\"message\":", rpc_code);
	put_string(out, message);
	strbuf_puts(out, "}}\n");
}

/* The "error" member of a reply as an error. The name says it, where there is one: a number may be
 * JSON-RPC's own, which means that the two programs do not understand each other. */
static void
take_error(const json_t *reply, struct error *why, char **hint)
{
	const json_t *data = json_object_get(reply, "data");
	const char *message = json_string_value(json_object_get(reply, "message"));
	const char *name = json_string_value(json_object_get(data, "name"));

	error_set(why, name != NULL ? error_code_of(name) : ERROR_BUG, "%s",
		  message != NULL ? message : "an error without a message");
	if (hint != NULL)
		*hint = xstrdup(json_string_value(json_object_get(data, "hint")));
}

json_t *
protocol_read_reply(const char *line, size_t len, int64_t id, struct error *why, char **hint)
{
	json_t *data, *result = protocol_read_reply_data(line, len, id, why, hint, &data);

	json_decref(data);
	return result;
}

json_t *
protocol_read_reply_data(const char *line, size_t len, int64_t id, struct error *why, char **hint,
			 json_t **data)
{
	json_t *root, *reply_id, *failed, *result = NULL;

	*data = NULL;
	if (hint != NULL)
		*hint = NULL;
	root = read_object_with_lines(line, len, "result");
	if (root == NULL)
		root = read_object(line, len, why);
	if (root == NULL) {
		if (why != NULL)
			why->code = ERROR_BUG;
		error_prefix(why, "the reply");
		return NULL;
	}
	reply_id = json_object_get(root, "id");
	failed = json_object_get(root, "error");
	if (!json_is_object(root) || !is_version_2(root)) {
		error_set(why, ERROR_BUG, "the reply is not JSON-RPC 2.0");
	} else if (!(json_is_integer(reply_id) && json_integer_value(reply_id) == id) &&
		   !(json_is_null(reply_id) && failed != NULL)) {
		error_set(why, ERROR_BUG, "the reply belongs to another request");
	} else if (failed != NULL) {
		take_error(failed, why, hint);
		*data = json_incref(json_object_get(failed, "data"));
	} else {
		result = json_incref(json_object_get(root, "result"));
		if (result == NULL)
			error_set(why, ERROR_BUG, "the reply holds neither result nor error");
	}
	json_decref(root);
	return result;
}

/* What an object may say of a route that is not the route's own. */
static const char *const described[] = {
    "id",      "has_password", "group_rank", "shared_with", "state",
    "rate_1m", "deferred_1h",  "revision",   "changed_by",  "event",
};

static void
put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) == -1)
		fatal("out of memory");
}

static void
put_text(json_t *object, const char *name, const char *text)
{
	put(object, name, text != NULL ? json_string(text) : json_null());
}

json_t *
protocol_route_object(const struct route *route)
{
	json_t *object = json_object();

	put(object, "id", json_integer((json_int_t)route->id));
	put_text(object, "destination", route->destination);
	put_text(object, "user", route->user);
	put_text(object, "mail_from", route->mail_from);
	put(object, "priority", json_integer(route->priority));
	put(object, "weight", json_integer(route->weight));
	put_text(object, "remote_host", route->remote_host);
	put(object, "remote_port", json_integer(route->remote_port));
	put_text(object, "local_ips", route->local_ips);
	put_text(object, "remote_login", route->remote_login);
	put(object, "has_password", json_boolean(route->remote_password != NULL));
	put_text(object, "tls",
		 route->tls != ROUTE_TLS_DEFAULT ? route_tls_name(route->tls) : NULL);
	put(object, "enabled", json_boolean(route->enabled));
	put_text(object, "comment", route->comment);
	return object;
}

bool
protocol_route_describes(const char *name)
{
	for (size_t i = 0; i < sizeof(described) / sizeof(described[0]); i++) {
		if (strcmp(described[i], name) == 0)
			return true;
	}
	return false;
}

/* A member's value as the text that route_set takes; NULL where its type does not fit the field. */
static const char *
value_text(const json_t *value, enum route_field field, char scratch[24])
{
	bool number =
	    field == ROUTE_REMOTE_PORT || field == ROUTE_PRIORITY || field == ROUTE_WEIGHT;

	if (json_is_null(value))
		return "";
	if (json_is_boolean(value) && field == ROUTE_ENABLED)
		return json_is_true(value) ? "yes" : "no";
	if (json_is_integer(value) && number) {
		snprintf(scratch, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return scratch;
	}
	/* A NUL would hide what follows it from route_set. */
	if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
		return json_string_value(value);
	return NULL;
}

int
protocol_route_from_object(const json_t *object, struct route *route, struct error *why)
{
	enum route_field field;
	const char *name, *text;
	char scratch[24];
	json_t *value;

	if (!json_is_object(object))
		return error_set(why, ERROR_REFUSED, "a route must be a JSON object");
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (route_field_of(name, &field) == -1) {
			if (protocol_route_describes(name))
				continue;
			return error_set(why, ERROR_REFUSED, "a route has no member '%s'", name);
		}
		text = value_text(value, field, scratch);
		if (text == NULL)
			return error_set(why, ERROR_REFUSED, "%s: a value of the wrong type", name);
		if (route_set(route, field, text, why) == -1)
			return error_prefix(why, "%s", name);
	}
	return 0;
}
