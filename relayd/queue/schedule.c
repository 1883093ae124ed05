/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

static void
put(struct schedule *schedule, size_t place, struct schedule_item *item)
{
	schedule->heap[place] = item;
	item->place = place;
}

static void
rise(struct schedule *schedule, size_t place, struct schedule_item *item)
{
	while (place > 1 && schedule->heap[place / 2]->due_ms > item->due_ms) {
		put(schedule, place, schedule->heap[place / 2]);
		place /= 2;
	}
	put(schedule, place, item);
}

static void
sink(struct schedule *schedule, size_t place, struct schedule_item *item)
{
	for (;;) {
		size_t child = place * 2;

		if (child > schedule->count)
			break;
		if (child < schedule->count &&
		    schedule->heap[child + 1]->due_ms < schedule->heap[child]->due_ms)
			child++;
		if (schedule->heap[child]->due_ms >= item->due_ms)
			break;
		put(schedule, place, schedule->heap[child]);
		place = child;
	}
	put(schedule, place, item);
}

void
schedule_clear(struct schedule *schedule)
{
	free(schedule->heap);
	memset(schedule, 0, sizeof *schedule);
}

void
schedule_add(struct schedule *schedule, struct schedule_item *item)
{
	if (schedule->count + 1 >= schedule->room) {
		schedule->room = schedule->room ? schedule->room * 2 : 64;
		schedule->heap =
		    xreallocarray(schedule->heap, schedule->room, sizeof(struct schedule_item *));
	}
	rise(schedule, ++schedule->count, item);
}

void
schedule_remove(struct schedule *schedule, struct schedule_item *item)
{
	size_t place = item->place;
	struct schedule_item *last;

	if (place == 0)
		return;
	item->place = 0;
	last = schedule->heap[schedule->count--];
	if (last == item)
		return;
	if (place > 1 && schedule->heap[place / 2]->due_ms > last->due_ms)
		rise(schedule, place, last);
	else
		sink(schedule, place, last);
}

struct schedule_item *
schedule_first(const struct schedule *schedule)
{
	return schedule->count > 0 ? schedule->heap[1] : NULL;
}
