/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/outlook.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/xalloc.h"

enum { SLOTS_LEAST = 16 }; /* a power of two, like every later size */

/* What became of one id. */
struct fact {
	uint64_t id;
	const struct route *route; /* NULL: it is gone */
};

/*
 * What differs from the table is kept as facts in the order in which they came true, so that those
 * of a refused change can be taken back; a hash table leads to the last one about each id. New
 * routes, of which a large import has many, are found by their ids, which only ever grow.
 */
struct outlook {
	const struct table *table;
	uint64_t revision;
	uint64_t first_new;
	uint64_t next_id;
	struct fact *added; /* of the routes from first_new on, in the order of their ids */
	size_t added_count;
	size_t added_room;
	struct fact *facts;
	size_t count;
	size_t room;
	size_t *slots; /* 1 + index in `facts`; 0: free */
	size_t slot_count;
};

struct outlook *
outlook_new(const struct table *table, uint64_t revision, uint64_t next_id)
{
	struct outlook *outlook = xcalloc(1, sizeof(*outlook));

	outlook->table = table;
	outlook->revision = revision;
	outlook->first_new = outlook->next_id = next_id;
	return outlook;
}

void
outlook_free(struct outlook *outlook)
{
	if (outlook == NULL)
		return;
	free(outlook->added);
	free(outlook->facts);
	free(outlook->slots);
	free(outlook);
}

/* The slot of `id`, or the free one where it would go. */
static size_t *
slot_of(const struct outlook *outlook, uint64_t id)
{
	size_t mask = outlook->slot_count - 1;
	size_t slot = (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & mask;

	while (outlook->slots[slot] != 0 && outlook->facts[outlook->slots[slot] - 1].id != id)
		slot = (slot + 1) & mask;
	return &outlook->slots[slot];
}

static const struct route *
added_of(const struct outlook *outlook, uint64_t id)
{
	size_t low = 0, high = outlook->added_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (outlook->added[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < outlook->added_count && outlook->added[low].id == id
		   ? outlook->added[low].route
		   : NULL;
}

/* The route as it will be, NULL if there will be none. */
static const struct route *
route_of(const struct outlook *outlook, uint64_t id)
{
	size_t fact = outlook->slot_count > 0 ? *slot_of(outlook, id) : 0;

	if (fact != 0)
		return outlook->facts[fact - 1].route;
	if (id < outlook->first_new)
		return table_get(outlook->table, id);
	return added_of(outlook, id);
}

static void
slots_fill(struct outlook *outlook)
{
	free(outlook->slots);
	outlook->slots = xcalloc(outlook->slot_count, sizeof(outlook->slots[0]));
	for (size_t i = 0; i < outlook->count; i++)
		*slot_of(outlook, outlook->facts[i].id) = i + 1;
}

static void
learn(struct outlook *outlook, uint64_t id, const struct route *route)
{
	if (outlook->count == outlook->room) {
		outlook->room = outlook->room > 0 ? outlook->room * 2 : SLOTS_LEAST / 2;
		outlook->facts =
		    xreallocarray(outlook->facts, outlook->room, sizeof(outlook->facts[0]));
		outlook->slot_count = outlook->room * 2;
		slots_fill(outlook);
	}
	outlook->facts[outlook->count++] = (struct fact){.id = id, .route = route};
	*slot_of(outlook, id) = outlook->count;
}

/* A route with an id that none had before: the next one, or one further on. */
static void
add_route(struct outlook *outlook, struct route *route, uint64_t id)
{
	if (outlook->added_count == outlook->added_room) {
		outlook->added_room = outlook->added_room > 0 ? outlook->added_room * 2 : 1;
		outlook->added =
		    xreallocarray(outlook->added, outlook->added_room, sizeof(outlook->added[0]));
	}
	outlook->added[outlook->added_count++] = (struct fact){.id = id, .route = route};
	route->id = id;
	outlook->next_id = id + 1;
}

static int
check_step(struct outlook *outlook, struct change_steps *steps, size_t i,
	   const struct route **before, struct error *why)
{
	const struct change_step *step = &steps->items[i];
	uint64_t id = step->what == CHANGE_DELETE ? step->id : step->route->id;

	if (step->what != CHANGE_DELETE && route_validate(step->route, why) < 0)
		return -1;
	*before = step->what != CHANGE_ADD ? route_of(outlook, id) : NULL;
	switch (step->what) {
	case CHANGE_ADD:
		add_route(outlook, step->route, outlook->next_id);
		return 0;
	case CHANGE_RESTORE:
		if (*before != NULL)
			return error_set(why, ERROR_CONFLICT, "there is a route %" PRIu64, id);
		if (id == 0 || id > CHANGE_ID_MAX)
			return error_set(why, ERROR_REFUSED, "%" PRIu64 " is no id of a route", id);
		if (id >= outlook->next_id) {
			add_route(outlook, step->route, id);
			return 0;
		}
		break;
	case CHANGE_SET:
	case CHANGE_DELETE:
		if (*before == NULL)
			return change_steps_missing(steps, id, why);
		break;
	}
	learn(outlook, id, step->route);
	return 0;
}

int
outlook_change(struct outlook *outlook, struct change_steps *steps, const struct route **before,
	       struct error *why)
{
	uint64_t next_id = outlook->next_id;
	size_t count = outlook->count, added = outlook->added_count;

	for (size_t i = 0; i < steps->count; i++) {
		if (check_step(outlook, steps, i, &before[i], why) == 0)
			continue;
		outlook->next_id = next_id;
		outlook->added_count = added;
		if (outlook->count > count) {
			outlook->count = count;
			slots_fill(outlook);
		}
		return -1;
	}
	if (steps->count > 0)
		outlook->revision++;
	return 0;
}

uint64_t
outlook_revision(const struct outlook *outlook)
{
	return outlook->revision;
}

uint64_t
outlook_next_id(const struct outlook *outlook)
{
	return outlook->next_id;
}
