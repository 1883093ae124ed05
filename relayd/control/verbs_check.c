/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.check: what looks wrong in the table, page by page; or in routes that are not in it yet.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/protocol.h"
#include "common/xalloc.h"
#include "relayd/control/route_object.h"
#include "relayd/control/verbs.h"
#include "relayd/net/own.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/lint.h"
#include "relayd/routes/table.h"

enum {
	PAGE_DEFAULT = 2000,
	PAGE_MOST = 10000,    /* routes that a page looks at */
	FINDINGS_MOST = 5000, /* after which it ends early */
	KNOWN_MAX = 64        /* addresses about which the kernel was asked */
};

/* What the kernel said of an address: many routes name the same few. */
struct known {
	struct netaddr address;
	bool own;
};

struct check {
	struct lint_environment environment;
	struct control_outgoing outgoing;
	struct known known[KNOWN_MAX];
	size_t known_count;
	const struct route *route; /* the one that is looked at */
	json_t *findings;
	bool given; /* the routes are not those of the table */
};

static bool
is_own(void *ctx, const struct netaddr *address)
{
	struct check *check = ctx;
	struct known *known;

	for (size_t i = 0; i < check->known_count && i < KNOWN_MAX; i++)
		if (netaddr_same_host(&check->known[i].address, address))
			return check->known[i].own;
	known = &check->known[check->known_count++ % KNOWN_MAX];
	*known = (struct known){.address = *address, .own = own_address(address)};
	return known->own;
}

static void
found(void *ctx, const struct lint_finding *finding)
{
	struct check *check = ctx;
	struct strbuf text = STRBUF_INIT;
	json_t *object = json_object();

	strbuf_puts(&text, finding->text);
	/* The ids of routes that are in no table mean nothing to anybody. */
	if (finding->other != 0 && !check->given)
		strbuf_printf(&text, " (route %" PRIu64 ")", finding->other);
	route_object_put(object, "severity", json_string(lint_severity_name(finding->severity)));
	route_object_put(object, "id", json_integer((json_int_t)check->route->id));
	route_object_put(object, "check", json_string(finding->name));
	route_object_put(object, "other",
			 finding->other != 0 ? json_integer((json_int_t)finding->other)
					     : json_null());
	route_object_put(object, "text", json_string(text.data));
	json_array_append_new(check->findings, object);
	strbuf_clear(&text);
}

static void
check_init(struct check *check, const struct control_services *services, const struct table *table)
{
	*check = (struct check){.findings = json_array()};
	services->outgoing(services->ctx, &check->outgoing);
	check->environment = (struct lint_environment){
	    .table = table,
	    .authentication = services->authentication,
	    .hostname = services->hostname,
	    .listeners = check->outgoing.listeners,
	    .listener_count = check->outgoing.listener_count,
	    .is_own = is_own,
	    .ctx = check,
	};
}

static void
check_route(struct check *check, const struct route *route)
{
	check->route = route;
	lint_route(&check->environment, route, found, check);
}

static void
answer(struct call *call, struct check *check, json_t *next)
{
	const struct changes *changes = call_services(call)->changes;
	json_t *reply = json_object();

	route_object_put(reply, "revision", json_integer((json_int_t)changes_revision(changes)));
	route_object_put(reply, "findings", check->findings);
	route_object_put(reply, "next", next);
	call_answer(call, reply);
}

static void
check_page(struct call *call, json_int_t after, json_int_t limit)
{
	const struct control_services *services = call_services(call);
	const struct table *table = changes_table(services->changes);
	const struct route *some[TABLE_SOME];
	size_t count = TABLE_SOME;
	struct check *check = xmalloc(sizeof(*check));

	check_init(check, services, table);
	check->environment.source = route_object_source(services);
	while (limit > 0 && count == TABLE_SOME &&
	       json_array_size(check->findings) < FINDINGS_MOST) {
		count = table_some(table, (uint64_t)after, some);
		for (size_t i = 0; i < count; i++) {
			check_route(check, some[i]);
			after = (json_int_t)some[i]->id;
		}
		limit -= (json_int_t)count;
	}
	answer(call, check,
	       table_next(table, (uint64_t)after) != NULL ? json_integer(after) : json_null());
	free(check);
}

/* A table of routes that are nowhere else; their ids are their places, from 1. NULL and `why`. */
static struct table *
read_table(const json_t *routes, struct error *why)
{
	struct table *table = table_new();
	const json_t *object;
	size_t i;

	json_array_foreach(routes, i, object)
	{
		struct route *route = route_new();
		int result = protocol_route_from_object(object, route, why);

		/* Whether a password is there is all that matters here. */
		if (result == 0 && route->remote_login != NULL && route->remote_password == NULL)
			result = route_set(route, ROUTE_REMOTE_PASSWORD, "-", why);
		if (result == 0)
			result = route_validate(route, why);
		route->id = i + 1;
		if (result == 0)
			table_put(table, route);
		route_unref(route);
		if (result == 0)
			continue;
		error_prefix(why, "routes[%zu]", i);
		table_free(table);
		return NULL;
	}
	return table;
}

static void
check_given(struct call *call, const json_t *routes)
{
	struct check *check;
	struct table *table;
	struct error why;

	table = read_table(routes, &why);
	if (table == NULL) {
		call_refuse(call, &why, NULL);
		return;
	}
	check = xmalloc(sizeof(*check));
	check_init(check, call_services(call), table);
	check->given = true;
	for (const struct route *route = table_next(table, 0); route != NULL;
	     route = table_next(table, route->id))
		check_route(check, route);
	answer(call, check, json_null());
	free(check);
	table_free(table);
}

void
verb_routes_check(struct call *call)
{
	const json_t *routes = json_object_get(call_params(call), "routes");
	json_int_t after = 0, limit = PAGE_DEFAULT;
	struct error why;

	if (call_integer(call, "after", 0, INT64_MAX, &after, &why) != 0 ||
	    call_integer(call, "limit", 1, PAGE_MOST, &limit, &why) != 0)
		call_misused(call, why.text);
	else if (routes != NULL && (!json_is_array(routes) || json_array_size(routes) > PAGE_MOST))
		call_misused(call, "routes must be an array of at most 10000 routes");
	else if (routes != NULL)
		check_given(call, routes);
	else
		check_page(call, after, limit);
}
