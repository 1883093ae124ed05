/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes.import and routes.diff: rows of text in one request or, with "more":true, in several. The
 * last one brings the answer.
 */
#include "relayd/control/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/control/change_params.h"
#include "relayd/control/difference.h"
#include "relayd/control/upload.h"
#include "relayd/routes/changes.h"

enum {
	LISTED_MOST = 1000, /* changes that the answer to an import tells one by one */
	PAGE_MOST = 10000   /* of a difference */
};

/* ---- the params ---- */

static int
read_columns(const json_t *names, unsigned *columns, size_t *count, struct error *why)
{
	const json_t *name;
	unsigned seen = 0;
	size_t i;

	*count = json_array_size(names);
	if (*count == 0 || *count > ROWS_COLUMNS)
		return error_set(why, ERROR_USAGE, "columns must be an array of names");
	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);

		if (text == NULL || rows_column_of(text, &columns[i]) != 0 ||
		    (seen & 1u << columns[i]) != 0)
			return error_set(why, ERROR_USAGE,
					 "columns: '%s' is no member of a route, or comes twice",
					 text != NULL ? text : "");
		seen |= 1u << columns[i];
	}
	return 0;
}

/* "more" and "prune" are true or false; a piece has "columns" and "lines", or neither. */
static int
read_params(const struct call *call, unsigned *columns, size_t *count, struct error *why)
{
	const json_t *params = call_params(call);
	const json_t *lines = json_object_get(params, "lines");
	const json_t *more = json_object_get(params, "more");
	const json_t *prune = json_object_get(params, "prune");

	*count = 0;
	if ((more != NULL && !json_is_boolean(more)) || (prune != NULL && !json_is_boolean(prune)))
		return error_set(why, ERROR_USAGE, "more and prune are true or false");
	if (lines == NULL && json_object_get(params, "columns") == NULL)
		return 0;
	if (!json_is_string(lines))
		return error_set(why, ERROR_USAGE, "lines must be a text");
	return read_columns(json_object_get(params, "columns"), columns, count, why);
}

/* Take what is there of rows. NULL: the call is answered, or waits to be. */
static struct upload *
gather(struct call *call)
{
	struct upload **upload = call_upload(call);
	unsigned columns[ROWS_COLUMNS];
	struct error why;
	size_t count;

	if (read_params(call, columns, &count, &why) != 0) {
		/* Half of what was meant is of no use. */
		upload_free(*upload);
		*upload = NULL;
		call_misused(call, why.text);
		return NULL;
	}
	if (*upload == NULL)
		*upload = upload_new(call_services(call));
	if (count > 0)
		upload_piece(*upload, columns, count, json_object_get(call_params(call), "lines"));
	if (!json_is_true(json_object_get(call_params(call), "more")))
		return *upload;
	upload_continue(*upload, call);
	return NULL;
}

static bool
is_pruned(const struct call *call)
{
	return json_is_true(json_object_get(call_params(call), "prune"));
}

/* ---- import ---- */

struct importing {
	const struct changes *changes;
	struct matching *matching;
};

/* The table may have changed since it was looked at: then all of it is done again, at once. */
static int
make_import(void *ctx, const struct table *table, uint64_t next_id, struct change_steps *out,
	    struct error *why)
{
	struct importing *importing = ctx;
	const struct rows *rows = matching_rows(importing->matching);

	(void)next_id;
	while (!matching_slice(importing->matching, table, changes_revision(importing->changes),
			       SIZE_MAX))
		;
	if (rows->failure_count > 0) {
		*why = rows->failures[0].why;
		return error_prefix(why, "row %zu", rows->failures[0].row + 1);
	}
	matching_take(importing->matching, out);
	return 0;
}

static void
import_free(void *ctx)
{
	struct importing *importing = ctx;

	matching_free(importing->matching);
	free(importing);
}

static void
import_matched(struct upload *upload, struct call *call, struct matching *matching)
{
	struct importing *importing = xcalloc(1, sizeof(*importing));
	struct change change = {
	    .make = make_import, .make_ctx = importing, .free_ctx = import_free};

	(void)upload;
	importing->changes = call_services(call)->changes;
	importing->matching = matching;
	call_change(call, &change, LISTED_MOST);
}

void
verb_routes_import(struct call *call)
{
	struct upload *upload = gather(call);

	if (upload != NULL)
		upload_match(upload, call, is_pruned(call), import_matched);
}

/* ---- diff ---- */

static struct differences *
differences_of(const struct changes *changes, const struct change_steps *steps)
{
	struct differences *differences = xcalloc(1, sizeof(*differences));
	const struct table *table = changes_table(changes);

	differences->count = steps->count;
	differences->before = xcalloc(steps->count, sizeof(differences->before[0]));
	differences->after = xcalloc(steps->count, sizeof(differences->after[0]));
	differences->revision = (json_int_t)changes_revision(changes);
	for (size_t i = 0; i < steps->count; i++) {
		const struct change_step *step = &steps->items[i];
		const struct route *before = NULL;

		if (step->what == CHANGE_DELETE)
			before = table_get(table, step->id);
		else if (step->what == CHANGE_SET)
			before = table_get(table, step->route->id);
		if (before != NULL)
			differences->before[i] = route_ref(before);
		if (step->route != NULL)
			differences->after[i] = route_ref(step->route);
		differences->added += before == NULL ? 1 : 0;
		differences->deleted += step->route == NULL ? 1 : 0;
	}
	differences->changed = steps->count - differences->added - differences->deleted;
	return differences;
}

static void
answer_page(struct call *call, struct upload *upload, size_t from)
{
	const struct differences *differences = upload_differences(upload);
	json_t *changes = json_array(), *answer, *change;
	size_t at = from;

	for (; at < differences->count && at - from < PAGE_MOST; at++) {
		change = difference_of(differences->before[at], differences->after[at]);
		/* It has no id before it is there. */
		if (differences->after[at] != NULL && differences->after[at]->id == 0)
			json_object_set_new(change, "id", json_null());
		json_array_append_new(changes, change);
	}
	answer =
	    json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "revision", differences->revision, "added",
		      (json_int_t)differences->added, "changed", (json_int_t)differences->changed,
		      "deleted", (json_int_t)differences->deleted, "changes", changes, "next",
		      at < differences->count ? json_integer((json_int_t)at) : json_null());
	if (at == differences->count)
		upload_keep(upload, NULL);
	call_answer(call, answer);
}

static void
diff_matched(struct upload *upload, struct call *call, struct matching *matching)
{
	upload_keep(upload, differences_of(call_services(call)->changes, matching_steps(matching)));
	matching_free(matching);
	answer_page(call, upload, 0);
}

void
verb_routes_diff(struct call *call)
{
	struct upload *upload = *call_upload(call);
	json_int_t after = 0;
	struct error why;

	if (call_integer(call, "from", 1, INT64_MAX, &after, &why) != 0) {
		call_misused(call, why.text);
		return;
	}
	if (after == 0) {
		upload = gather(call);
		if (upload != NULL)
			upload_match(upload, call, is_pruned(call), diff_matched);
	} else if (upload == NULL || upload_differences(upload) == NULL) {
		call_misused(call, "there is no difference to go on with");
	} else {
		answer_page(call, upload, (size_t)after);
	}
}
