/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A sorted array in pieces: chunks of some hundred routes, and a sorted directory of the chunks.
 * New ids are the highest, so a chunk is filled before the next is begun; an id that comes back in
 * the middle (an undone deletion) moves at most one chunk's pointers.
 */
#include "relayd/routes/idlist.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

enum { CHUNK_MAX = 510 }; /* with its count just under a page */

struct chunk {
	size_t count;
	struct route *routes[CHUNK_MAX];
};

struct entry {
	uint64_t first; /* no id in the chunk is below it */
	struct chunk *chunk;
};

struct idlist {
	struct entry *entries;
	size_t count;  /* entries; each chunk holds at least one route */
	size_t room;   /* for entries */
	size_t routes; /* in all chunks */
};

struct idlist *
idlist_new(void)
{
	return xcalloc(1, sizeof(struct idlist));
}

void
idlist_free(struct idlist *list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; i < list->count; i++)
		free(list->entries[i].chunk);
	free(list->entries);
	free(list);
}

/* The entry whose chunk holds `id` if anything does; 0 for an empty list. */
static size_t
entry_of(const struct idlist *list, uint64_t id)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->entries[middle].first <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? low - 1 : 0;
}

/* The first place in `chunk` whose id is not below `id`. */
static size_t
place_of(const struct chunk *chunk, uint64_t id)
{
	size_t low = 0, high = chunk->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (chunk->routes[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
entry_insert(struct idlist *list, size_t at, uint64_t first, struct chunk *chunk)
{
	if (list->count == list->room) {
		list->room = list->room > 0 ? list->room * 2 : 8;
		list->entries = xreallocarray(list->entries, list->room, sizeof(list->entries[0]));
	}
	memmove(list->entries + at + 1, list->entries + at,
		(list->count - at) * sizeof(list->entries[0]));
	list->entries[at] = (struct entry){.first = first, .chunk = chunk};
	list->count++;
}

static void
entry_remove(struct idlist *list, size_t at)
{
	free(list->entries[at].chunk);
	memmove(list->entries + at, list->entries + at + 1,
		(list->count - at - 1) * sizeof(list->entries[0]));
	list->count--;
}

/* Make room in the full chunk of entry `at`, for a route at `place`. Moves both where it is due. */
static void
split(struct idlist *list, size_t *at, size_t *place)
{
	struct chunk *chunk = list->entries[*at].chunk;
	struct chunk *more = xcalloc(1, sizeof(*more));
	size_t keep = CHUNK_MAX / 2;

	/* Behind everything: leave the full chunk full. */
	if (*at + 1 == list->count && *place == CHUNK_MAX)
		keep = CHUNK_MAX;
	more->count = CHUNK_MAX - keep;
	memcpy(more->routes, chunk->routes + keep, more->count * sizeof(chunk->routes[0]));
	chunk->count = keep;
	entry_insert(list, *at + 1, more->count > 0 ? more->routes[0]->id : UINT64_MAX, more);
	if (*place >= keep) {
		(*at)++;
		*place -= keep;
	}
}

struct route *
idlist_put(struct idlist *list, struct route *route)
{
	size_t at = entry_of(list, route->id), place;
	struct chunk *chunk;

	if (list->count == 0)
		entry_insert(list, 0, route->id, xcalloc(1, sizeof(struct chunk)));
	chunk = list->entries[at].chunk;
	place = place_of(chunk, route->id);
	if (place < chunk->count && chunk->routes[place]->id == route->id) {
		struct route *old = chunk->routes[place];

		chunk->routes[place] = route;
		return old;
	}
	if (chunk->count == CHUNK_MAX) {
		split(list, &at, &place);
		chunk = list->entries[at].chunk;
	}
	memmove(chunk->routes + place + 1, chunk->routes + place,
		(chunk->count - place) * sizeof(chunk->routes[0]));
	chunk->routes[place] = route;
	chunk->count++;
	list->routes++;
	if (route->id < list->entries[at].first)
		list->entries[at].first = route->id;
	return NULL;
}

/* Join the chunk of entry `at` with the next where both are nearly empty. */
static void
join(struct idlist *list, size_t at)
{
	struct chunk *chunk, *next;

	if (at + 1 >= list->count)
		return;
	chunk = list->entries[at].chunk;
	next = list->entries[at + 1].chunk;
	if (chunk->count + next->count > CHUNK_MAX / 2)
		return;
	memcpy(chunk->routes + chunk->count, next->routes, next->count * sizeof(next->routes[0]));
	chunk->count += next->count;
	entry_remove(list, at + 1);
}

struct route *
idlist_remove(struct idlist *list, uint64_t id)
{
	size_t at = entry_of(list, id), place;
	struct chunk *chunk;
	struct route *old;

	if (list->count == 0)
		return NULL;
	chunk = list->entries[at].chunk;
	place = place_of(chunk, id);
	if (place == chunk->count || chunk->routes[place]->id != id)
		return NULL;
	old = chunk->routes[place];
	memmove(chunk->routes + place, chunk->routes + place + 1,
		(chunk->count - place - 1) * sizeof(chunk->routes[0]));
	chunk->count--;
	list->routes--;
	if (chunk->count == 0)
		entry_remove(list, at);
	else
		join(list, at);
	return old;
}

struct route *
idlist_get(const struct idlist *list, uint64_t id)
{
	const struct chunk *chunk;
	size_t place;

	if (list->count == 0)
		return NULL;
	chunk = list->entries[entry_of(list, id)].chunk;
	place = place_of(chunk, id);
	if (place == chunk->count || chunk->routes[place]->id != id)
		return NULL;
	return chunk->routes[place];
}

struct route *
idlist_next(const struct idlist *list, uint64_t after)
{
	const struct chunk *chunk;
	size_t at, place;

	if (list->count == 0 || after == UINT64_MAX)
		return NULL;
	at = entry_of(list, after + 1);
	chunk = list->entries[at].chunk;
	place = place_of(chunk, after + 1);
	if (place < chunk->count)
		return chunk->routes[place];
	return at + 1 < list->count ? list->entries[at + 1].chunk->routes[0] : NULL;
}

size_t
idlist_some(const struct idlist *list, uint64_t after, struct route **routes, size_t most)
{
	size_t at, place, piece, count = 0;

	if (list->count == 0 || after == UINT64_MAX)
		return 0;
	at = entry_of(list, after + 1);
	place = place_of(list->entries[at].chunk, after + 1);
	for (; at < list->count && count < most; at++, place = 0) {
		const struct chunk *chunk = list->entries[at].chunk;

		piece = chunk->count - place < most - count ? chunk->count - place : most - count;
		memcpy(routes + count, chunk->routes + place, piece * sizeof(routes[0]));
		count += piece;
	}
	return count;
}

size_t
idlist_count(const struct idlist *list)
{
	return list->routes;
}
