/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.stats: what became of the mail by each route. routes.health: which remote addresses are
 * left out, and until when. */
#include "common/xalloc.h"
#include "relayd/control/route_object.h"
#include "relayd/control/verbs.h"
#include "relayd/net/loop.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/filter.h"
#include "relayd/routes/health.h"
#include "relayd/routes/table.h"

enum { PAGE_DEFAULT = 1000, PAGE_MOST = 10000, LOOKED_ENOUGH = 8000 };

/* ---- stats ---- */

static json_t *
text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

static json_t *
number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *
stats_object(const struct control_services *services, const struct route *route,
	     const struct stats_route *stats)
{
	int64_t ago_ms = loop_now_ms(services->loop) - stats->last_used_ms;
	json_t *object = json_object();

	route_object_put(object, "id", number(route->id));
	route_object_put(object, "destination", json_string(route->destination));
	route_object_put(object, "user", text_or_null(route->user));
	route_object_put(object, "mail_from", text_or_null(route->mail_from));
	route_object_put(object, "remote_host", json_string(route->remote_host));
	route_object_put(object, "remote_port", json_integer(route->remote_port));
	route_object_put(object, "attempts", number(stats->attempts));
	route_object_put(object, "delivered", number(stats->delivered));
	route_object_put(object, "deferred", number(stats->deferred));
	route_object_put(object, "failed", number(stats->failed));
	route_object_put(object, "rate_1m", json_real(stats->rate_1m));
	route_object_put(object, "deferred_1h",
			 stats->deferred_1h >= 0 ? json_real(stats->deferred_1h) : json_null());
	route_object_put(object, "last_used",
			 stats->last_used_ms >= 0 ? call_time(loop_wall_ms(services->loop) - ago_ms)
						  : json_null());
	route_object_put(object, "state", json_string(stats_state_name(stats->state)));
	return object;
}

/* A page, as that of routes.list. Without `all` of those routes alone that were used. */
static void
answer_stats(struct call *call, const struct filter *filter, bool all, json_int_t after,
	     json_int_t limit)
{
	const struct control_services *services = call_services(call);
	const struct table *table = changes_table(services->changes);
	struct filter_source source = route_object_source(services);
	const struct route *route = table_next(table, (uint64_t)after);
	json_t *rows = json_array(), *reply = json_object();
	struct stats_route stats;

	for (size_t looked = 0; route != NULL && limit > 0 && looked < LOOKED_ENOUGH; looked++) {
		after = (json_int_t)route->id;
		route_object_stats(services, route, &stats);
		if ((all || stats.attempts > 0) &&
		    (filter == NULL || filter_match(filter, route, &source))) {
			json_array_append_new(rows, stats_object(services, route, &stats));
			limit--;
		}
		route = table_next(table, (uint64_t)after);
	}
	route_object_put(reply, "revision", number(changes_revision(services->changes)));
	route_object_put(reply, "routes", rows);
	route_object_put(reply, "next", route != NULL ? json_integer(after) : json_null());
	call_answer(call, reply);
}

void
verb_routes_stats(struct call *call)
{
	const json_t *all = json_object_get(call_params(call), "all");
	json_int_t after = 0, limit = PAGE_DEFAULT;
	struct filter *filter = NULL;
	const char *text = NULL;
	struct error why;

	if (call_integer(call, "after", 0, INT64_MAX, &after, &why) != 0 ||
	    call_integer(call, "limit", 1, PAGE_MOST, &limit, &why) != 0 ||
	    call_string(call, "filter", &text, &why) != 0) {
		call_misused(call, why.text);
		return;
	}
	if (all != NULL && !json_is_boolean(all)) {
		call_misused(call, "all must be a boolean");
		return;
	}
	if (text != NULL && (filter = filter_new(text, &why)) == NULL) {
		call_refuse(call, &why, NULL);
		return;
	}
	answer_stats(call, filter, json_is_true(all), after, limit);
	filter_free(filter);
}

/* ---- health ---- */

static json_t *
wall_time(const struct control_services *services, int64_t at_ms)
{
	return call_time(loop_wall_ms(services->loop) + at_ms - loop_now_ms(services->loop));
}

static json_t *
pair_object(const struct control_services *services, const struct health_pair *pair)
{
	bool suspended = pair->until_ms > loop_now_ms(services->loop);
	char text[NETADDR_TEXT_MAX];
	json_t *object = json_object();

	route_object_put(object, "remote", json_string(netaddr_text_port(&pair->remote, text)));
	route_object_put(object, "local",
			 pair->local.family != AF_UNSPEC
			     ? json_string(netaddr_text(&pair->local, text))
			     : json_null());
	route_object_put(object, "suspended", json_boolean(suspended));
	route_object_put(object, "failures", json_integer(pair->failures));
	route_object_put(object, "since", wall_time(services, pair->since_ms));
	route_object_put(object, "last_failure", wall_time(services, pair->failed_ms));
	route_object_put(object, "until", wall_time(services, pair->until_ms));
	route_object_put(object, "last_error", call_text(pair->reason));
	return object;
}

/* There are a few thousand at most: one answer. */
void
verb_routes_health(struct call *call)
{
	const struct control_services *services = call_services(call);
	const struct health_pair *pair = NULL;
	json_t *reply = json_object(), *pairs = json_array();

	while (services->health != NULL && (pair = health_next(services->health, pair)) != NULL)
		json_array_append_new(pairs, pair_object(services, pair));
	route_object_put(reply, "count", json_integer((json_int_t)json_array_size(pairs)));
	route_object_put(reply, "pairs", pairs);
	call_answer(call, reply);
}
