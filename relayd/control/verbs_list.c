/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes.list, routes.get, routes.stats. No answer holds a password.
 *
 * By ids a list is made page by page from the table as it is then; a page looks at so many routes
 * only, and may be empty though there are more. A sorted list is made once, kept, and read by its
 * cursor (relayd/control/lists.h).
 */
#include <string.h>

#include "common/route.h"
#include "common/xalloc.h"
#include "relayd/control/lists.h"
#include "relayd/control/past_sort.h"
#include "relayd/control/route_object.h"
#include "relayd/control/verbs.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/filter.h"
#include "relayd/routes/sorted.h"
#include "relayd/routes/table.h"

enum {
	PAGE_DEFAULT = 1000,
	PAGE_MOST = 10000,
	LOOKED_ENOUGH = 8000, /* routes of which a page holds those that the filter lets through */
	LINES_ENOUGH = 4 * 1024 * 1024, /* bytes of text after which a page ends early */
	SHARED_ENOUGH = 50000           /* ids in all "shared_with" of a page */
};

/* What a page is made of. */
struct page {
	const struct control_services *services;
	json_int_t after, limit, cursor;
	json_int_t revision; /* an earlier one; -1: the present one */
	bool as_lines;
	bool as_ids; /* these lines are ids alone */
	json_t *(*object)(const struct control_services *services, const struct route *route);
	struct strbuf lines;
	json_t *routes;
	size_t shared;
};

static void
page_put(struct page *page, const struct route *route)
{
	json_t *object;

	page->limit--;
	if (page->as_lines) {
		if (page->as_ids)
			strbuf_decimal(&page->lines, route->id);
		else
			route_line(route, &page->lines);
		strbuf_putc(&page->lines, '\n');
		return;
	}
	object = page->object(page->services, route);
	page->shared += json_array_size(json_object_get(object, "shared_with"));
	json_array_append_new(page->routes, object);
}

static bool
page_has_room(const struct page *page)
{
	return page->limit > 0 && page->lines.len < LINES_ENOUGH && page->shared < SHARED_ENOUGH;
}

/* `more`: there are routes behind page->after. */
static json_t *
page_finish(struct page *page, bool more)
{
	const struct changes *changes = page->services->changes;
	json_t *reply = json_object();

	route_object_put(reply, "revision",
			 json_integer(page->revision >= 0 ? page->revision
							  : (json_int_t)changes_revision(changes)));
	route_object_put(reply, "count",
			 json_integer((json_int_t)table_count(changes_table(changes))));
	if (page->cursor >= 0)
		route_object_put(reply, "cursor", json_integer(page->cursor));
	if (page->as_lines)
		route_object_put(reply, "lines", route_object_lines(&page->lines));
	else
		route_object_put(reply, "routes", page->routes);
	route_object_put(reply, "next", more ? json_integer(page->after) : json_null());
	return reply;
}

static json_t *
page_by_id(struct page *page, const struct filter *filter)
{
	const struct table *table = changes_table(page->services->changes);
	struct filter_source source = route_object_source(page->services);
	const struct route *some[TABLE_SOME];
	size_t count = TABLE_SOME, at = TABLE_SOME, looked = 0;

	for (; page_has_room(page) && looked < LOOKED_ENOUGH; looked++) {
		if (at == count && count == TABLE_SOME) {
			count = table_some(table, (uint64_t)page->after, some);
			at = 0;
		}
		if (at == count)
			break;
		page->after = (json_int_t)some[at]->id;
		if (filter == NULL || filter_match(filter, some[at], &source))
			page_put(page, some[at]);
		at++;
	}
	return page_finish(page, table_next(table, (uint64_t)page->after) != NULL);
}

static json_t *
past_object(const struct control_services *services, const struct route *route)
{
	(void)services;
	return route_object_past(route);
}

/* `after` counts rows. */
static void
answer_by_cursor(struct call *call, struct page *page)
{
	struct lists *lists = page->services->lists;
	int64_t revision;
	const struct sorted *sorted = lists_find(lists, page->cursor, &revision);
	json_t *reply;
	bool more;

	if (sorted == NULL) {
		struct error why;

		error_set(&why, ERROR_CONFLICT,
			  "the sorted list was dropped: it was not read on "
			  "for a while");
		json_decref(page->routes);
		call_refuse(call, &why, NULL);
		return;
	}
	if (revision >= 0) {
		page->revision = revision;
		page->object = past_object;
	}
	for (; page_has_room(page) && (size_t)page->after < sorted_count(sorted); page->after++)
		page_put(page, sorted_at(sorted, (size_t)page->after));
	more = (size_t)page->after < sorted_count(sorted);
	reply = page_finish(page, more);
	if (!more)
		lists_drop(lists, page->cursor);
	call_answer(call, reply);
}

/* ---- the params ---- */

static int
read_form(const struct call *call, struct page *page, struct error *why)
{
	const json_t *form = json_object_get(call_params(call), "form");
	const char *name = form != NULL ? json_string_value(form) : "objects";

	page->as_ids = name != NULL && strcmp(name, "ids") == 0;
	page->as_lines = page->as_ids || (name != NULL && strcmp(name, "lines") == 0);
	if (!page->as_lines && (name == NULL || strcmp(name, "objects") != 0))
		return error_set(why, ERROR_USAGE,
				 "form must be \"objects\", \"lines\" or \"ids\"");
	return 0;
}

static int
read_page(const struct call *call, struct page *page, struct error *why)
{
	*page = (struct page){.services = call_services(call),
			      .limit = PAGE_DEFAULT,
			      .cursor = -1,
			      .revision = -1,
			      .object = route_object};
	if (call_integer(call, "after", 0, INT64_MAX, &page->after, why) != 0 ||
	    call_integer(call, "limit", 1, PAGE_MOST, &page->limit, why) != 0 ||
	    call_integer(call, "cursor", 1, INT64_MAX, &page->cursor, why) != 0 ||
	    read_form(call, page, why) != 0)
		return -1;
	if (!page->as_lines)
		page->routes = json_array();
	return 0;
}

/* ---- list ---- */

/* Asked for the first page of a sorted list. */
static void
list_is_ready(void *ctx, int64_t cursor)
{
	struct call *call = ctx;
	struct page page;
	struct error why;

	/* The params have been read before. */
	if (cursor >= 0 && read_page(call, &page, &why) == 0) {
		page.cursor = cursor;
		answer_by_cursor(call, &page);
		return;
	}
	error_set(&why, ERROR_REFUSED, "too many sorted lists are being read");
	call_refuse(call, &why, NULL);
}

static void
begin_sorted(struct call *call, struct filter *filter, const char *columns, json_int_t at)
{
	const struct control_services *services = call_services(call);
	struct filter_source source = route_object_source(services);
	struct sorted *sorted;
	struct error why;

	sorted = sorted_new(columns, &source, &why);
	if (sorted == NULL) {
		filter_free(filter);
		call_refuse(call, &why, NULL);
		return;
	}
	if (at >= 0)
		past_sort(call, (uint64_t)at, filter, sorted, list_is_ready);
	else
		lists_make(services->lists, filter, &source, sorted, list_is_ready, call);
}

void
verb_routes_list(struct call *call)
{
	const char *text = NULL, *columns = NULL;
	struct filter *filter = NULL;
	json_int_t at = -1;
	struct page page;
	struct error why;

	if (json_object_get(call_params(call), "at") != NULL &&
	    json_object_get(call_params(call), "sort") == NULL &&
	    json_object_get(call_params(call), "cursor") == NULL) {
		verb_routes_list_at(call);
		return;
	}
	if (read_page(call, &page, &why) != 0 || call_string(call, "filter", &text, &why) != 0 ||
	    call_string(call, "sort", &columns, &why) != 0 ||
	    call_integer(call, "at", 0, INT64_MAX, &at, &why) != 0) {
		json_decref(page.routes);
		call_misused(call, why.text);
		return;
	}
	if (text != NULL && page.cursor < 0)
		filter = filter_new(text, &why);
	if (text != NULL && page.cursor < 0 && filter == NULL) {
		json_decref(page.routes);
		call_refuse(call, &why, NULL);
	} else if (page.cursor >= 0) {
		answer_by_cursor(call, &page);
	} else if (columns != NULL) {
		json_decref(page.routes);
		begin_sorted(call, filter, columns, at);
	} else {
		call_answer(call, page_by_id(&page, filter));
		filter_free(filter);
	}
}

/* ---- get ---- */

void
verb_routes_get(struct call *call)
{
	const struct control_services *services = call_services(call);
	const struct route *route;
	struct strbuf line = STRBUF_INIT;
	json_int_t id = -1;
	struct error why;
	json_t *result;

	if (call_integer(call, "id", 0, INT64_MAX, &id, &why) != 0 || id < 0) {
		call_misused(call, "id must be the id of a route");
		return;
	}
	route = table_get(changes_table(services->changes), (uint64_t)id);
	if (route == NULL) {
		verbs_refuse_missing(call, (uint64_t)id);
		return;
	}
	result = json_object();
	route_line(route, &line);
	route_object_put(result, "revision",
			 json_integer((json_int_t)changes_revision(services->changes)));
	route_object_put(result, "route", route_object(services, route));
	route_object_put(result, "line", route_object_lines(&line));
	call_answer(call, result);
}
