/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/call.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/xalloc.h"

struct call {
	const struct control_services *services;
	struct protocol_request request;
	char *user;
	struct upload **upload;
	json_t *further; /* members of the answer; NULL: none */
	void (*answered)(void *ctx, const struct strbuf *line); /* NULL: detached */
	void *ctx;
};

struct call *
call_new(const struct control_services *services, struct protocol_request *request,
	 const char *user, struct upload **upload,
	 void (*answered)(void *ctx, const struct strbuf *line), void *ctx)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->services = services;
	call->request = *request;
	*request = (struct protocol_request){0};
	call->user = xstrdup(user);
	call->upload = upload;
	call->answered = answered;
	call->ctx = ctx;
	return call;
}

void
call_detach(struct call *call)
{
	call->answered = NULL;
}

const struct control_services *
call_services(const struct call *call)
{
	return call->services;
}

const char *
call_user(const struct call *call)
{
	return call->user;
}

struct upload **
call_upload(const struct call *call)
{
	return call->upload;
}

const char *
call_method(const struct call *call)
{
	return call->request.method;
}

json_t *
call_params(const struct call *call)
{
	return call->request.params;
}

int
call_integer(const struct call *call, const char *name, json_int_t least, json_int_t most,
	     json_int_t *value, struct error *why)
{
	const json_t *member = json_object_get(call->request.params, name);

	if (member == NULL)
		return 0;
	if (!json_is_integer(member) || json_integer_value(member) < least ||
	    json_integer_value(member) > most)
		return error_set(why, ERROR_USAGE,
				 "%s must be an integer from %" JSON_INTEGER_FORMAT
				 " to %" JSON_INTEGER_FORMAT,
				 name, least, most);
	*value = json_integer_value(member);
	return 0;
}

int
call_string(const struct call *call, const char *name, const char **value, struct error *why)
{
	const json_t *member = json_object_get(call->request.params, name);

	*value = json_string_value(member);
	if (member != NULL && !json_is_null(member) && *value == NULL)
		return error_set(why, ERROR_USAGE, "%s must be a string", name);
	return 0;
}

/* Give the line away and end the call. The callback may free whatever holds the call. */
static void
finish(struct call *call, struct strbuf *line)
{
	void (*answered)(void *ctx, const struct strbuf *line) = call->answered;
	void *ctx = call->ctx;

	/* A notification has no id, and gets no answer (JSON-RPC 2.0, section 4.1). */
	if (call->request.id == NULL)
		strbuf_reset(line);
	protocol_request_clear(&call->request);
	json_decref(call->further);
	free(call->user);
	free(call);
	if (answered != NULL)
		answered(ctx, line);
	strbuf_clear(line);
}

void
call_put(struct call *call, const char *name, json_t *value)
{
	if (call->further == NULL)
		call->further = json_object();
	json_object_set_new(call->further, name, value);
}

void
call_answer(struct call *call, json_t *result)
{
	struct strbuf line = STRBUF_INIT;

	if (call->further != NULL)
		json_object_update(result, call->further);
	protocol_write_result(&line, call->request.id, result);
	finish(call, &line);
}

void
call_refuse(struct call *call, const struct error *why, const char *hint)
{
	struct strbuf line = STRBUF_INIT;

	protocol_write_error_data(&line, call->request.id, why, hint, call->further);
	finish(call, &line);
}

void
call_misused(struct call *call, const char *message)
{
	struct strbuf line = STRBUF_INIT;

	protocol_write_rpc_error(&line, call->request.id, PROTOCOL_INVALID_PARAMS, message);
	finish(call, &line);
}

void
call_unknown(struct call *call)
{
	struct strbuf line = STRBUF_INIT, message = STRBUF_INIT;

	strbuf_printf(&message, "relayd has no method '%s'", call->request.method);
	protocol_write_rpc_error(&line, call->request.id, PROTOCOL_METHOD_NOT_FOUND, message.data);
	strbuf_clear(&message);
	finish(call, &line);
}

json_t *
call_text(const char *text)
{
	struct strbuf clean = STRBUF_INIT;
	json_t *value;

	if (text == NULL)
		return json_null();
	strbuf_escaped(&clean, text, strlen(text));
	value = json_string(clean.len > 0 ? clean.data : "");
	strbuf_clear(&clean);
	return value;
}

json_t *
call_time(int64_t wall_ms)
{
	time_t at = (time_t)(wall_ms / 1000);
	struct tm broken;
	char text[64];

	if (gmtime_r(&at, &broken) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken) == 0)
		return json_null();
	return json_string(text);
}
