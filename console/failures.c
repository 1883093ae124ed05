/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/failures.h"

#include <stdlib.h>

void
failures_add(struct failures *failures, size_t line, size_t column, const struct error *why)
{
	if (failures->count++ == 0)
		failures->code = why->code;
	if (failures->count > FAILURES_TOLD)
		return;
	if (failures->list == NULL)
		failures->list = json_array();
	json_array_append_new(failures->list,
			      json_pack("{s:s, s:I, s:I, s:i, s:s}", "file", failures->file, "line",
					(json_int_t)line, "column", (json_int_t)column, "code",
					(int)why->code, "message", why->text));
}

static int
by_place(const void *left, const void *right)
{
	const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
	json_int_t line_a = json_integer_value(json_object_get(a, "line"));
	json_int_t line_b = json_integer_value(json_object_get(b, "line"));
	json_int_t column_a = json_integer_value(json_object_get(a, "column"));
	json_int_t column_b = json_integer_value(json_object_get(b, "column"));

	if (line_a != line_b)
		return line_a < line_b ? -1 : 1;
	return column_a < column_b ? -1 : column_a > column_b;
}

/* In the order of the file. */
static json_t *
sorted(const json_t *list)
{
	json_t *in_order = json_array(), *items[FAILURES_TOLD];
	size_t count = json_array_size(list);

	for (size_t i = 0; i < count; i++)
		items[i] = json_array_get(list, i);
	qsort(items, count, sizeof(items[0]), by_place);
	for (size_t i = 0; i < count; i++)
		json_array_append(in_order, items[i]);
	return in_order;
}

int
failures_end(struct failures *failures, struct session *session, const char *what,
	     struct error *why)
{
	if (failures->count == 0)
		return 0;
	json_decref(session->failures);
	session->failures = sorted(failures->list);
	if (failures->count > FAILURES_TOLD)
		error_set(why, failures->code,
			  "%zu %ss are wrong, the first %d of them are shown; nothing was changed",
			  failures->count, what, FAILURES_TOLD);
	else
		error_set(why, failures->code, "%zu %s%s wrong; nothing was changed",
			  failures->count, what, failures->count == 1 ? " is" : "s are");
	return -1;
}

void
failures_clear(struct failures *failures)
{
	json_decref(failures->list);
	*failures = (struct failures){.file = failures->file};
}
