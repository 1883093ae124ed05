/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/outlook.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"

enum { SLOTS_LEAST = 16 }; /* a power of two, like every later size */

/*
 * New ids are known by their range; what else differs from the table are the ids that are gone, and
 * those are kept in a hash set in the order they were taken out: a refused change gives back its
 * own.
 */
struct outlook {
	const struct table *table;
	uint64_t revision;
	uint64_t first_new; /* ids from here to next_id - 1 will be there */
	uint64_t next_id;
	uint64_t *gone; /* a list */
	size_t gone_count;
	size_t gone_room;
	size_t *slots; /* 1 + index in `gone`; 0: free */
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
	free(outlook->gone);
	free(outlook->slots);
	free(outlook);
}

/* The slot of `id`, or the free one where it would go. */
static size_t
slot_of(const struct outlook *outlook, uint64_t id)
{
	size_t mask = outlook->slot_count - 1;
	size_t slot = (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & mask;

	while (outlook->slots[slot] != 0 && outlook->gone[outlook->slots[slot] - 1] != id)
		slot = (slot + 1) & mask;
	return slot;
}

static bool
is_gone(const struct outlook *outlook, uint64_t id)
{
	return outlook->slot_count > 0 && outlook->slots[slot_of(outlook, id)] != 0;
}

static bool
is_there(const struct outlook *outlook, uint64_t id)
{
	if (is_gone(outlook, id))
		return false;
	if (id >= outlook->first_new)
		return id < outlook->next_id;
	return table_get(outlook->table, id) != NULL;
}

static void
slots_fill(struct outlook *outlook)
{
	free(outlook->slots);
	outlook->slots = xcalloc(outlook->slot_count, sizeof(outlook->slots[0]));
	for (size_t i = 0; i < outlook->gone_count; i++)
		outlook->slots[slot_of(outlook, outlook->gone[i])] = i + 1;
}

static void
take_out(struct outlook *outlook, uint64_t id)
{
	if (outlook->gone_count == outlook->gone_room) {
		outlook->gone_room =
		    outlook->gone_room > 0 ? outlook->gone_room * 2 : SLOTS_LEAST / 2;
		outlook->gone =
		    xreallocarray(outlook->gone, outlook->gone_room, sizeof(outlook->gone[0]));
		outlook->slot_count = outlook->gone_room * 2;
		slots_fill(outlook);
	}
	outlook->gone[outlook->gone_count++] = id;
	outlook->slots[slot_of(outlook, id)] = outlook->gone_count;
}

static int
check_step(struct outlook *outlook, const struct change_step *step, struct error *why)
{
	uint64_t id = step->what == CHANGE_DELETE ? step->id : step->route->id;

	if (step->what != CHANGE_ADD && !is_there(outlook, id))
		return error_set(why, ERROR_NOT_FOUND, "no route %" PRIu64, id);
	if (step->what == CHANGE_DELETE) {
		take_out(outlook, id);
		return 0;
	}
	if (route_validate(step->route, why) < 0)
		return -1;
	if (step->what == CHANGE_ADD)
		step->route->id = outlook->next_id++;
	return 0;
}

int
outlook_change(struct outlook *outlook, const struct change_step *steps, size_t count,
	       int64_t expected_revision, struct error *why)
{
	uint64_t next_id = outlook->next_id;
	size_t gone = outlook->gone_count;

	if (expected_revision >= 0 && (uint64_t)expected_revision != outlook->revision)
		return error_set(why, ERROR_CONFLICT,
				 "the routes are at revision %" PRIu64 ", not %" PRId64,
				 outlook->revision, expected_revision);
	for (size_t i = 0; i < count; i++) {
		if (check_step(outlook, &steps[i], why) == 0)
			continue;
		outlook->next_id = next_id;
		if (outlook->gone_count > gone) {
			outlook->gone_count = gone;
			slots_fill(outlook);
		}
		return -1;
	}
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
