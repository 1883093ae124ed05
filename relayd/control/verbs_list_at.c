/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.list as of an earlier revision. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/route.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/control/pasts.h"
#include "relayd/control/route_object.h"
#include "relayd/control/verbs.h"
#include "relayd/routes/filter.h"

enum {
	PAGE_DEFAULT = 1000,
	PAGE_MOST = 10000,
	LOOKED_ENOUGH = 20000,
	LINES_ENOUGH = 4 * 1024 * 1024
};

struct page {
	struct call *call;
	json_int_t after;
	json_int_t limit;
	bool as_lines;
	bool as_ids;           /* lines of ids alone */
	struct filter *filter; /* NULL: all */
	struct strbuf lines;
	json_t *routes;
};

static void
page_free(struct page *page)
{
	filter_free(page->filter);
	strbuf_clear(&page->lines);
	json_decref(page->routes);
	free(page);
}

static void
put_route(struct page *page, const struct route *route)
{
	struct filter_source source = route_object_source(call_services(page->call));

	if (page->filter != NULL && !filter_match(page->filter, route, &source))
		return;
	page->limit--;
	if (!page->as_lines) {
		json_array_append_new(page->routes, route_object_past(route));
		return;
	}
	if (page->as_ids)
		strbuf_printf(&page->lines, "%" PRIu64, route->id);
	else
		route_line(route, &page->lines);
	strbuf_putc(&page->lines, '\n');
}

/* Returns whether there is more, or -1. */
static int
fill_page(struct page *page, const struct table_past *past, const struct table *table,
	  struct error *why)
{
	struct route *route;
	size_t looked = 0;
	int rc;

	while ((rc = table_past_next(past, table, (uint64_t)page->after, &route, why)) > 0) {
		if (page->limit == 0 || looked++ == LOOKED_ENOUGH ||
		    page->lines.len >= LINES_ENOUGH) {
			route_unref(route);
			return 1;
		}
		page->after = (json_int_t)route->id;
		put_route(page, route);
		route_unref(route);
	}
	return rc;
}

static void
answer_page(void *ctx, const struct table_past *past, const struct error *failed)
{
	struct page *page = ctx;
	struct call *call = page->call;
	const struct table *table = changes_table(call_services(call)->changes);
	struct error why;
	json_t *reply;
	int more = -1;

	if (failed != NULL)
		why = *failed;
	else
		more = fill_page(page, past, table, &why);
	if (more < 0) {
		call_refuse(call, &why, NULL);
		page_free(page);
		return;
	}
	reply = json_object();
	route_object_put(reply, "revision", json_integer((json_int_t)table_past_revision(past)));
	route_object_put(reply, "count", json_integer((json_int_t)table_past_count(past, table)));
	if (page->as_lines)
		route_object_put(reply, "lines", route_object_lines(&page->lines));
	else
		route_object_put(reply, "routes", json_incref(page->routes));
	route_object_put(reply, "next", more > 0 ? json_integer(page->after) : json_null());
	page_free(page);
	call_answer(call, reply);
}

static int
read_params(const struct call *call, struct page *page, json_int_t *at, struct error *why)
{
	const char *form = NULL, *text = NULL;

	if (call_integer(call, "at", 0, INT64_MAX, at, why) < 0 ||
	    call_integer(call, "after", 0, INT64_MAX, &page->after, why) < 0 ||
	    call_integer(call, "limit", 1, PAGE_MOST, &page->limit, why) < 0 ||
	    call_string(call, "form", &form, why) < 0 ||
	    call_string(call, "filter", &text, why) < 0)
		return -1;
	page->as_ids = form != NULL && strcmp(form, "ids") == 0;
	page->as_lines = page->as_ids || (form != NULL && strcmp(form, "lines") == 0);
	if (form != NULL && !page->as_lines && strcmp(form, "objects") != 0)
		return error_set(why, ERROR_USAGE,
				 "form must be \"objects\", \"lines\" or \"ids\"");
	if (text != NULL)
		page->filter = filter_new(text, why);
	return text != NULL && page->filter == NULL ? -1 : 0;
}

void
verb_routes_list_at(struct call *call)
{
	struct page *page = xcalloc(1, sizeof(*page));
	json_int_t at = 0;
	struct error why;

	page->call = call;
	page->limit = PAGE_DEFAULT;
	if (read_params(call, page, &at, &why) < 0) {
		page_free(page);
		call_misused(call, why.text);
		return;
	}
	if (!page->as_lines)
		page->routes = json_array();
	pasts_look(call_services(call)->pasts, (uint64_t)at, answer_page, page);
}
