/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/reorder: each wish on small groups with the numbers that come out, the three ways
 * to new numbers, the bounds; then random groups against rules that are written down a second time
 * here: the order is the wished one, nobody else has moved, one write where a number was free, a
 * swap where one block was passed, and else no more writes than a search of all numberings finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relayd/routes/reorder.h"

enum { MOST = 7 };

/* A group whose ids are 1, 2, 3 ... */
static size_t
group(struct reorder_row *rows, size_t count, const uint16_t *priorities)
{
	for (size_t i = 0; i < count; i++)
		rows[i] = (struct reorder_row){.id = i + 1, .priority = priorities[i]};
	return count;
}

struct given {
	const char *what;
	size_t count;
	uint16_t before[MOST];
	uint64_t id;
	enum reorder_wish wish;
	uint64_t other;
	uint16_t after[MOST];
	size_t written;
};

static const struct given table[] = {
    {"free between", 3, {10, 20, 30}, 3, REORDER_BEFORE, 2, {10, 20, 15}, 1},
    {"free between, after", 3, {10, 20, 30}, 1, REORDER_AFTER, 2, {25, 20, 30}, 1},
    {"free in front", 3, {10, 20, 30}, 3, REORDER_FIRST, 0, {10, 20, 9}, 1},
    {"free behind", 3, {1, 2, 3}, 1, REORDER_LAST, 0, {4, 2, 3}, 1},
    {"swap, up", 3, {1, 2, 3}, 3, REORDER_UP, 0, {1, 3, 2}, 2},
    {"swap, down", 4, {1, 2, 3, 4}, 2, REORDER_DOWN, 0, {1, 3, 2, 4}, 2},
    {"swap by before", 3, {1, 2, 3}, 2, REORDER_BEFORE, 1, {2, 1, 3}, 2},
    {"swap with a shared block", 4, {1, 1, 2, 3}, 3, REORDER_UP, 0, {2, 2, 1, 3}, 3},
    {"down at the end takes a free number", 2, {1, 2}, 1, REORDER_DOWN, 0, {3, 2}, 1},
    {"share", 3, {1, 2, 3}, 3, REORDER_SHARE, 1, {1, 2, 1}, 1},
    {"share what is shared", 2, {4, 4}, 1, REORDER_SHARE, 2, {4, 4}, 0},
    {"alone, behind", 3, {1, 1, 5}, 1, REORDER_ALONE, 0, {3, 1, 5}, 1},
    {"alone already", 2, {1, 2}, 1, REORDER_ALONE, 0, {1, 2}, 0},
    {"up out of a block", 3, {1, 3, 3}, 3, REORDER_UP, 0, {1, 3, 2}, 1},
    {"up out of a block without room", 3, {1, 2, 2}, 3, REORDER_UP, 0, {1, 3, 2}, 1},
    {"down out of a block", 3, {1, 1, 2}, 1, REORDER_DOWN, 0, {2, 1, 3}, 2},
    {"up at the top", 2, {1, 2}, 1, REORDER_UP, 0, {1, 2}, 0},
    {"down at the bottom", 2, {1, 2}, 2, REORDER_DOWN, 0, {1, 2}, 0},
    {"first already", 2, {7, 9}, 1, REORDER_FIRST, 0, {7, 9}, 0},
    {"first of those that share", 2, {7, 7}, 1, REORDER_FIRST, 0, {6, 7}, 1},
    {"alone in the group", 1, {3}, 1, REORDER_LAST, 0, {3}, 0},
    {"renumbered: past several", 4, {1, 2, 3, 4}, 4, REORDER_FIRST, 0, {5, 6, 7, 4}, 3},
    {"renumbered: those behind stay",
     5,
     {1, 2, 3, 9, 10},
     3,
     REORDER_FIRST,
     0,
     {5, 7, 3, 9, 10},
     2},
    {"at the upper bound", 3, {1, 2, 65535}, 1, REORDER_LAST, 0, {4, 2, 3}, 2},
    {"swap at the upper bound", 2, {65534, 65535}, 1, REORDER_LAST, 0, {65535, 65534}, 2},
    {"a new one, first", 3, {1, 2, 0}, 3, REORDER_FIRST, 0, {2, 3, 1}, 3},
    {"a new one, last", 3, {1, 2, 0}, 3, REORDER_LAST, 0, {1, 2, 3}, 1},
    {"a new one in an empty group", 1, {0}, 1, REORDER_FIRST, 0, {1}, 1},
    {"a new one in an empty group, last", 1, {0}, 1, REORDER_LAST, 0, {1}, 1},
    {"a new one that shares", 3, {1, 2, 0}, 3, REORDER_SHARE, 2, {1, 2, 2}, 1},
    {"a new one before another", 3, {1, 9, 0}, 3, REORDER_BEFORE, 2, {1, 9, 5}, 1},
};

static void
each_wish(void **state)
{
	struct reorder_row rows[MOST], writes[MOST];
	uint16_t now[MOST];
	size_t written;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct given *given = &table[i];

		print_message("%s\n", given->what);
		group(rows, given->count, given->before);
		memcpy(now, given->before, sizeof(now));
		assert_int_equal(reorder(rows, given->count, given->id, given->wish, given->other,
					 writes, &written, NULL),
				 0);
		for (size_t w = 0; w < written; w++)
			now[writes[w].id - 1] = writes[w].priority;
		for (size_t r = 0; r < given->count; r++)
			assert_int_equal(now[r], given->after[r]);
		assert_int_equal(written, given->written);
	}
}

static void
refused(void **state)
{
	struct reorder_row rows[3] = {{1, 1}, {2, 2}, {3, 3}}, writes[3];
	struct reorder_row *full, *room;
	size_t written, many = 65537;
	struct error why;

	(void)state;
	assert_int_equal(reorder(rows, 3, 1, REORDER_BEFORE, 9, writes, &written, &why), -1);
	assert_int_equal(why.code, ERROR_REFUSED);
	assert_non_null(strstr(why.text, "route 9 is not in the same group"));
	assert_int_equal(reorder(rows, 3, 1, REORDER_SHARE, 1, writes, &written, &why), -1);
	assert_int_equal(why.code, ERROR_REFUSED);

	/* Every number taken, and one that shares wants to stand alone. */
	full = calloc(many, sizeof(*full));
	room = calloc(many, sizeof(*room));
	for (size_t i = 0; i < many; i++)
		full[i] = (struct reorder_row){i + 1, (uint16_t)(i < 65535 ? i + 1 : 7)};
	assert_int_equal(reorder(full, many, 65537, REORDER_FIRST, 0, room, &written, &why), -1);
	assert_int_equal(why.code, ERROR_REFUSED);
	assert_int_equal(written, 0);
	/* With one number less there is just room. */
	assert_int_equal(reorder(full, many, 65535, REORDER_FIRST, 0, room, &written, &why), 0);
	assert_int_equal(written, many);
	free(full);
	free(room);
}

/* A large group that has to be written anew gets room for what comes next. */
static void
room_in_large_groups(void **state)
{
	struct reorder_row rows[61], writes[61];
	size_t written;

	(void)state;
	for (size_t i = 0; i < 60; i++)
		rows[i] = (struct reorder_row){i + 1, (uint16_t)(i + 1)};
	rows[60] = (struct reorder_row){61, 0};
	assert_int_equal(reorder(rows, 61, 61, REORDER_FIRST, 0, writes, &written, NULL), 0);
	assert_int_equal(written, 61);
	for (size_t i = 0; i < 61; i++)
		assert_int_equal(writes[i].priority, 10 * (i + 1));
}

static void
wishes_have_names(void **state)
{
	static const char *const names[] = {"before", "after", "first", "last",
					    "share",  "alone", "up",    "down"};
	enum reorder_wish wish;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(reorder_wish_of(names[i], &wish), 0);
		assert_int_equal(wish, i);
	}
	assert_int_equal(reorder_wish_of("Up", &wish), -1);
}

/* ---- against a second reading of the rules ---- */

/* Places of the others, in steps: rank[i] of route i + 1, equal for those that share; the moved one
 * has 2 * place of its block, or an odd number between two blocks. */
static void
ranks(const uint16_t *priorities, size_t count, size_t moved, int *rank, int *blocks)
{
	int distinct = 0;

	for (unsigned number = 1; number <= 40; number++) {
		bool any = false;

		for (size_t i = 0; i < count; i++) {
			if (i != moved && priorities[i] == number) {
				rank[i] = 2 * distinct + 1;
				any = true;
			}
		}
		if (priorities[moved] == number)
			rank[moved] = any ? 2 * distinct + 1 : 2 * distinct;
		distinct += any ? 1 : 0;
	}
	*blocks = distinct;
}

/* The rank that the moved one should have. */
static int
wished(const int *rank, size_t moved, int blocks, enum reorder_wish wish, size_t other)
{
	int now = rank[moved];

	switch (wish) {
	case REORDER_BEFORE:
		return rank[other] - 1;
	case REORDER_AFTER:
		return rank[other] + 1;
	case REORDER_SHARE:
		return rank[other];
	case REORDER_FIRST:
		return 0;
	case REORDER_LAST:
		return 2 * blocks;
	case REORDER_ALONE:
		return now % 2 == 1 ? now + 1 : now;
	case REORDER_UP:
		return now % 2 == 1 ? now - 1 : now >= 2 ? now - 2 : now;
	case REORDER_DOWN:
		return now % 2 == 1 ? now + 1 : now + 2 <= 2 * blocks ? now + 2 : now;
	}
	return -1;
}

/* Fewest writes of any numbering with these ranks: each rank gets a number above the last one. `at`
 * ranks are done, `last` was the last number. */
static size_t
fewest(const uint16_t *priorities, const int *rank, size_t count, int at, unsigned last,
       unsigned bound)
{
	size_t best = SIZE_MAX, cost, members = 0;
	int next = INT32_MAX;

	for (size_t i = 0; i < count; i++) {
		if (rank[i] >= at && rank[i] < next)
			next = rank[i];
	}
	if (next == INT32_MAX)
		return 0;
	for (unsigned number = last + 1; number <= bound; number++) {
		cost = members = 0;
		for (size_t i = 0; i < count; i++) {
			if (rank[i] != next)
				continue;
			members++;
			cost += priorities[i] != number ? 1 : 0;
		}
		if (cost >= best)
			continue;
		size_t rest = fewest(priorities, rank, count, next + 1, number, bound);
		if (rest != SIZE_MAX && cost + rest < best)
			best = cost + rest;
	}
	return best;
}

static void
check_random(const uint16_t *priorities, size_t count, size_t moved, enum reorder_wish wish,
	     size_t other)
{
	struct reorder_row rows[MOST], writes[MOST];
	int before[MOST], after[MOST], blocks, blocks_after, want;
	uint16_t now[MOST];
	unsigned low = 0, high = 65536;
	size_t written, passed = 0;

	group(rows, count, priorities);
	ranks(priorities, count, moved, before, &blocks);
	want = wished(before, moved, blocks, wish, other);
	assert_int_equal(reorder(rows, count, moved + 1, wish, other + 1, writes, &written, NULL),
			 0);
	memcpy(now, priorities, sizeof(now));
	for (size_t w = 0; w < written; w++) {
		assert_int_not_equal(now[writes[w].id - 1], writes[w].priority);
		now[writes[w].id - 1] = writes[w].priority;
	}
	ranks(now, count, moved, after, &blocks_after);
	assert_int_equal(blocks, blocks_after);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(after[i], i == moved ? want : before[i]);

	/* How many writes there should have been. */
	if (want == before[moved]) {
		assert_int_equal(written, 0);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (i != moved && before[i] < want && priorities[i] > low)
			low = priorities[i];
		if (i != moved && before[i] > want && priorities[i] < high)
			high = priorities[i];
	}
	if (want % 2 == 1 || high - low > 1) {
		assert_int_equal(written, 1);
		assert_int_equal(writes[0].id, moved + 1);
		return;
	}
	if (before[moved] % 2 == 0 && abs(want - before[moved]) == 2) {
		for (size_t i = 0; i < count; i++)
			passed += 2 * before[i] == want + before[moved] ? 1 : 0;
		assert_int_equal(written, 1 + passed);
		for (size_t i = 0; i < count; i++) {
			if (i != moved && 2 * before[i] == want + before[moved]) {
				assert_int_equal(now[i], priorities[moved]);
				assert_int_equal(now[moved], priorities[i]);
			}
		}
		return;
	}
	before[moved] = want;
	assert_int_equal(written, fewest(priorities, before, count, 0, 0, 14));
}

static void
random_groups(void **state)
{
	uint16_t priorities[MOST] = {0};

	(void)state;
	srandom(20261122);
	for (int round = 0; round < 20000; round++) {
		size_t count = 1 + (size_t)random() % (MOST - 1), moved = (size_t)random() % count;
		size_t other = (size_t)random() % count;
		enum reorder_wish wish = (enum reorder_wish)(random() % 8);
		unsigned bound = random() % 2 == 0 ? 5 : 9;

		for (size_t i = 0; i < count; i++)
			priorities[i] = (uint16_t)(1 + (unsigned)random() % bound);
		if (other == moved &&
		    (wish == REORDER_BEFORE || wish == REORDER_AFTER || wish == REORDER_SHARE))
			continue;
		check_random(priorities, count, moved, wish, other);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_wish),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(room_in_large_groups),
	    cmocka_unit_test(wishes_have_names),
	    cmocka_unit_test(random_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
