/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/idmap.h"

#include <stdlib.h>

#include "common/xalloc.h"

void
idmap_clear(struct idmap *map)
{
	free(map->table);
	*map = (struct idmap){0};
}

/* Ids are mostly consecutive: Fibonacci hashing spreads them. */
static size_t
home(const struct idmap *map, uint64_t id)
{
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (map->room - 1);
}

/* Where the id stands, or the free place where it would. */
static size_t
find(const struct idmap *map, uint64_t id)
{
	size_t at = home(map, id);

	while (map->table[at] != NULL && map->table[at]->id != id)
		at = (at + 1) & (map->room - 1);
	return at;
}

struct envelope *
idmap_get(const struct idmap *map, uint64_t id)
{
	return map->room == 0 ? NULL : map->table[find(map, id)];
}

static void
grow(struct idmap *map)
{
	struct idmap bigger = {.room = map->room == 0 ? 1024 : map->room * 2, .used = map->used};

	bigger.table = xcalloc(bigger.room, sizeof(struct envelope *));
	for (size_t i = 0; i < map->room; i++) {
		if (map->table[i] != NULL)
			bigger.table[find(&bigger, map->table[i]->id)] = map->table[i];
	}
	free(map->table);
	*map = bigger;
}

void
idmap_put(struct idmap *map, struct envelope *env)
{
	if (map->used + 1 > map->room / 4 * 3)
		grow(map);
	map->table[find(map, env->id)] = env;
	map->used++;
}

struct envelope *
idmap_take(struct idmap *map, uint64_t id)
{
	size_t hole, at;
	struct envelope *env;

	if (map->room == 0)
		return NULL;
	hole = find(map, id);
	env = map->table[hole];
	if (env == NULL)
		return NULL;
	map->table[hole] = NULL;
	map->used--;
	/* What stands behind without a gap moves up if the hole lies between its home and it. */
	for (at = (hole + 1) & (map->room - 1); map->table[at] != NULL;
	     at = (at + 1) & (map->room - 1)) {
		size_t from_home = (at - home(map, map->table[at]->id)) & (map->room - 1);

		if (from_home < ((at - hole) & (map->room - 1)))
			continue;
		map->table[hole] = map->table[at];
		map->table[at] = NULL;
		hole = at;
	}
	return env;
}

static int
by_id(const void *left, const void *right)
{
	const struct envelope *const *a = left, *const *b = right;

	return ((*a)->id > (*b)->id) - ((*a)->id < (*b)->id);
}

struct envelope **
idmap_sorted(struct idmap *map, size_t *count)
{
	struct envelope **all = map->table;
	size_t have = 0;

	for (size_t i = 0; i < map->room; i++) {
		if (all[i] != NULL)
			all[have++] = all[i];
	}
	if (have > 0)
		qsort(all, have, sizeof(struct envelope *), by_id);
	*count = have;
	*map = (struct idmap){0};
	return all;
}
