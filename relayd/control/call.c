/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/call.h"

#include <stdlib.h>
#include <time.h>

#include "common/xalloc.h"

struct call {
	const struct control_services *services;
	struct protocol_request request;
	char *user;
	void (*answered)(void *ctx, const struct strbuf *line); /* NULL: detached */
	void *ctx;
};

struct call *
call_new(const struct control_services *services, struct protocol_request *request,
	 const char *user, void (*answered)(void *ctx, const struct strbuf *line), void *ctx)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->services = services;
	call->request = *request;
	*request = (struct protocol_request){0};
	call->user = xstrdup(user);
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
	free(call->user);
	free(call);
	if (answered != NULL)
		answered(ctx, line);
	strbuf_clear(line);
}

void
call_answer(struct call *call, json_t *result)
{
	struct strbuf line = STRBUF_INIT;

	protocol_write_result(&line, call->request.id, result);
	finish(call, &line);
}

void
call_refuse(struct call *call, const struct error *why, const char *hint)
{
	struct strbuf line = STRBUF_INIT;

	protocol_write_error(&line, call->request.id, why, hint);
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
