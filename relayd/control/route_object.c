/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/route_object.h"

#include "common/log.h"
#include "common/protocol.h"
#include "relayd/net/loop.h"
#include "relayd/control/call.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/table.h"

void
route_object_put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) == -1)
		fatal("out of memory");
}

json_t *
route_object_lines(struct strbuf *lines)
{
	json_t *text = json_stringn_nocheck(lines->len > 0 ? lines->data : "", lines->len);

	strbuf_clear(lines);
	return text;
}

void
route_object_stats(const struct control_services *services, const struct route *route,
		   struct stats_route *out)
{
	if (services->stats != NULL)
		stats_get(services->stats, route->id, loop_now_ms(services->loop), out);
	else
		*out = (struct stats_route){
		    .last_used_ms = -1, .deferred_1h = -1, .state = STATS_UNKNOWN};
	if (!route->enabled)
		out->state = STATS_OFF;
}

static void
look(void *ctx, const struct route *route, struct filter_facts *out)
{
	struct stats_route stats;

	route_object_stats(ctx, route, &stats);
	*out = (struct filter_facts){
	    .rate_1m = stats.rate_1m, .deferred_1h = stats.deferred_1h, .state = stats.state};
}

struct filter_source
route_object_source(const struct control_services *services)
{
	/* It is only read. */
	return (struct filter_source){.look = look, .ctx = (void *)(uintptr_t)services};
}

/* The first route of the group that has this priority or a later one. */
static size_t
place_of(const struct route_group *group, unsigned priority)
{
	size_t low = 0, high = group->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (group->routes[middle]->priority < priority)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The rank counts the routes that are tried before: of three, where two share, both have rank 2. A
 * disabled route has none, and shares with nobody. */
static void
put_group(json_t *object, const struct table *table, const struct route *route)
{
	const struct route_group *group = route->enabled ? table_group(table, route, true) : NULL;
	json_t *shared = json_array();
	size_t first, i;

	route_object_put(object, "group_rank", json_null());
	route_object_put(object, "shared_with", shared);
	if (group == NULL)
		return;
	first = place_of(group, route->priority);
	route_object_put(object, "group_rank", json_integer((json_int_t)first + 1));
	for (i = first; i < group->count && group->routes[i]->priority == route->priority; i++) {
		if (json_array_size(shared) == ROUTE_OBJECT_SHARED_MAX)
			return;
		if (group->routes[i]->id != route->id)
			json_array_append_new(shared,
					      json_integer((json_int_t)group->routes[i]->id));
	}
}

json_t *
route_object(const struct control_services *services, const struct route *route)
{
	json_t *object = protocol_route_object(route);
	struct stats_route stats;

	put_group(object, changes_table(services->changes), route);
	route_object_stats(services, route, &stats);
	route_object_put(object, "state", json_string(stats_state_name(stats.state)));
	route_object_put(object, "rate_1m", json_real(stats.rate_1m));
	route_object_put(object, "deferred_1h",
			 stats.deferred_1h >= 0 ? json_real(stats.deferred_1h) : json_null());
	route_object_put(object, "revision",
			 route->revision != 0 ? json_integer((json_int_t)route->revision)
					      : json_null());
	route_object_put(object, "changed_by",
			 call_text(changes_author(services->changes, route->revision)));
	return object;
}

json_t *
route_object_past(const struct route *route)
{
	static const char *const unknown[] = {"group_rank", "shared_with", "state", "rate_1m",
					      "deferred_1h"};
	json_t *object = protocol_route_object(route);

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		route_object_put(object, unknown[i], json_null());
	route_object_put(object, "revision",
			 route->revision != 0 ? json_integer((json_int_t)route->revision)
					      : json_null());
	route_object_put(object, "changed_by", json_null());
	return object;
}
