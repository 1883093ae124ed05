/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/xalloc.h"

enum {
	BUCKETS = 1024,
	FIRST_MS = 30 * 1000,
	LONGEST_MS = 3600 * 1000,
	FORGET_MS = 2 * 3600 * 1000,
	ABSENT_MAX = 64, /* local IPs of which it is known when their absence was said */
	ABSENT_AGAIN_MS = 3600 * 1000
};

struct sick {
	struct health_pair pair; /* first: health_next goes from it to its sick */
	int64_t trial_ms;        /* one connection is being tried, until then at most */
	LIST_ENTRY(sick) bucket_link;
	TAILQ_ENTRY(sick) link;
};

struct absent {
	struct netaddr local;
	int64_t said_ms;
};

struct health {
	struct plan_random random;
	LIST_HEAD(, sick) buckets[BUCKETS];
	TAILQ_HEAD(sick_list, sick) all; /* by failed_ms */
	size_t count;
	struct absent absent[ABSENT_MAX];
	size_t absent_count;
};

/* ---- finding pairs ---- */

static size_t
hash_pair(const struct netaddr *remote, const struct netaddr *local)
{
	uint64_t hash = 1469598103934665603ULL ^ remote->port;

	for (size_t i = 0; i < sizeof remote->bytes; i++)
		hash = (hash ^ remote->bytes[i]) * 1099511628211ULL;
	for (size_t i = 0; i < sizeof local->bytes && local->family != AF_UNSPEC; i++)
		hash = (hash ^ local->bytes[i]) * 1099511628211ULL;
	return (size_t)(hash ^ hash >> 32) % BUCKETS;
}

static bool
is_pair(const struct health_pair *pair, const struct netaddr *remote, const struct netaddr *local)
{
	return netaddr_equal(&pair->remote, remote) && pair->local.family == local->family &&
	       (local->family == AF_UNSPEC || netaddr_same_host(&pair->local, local));
}

static struct sick *
find_sick(const struct health *health, const struct netaddr *remote, const struct netaddr *local)
{
	struct sick *sick;

	if (health->count == 0)
		return NULL;
	LIST_FOREACH(sick, &health->buckets[hash_pair(remote, local)], bucket_link)
	{
		if (is_pair(&sick->pair, remote, local))
			return sick;
	}
	return NULL;
}

static void
sick_free(struct health *health, struct sick *sick)
{
	LIST_REMOVE(sick, bucket_link);
	TAILQ_REMOVE(&health->all, sick, link);
	health->count--;
	free(sick);
}

/* Those that failed longest ago are the first whose time was up longest ago, near enough: what is
 * behind one that is kept stays too. */
static void
forget_old(struct health *health, int64_t now_ms)
{
	struct sick *first;

	while ((first = TAILQ_FIRST(&health->all)) != NULL &&
	       (health->count >= HEALTH_PAIRS_MAX || now_ms - first->pair.until_ms > FORGET_MS))
		sick_free(health, first);
}

static struct sick *
add_sick(struct health *health, const struct netaddr *remote, const struct netaddr *local,
	 int64_t now_ms)
{
	struct sick *sick = xcalloc(1, sizeof *sick);

	sick->pair.remote = *remote;
	sick->pair.local = *local;
	sick->pair.since_ms = now_ms;
	LIST_INSERT_HEAD(&health->buckets[hash_pair(remote, local)], sick, bucket_link);
	TAILQ_INSERT_TAIL(&health->all, sick, link);
	health->count++;
	return sick;
}

/* ---- what happened ---- */

static int64_t
back_off_ms(const struct health *health, unsigned failures)
{
	int64_t ms = FIRST_MS;

	while (--failures > 0 && ms < LONGEST_MS)
		ms *= 2;
	if (ms > LONGEST_MS)
		ms = LONGEST_MS;
	return ms - ms / 10 + health->random.below(health->random.ctx, (uint32_t)(ms / 5 + 1));
}

int64_t
health_failed(struct health *health, const struct netaddr *remote, const struct netaddr *local,
	      const char *reason, int64_t now_ms)
{
	struct sick *sick = find_sick(health, remote, local);

	if (sick != NULL && now_ms < sick->pair.until_ms)
		return 0;
	if (sick == NULL) {
		forget_old(health, now_ms);
		sick = add_sick(health, remote, local, now_ms);
	} else {
		TAILQ_REMOVE(&health->all, sick, link);
		TAILQ_INSERT_TAIL(&health->all, sick, link);
	}
	sick->pair.failures++;
	sick->pair.failed_ms = now_ms;
	sick->pair.until_ms = now_ms + back_off_ms(health, sick->pair.failures);
	sick->trial_ms = 0;
	(void)snprintf(sick->pair.reason, sizeof sick->pair.reason, "%s", reason);
	return sick->pair.until_ms;
}

bool
health_succeeded(struct health *health, const struct netaddr *remote, const struct netaddr *local)
{
	struct sick *sick = find_sick(health, remote, local);

	if (sick == NULL)
		return false;
	sick_free(health, sick);
	return true;
}

void
health_trying(struct health *health, const struct netaddr *remote, const struct netaddr *local,
	      int64_t now_ms, int64_t until_ms)
{
	struct sick *sick = find_sick(health, remote, local);

	if (sick != NULL && now_ms >= sick->pair.until_ms && now_ms >= sick->trial_ms)
		sick->trial_ms = until_ms;
}

int64_t
health_suspended_until(const struct health *health, const struct netaddr *remote,
		       const struct netaddr *local, int64_t now_ms)
{
	const struct sick *sick = find_sick(health, remote, local);
	int64_t until_ms;

	if (sick == NULL)
		return 0;
	until_ms = sick->pair.until_ms > sick->trial_ms ? sick->pair.until_ms : sick->trial_ms;
	return now_ms < until_ms ? until_ms : 0;
}

bool
health_view_is_suspended(void *ctx, const struct netaddr *remote, const struct netaddr *local)
{
	const struct health_view *view = ctx;

	return view->health != NULL &&
	       health_suspended_until(view->health, remote, local, view->now_ms) != 0;
}

/* ---- looking at it ---- */

const struct health_pair *
health_next(const struct health *health, const struct health_pair *after)
{
	const struct sick *sick = after != NULL
				      ? TAILQ_NEXT((const struct sick *)(const void *)after, link)
				      : TAILQ_FIRST(&health->all);

	return sick != NULL ? &sick->pair : NULL;
}

size_t
health_count(const struct health *health)
{
	return health->count;
}

/* ---- local IPs ---- */

bool
health_local_absent(struct health *health, const struct netaddr *local, int64_t now_ms)
{
	struct absent *oldest = &health->absent[0];
	size_t i;

	for (i = 0; i < health->absent_count; i++) {
		struct absent *absent = &health->absent[i];

		if (netaddr_same_host(&absent->local, local)) {
			if (now_ms - absent->said_ms < ABSENT_AGAIN_MS)
				return false;
			absent->said_ms = now_ms;
			return true;
		}
		if (absent->said_ms < oldest->said_ms)
			oldest = absent;
	}
	if (health->absent_count < ABSENT_MAX)
		oldest = &health->absent[health->absent_count++];
	*oldest = (struct absent){.local = *local, .said_ms = now_ms};
	return true;
}

/* ---- the owner's side ---- */

struct health *
health_new(const struct plan_random *random)
{
	struct health *health = xcalloc(1, sizeof *health);
	size_t i;

	health->random = *random;
	for (i = 0; i < BUCKETS; i++)
		LIST_INIT(&health->buckets[i]);
	TAILQ_INIT(&health->all);
	return health;
}

void
health_free(struct health *health)
{
	if (health == NULL)
		return;
	while (!TAILQ_EMPTY(&health->all))
		sick_free(health, TAILQ_FIRST(&health->all));
	free(health);
}
