/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/past_sort.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/control/lists.h"
#include "relayd/control/pasts.h"
#include "relayd/control/route_object.h"
#include "relayd/control/tasks.h"
#include "relayd/net/loop.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/table_past.h"

enum { SLICE_ROUTES = 2048 };

struct past_sort {
	struct task task;
	struct call *call; /* NULL: the daemon ends, nobody waits */
	const struct control_services *services;
	uint64_t revision;
	struct filter *filter;
	struct sorted *sorted;
	uint64_t after;
	struct timer *turn;
	bool looking; /* the past was asked for, and will be given or refused */
	void (*ready)(void *ctx, int64_t cursor);
};

static void
past_sort_free(struct past_sort *sort)
{
	timer_free(sort->turn);
	filter_free(sort->filter);
	sorted_free(sort->sorted);
	free(sort);
}

static void
past_sort_end(void *ctx)
{
	struct past_sort *sort = ctx;
	struct error why;

	error_set(&why, ERROR_REFUSED, "relayd is stopping");
	call_refuse(sort->call, &why, NULL);
	sort->call = NULL;
	if (!sort->looking)
		past_sort_free(sort);
}

/* 1: there is more, 0: that was all, -1 and `why`. */
static int
collect(struct past_sort *sort, const struct table_past *past, struct error *why)
{
	const struct table *table = changes_table(sort->services->changes);
	struct filter_source source = route_object_source(sort->services);
	struct route *route;
	int more = 1;

	for (size_t looked = 0; looked < SLICE_ROUTES; looked++) {
		more = table_past_next(past, table, sort->after, &route, why);
		if (more <= 0)
			break;
		sort->after = route->id;
		if (sort->filter == NULL || filter_match(sort->filter, route, &source))
			sorted_add(sort->sorted, route);
		route_unref(route);
	}
	return more;
}

static void
past_found(void *ctx, const struct table_past *past, const struct error *failed)
{
	struct past_sort *sort = ctx;
	struct error why;
	int more = -1;

	sort->looking = false;
	if (sort->call == NULL) {
		past_sort_free(sort);
		return;
	}
	if (failed != NULL)
		why = *failed;
	else
		more = collect(sort, past, &why);
	if (more > 0) {
		timer_set(sort->turn, 0);
		return;
	}
	tasks_leave(&sort->task);
	if (more < 0) {
		call_refuse(sort->call, &why, NULL);
	} else {
		lists_keep(sort->services->lists, (int64_t)sort->revision, sort->sorted,
			   sort->ready, sort->call);
		sort->sorted = NULL;
	}
	past_sort_free(sort);
}

static void
turn(void *ctx)
{
	struct past_sort *sort = ctx;

	sort->looking = true;
	pasts_look(sort->services->pasts, sort->revision, past_found, sort);
}

void
past_sort(struct call *call, uint64_t revision, struct filter *filter, struct sorted *sorted,
	  void (*ready)(void *ctx, int64_t cursor))
{
	struct past_sort *sort = xcalloc(1, sizeof(*sort));

	sort->call = call;
	sort->services = call_services(call);
	sort->revision = revision;
	sort->filter = filter;
	sort->sorted = sorted;
	sort->ready = ready;
	sort->task = (struct task){.end = past_sort_end, .ctx = sort};
	sort->turn = timer_new(sort->services->loop, turn, sort);
	tasks_enter(sort->services->tasks, &sort->task);
	timer_set(sort->turn, 0);
}
