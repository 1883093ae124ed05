/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/difference.h"

#include <stdbool.h>
#include <string.h>

#include "common/protocol.h"

/* The value of a field as the route's object has it, null where there is no route. */
static json_t *
value_of(const struct route *route, const json_t *object, enum route_field field)
{
	const json_t *value;

	if (route == NULL)
		return json_null();
	if (field == ROUTE_REMOTE_PASSWORD)
		return route->remote_password != NULL ? json_string("********") : json_null();
	value = json_object_get(object, route_field_name(field));
	return value != NULL ? json_incref((json_t *)(uintptr_t)value) : json_null();
}

static bool
is_same(const char *left, const char *right)
{
	return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

static bool
is_different(const struct route *before, const struct route *after, enum route_field field)
{
	char left[24], right[24];

	return !is_same(before != NULL ? route_get(before, field, left) : NULL,
			after != NULL ? route_get(after, field, right) : NULL);
}

json_t *
difference_of(const struct route *before, const struct route *after)
{
	json_t *from = before != NULL ? protocol_route_object(before) : NULL;
	json_t *to = after != NULL ? protocol_route_object(after) : NULL;
	json_t *fields = json_array();
	const char *what = before == NULL ? "add" : after == NULL ? "delete" : "set";

	for (enum route_field field = 0; field < ROUTE_FIELDS; field++) {
		if (is_different(before, after, field))
			json_array_append_new(fields, json_pack("{s:s, s:o, s:o}", "field",
								route_field_name(field), "from",
								value_of(before, from, field), "to",
								value_of(after, to, field)));
	}
	json_decref(from);
	json_decref(to);
	return json_pack("{s:s, s:I, s:o}", "what", what, "id",
			 (json_int_t)(after != NULL ? after->id : before->id), "fields", fields);
}
