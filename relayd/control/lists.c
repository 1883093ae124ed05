/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A list goes through the states in their order; each slice of work is a turn of its timer. */
#include "relayd/control/lists.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/xalloc.h"
#include "relayd/routes/table.h"

/* Of the order of a millisecond. */
enum { SLICE_ROUTES = 1024, SLICE_COMPARISONS = 4000, SLICE_FREED = 4000 };

enum list_state {
	LIST_COLLECTS, /* goes through the table, by ids */
	LIST_SORTS,
	LIST_READY, /* being read; the timer says when it is dropped */
	LIST_GOES   /* its routes are being given back */
};

struct list {
	struct lists *lists;
	enum list_state state;
	int64_t cursor;
	int64_t revision; /* -1: the present one */
	struct filter *filter;
	struct filter_source source;
	struct sorted *sorted;
	uint64_t after; /* COLLECTS: the last id that was looked at */
	struct timer *timer;
	void (*ready)(void *ctx, int64_t cursor); /* NULL: it was called */
	void *ctx;
	TAILQ_ENTRY(list) link;
};

struct lists {
	struct loop *loop;
	const struct changes *changes;
	int64_t last_cursor;
	size_t count; /* of those that do not go */
	TAILQ_HEAD(, list) all;
};

struct lists *
lists_new(struct loop *loop, const struct changes *changes)
{
	struct lists *lists = xcalloc(1, sizeof(*lists));

	lists->loop = loop;
	lists->changes = changes;
	TAILQ_INIT(&lists->all);
	return lists;
}

static void
list_free(struct list *list)
{
	TAILQ_REMOVE(&list->lists->all, list, link);
	timer_free(list->timer);
	filter_free(list->filter);
	free(list);
}

void
lists_free(struct lists *lists)
{
	struct list *list;

	if (lists == NULL)
		return;
	while ((list = TAILQ_FIRST(&lists->all)) != NULL) {
		if (list->ready != NULL)
			list->ready(list->ctx, -1);
		sorted_free(list->sorted);
		list_free(list);
	}
	free(lists);
}

static void
list_go(struct list *list)
{
	void (*ready)(void *ctx, int64_t cursor) = list->ready;

	list->state = LIST_GOES;
	list->ready = NULL;
	list->lists->count--;
	timer_set(list->timer, 0);
	if (ready != NULL)
		ready(list->ctx, -1);
}

/* True: that was all. A change of the table in between shows from where the walk has come to. */
static bool
list_collect(struct list *list)
{
	const struct table *table = changes_table(list->lists->changes);
	const struct route *some[TABLE_SOME];
	size_t count = TABLE_SOME;

	for (size_t seen = 0; seen < SLICE_ROUTES && count == TABLE_SOME; seen += count) {
		count = table_some(table, list->after, some);
		for (size_t i = 0; i < count; i++) {
			list->after = some[i]->id;
			if (list->filter == NULL ||
			    filter_match(list->filter, some[i], &list->source))
				sorted_add(list->sorted, some[i]);
		}
	}
	return count < TABLE_SOME;
}

static void
list_turn(void *ctx)
{
	struct list *list = ctx;
	void (*ready)(void *ctx, int64_t cursor);

	switch (list->state) {
	case LIST_COLLECTS:
		if (list_collect(list))
			list->state = LIST_SORTS;
		timer_set(list->timer, 0);
		break;
	case LIST_SORTS:
		if (!sorted_step(list->sorted, SLICE_COMPARISONS)) {
			timer_set(list->timer, 0);
			break;
		}
		list->state = LIST_READY;
		ready = list->ready;
		list->ready = NULL;
		timer_set(list->timer, LISTS_KEPT_MS);
		ready(list->ctx, list->cursor);
		break;
	case LIST_READY:
		list_go(list);
		break;
	case LIST_GOES:
		if (sorted_free_step(list->sorted, SLICE_FREED))
			list_free(list);
		else
			timer_set(list->timer, 0);
		break;
	}
}

/* Room for it is made of the oldest. */
static struct list *
list_new(struct lists *lists, struct sorted *sorted, void (*ready)(void *ctx, int64_t cursor),
	 void *ctx)
{
	struct list *list = xcalloc(1, sizeof(*list)), *oldest;

	if (lists->count == LISTS_MOST) {
		TAILQ_FOREACH(oldest, &lists->all, link)
		{
			if (oldest->state != LIST_GOES)
				break;
		}
		if (oldest != NULL)
			list_go(oldest);
	}
	list->lists = lists;
	list->cursor = ++lists->last_cursor;
	list->revision = -1;
	list->sorted = sorted;
	list->ready = ready;
	list->ctx = ctx;
	list->timer = timer_new(lists->loop, list_turn, list);
	lists->count++;
	TAILQ_INSERT_TAIL(&lists->all, list, link);
	timer_set(list->timer, 0);
	return list;
}

void
lists_make(struct lists *lists, struct filter *filter, const struct filter_source *source,
	   struct sorted *sorted, void (*ready)(void *ctx, int64_t cursor), void *ctx)
{
	struct list *list = list_new(lists, sorted, ready, ctx);

	list->filter = filter;
	list->source = *source;
}

void
lists_keep(struct lists *lists, int64_t revision, struct sorted *sorted,
	   void (*ready)(void *ctx, int64_t cursor), void *ctx)
{
	struct list *list = list_new(lists, sorted, ready, ctx);

	list->revision = revision;
	list->state = LIST_SORTS;
}

static struct list *
list_find(struct lists *lists, int64_t cursor)
{
	struct list *list;

	TAILQ_FOREACH(list, &lists->all, link)
	{
		if (list->cursor == cursor && list->state == LIST_READY)
			return list;
	}
	return NULL;
}

const struct sorted *
lists_find(struct lists *lists, int64_t cursor, int64_t *revision)
{
	struct list *list = list_find(lists, cursor);

	if (list == NULL)
		return NULL;
	timer_set(list->timer, LISTS_KEPT_MS);
	*revision = list->revision;
	return list->sorted;
}

void
lists_drop(struct lists *lists, int64_t cursor)
{
	struct list *list = list_find(lists, cursor);

	if (list != NULL)
		list_go(list);
}
