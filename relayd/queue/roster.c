/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/roster.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* The place of the first entry with a number >= `number`. */
static size_t
find(const struct roster *roster, uint64_t number)
{
	size_t low = 0, high = roster->used;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (roster->entries[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
close_gaps(struct roster *roster)
{
	size_t from, to = 0;

	for (from = 0; from < roster->used; from++)
		if (roster->entries[from].what != NULL)
			roster->entries[to++] = roster->entries[from];
	roster->used = to;
	roster->gaps = 0;
	if (roster->room > 64 && roster->used < roster->room / 4) {
		roster->room /= 2;
		roster->entries =
		    xreallocarray(roster->entries, roster->room, sizeof *roster->entries);
	}
}

void
roster_clear(struct roster *roster)
{
	free(roster->entries);
	memset(roster, 0, sizeof *roster);
}

void
roster_add(struct roster *roster, uint64_t number, void *what)
{
	size_t place = find(roster, number);

	if (place < roster->used && roster->entries[place].number == number) {
		roster->gaps -= roster->entries[place].what == NULL;
		roster->entries[place].what = what;
		return;
	}
	if (roster->used == roster->room) {
		roster->room = roster->room ? roster->room * 2 : 64;
		roster->entries =
		    xreallocarray(roster->entries, roster->room, sizeof *roster->entries);
	}
	memmove(roster->entries + place + 1, roster->entries + place,
		(roster->used - place) * sizeof *roster->entries);
	roster->entries[place] = (struct roster_entry){.number = number, .what = what};
	roster->used++;
}

void
roster_remove(struct roster *roster, uint64_t number)
{
	size_t place = find(roster, number);

	if (place == roster->used || roster->entries[place].number != number ||
	    roster->entries[place].what == NULL)
		return;
	roster->entries[place].what = NULL;
	roster->gaps++;
	/* Gaps at the end cost nothing to close: the common case, mail that is delivered at once.
	 */
	while (roster->used > 0 && roster->entries[roster->used - 1].what == NULL) {
		roster->used--;
		roster->gaps--;
	}
	if (roster->gaps > 64 && roster->gaps > roster->used / 4)
		close_gaps(roster);
}

void *
roster_get(const struct roster *roster, uint64_t number)
{
	size_t place = find(roster, number);

	return place < roster->used && roster->entries[place].number == number
		   ? roster->entries[place].what
		   : NULL;
}

void *
roster_next(const struct roster *roster, uint64_t after)
{
	size_t place;

	if (after == UINT64_MAX)
		return NULL;
	for (place = find(roster, after + 1); place < roster->used; place++)
		if (roster->entries[place].what != NULL)
			return roster->entries[place].what;
	return NULL;
}

size_t
roster_count(const struct roster *roster)
{
	return roster->used - roster->gaps;
}
