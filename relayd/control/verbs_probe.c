/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.probe: first the addresses of all remotes, then the sessions. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/control/names.h"
#include "relayd/control/probe.h"
#include "relayd/control/route_object.h"
#include "relayd/control/tasks.h"
#include "relayd/control/verbs.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/table.h"

enum { PROBES_MOST = 100, TIMEOUT_MS = 8000, TIMEOUT_MOST = 10 * 60 * 1000 };

struct request {
	struct task task;
	struct call *call;
	json_int_t timeout_ms;
	size_t count;
	struct route **routes;
	struct names *names;
	struct probe *probe;
};

static void
request_free(struct request *request)
{
	for (size_t i = 0; i < request->count; i++)
		route_unref(request->routes[i]);
	free(request->routes);
	probe_free(request->probe);
	names_free(request->names);
	free(request);
}

static void
request_end(void *ctx)
{
	struct request *request = ctx;
	struct error why;

	error_set(&why, ERROR_REFUSED, "relayd is stopping");
	call_refuse(request->call, &why, NULL);
	request_free(request);
}

static void
probed(void *ctx, json_t *results)
{
	struct request *request = ctx;
	json_t *reply = json_object();

	route_object_put(reply, "probes", results);
	tasks_leave(&request->task);
	call_answer(request->call, reply);
	request_free(request);
}

static void
names_found(void *ctx)
{
	struct request *request = ctx;

	request->probe = probe_new(&(struct probe_options){.services = call_services(request->call),
							   .timeout_ms = request->timeout_ms / 2,
							   .done = probed,
							   .ctx = request});
	for (size_t i = 0; i < request->count; i++)
		probe_add(request->probe, request->routes[i], request->names);
	probe_start(request->probe);
}

/* -1, and the call is answered. */
static int
read_routes(struct request *request)
{
	const struct table *table = changes_table(call_services(request->call)->changes);
	const json_t *ids = json_object_get(call_params(request->call), "ids"), *id;
	const struct route *route;
	struct error why;
	size_t i;

	request->routes = xcalloc(json_array_size(ids) + 1, sizeof(struct route *));
	json_array_foreach(ids, i, id)
	{
		if (!json_is_integer(id) || json_integer_value(id) < 0 || i >= PROBES_MOST)
			break;
		route = table_get(table, (uint64_t)json_integer_value(id));
		if (route == NULL) {
			error_set(&why, ERROR_NOT_FOUND, "no route %" JSON_INTEGER_FORMAT,
				  json_integer_value(id));
			call_refuse(request->call, &why, "tmail routes list -o id");
			return -1;
		}
		request->routes[request->count++] = route_ref(route);
	}
	if (request->count > 0 && request->count == json_array_size(ids))
		return 0;
	call_misused(request->call, "ids must be an array of 1 to 100 route ids");
	return -1;
}

void
verb_routes_probe(struct call *call)
{
	const struct control_services *services = call_services(call);
	struct request *request = xcalloc(1, sizeof(*request));
	struct error why;

	request->call = call;
	request->timeout_ms = TIMEOUT_MS;
	request->task = (struct task){.end = request_end, .ctx = request};
	if (call_integer(call, "timeout_ms", 100, TIMEOUT_MOST, &request->timeout_ms, &why) != 0) {
		request_free(request);
		call_misused(call, why.text);
		return;
	}
	if (read_routes(request) != 0) {
		request_free(request);
		return;
	}
	tasks_enter(services->tasks, &request->task);
	request->names = names_new(services->loop, services->resolver, request->timeout_ms / 2,
				   names_found, request);
	for (size_t i = 0; i < request->count; i++)
		names_add(request->names, request->routes[i]->remote_host);
	names_start(request->names);
}
