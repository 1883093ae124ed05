/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/table_past.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/routes/earlier.h"

struct table_past {
	uint64_t revision;
	uint64_t over;
	struct earlier *earlier;
};

struct table_past *
table_past_new(uint64_t revision)
{
	struct table_past *past = xcalloc(1, sizeof(*past));

	past->revision = past->over = revision;
	past->earlier = earlier_new();
	return past;
}

void
table_past_free(struct table_past *past)
{
	if (past == NULL)
		return;
	earlier_free(past->earlier);
	free(past);
}

uint64_t
table_past_revision(const struct table_past *past)
{
	return past->revision;
}

uint64_t
table_past_over(const struct table_past *past)
{
	return past->over;
}

/* How the first change since then has found a route is how it was. */
static int
visit(void *ctx, const struct journal_change *change, struct journal_reader *steps,
      struct error *why)
{
	struct table_past *past = ctx;
	struct journal_text step;
	int rc;

	while ((rc = journal_reader_step(steps, &step, why)) > 0)
		earlier_add(past->earlier, step.id, step.before, step.before_len);
	if (rc == 0)
		past->over = change->revision;
	return rc;
}

int
table_past_read(struct table_past *past, const struct past *changes, struct error *why)
{
	const struct past_visitor visitor = {.visit = visit, .ctx = past};

	if (past_reaches(changes, past->revision, why) < 0)
		return -1;
	if (past->over < changes->revision &&
	    past_walk(changes, past->over + 1, changes->revision, 0, &visitor, why) < 0)
		return -1;
	earlier_sort(past->earlier);
	return 0;
}

size_t
table_past_count(const struct table_past *past, const struct table *table)
{
	size_t count = table_count(table);

	for (size_t i = 0; i < earlier_count(past->earlier); i++) {
		const struct earlier_entry *entry = earlier_get(past->earlier, i);

		count += entry->len > 0;
		count -= table_get(table, entry->id) != NULL;
	}
	return count;
}

int
table_past_next(const struct table_past *past, const struct table *table, uint64_t after,
		struct route **route, struct error *why)
{
	for (;;) {
		const struct route *present = table_next(table, after);
		const struct earlier_entry *entry = earlier_next(past->earlier, after);

		if (present == NULL && entry == NULL)
			return 0;
		if (entry == NULL || (present != NULL && present->id < entry->id)) {
			*route = route_ref(present);
			return 1;
		}
		after = entry->id;
		if (entry->len == 0)
			continue;
		*route = earlier_route(past->earlier, entry, why);
		if (*route != NULL)
			return 1;
		return error_prefix(why, "route %" PRIu64 " as it was can't be read", entry->id);
	}
}
