/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/stats.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/xalloc.h"

enum {
	BUCKET_MS = 5 * 60 * 1000,
	BUCKETS = 12,
	SLOW_PERCENT = 10,
	SLOTS_LEAST = 64 /* a power of two */
};

struct bucket {
	uint32_t tried;
	uint32_t deferred;
};

struct counter {
	uint64_t route_id;
	uint64_t attempts, delivered, deferred, failed;
	int64_t last_used_ms;
	int64_t newest; /* the number of the bucket that was counted in last */
	bool session;   /* of the last try */
	struct bucket buckets[BUCKETS];
	struct counter *next; /* of the same slot */
	TAILQ_ENTRY(counter) link;
};

struct stats {
	struct counter **slots;
	size_t slot_count;
	size_t count;
	TAILQ_HEAD(, counter) used; /* the one used last stands last */
};

static const char *const state_names[] = {
    [STATS_OFF] = "off",   [STATS_UNKNOWN] = "unknown", [STATS_UP] = "up",
    [STATS_SLOW] = "slow", [STATS_DOWN] = "down",
};

const char *
stats_state_name(enum stats_state state)
{
	return state_names[state];
}

int
stats_state_of(const char *name, enum stats_state *state)
{
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(state_names[i], name) == 0) {
			*state = (enum stats_state)i;
			return 0;
		}
	}
	return -1;
}

struct stats *
stats_new(void)
{
	struct stats *stats = xcalloc(1, sizeof(*stats));

	stats->slot_count = SLOTS_LEAST;
	stats->slots = xcalloc(stats->slot_count, sizeof(*stats->slots));
	TAILQ_INIT(&stats->used);
	return stats;
}

void
stats_free(struct stats *stats)
{
	struct counter *counter;

	if (stats == NULL)
		return;
	while ((counter = TAILQ_FIRST(&stats->used)) != NULL) {
		TAILQ_REMOVE(&stats->used, counter, link);
		free(counter);
	}
	free(stats->slots);
	free(stats);
}

/* Ids are given one after the other: their low bits spread well. */
static struct counter **
slot_of(const struct stats *stats, uint64_t route_id)
{
	return &stats->slots[route_id & (stats->slot_count - 1)];
}

static struct counter *
counter_find(const struct stats *stats, uint64_t route_id)
{
	struct counter *counter = *slot_of(stats, route_id);

	while (counter != NULL && counter->route_id != route_id)
		counter = counter->next;
	return counter;
}

static void
slots_grow(struct stats *stats)
{
	struct counter *counter, **slot;

	free(stats->slots);
	stats->slot_count *= 2;
	stats->slots = xcalloc(stats->slot_count, sizeof(*stats->slots));
	TAILQ_FOREACH(counter, &stats->used, link)
	{
		slot = slot_of(stats, counter->route_id);
		counter->next = *slot;
		*slot = counter;
	}
}

static void
counter_forget(struct stats *stats, struct counter *counter)
{
	struct counter **at = slot_of(stats, counter->route_id);

	while (*at != counter)
		at = &(*at)->next;
	*at = counter->next;
	TAILQ_REMOVE(&stats->used, counter, link);
	stats->count--;
	free(counter);
}

static struct counter *
counter_new(struct stats *stats, uint64_t route_id)
{
	struct counter *counter = xcalloc(1, sizeof(*counter)), **slot;

	if (stats->count == STATS_ROUTES)
		counter_forget(stats, TAILQ_FIRST(&stats->used));
	if (stats->count == stats->slot_count)
		slots_grow(stats);
	counter->route_id = route_id;
	slot = slot_of(stats, route_id);
	counter->next = *slot;
	*slot = counter;
	TAILQ_INSERT_TAIL(&stats->used, counter, link);
	stats->count++;
	return counter;
}

/* The buckets that the time has passed over since are empty. */
static void
counter_advance(struct counter *counter, int64_t now_ms)
{
	int64_t newest = now_ms / BUCKET_MS;

	if (newest - counter->newest >= BUCKETS)
		memset(counter->buckets, 0, sizeof(counter->buckets));
	else
		for (int64_t at = counter->newest + 1; at <= newest; at++)
			counter->buckets[at % BUCKETS] = (struct bucket){0};
	counter->newest = newest;
}

void
stats_add(struct stats *stats, uint64_t route_id, const struct stats_try *outcome, int64_t now_ms)
{
	struct counter *counter = counter_find(stats, route_id);
	size_t tried = outcome->delivered + outcome->failed + outcome->deferred;
	struct bucket *bucket;

	if (counter == NULL)
		counter = counter_new(stats, route_id);
	TAILQ_REMOVE(&stats->used, counter, link);
	TAILQ_INSERT_TAIL(&stats->used, counter, link);
	counter_advance(counter, now_ms);
	bucket = &counter->buckets[counter->newest % BUCKETS];
	bucket->tried += (uint32_t)tried;
	bucket->deferred += (uint32_t)outcome->deferred;
	counter->attempts += tried;
	counter->delivered += outcome->delivered;
	counter->failed += outcome->failed;
	counter->deferred += outcome->deferred;
	counter->last_used_ms = now_ms;
	counter->session = outcome->session;
}

void
stats_get(const struct stats *stats, uint64_t route_id, int64_t now_ms, struct stats_route *out)
{
	const struct counter *found = counter_find(stats, route_id);
	uint64_t tried = 0, deferred = 0;
	struct counter counter;
	double before, part;

	*out = (struct stats_route){.last_used_ms = -1, .deferred_1h = -1, .state = STATS_UNKNOWN};
	if (found == NULL)
		return;
	counter = *found;
	counter_advance(&counter, now_ms);
	for (size_t i = 0; i < BUCKETS; i++) {
		tried += counter.buckets[i].tried;
		deferred += counter.buckets[i].deferred;
	}
	out->attempts = counter.attempts;
	out->delivered = counter.delivered;
	out->deferred = counter.deferred;
	out->failed = counter.failed;
	out->last_used_ms = counter.last_used_ms;
	/* Five minutes back: this bucket, and as much of the one before as they reach into it. */
	part = (double)(now_ms % BUCKET_MS) / BUCKET_MS;
	before = counter.buckets[(counter.newest + BUCKETS - 1) % BUCKETS].tried;
	out->rate_1m = (counter.buckets[counter.newest % BUCKETS].tried + before * (1 - part)) / 5;
	if (tried == 0)
		return;
	out->deferred_1h = (double)deferred / (double)tried;
	if (!counter.session)
		out->state = STATS_DOWN;
	else
		out->state = deferred * 100 >= tried * SLOW_PERCENT ? STATS_SLOW : STATS_UP;
}

size_t
stats_count(const struct stats *stats)
{
	return stats->count;
}
