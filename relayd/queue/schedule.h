/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is due next: a binary heap of items that lie inside their owners. Pure. */
#ifndef RELAYD_QUEUE_SCHEDULE_H
#define RELAYD_QUEUE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

struct schedule_item {
	int64_t due_ms;
	size_t place; /* in the heap, from 1; 0: not in it */
};

struct schedule {
	struct schedule_item **heap; /* 1 .. count */
	size_t count, room;
};

#define SCHEDULE_INIT {0}

void schedule_clear(struct schedule *schedule); /* forgets all items */
void schedule_add(struct schedule *schedule, struct schedule_item *item); /* not while it is in it */
void schedule_remove(struct schedule *schedule, struct schedule_item *item); /* nothing if it is not in it */
struct schedule_item *schedule_first(const struct schedule *schedule); /* the earliest; NULL: empty */

#endif
