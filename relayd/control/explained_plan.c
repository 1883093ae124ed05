/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/explained_plan.h"

#include <string.h>

#include "relayd/control/call.h"
#include "relayd/control/route_object.h"
#include "relayd/net/loop.h"
#include "relayd/net/own.h"
#include "relayd/net/source.h"
#include "relayd/routes/health.h"
#include "relayd/routes/plan.h"

/* A walk along the plan. */
struct walk {
	const struct explained *explained;
	struct health_view view;
	struct route_local_ips local_ips; /* the configured default */
	struct plan *plan;
	json_t *hops; /* by the number of the hop in the plan */
	bool way_out;
};

static json_t *
address_text(const struct netaddr *address)
{
	char text[NETADDR_TEXT_MAX];

	if (address->family == AF_UNSPEC)
		return json_null();
	return json_string(address->port != 0 ? netaddr_text_port(address, text)
					      : netaddr_text(address, text));
}

static json_t *
text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

/* ---- a hop ---- */

/* All routes that are this hop in this priority: each makes its share greater. */
static json_t *
hop_routes(const struct route_group *group, const struct route *hop)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < group->count; i++) {
		const struct route *route = group->routes[i];

		if (route->priority == hop->priority && route_same_hop(route, hop) &&
		    json_array_size(ids) < ROUTE_OBJECT_SHARED_MAX)
			json_array_append_new(ids, json_integer((json_int_t)route->id));
	}
	return ids;
}

static json_t *
lookup_object(const struct explained *explained, const char *host)
{
	static const char *const names[] = {[LOOKUP_OK] = "ok",
					    [LOOKUP_NONE] = "no_address",
					    [LOOKUP_NXDOMAIN] = "no_name",
					    [LOOKUP_FAILED] = "failed"};
	const struct name *name = names_find(explained->names, host);
	json_t *object = json_object();

	route_object_put(object, "status",
			 json_string(name != NULL ? names[name->status] : "not_needed"));
	route_object_put(object, "why", text_or_null(name != NULL ? name->why : NULL));
	return object;
}

static uint16_t
preference_of(const struct explained *explained, const char *host)
{
	for (size_t i = 0; i < explained->host_count; i++)
		if (strcmp(explained->hosts[i].name, host) == 0)
			return explained->hosts[i].preference;
	return 0;
}

/* Equal preferences share alike. */
static double
host_share(const struct explained *explained, uint16_t preference)
{
	size_t equal = 0;

	for (size_t i = 0; i < explained->host_count; i++)
		equal += explained->hosts[i].preference == preference;
	return 1.0 / (double)equal;
}

/* An exchanger has the same members; what only a route has is null. */
static void
put_route(json_t *object, const struct explained *explained, const struct plan_entry *entry)
{
	const struct route *route = entry->route;
	uint16_t preference = preference_of(explained, entry->host);
	const struct route_group *group = explained_group(explained);

	route_object_put(object, "route",
			 route != NULL ? json_integer((json_int_t)route->id) : json_null());
	route_object_put(object, "routes", route != NULL ? hop_routes(group, route) : json_array());
	route_object_put(object, "priority",
			 json_integer(route != NULL ? route->priority : preference));
	route_object_put(object, "share",
			 json_real(route != NULL ? draw_share(group, route)
						 : host_share(explained, preference)));
	route_object_put(object, "tls",
			 json_string(route_tls_name(route != NULL ? route_effective_tls(route)
								  : ROUTE_TLS_MAY)));
	route_object_put(object, "login", text_or_null(route != NULL ? route->remote_login : NULL));
	route_object_put(object, "has_password",
			 json_boolean(route != NULL && route->remote_password != NULL));
	route_object_put(object, "local_ips",
			 text_or_null(route != NULL ? route->local_ips : NULL));
}

static json_t *
hop_object(const struct walk *walk, const struct plan_entry *entry)
{
	json_t *object = json_object();

	put_route(object, walk->explained, entry);
	route_object_put(object, "remote_host", json_string(entry->host));
	route_object_put(object, "remote_port", json_integer(entry->remote.port));
	route_object_put(object, "lookup", lookup_object(walk->explained, entry->host));
	route_object_put(object, "tries", json_array());
	return object;
}

static json_t *
walk_hop(struct walk *walk, const struct plan_entry *entry)
{
	if (json_array_size(walk->hops) == entry->hop)
		json_array_append_new(walk->hops, hop_object(walk, entry));
	return json_array_get(walk->hops, entry->hop);
}

/* ---- a try ---- */

static const struct health_pair *
pair_of(const struct health *health, const struct plan_entry *entry)
{
	const struct health_pair *pair = NULL;

	if (health == NULL)
		return NULL;
	while ((pair = health_next(health, pair)) != NULL) {
		if (netaddr_equal(&pair->remote, &entry->remote) &&
		    pair->local.family == entry->local.family &&
		    (pair->local.family == AF_UNSPEC ||
		     netaddr_same_host(&pair->local, &entry->local)))
			return pair;
	}
	return NULL;
}

static void
put_health(json_t *object, const struct walk *walk, const struct plan_entry *entry)
{
	const struct control_services *services = walk->explained->services;
	const struct health_pair *pair = pair_of(services->health, entry);
	int64_t until_ms = 0;

	if (pair != NULL && pair->until_ms > walk->view.now_ms)
		until_ms = loop_wall_ms(services->loop) + pair->until_ms - walk->view.now_ms;
	route_object_put(object, "failures", json_integer(pair != NULL ? pair->failures : 0));
	route_object_put(object, "suspended_until",
			 until_ms > 0 ? call_time(until_ms) : json_null());
	route_object_put(object, "last_error",
			 pair != NULL ? call_text(pair->reason) : json_null());
}

static bool
is_same_try(const json_t *object, const struct plan_entry *entry)
{
	json_t *remote = address_text(&entry->remote), *local = address_text(&entry->local);
	bool same = json_equal(json_object_get(object, "remote"), remote) &&
		    json_equal(json_object_get(object, "local"), local);

	json_decref(remote);
	json_decref(local);
	return same;
}

static void
walk_try(struct walk *walk, const struct plan_entry *entry, const char *state)
{
	json_t *tries = json_object_get(walk_hop(walk, entry), "tries"), *object;
	size_t i;

	/* Left out, and then tried all the same. */
	json_array_foreach(tries, i, object)
	{
		if (!entry->suspended || !is_same_try(object, entry))
			continue;
		route_object_put(object, "state", json_string(state));
		return;
	}
	object = json_object();
	route_object_put(object, "remote", address_text(&entry->remote));
	route_object_put(object, "local", address_text(&entry->local));
	route_object_put(object, "state", json_string(state));
	put_health(object, walk, entry);
	json_array_append_new(tries, object);
}

/* ---- the walk ---- */

static void
walk_addresses(struct walk *walk, const struct plan_entry *entry)
{
	const struct name *name = names_find(walk->explained->names, entry->host);
	struct netaddr sources[PLAN_TRIES_MAX];
	size_t count = name != NULL && name->status == LOOKUP_OK ? name->count : 0;
	bool wants = count > 1 && plan_wants_sources(walk->plan);

	(void)walk_hop(walk, entry);
	if (count > PLAN_TRIES_MAX)
		count = PLAN_TRIES_MAX;
	if (wants)
		sources_find(name->addresses, count, sources);
	plan_addresses(walk->plan, count > 0 ? name->addresses : NULL, wants ? sources : NULL,
		       count);
}

static void
walk_skip(struct walk *walk, const struct plan_entry *entry)
{
	static const char *const states[] = {[PLAN_SKIP_FAMILY] = "no_family",
					     [PLAN_SKIP_SUSPENDED] = "suspended",
					     [PLAN_SKIP_FAILED] = "failed_before",
					     [PLAN_SKIP_ABSENT] = "no_local_ip"};

	walk_try(walk, entry, states[entry->skip]);
}

/* A local IP that this host has not is found out without a connection: the plan goes on as it will
 * in delivery. */
static void
walk_entry(struct walk *walk, const struct plan_entry *entry)
{
	if (entry->local.family != AF_UNSPEC && !own_address(&entry->local)) {
		walk_try(walk, entry, "no_local_ip");
		plan_failed(walk->plan, entry, PLAN_FAILED_ABSENT);
		return;
	}
	walk->way_out = true;
	walk_try(walk, entry, entry->suspended ? "suspended_tried" : "try");
	plan_failed(walk->plan, entry, PLAN_FAILED);
}

/* False: more hops than are shown. */
static bool
walk_plan(struct walk *walk)
{
	size_t most = explained_hops_max(walk->explained);
	struct plan_entry entry;

	for (;;) {
		switch (plan_next(walk->plan, &entry)) {
		case PLAN_END:
			return true;
		case PLAN_ADDRESSES:
			if (entry.hop >= most)
				return false;
			walk_addresses(walk, &entry);
			break;
		case PLAN_TRY:
			if (entry.hop >= most)
				return false;
			walk_entry(walk, &entry);
			break;
		case PLAN_SKIP:
			if (entry.hop >= most)
				return false;
			walk_skip(walk, &entry);
			break;
		}
	}
}

json_t *
explained_plan(const struct explained *explained, size_t *left_out, bool *way_out)
{
	const struct control_services *services = explained->services;
	const struct route_group *group = explained_group(explained);
	struct walk walk = {.explained = explained, .hops = json_array()};
	struct control_outgoing outgoing;
	size_t all = group != NULL ? group->count : explained->host_count;

	services->outgoing(services->ctx, &outgoing);
	if (outgoing.local_ips != NULL)
		(void)route_local_ips_parse(outgoing.local_ips, &walk.local_ips, NULL);
	walk.view =
	    (struct health_view){.health = services->health, .now_ms = loop_now_ms(services->loop)};
	walk.plan = plan_new(&(struct plan_options){
	    .group = group,
	    .hosts = explained->hosts,
	    .host_count = explained->host_count,
	    .local_ips = &walk.local_ips,
	    .random = draw_in_order,
	    .health = {.is_suspended = services->health != NULL ? health_view_is_suspended : NULL,
		       .ctx = &walk.view},
	});
	*left_out = 0;
	if (!walk_plan(&walk))
		*left_out = all - json_array_size(walk.hops);
	*way_out = walk.way_out;
	plan_free(walk.plan);
	return walk.hops;
}
