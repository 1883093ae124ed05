/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A hop costs one pass over what is left of its priority, and most attempts end with their first
 * hop: so nothing is ordered ahead.
 */
#include "relayd/routes/draw.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"

static uint32_t
first_of(void *ctx, uint32_t bound)
{
	(void)ctx;
	(void)bound;
	return 0;
}

const struct plan_random draw_in_order = {.below = first_of};

void
draw_init(struct draw *draw, const struct route_group *group, const struct plan_random *random)
{
	*draw = (struct draw){.group = group, .random = *random};
}

void
draw_clear(struct draw *draw)
{
	free(draw->left);
	free(draw->drawn);
	draw->left = NULL;
	draw->drawn = NULL;
}

static bool
was_drawn(const struct draw *draw, const struct route *route)
{
	for (size_t i = 0; i < draw->drawn_count; i++) {
		if (route_same_hop(draw->drawn[i], route))
			return true;
	}
	return false;
}

/* Take in the routes of the next priority, but those whose hop was given before. */
static void
draw_enter(struct draw *draw)
{
	const struct route_group *group = draw->group;
	size_t begin = draw->next, end = begin;
	uint16_t priority = group->routes[begin]->priority;

	while (end < group->count && group->routes[end]->priority == priority)
		end++;
	draw->left = xreallocarray(draw->left, end - begin, sizeof(*draw->left));
	for (size_t i = begin; i < end; i++) {
		if (!was_drawn(draw, group->routes[i]))
			draw->left[draw->left_count++] = group->routes[i];
	}
	draw->next = end;
}

/*
 * How often the route at `at` counts. Millions of copies of the greatest weight are counted as far
 * as the random source can tell them apart; each counts at least once.
 */
static uint32_t
counted_weight(const struct draw *draw, size_t at, uint32_t total)
{
	uint32_t room = UINT32_MAX - total - (uint32_t)(draw->left_count - at);

	return draw->left[at]->weight < room ? draw->left[at]->weight : 1;
}

/* One of those left, by weight. */
static const struct route *
draw_ticket(const struct draw *draw)
{
	uint32_t total = 0, ticket, passed = 0;
	size_t at = 0;

	for (size_t i = 0; i < draw->left_count; i++)
		total += counted_weight(draw, i, total);
	ticket = draw->random.below(draw->random.ctx, total);
	for (;; at++) {
		uint32_t weight = counted_weight(draw, at, passed);

		if (ticket - passed < weight)
			return draw->left[at];
		passed += weight;
	}
}

/* Note the hop as given and strike out all its copies. Returns the first of them. */
static const struct route *
draw_take(struct draw *draw, const struct route *route)
{
	const struct route *first = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < draw->left_count; i++) {
		if (!route_same_hop(draw->left[i], route))
			draw->left[kept++] = draw->left[i];
		else if (first == NULL)
			first = draw->left[i];
	}
	draw->left_count = kept;
	draw->drawn = xreallocarray(draw->drawn, draw->drawn_count + 1, sizeof(*draw->drawn));
	draw->drawn[draw->drawn_count++] = first;
	return first;
}

const struct route *
draw_next(struct draw *draw)
{
	while (draw->left_count == 0) {
		if (draw->next == draw->group->count)
			return NULL;
		draw_enter(draw);
	}
	return draw_take(draw, draw->left_count > 1 ? draw_ticket(draw) : draw->left[0]);
}

double
draw_share(const struct route_group *group, const struct route *route)
{
	double own = 0, all = 0;

	for (size_t i = 0; i < group->count; i++) {
		const struct route *other = group->routes[i];

		if (other->priority != route->priority)
			continue;
		all += other->weight;
		if (route_same_hop(other, route))
			own += other->weight;
	}
	return all > 0 ? own / all : 0;
}

void
draw_order(size_t *order, size_t count, const struct plan_random *random)
{
	for (size_t i = 0; i < count; i++)
		order[i] = i;
	for (size_t left = count; left > 1; left--) {
		size_t pick = random->below(random->ctx, (uint32_t)left);
		size_t taken = order[pick];

		order[pick] = order[left - 1];
		order[left - 1] = taken;
	}
}

void
draw_hosts(struct plan_host *hosts, size_t count, const struct plan_random *random)
{
	for (size_t left = count; left > 1; left--) {
		size_t pick = random->below(random->ctx, (uint32_t)left);
		struct plan_host taken = hosts[pick];

		hosts[pick] = hosts[left - 1];
		hosts[left - 1] = taken;
	}
	/* By insertion, which leaves equal ones in the order the shuffle gave them. */
	for (size_t i = 1; i < count; i++) {
		struct plan_host moved = hosts[i];
		size_t to = i;

		while (to > 0 && hosts[to - 1].preference > moved.preference) {
			hosts[to] = hosts[to - 1];
			to--;
		}
		hosts[to] = moved;
	}
}
