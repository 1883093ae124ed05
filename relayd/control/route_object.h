/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A route as answers show it (tmail-formats(5)): its fields, and what the daemon knows of it beyond
 * them: its rank in its group, with whom it shares, its state, its rates, its last change.
 */
#ifndef RELAYD_CONTROL_ROUTE_OBJECT_H
#define RELAYD_CONTROL_ROUTE_OBJECT_H

#include <jansson.h>

#include "common/route.h"
#include "common/strbuf.h"
#include "relayd/control/control.h"
#include "relayd/routes/filter.h"
#include "relayd/routes/stats.h"

enum { ROUTE_OBJECT_SHARED_MAX = 100 }; /* ids in "shared_with": the lowest ones */

/* New reference. */
json_t *route_object(const struct control_services *services, const struct route *route);

/* The same of an earlier revision: what only the present knows is null. */
json_t *route_object_past(const struct route *route);

/* Rates and state for filters; `services` must live as long as the source is used. */
struct filter_source route_object_source(const struct control_services *services);

/* The counters as they are now, with the state "off" for a disabled route. */
void route_object_stats(const struct control_services *services, const struct route *route,
    struct stats_route *out);

/* Put a member into an object; both are stolen. */
void route_object_put(json_t *object, const char *name, json_t *value);

/* Ready lines as a JSON text; `lines` is empty afterwards. They are made of checked text: UTF-8. */
json_t *route_object_lines(struct strbuf *lines);

#endif
