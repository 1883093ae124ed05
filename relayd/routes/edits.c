/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/edits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/*
 * The table as the edits so far leave it: what is new or has another form now lies in `over`, what
 * is gone from the table in `gone`. The steps are made of these at the end: a route that was edited
 * several times is one step, one that came and went is none.
 */
struct view {
	const struct table *table;
	struct table *over;
	struct table *gone;
	uint64_t
	    first_new; /* ids from here on are for the while: those that are kept close ranks */
	uint64_t next_id;
	uint64_t *added; /* the ids of the routes added; 0: that one failed */
	size_t added_count;
	struct change_steps *steps;
};

struct edit *
edits_append(struct edits *edits, enum edit_kind what)
{
	if (edits->count == edits->room) {
		edits->room = edits->room > 0 ? edits->room * 2 : 1;
		edits->items = xreallocarray(edits->items, edits->room, sizeof(edits->items[0]));
	}
	edits->items[edits->count] = (struct edit){.what = what};
	return &edits->items[edits->count++];
}

void
edits_clear(struct edits *edits)
{
	for (size_t i = 0; i < edits->count; i++)
		route_unref(edits->items[i].route);
	for (size_t i = 0; i < edits->present_count; i++)
		route_unref(edits->present[i]);
	free(edits->items);
	free(edits->failures);
	free(edits->present);
	*edits = (struct edits){.items = NULL};
}

/* ---- the view ---- */

static const struct route *
view_get(const struct view *view, uint64_t id)
{
	const struct route *route = table_get(view->over, id);

	if (route == NULL && table_get(view->gone, id) == NULL)
		route = table_get(view->table, id);
	return route;
}

/* The view takes the route. */
static void
view_put(struct view *view, struct route *route)
{
	table_put(view->over, route);
	route_unref(route);
}

static void
view_delete(struct view *view, uint64_t id)
{
	const struct route *base = table_get(view->table, id);

	(void)table_remove(view->over, id);
	if (base != NULL)
		table_put(view->gone, (struct route *)(uintptr_t)base);
}

static const struct route *
find(struct view *view, const struct edit_name *name, struct error *why)
{
	uint64_t id = name->id;
	const struct route *route;

	if (name->added > view->added_count) {
		error_set(why, ERROR_REFUSED, "+%zu: only %zu routes were added before",
			  name->added, view->added_count);
		return NULL;
	}
	if (name->added > 0)
		id = view->added[name->added - 1];
	route = id > 0 ? view_get(view, id) : NULL;
	if (route == NULL && name->added > 0)
		error_set(why, ERROR_NOT_FOUND, "+%zu: that route is not there", name->added);
	else if (route == NULL)
		change_steps_missing(view->steps, id, why);
	return route;
}

/* ---- groups ---- */

struct members {
	struct reorder_row *rows;
	size_t count;
	size_t room;
};

static void
members_put(struct members *members, uint64_t id, uint16_t priority)
{
	if (members->count == members->room) {
		members->room = members->room > 0 ? members->room * 2 : 8;
		members->rows =
		    xreallocarray(members->rows, members->room, sizeof(members->rows[0]));
	}
	members->rows[members->count++] = (struct reorder_row){.id = id, .priority = priority};
}

static void
members_of(const struct view *view, const struct route *key, struct members *members)
{
	for (int enabled = 0; enabled < 2; enabled++) {
		const struct route_group *base = table_group(view->table, key, enabled != 0);
		const struct route_group *over = table_group(view->over, key, enabled != 0);

		for (size_t i = 0; base != NULL && i < base->count; i++) {
			uint64_t id = base->routes[i]->id;

			if (table_get(view->over, id) == NULL && table_get(view->gone, id) == NULL)
				members_put(members, id, base->routes[i]->priority);
		}
		for (size_t i = 0; over != NULL && i < over->count; i++)
			members_put(members, over->routes[i]->id, over->routes[i]->priority);
	}
}

/* Put the routes with new priorities; `moved` is not in the view yet if it is new: its priority is
 * set instead. */
static int
reorder_group(struct view *view, struct route *moved, const struct edit *edit, struct error *why)
{
	struct members members = {.rows = NULL};
	struct reorder_row *writes = NULL;
	const struct route *other = NULL;
	size_t written = 0;
	int rc = -1;

	if ((edit->wish == REORDER_BEFORE || edit->wish == REORDER_AFTER ||
	     edit->wish == REORDER_SHARE) &&
	    (other = find(view, &edit->other, why)) == NULL)
		return -1;
	members_of(view, moved, &members);
	if (edit->what == EDIT_ADD)
		members_put(&members, 0, 0);
	writes = xcalloc(members.count, sizeof(writes[0]));
	if (reorder(members.rows, members.count, edit->what == EDIT_ADD ? 0 : moved->id, edit->wish,
		    other != NULL ? other->id : 0, writes, &written, why) != 0)
		goto out;
	for (size_t i = 0; i < written; i++) {
		struct route *route;

		if (writes[i].id == 0) {
			moved->priority = writes[i].priority;
			continue;
		}
		route = route_copy(view_get(view, writes[i].id));
		route->priority = writes[i].priority;
		view_put(view, route);
	}
	rc = 0;
out:
	free(members.rows);
	free(writes);
	return rc;
}

/* ---- the edits ---- */

static bool
same_field(const struct route *a, const struct route *b, enum route_field field)
{
	char scratch_a[24], scratch_b[24];
	const char *text_a = route_get(a, field, scratch_a);
	const char *text_b = route_get(b, field, scratch_b);

	return text_a == NULL || text_b == NULL ? text_a == text_b : strcmp(text_a, text_b) == 0;
}

static bool
same_route(const struct route *a, const struct route *b)
{
	for (int i = 0; i < ROUTE_FIELDS; i++) {
		if (!same_field(a, b, (enum route_field)i))
			return false;
	}
	return true;
}

static int
copy_field(struct route *to, const struct route *from, enum route_field field, struct error *why)
{
	char scratch[24];
	const char *text = route_get(from, field, scratch);

	return route_set(to, field, text != NULL ? text : "", why);
}

/* Does it what the new one would do? Priorities do not count where a place is asked for. */
static bool
is_twin(const struct route *there, const struct route *wanted, bool placed)
{
	static const enum route_field fields[] = {
	    ROUTE_DESTINATION, ROUTE_USER,   ROUTE_MAIL_FROM, ROUTE_REMOTE_HOST,  ROUTE_REMOTE_PORT,
	    ROUTE_LOCAL_IPS,   ROUTE_WEIGHT, ROUTE_TLS,       ROUTE_REMOTE_LOGIN,
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!same_field(there, wanted, fields[i]))
			return false;
	}
	return placed || there->priority == wanted->priority;
}

static const struct route *
find_twin(const struct view *view, const struct route *wanted, bool placed)
{
	struct members members = {.rows = NULL};
	const struct route *found = NULL, *route;

	members_of(view, wanted, &members);
	for (size_t i = 0; i < members.count; i++) {
		route = view_get(view, members.rows[i].id);
		if (is_twin(route, wanted, placed) && (found == NULL || route->id < found->id))
			found = route;
	}
	free(members.rows);
	return found;
}

static int
copy_password(struct view *view, const struct edit *edit, struct route *route, struct error *why)
{
	const struct route *source;

	if (!edit->copies_password)
		return 0;
	source = find(view, &edit->password_of, why);
	if (source == NULL && edit->password_of.added == 0)
		return error_set(why, ERROR_NOT_FOUND,
				 "no route %" PRIu64 " to copy a password from",
				 edit->password_of.id);
	if (source == NULL)
		return -1;
	if (source->remote_password == NULL)
		return error_set(why, ERROR_REFUSED, "route %" PRIu64 " has no password",
				 source->id);
	return route_set(route, ROUTE_REMOTE_PASSWORD, source->remote_password, why);
}

static void
keep_present(struct edits *edits, const struct route *route)
{
	edits->present =
	    xreallocarray(edits->present, edits->present_count + 1, sizeof(edits->present[0]));
	edits->present[edits->present_count++] = route_ref(route);
}

static int
run_add(struct edits *edits, const struct edit *edit, struct view *view, struct error *why)
{
	struct route *route = route_copy(edit->route);
	const struct route *twin = NULL;

	if (edit->if_absent)
		twin = find_twin(view, route, edit->placed);
	if (twin != NULL) {
		view->added[view->added_count - 1] = twin->id;
		keep_present(edits, twin);
		route_unref(route);
		return 0;
	}
	if (copy_password(view, edit, route, why) != 0 || route_validate(route, why) != 0 ||
	    (edit->placed && reorder_group(view, route, edit, why) != 0)) {
		route_unref(route);
		return -1;
	}
	route->id = view->next_id++;
	view->added[view->added_count - 1] = route->id;
	view_put(view, route);
	return 0;
}

static int
run_set(const struct edit *edit, struct view *view, struct error *why)
{
	const struct route *before = find(view, &edit->name, why);
	struct route *route;
	bool changed = false;
	int rc = 0;

	if (before == NULL)
		return -1;
	route = route_copy(before);
	for (int i = 0; rc == 0 && i < ROUTE_FIELDS; i++) {
		if ((edit->fields & 1u << i) != 0)
			rc = copy_field(route, edit->route, (enum route_field)i, why);
	}
	/* A password without its login is of no use. */
	if (rc == 0 && route->remote_login == NULL && (edit->fields & 1u << ROUTE_REMOTE_LOGIN) &&
	    !(edit->fields & 1u << ROUTE_REMOTE_PASSWORD))
		rc = route_set(route, ROUTE_REMOTE_PASSWORD, "", why);
	if (rc == 0)
		rc = copy_password(view, edit, route, why);
	if (rc == 0)
		rc = route_validate(route, why);
	changed = rc == 0 && !same_route(before, route);
	if (changed)
		view_put(view, route);
	else
		route_unref(route);
	return rc;
}

static int
run_delete(const struct edit *edit, struct view *view, struct error *why)
{
	const struct route *route = find(view, &edit->name, why);

	if (route == NULL)
		return -1;
	view_delete(view, route->id);
	return 0;
}

static int
run_move(const struct edit *edit, struct view *view, struct error *why)
{
	const struct route *route = find(view, &edit->name, why);

	if (route == NULL)
		return -1;
	/* Nothing is written to it: what is moved is found by its id. */
	return reorder_group(view, (struct route *)(uintptr_t)route, edit, why);
}

static int
run_edit(struct edits *edits, const struct edit *edit, struct view *view, struct error *why)
{
	switch (edit->what) {
	case EDIT_ADD:
		view->added[view->added_count++] = 0;
		return run_add(edits, edit, view, why);
	case EDIT_SET:
		return run_set(edit, view, why);
	case EDIT_DELETE:
		return run_delete(edit, view, why);
	case EDIT_MOVE:
		return run_move(edit, view, why);
	}
	return error_set(why, ERROR_BUG, "an edit of kind %d", (int)edit->what);
}

void
edits_fail(struct edits *edits, size_t at, const struct error *why)
{
	if (edits->failures == NULL)
		edits->failures = xcalloc(EDIT_FAILURES, sizeof(edits->failures[0]));
	if (edits->failure_count < EDIT_FAILURES)
		edits->failures[edits->failure_count] =
		    (struct edit_failure){.at = at, .why = *why};
	edits->failure_count++;
}

/* What the view came to. */
static void
make_steps(const struct view *view, struct change_steps *out)
{
	const struct route *route, *base;

	for (route = table_next(view->over, 0); route != NULL;
	     route = table_next(view->over, route->id)) {
		base = table_get(view->table, route->id);
		if (route->id >= view->first_new)
			change_steps_add(out, route_ref(route));
		else if (!same_route(base, route))
			change_steps_set(out, route_ref(route));
	}
	for (route = table_next(view->gone, 0); route != NULL;
	     route = table_next(view->gone, route->id))
		change_steps_delete(out, route->id);
}

int
edits_make(struct edits *edits, const struct table *table, uint64_t next_id,
	   struct change_steps *out, struct error *why)
{
	struct view view = {.table = table, .first_new = next_id, .next_id = next_id, .steps = out};
	struct error failure;

	view.over = table_new();
	view.gone = table_new();
	view.added = xcalloc(edits->count, sizeof(view.added[0]));
	for (size_t i = 0; i < edits->count; i++) {
		failure = (struct error){.code = ERROR_NONE};
		if (run_edit(edits, &edits->items[i], &view, &failure) != 0)
			edits_fail(edits, edits->items[i].at, &failure);
	}
	if (edits->failure_count == 0)
		make_steps(&view, out);
	table_free(view.over);
	table_free(view.gone);
	free(view.added);
	if (edits->failure_count == 0)
		return 0;
	if (why != NULL)
		*why = edits->failures[0].why;
	return -1;
}
