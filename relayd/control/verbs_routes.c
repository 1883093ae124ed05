/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.list, routes.get, routes.add, routes.del. No answer holds a password. */
#include "relayd/control/verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "common/route.h"
#include "common/xalloc.h"
#include "relayd/routes/changes.h"

enum {
	PAGE_DEFAULT = 1000,
	PAGE_MOST = 10000,
	CHANGE_MOST = 10000,           /* routes in one request: its answer must be a line */
	LINES_ENOUGH = 4 * 1024 * 1024 /* bytes of text after which a page ends early */
};

static const char not_found_hint[] = "tmail routes list -o id";

static void
put(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

/* Lines are made of checked text: they are UTF-8. */
static json_t *
take_lines(struct strbuf *lines)
{
	json_t *text = json_stringn_nocheck(lines->len > 0 ? lines->data : "", lines->len);

	strbuf_clear(lines);
	return text;
}

static void
put_line(struct strbuf *lines, const struct route *route)
{
	route_line(route, lines);
	strbuf_putc(lines, '\n');
}

/* ---- list, get
 * ----------------------------------------------------------------------------------- */

/* A page of the table, which begins behind `after`. */
static json_t *
make_page(const struct changes *changes, uint64_t after, json_int_t limit, bool as_lines)
{
	const struct table *table = changes_table(changes);
	const struct route *route = table_next(table, after);
	json_t *page = json_object(), *routes = as_lines ? NULL : json_array();
	struct strbuf lines = STRBUF_INIT;

	for (; route != NULL && limit > 0 && lines.len < LINES_ENOUGH; limit--) {
		if (as_lines)
			put_line(&lines, route);
		else
			json_array_append_new(routes, protocol_route_object(route));
		after = route->id;
		route = table_next(table, after);
	}
	put(page, "revision", json_integer((json_int_t)changes_revision(changes)));
	put(page, "count", json_integer((json_int_t)table_count(table)));
	if (as_lines)
		put(page, "lines", take_lines(&lines));
	else
		put(page, "routes", routes);
	put(page, "next", route != NULL ? json_integer((json_int_t)after) : json_null());
	return page;
}

void
verb_routes_list(struct call *call)
{
	const json_t *form = json_object_get(call_params(call), "form");
	json_int_t after = 0, limit = PAGE_DEFAULT;
	const char *name = form != NULL ? json_string_value(form) : "objects";
	bool as_lines = name != NULL && strcmp(name, "lines") == 0;
	struct error why;

	if (call_integer(call, "after", 0, INT64_MAX, &after, &why) != 0 ||
	    call_integer(call, "limit", 1, PAGE_MOST, &limit, &why) != 0)
		call_misused(call, why.text);
	else if (!as_lines && (name == NULL || strcmp(name, "objects") != 0))
		call_misused(call, "form must be \"objects\" or \"lines\"");
	else
		call_answer(call, make_page(call_services(call)->changes, (uint64_t)after, limit,
					    as_lines));
}

static void
refuse_missing(struct call *call, uint64_t id)
{
	struct error why;

	error_set(&why, ERROR_NOT_FOUND, "no route %" PRIu64, id);
	call_refuse(call, &why, not_found_hint);
}

void
verb_routes_get(struct call *call)
{
	const struct changes *changes = call_services(call)->changes;
	const struct route *route;
	struct strbuf line = STRBUF_INIT;
	json_int_t id = -1;
	struct error why;
	json_t *result;

	if (call_integer(call, "id", 0, INT64_MAX, &id, &why) != 0 || id < 0) {
		call_misused(call, "id must be the id of a route");
		return;
	}
	route = table_get(changes_table(changes), (uint64_t)id);
	if (route == NULL) {
		refuse_missing(call, (uint64_t)id);
		return;
	}
	result = json_object();
	route_line(route, &line);
	put(result, "revision", json_integer((json_int_t)changes_revision(changes)));
	put(result, "route", protocol_route_object(route));
	put(result, "line", take_lines(&line));
	call_answer(call, result);
}

/* ---- add, del
 * ------------------------------------------------------------------------------------ */

/* A change that the disk was asked to keep. */
static void
changed(void *ctx, const struct change_result *outcome, const struct error *why)
{
	struct strbuf lines = STRBUF_INIT;
	struct call *call = ctx;
	json_t *result, *routes;

	if (why != NULL) {
		call_refuse(call, why, why->code == ERROR_NOT_FOUND ? not_found_hint : NULL);
		return;
	}
	result = json_object();
	routes = json_array();
	for (size_t i = 0; i < outcome->count; i++) {
		if (outcome->routes[i] == NULL)
			continue;
		json_array_append_new(routes, protocol_route_object(outcome->routes[i]));
		put_line(&lines, outcome->routes[i]);
	}
	put(result, "revision", json_integer((json_int_t)outcome->revision));
	put(result, "routes", routes);
	put(result, "lines", take_lines(&lines));
	call_answer(call, result);
}

static void
apply(struct call *call, const struct change_step *steps, size_t count)
{
	const struct change change = {
	    .steps = steps,
	    .step_count = count,
	    .user = call_user(call),
	    .note = NULL,
	    .expected_revision = -1,
	};

	changes_apply(call_services(call)->changes, &change, changed, call);
}

/* "remote_password_from": the password is copied here and seen by nobody. Taken out of the object,
 * of which it is no field. */
static int
copy_password(const struct changes *changes, json_t *object, struct route *route, struct error *why)
{
	const json_t *from = json_object_get(object, "remote_password_from");
	const struct route *source;
	json_int_t id;

	if (from == NULL)
		return 0;
	if (!json_is_integer(from) || json_integer_value(from) < 0)
		return error_set(why, ERROR_REFUSED,
				 "remote_password_from must be the id of a route");
	if (json_object_get(object, "remote_password") != NULL)
		return error_set(
		    why, ERROR_REFUSED,
		    "remote_password and remote_password_from: only one password is needed");
	id = json_integer_value(from);
	source = table_get(changes_table(changes), (uint64_t)id);
	if (source == NULL)
		return error_set(why, ERROR_NOT_FOUND,
				 "no route %" JSON_INTEGER_FORMAT " to copy a password from", id);
	if (source->remote_password == NULL)
		return error_set(why, ERROR_REFUSED,
				 "route %" JSON_INTEGER_FORMAT " has no password", id);
	json_object_del(object, "remote_password_from");
	return route_set(route, ROUTE_REMOTE_PASSWORD, source->remote_password, why);
}

/* Nobody needs it in this form any more, and jansson would give the memory back as it is. */
static void
wipe_password(const json_t *object)
{
	const json_t *password = json_object_get(object, "remote_password");

	if (json_is_string(password))
		explicit_bzero((char *)(uintptr_t)json_string_value(password),
			       json_string_length(password));
}

static struct route *
read_route(const struct changes *changes, json_t *object, struct error *why)
{
	struct route *route = route_new();
	int result = 0;

	if (!json_is_object(object))
		result = error_set(why, ERROR_REFUSED, "a route must be an object");
	if (result == 0)
		result = copy_password(changes, object, route, why);
	if (result == 0)
		result = protocol_route_from_object(object, route, why);
	wipe_password(object);
	if (result == 0)
		result = route_validate(route, why);
	if (result == 0)
		return route;
	route_unref(route);
	return NULL;
}

void
verb_routes_add(struct call *call)
{
	json_t *one = json_object_get(call_params(call), "route");
	json_t *many = json_object_get(call_params(call), "routes");
	size_t count = one != NULL ? 1 : json_array_size(many), made = 0;
	struct change_step *steps;
	struct error why;

	if ((one != NULL) == (many != NULL) || count == 0 || count > CHANGE_MOST) {
		call_misused(call,
			     "routes.add takes a route, or routes: an array of 1 to 10000 of them");
		return;
	}
	steps = xcalloc(count, sizeof(*steps));
	for (; made < count; made++) {
		steps[made].what = CHANGE_ADD;
		steps[made].route =
		    read_route(call_services(call)->changes,
			       one != NULL ? one : json_array_get(many, made), &why);
		if (steps[made].route == NULL)
			break;
	}
	if (made == count) {
		apply(call, steps, count);
	} else {
		if (many != NULL)
			error_prefix(&why, "routes[%zu]", made);
		call_refuse(call, &why, NULL);
	}
	while (made > 0)
		route_unref(steps[--made].route);
	free(steps);
}

static int
by_id(const void *left, const void *right)
{
	const struct change_step *a = left, *b = right;

	return a->id < b->id ? -1 : a->id > b->id;
}

void
verb_routes_del(struct call *call)
{
	const json_t *ids = json_object_get(call_params(call), "ids"), *id;
	size_t count = json_array_size(ids), unique = 0;
	struct change_step *steps = NULL;

	if (count == 0 || count > CHANGE_MOST)
		goto misused;
	steps = xcalloc(count, sizeof(*steps));
	for (size_t i = 0; i < count; i++) {
		id = json_array_get(ids, i);
		if (!json_is_integer(id) || json_integer_value(id) < 0)
			goto misused;
		steps[i].what = CHANGE_DELETE;
		steps[i].id = (uint64_t)json_integer_value(id);
	}
	/* An id that was said twice is meant once. */
	qsort(steps, count, sizeof(*steps), by_id);
	for (size_t i = 0; i < count; i++) {
		if (unique == 0 || steps[unique - 1].id != steps[i].id)
			steps[unique++] = steps[i];
	}
	apply(call, steps, unique);
	free(steps);
	return;
misused:
	free(steps);
	call_misused(call, "ids must be an array of 1 to 10000 route ids");
}
