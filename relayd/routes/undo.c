/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/undo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/earlier.h"
#include "relayd/routes/past.h"

enum { CLASHES_TOLD = 4 };

struct undo {
	uint64_t revision;             /* 0: the last one; known after the reading */
	const struct changes *changes; /* of a timed change; else NULL */
	struct earlier *before;        /* the routes as the change found them */
	struct earlier *after;         /* as it left them, where something touched them since */
	struct strbuf clashes;
	size_t clash_count;
};

/* ---- reading, in an offload thread ---- */

static int
read_change(void *ctx, const struct journal_change *change, struct journal_reader *steps,
	    struct error *why)
{
	struct undo *undo = ctx;
	struct journal_text step;
	int rc;

	(void)change;
	/* Of several steps on one route the first found it as it was. */
	while ((rc = journal_reader_step(steps, &step, why)) > 0)
		earlier_add(undo->before, step.id, step.before, step.before_len);
	return rc;
}

static int
read_later(void *ctx, const struct journal_change *change, struct journal_reader *steps,
	   struct error *why)
{
	struct undo *undo = ctx;
	struct journal_text step;
	int rc;

	(void)change;
	/* How the next step on a route found it is how this change left it. */
	while ((rc = journal_reader_step(steps, &step, why)) > 0) {
		if (earlier_find(undo->before, step.id) != NULL)
			earlier_add(undo->after, step.id, step.before, step.before_len);
	}
	return rc;
}

static int
prepare(void *ctx, const struct past *past, struct error *why)
{
	struct undo *undo = ctx;
	const struct past_visitor change = {.visit = read_change, .ctx = undo};
	const struct past_visitor later = {.visit = read_later, .ctx = undo};
	uint64_t id = 0;

	if (undo->revision == 0 && past->revision == 0)
		return error_set(why, ERROR_NOT_FOUND, "there is no change to undo");
	if (undo->revision == 0)
		undo->revision = past->revision;
	if (past_has(past, undo->revision, why) < 0 ||
	    past_walk(past, undo->revision, undo->revision, 0, &change, why) < 0)
		return -1;
	earlier_sort(undo->before);
	if (earlier_count(undo->before) == 1)
		id = earlier_get(undo->before, 0)->id;
	return past_walk(past, undo->revision + 1, past->revision, id, &later, why);
}

/* ---- making, on the loop ---- */

/* One route: as the change found it, as it left it, as it is now; NULL: not there. */
struct three {
	uint64_t id;
	const struct route *before;
	const struct route *after;
	const struct route *now;
};

static bool
is_same(const struct route *a, const struct route *b, enum route_field field)
{
	char left[24], right[24];
	const char *value = route_get(a, field, left), *other = route_get(b, field, right);

	return value == NULL || other == NULL ? value == other : strcmp(value, other) == 0;
}

/* Begin to tell of a route that is not as it was left. NULL: enough was told. */
static struct strbuf *
clash(struct undo *undo, uint64_t id)
{
	if (undo->clash_count++ >= CLASHES_TOLD)
		return NULL;
	strbuf_printf(&undo->clashes, "%sroute %" PRIu64 " ", undo->clash_count > 1 ? "; " : "",
		      id);
	return &undo->clashes;
}

static void
clash_says(struct undo *undo, uint64_t id, const char *what)
{
	struct strbuf *out = clash(undo, id);

	if (out != NULL)
		strbuf_puts(out, what);
}

/* Name the fields among `touched` that are not as they were left. Returns how many there are. */
static size_t
compare_fields(struct undo *undo, const struct three *three, const bool touched[ROUTE_FIELDS])
{
	struct strbuf *out = NULL;
	size_t count = 0;

	for (enum route_field field = 0; field < ROUTE_FIELDS; field++) {
		if (!touched[field] || is_same(three->after, three->now, field))
			continue;
		if (count++ == 0) {
			out = clash(undo, three->id);
			if (out != NULL)
				strbuf_puts(out, "has changed since in ");
		}
		if (out != NULL)
			strbuf_printf(out, "%s%s", count > 1 ? ", " : "", route_field_name(field));
	}
	return count;
}

/* It was added: delete it, if nobody has changed it since. */
static void
undo_add(struct undo *undo, const struct three *three, struct change_steps *out)
{
	bool touched[ROUTE_FIELDS];

	for (enum route_field field = 0; field < ROUTE_FIELDS; field++)
		touched[field] = true;
	if (three->now == NULL)
		clash_says(undo, three->id, "was deleted since");
	else if (compare_fields(undo, three, touched) == 0)
		change_steps_delete(out, three->id);
}

static int
undo_delete(struct undo *undo, const struct three *three, struct change_steps *out)
{
	if (three->now != NULL)
		clash_says(undo, three->id, "has come back since");
	else
		change_steps_restore(out, route_copy(three->before));
	return 0;
}

static int
undo_set(struct undo *undo, const struct three *three, struct change_steps *out, struct error *why)
{
	bool touched[ROUTE_FIELDS], any = false;
	struct route *route;
	char scratch[24];
	int rc = 0;

	if (three->now == NULL) {
		clash_says(undo, three->id, "was deleted since");
		return 0;
	}
	for (enum route_field field = 0; field < ROUTE_FIELDS; field++)
		touched[field] = !is_same(three->before, three->after, field);
	(void)compare_fields(undo, three, touched);
	route = route_copy(three->now);
	for (enum route_field field = 0; rc == 0 && field < ROUTE_FIELDS; field++) {
		const char *value = route_get(three->before, field, scratch);

		if (!touched[field] || !is_same(three->after, three->now, field))
			continue;
		any = true;
		rc = route_set(route, field, value != NULL ? value : "", why);
	}
	/* Some of its fields going back and others staying may not make a route. */
	if (rc == 0 && any && undo->clash_count > 0 && route_validate(route, why) < 0)
		any = false;
	if (rc == 0 && any)
		change_steps_set(out, route);
	else
		route_unref(route);
	return rc;
}

static int
undo_route(struct undo *undo, const struct three *three, struct change_steps *out,
	   struct error *why)
{
	/* Added and deleted by one change. */
	if (three->before == NULL && three->after == NULL)
		return 0;
	if (three->before == NULL)
		undo_add(undo, three, out);
	else if (three->after == NULL)
		return undo_delete(undo, three, out);
	else
		return undo_set(undo, three, out, why);
	return 0;
}

/* The route of an entry, which may say that there was none. */
static int
decode(const struct earlier *earlier, const struct earlier_entry *entry, struct route **route,
       struct error *why)
{
	*route = NULL;
	if (entry->len == 0)
		return 0;
	*route = earlier_route(earlier, entry, why);
	if (*route != NULL)
		return 0;
	return error_prefix(why, "route %" PRIu64 " as it was can't be read", entry->id);
}

static int
make_steps(struct undo *undo, const struct table *table, struct change_steps *out,
	   struct error *why)
{
	for (size_t i = 0; i < earlier_count(undo->before); i++) {
		const struct earlier_entry *entry = earlier_get(undo->before, i);
		const struct earlier_entry *later = earlier_find(undo->after, entry->id);
		struct three three = {.id = entry->id, .now = table_get(table, entry->id)};
		struct route *before = NULL, *after = NULL;
		int rc = decode(undo->before, entry, &before, why);

		if (rc == 0 && later != NULL)
			rc = decode(undo->after, later, &after, why);
		three.before = before;
		three.after = later != NULL ? after : three.now;
		if (rc == 0)
			rc = undo_route(undo, &three, out, why);
		route_unref(before);
		route_unref(after);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int
make(void *ctx, const struct table *table, uint64_t next_id, struct change_steps *out,
     struct error *why)
{
	struct undo *undo = ctx;

	(void)next_id;
	if (undo->changes != NULL && changes_timed(undo->changes).revision != undo->revision)
		return error_set(why, ERROR_CONFLICT,
				 "revision %" PRIu64 " does not wait to be confirmed any more",
				 undo->revision);
	out->undoes = undo->revision;
	if (make_steps(undo, table, out, why) < 0)
		return -1;
	if (undo->clash_count == 0 || undo->changes != NULL)
		return 0;
	return error_set(why, ERROR_CONFLICT, "revision %" PRIu64 " can't be undone: %s%s",
			 undo->revision, undo->clashes.data,
			 undo->clash_count > CLASHES_TOLD ? "; and more" : "");
}

/* ---- the change ---- */

static void
undo_free(void *ctx)
{
	struct undo *undo = ctx;

	earlier_free(undo->before);
	earlier_free(undo->after);
	strbuf_clear(&undo->clashes);
	free(undo);
}

void
undo_change(struct change *change, uint64_t revision)
{
	struct undo *undo = xcalloc(1, sizeof(*undo));

	undo->revision = revision;
	undo->before = earlier_new();
	undo->after = earlier_new();
	change->prepare = prepare;
	change->make = make;
	change->make_ctx = undo;
	change->free_ctx = undo_free;
}

void
undo_timed(struct change *change, const struct changes *changes, uint64_t revision)
{
	struct undo *undo;

	undo_change(change, revision);
	undo = change->make_ctx;
	undo->changes = changes;
}
