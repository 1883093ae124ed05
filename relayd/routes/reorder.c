/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/reorder.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

enum {
	NUMBER_MAX = UINT16_MAX,
	/* So many blocks that have to be written get numbers with room in between, for the next
	 * time; fewer get numbers that people like. */
	MANY_BLOCKS = 50,
	ROOM_BETWEEN = 10
};

/* Routes of one priority, the moved one left out. */
struct block {
	size_t first; /* among the rows */
	size_t count; /* the moved route, where it lies between them, is not counted */
	unsigned old; /* the number they have; 0: none */
	unsigned number;
	bool keeps;
};

struct order {
	const struct reorder_row *rows;
	size_t count;
	uint64_t id;
	unsigned old;         /* the moved route's number; 0: none */
	struct block *blocks; /* of the others, in their order; room for one more */
	size_t block_count;
	size_t gap;  /* how many blocks stand before the moved route */
	bool shares; /* ... which is part of the block behind the gap */
};

/* Where it is wished to be. */
struct target {
	size_t gap;
	bool shares;
};

int
reorder_wish_of(const char *name, enum reorder_wish *wish)
{
	static const char *const names[] = {
	    [REORDER_BEFORE] = "before", [REORDER_AFTER] = "after", [REORDER_FIRST] = "first",
	    [REORDER_LAST] = "last",     [REORDER_SHARE] = "share", [REORDER_ALONE] = "alone",
	    [REORDER_UP] = "up",         [REORDER_DOWN] = "down"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			*wish = (enum reorder_wish)i;
			return 0;
		}
	}
	return -1;
}

static int
by_order(const void *left, const void *right)
{
	const struct reorder_row *a = left, *b = right;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static void
order_init(struct order *order, const struct reorder_row *rows, size_t count, uint64_t id)
{
	struct block *last = NULL;

	*order = (struct order){.rows = rows, .count = count, .id = id};
	order->blocks = xcalloc(count + 1, sizeof(order->blocks[0]));
	for (size_t i = 0; i < count; i++) {
		if (rows[i].id == id) {
			order->old = rows[i].priority;
			continue;
		}
		if (last == NULL || last->old != rows[i].priority) {
			last = &order->blocks[order->block_count++];
			*last = (struct block){.first = i, .old = rows[i].priority};
		}
		last->count++;
	}
	while (order->gap < order->block_count && order->blocks[order->gap].old < order->old)
		order->gap++;
	order->shares = order->gap < order->block_count && order->old != 0 &&
			order->blocks[order->gap].old == order->old;
}

static int
find_other(const struct order *order, uint64_t other, size_t *block, struct error *why)
{
	size_t row = 0;

	if (other == order->id)
		return error_set(why, ERROR_REFUSED, "route %" PRIu64 " can't stand beside itself",
				 other);
	while (row < order->count && order->rows[row].id != other)
		row++;
	if (row == order->count)
		return error_set(why, ERROR_REFUSED,
				 "route %" PRIu64
				 " is not in the same group: order is among routes "
				 "of one destination, user and sender",
				 other);
	*block = 0;
	while (order->blocks[*block].old != order->rows[row].priority)
		(*block)++;
	return 0;
}

static int
find_target(const struct order *order, enum reorder_wish wish, uint64_t other,
	    struct target *target, struct error *why)
{
	size_t beside = 0;

	*target = (struct target){.gap = order->gap, .shares = order->shares};
	if ((wish == REORDER_BEFORE || wish == REORDER_AFTER || wish == REORDER_SHARE) &&
	    find_other(order, other, &beside, why) != 0)
		return -1;
	switch (wish) {
	case REORDER_BEFORE:
		*target = (struct target){.gap = beside};
		break;
	case REORDER_AFTER:
		*target = (struct target){.gap = beside + 1};
		break;
	case REORDER_SHARE:
		*target = (struct target){.gap = beside, .shares = true};
		break;
	case REORDER_FIRST:
		*target = (struct target){.gap = 0};
		break;
	case REORDER_LAST:
		*target = (struct target){.gap = order->block_count};
		break;
	case REORDER_ALONE:
		*target = (struct target){.gap = order->gap + (order->shares ? 1 : 0)};
		break;
	case REORDER_UP:
		target->shares = false;
		if (!order->shares && order->gap > 0)
			target->gap--;
		break;
	case REORDER_DOWN:
		target->shares = false;
		if (order->gap < order->block_count)
			target->gap++;
		break;
	}
	return 0;
}

/* ---- the ways to new numbers ---- */

/* A number between the neighbours of the gap, with room on both sides for later; 0: none is free.
 */
static unsigned
free_number(const struct order *order, size_t gap)
{
	unsigned low = gap > 0 ? order->blocks[gap - 1].old : 0;
	unsigned high = gap < order->block_count ? order->blocks[gap].old : NUMBER_MAX + 1;

	if (high - low < 2)
		return 0;
	if (gap == order->block_count)
		return low + 1;
	return gap == 0 ? high - 1 : low + (high - low) / 2;
}

/* The one block that is passed on the way to `gap`; NULL: none, or several. */
static struct block *
passed_block(const struct order *order, size_t gap)
{
	if (order->old == 0 || order->shares)
		return NULL;
	if (gap + 1 == order->gap)
		return &order->blocks[gap];
	return gap == order->gap + 1 ? &order->blocks[order->gap] : NULL;
}

/* The heaviest chain that ends with a key up to some place: a Fenwick tree of maxima. */
struct chain {
	unsigned weight;
	size_t last; /* block at its end, 1 + index; 0: the empty chain */
};

static struct chain
heaviest(const struct chain *tree, size_t key)
{
	struct chain best = {0, 0};

	for (; key > 0; key -= key & (~key + 1)) {
		if (tree[key].weight > best.weight)
			best = tree[key];
	}
	return best;
}

static void
enter(struct chain *tree, size_t keys, size_t key, struct chain chain)
{
	for (; key <= keys; key += key & (~key + 1)) {
		if (chain.weight > tree[key].weight)
			tree[key] = chain;
	}
}

/*
 * Which blocks keep their numbers: the heaviest choice with room for the others in between. Block i
 * can keep v beside block j that keeps w if w - v >= j - i: the keys v - i must not fall. All keys
 * lie from 1 to `keys`, where there is room before the first and behind the last. Of two equal
 * choices the one is taken in which the moved route (block `moved`) is written.
 */
static void
choose_keepers(struct block *blocks, size_t count, size_t moved)
{
	size_t keys = NUMBER_MAX - count + 1, key;
	struct chain *tree = xcalloc(keys + 1, sizeof(tree[0])), chain;
	size_t *before = xcalloc(count, sizeof(before[0]));

	for (size_t i = 0; i < count; i++) {
		if (blocks[i].old < i + 1 || blocks[i].old - i > keys)
			continue;
		key = blocks[i].old - i;
		chain = heaviest(tree, key);
		before[i] = chain.last;
		chain.weight += (unsigned)blocks[i].count * 2 - (i == moved ? 1 : 0);
		chain.last = i + 1;
		enter(tree, keys, key, chain);
	}
	for (size_t i = heaviest(tree, keys).last; i > 0; i = before[i - 1])
		blocks[i - 1].keeps = true;
	free(before);
	free(tree);
}

static int
by_number(const void *left, const void *right)
{
	const unsigned *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

/* The distance of `count` numbers with nothing behind them. */
static unsigned
distance(size_t count, unsigned low)
{
	size_t most = (NUMBER_MAX - low) / count;

	if (count < MANY_BLOCKS)
		return 1;
	return most < ROOM_BETWEEN ? (unsigned)most : ROOM_BETWEEN;
}

/* Numbers for `count` blocks strictly between `low` and `high`: those they have, in their new
 * order, if these will do; else spread evenly, behind the last one closely. */
static void
number_run(struct block *blocks, size_t count, unsigned low, unsigned high)
{
	unsigned *old = xcalloc(count + 1, sizeof(old[0]));
	bool fit = true;

	for (size_t i = 0; i < count; i++)
		old[i] = blocks[i].old;
	qsort(old, count, sizeof(old[0]), by_number);
	for (size_t i = 0; i < count; i++)
		fit = fit && old[i] > (i > 0 ? old[i - 1] : low) && old[i] < high;
	for (size_t i = 0; i < count; i++) {
		if (fit)
			blocks[i].number = old[i];
		else if (high > NUMBER_MAX)
			blocks[i].number = low + distance(count, low) * (unsigned)(i + 1);
		else
			blocks[i].number =
			    low + (unsigned)((size_t)(high - low) * (i + 1) / (count + 1));
	}
	free(old);
}

/* Renumber: the blocks with the moved route as one of its own at `gap`. */
static int
renumber(struct order *order, size_t gap, struct error *why)
{
	struct block *blocks = order->blocks;
	size_t count = ++order->block_count, run = 0;
	unsigned low = 0;

	if (count > NUMBER_MAX)
		return error_set(why, ERROR_REFUSED, "all %d priorities of the group are taken",
				 NUMBER_MAX);
	memmove(blocks + gap + 1, blocks + gap, (count - 1 - gap) * sizeof(blocks[0]));
	blocks[gap] = (struct block){.count = 1, .old = order->old};
	choose_keepers(blocks, count, gap);
	for (size_t i = 0; i <= count; i++) {
		if (i < count && !blocks[i].keeps)
			continue;
		if (i > run)
			number_run(blocks + run, i - run, low,
				   i < count ? blocks[i].old : NUMBER_MAX + 1);
		if (i < count)
			low = blocks[i].number = blocks[i].old;
		run = i + 1;
	}
	return 0;
}

/* ---- what is written ---- */

static size_t
write_row(struct reorder_row *writes, size_t at, uint64_t id, unsigned number)
{
	writes[at] = (struct reorder_row){.id = id, .priority = (uint16_t)number};
	return at + 1;
}

static size_t
write_block(const struct order *order, const struct block *block, unsigned number,
	    struct reorder_row *writes, size_t at)
{
	size_t left = block->count;

	if (number == block->old)
		return at;
	for (size_t row = block->first; left > 0; row++) {
		if (order->rows[row].id == order->id)
			continue;
		at = write_row(writes, at, order->rows[row].id, number);
		left--;
	}
	return at;
}

static size_t
write_all(const struct order *order, size_t gap, struct reorder_row *writes)
{
	size_t at = 0;

	for (size_t i = 0; i < order->block_count; i++) {
		if (i != gap)
			at = write_block(order, &order->blocks[i], order->blocks[i].number, writes,
					 at);
		else if (order->blocks[i].number != order->old)
			at = write_row(writes, at, order->id, order->blocks[i].number);
	}
	return at;
}

static int
place_alone(struct order *order, size_t gap, struct reorder_row *writes, size_t *written,
	    struct error *why)
{
	struct block *passed = passed_block(order, gap);
	unsigned number = free_number(order, gap);

	if (number == 0 && passed == NULL) {
		if (renumber(order, gap, why) != 0)
			return -1;
		*written = write_all(order, gap, writes);
		return 0;
	}
	*written = write_row(writes, 0, order->id, number != 0 ? number : passed->old);
	if (number == 0)
		*written = write_block(order, passed, order->old, writes, *written);
	return 0;
}

int
reorder(struct reorder_row *rows, size_t count, uint64_t id, enum reorder_wish wish, uint64_t other,
	struct reorder_row *writes, size_t *written, struct error *why)
{
	struct target target;
	struct order order;
	int rc;

	*written = 0;
	qsort(rows, count, sizeof(rows[0]), by_order);
	order_init(&order, rows, count, id);
	rc = find_target(&order, wish, other, &target, why);
	if (rc == 0 &&
	    (order.old == 0 || target.gap != order.gap || target.shares != order.shares)) {
		if (target.shares)
			*written = write_row(writes, 0, id, order.blocks[target.gap].old);
		else
			rc = place_alone(&order, target.gap, writes, written, why);
	}
	free(order.blocks);
	return rc;
}
