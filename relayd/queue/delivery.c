/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/delivery.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/address.h"
#include "common/xalloc.h"
#include "relayd/queue/leg.h"

struct attempt {
	struct delivery *delivery;
	const struct envelope *env;
	size_t fate_count;
	struct recipient_fate *fates;
	struct leg **legs;
	size_t leg_count;
	size_t running; /* legs that are not finished, and one while they are being started */
	bool complete;  /* stands in delivery->complete */
	void (*done)(void *ctx, struct recipient_fate *fates);
	void *ctx;
	TAILQ_ENTRY(attempt) link;
};

struct delivery {
	struct delivery_options options;
	char *hostname;
	struct route_local_ips local_ips;
	struct leg_context context;
	struct timer *later;
	TAILQ_HEAD(, attempt)
	complete; /* their `done` is to be called, outside of every other callback */
};

/* ---- which recipients travel together ---- */

static const struct route_group *
find_group(const struct attempt *attempt, const char *domain)
{
	const struct mail_key mail = {
	    .login = attempt->env->login, .sender = attempt->env->sender, .domain = domain};

	return table_find(changes_table(attempt->delivery->options.changes), &mail, NULL);
}

/* What the recipients of a leg have in common. */
struct key {
	const struct route_group *group;
	const char *domain;
};

static bool
key_equal(const struct key *a, const struct key *b)
{
	return a->group == b->group && (a->group != NULL || strcmp(a->domain, b->domain) == 0);
}

static void
leg_finished(void *ctx)
{
	struct attempt *attempt = ctx;

	if (--attempt->running > 0 || attempt->complete)
		return;
	attempt->complete = true;
	TAILQ_INSERT_TAIL(&attempt->delivery->complete, attempt, link);
	timer_set(attempt->delivery->later, 0);
}

/* The leg of this key that still has room; a new one if there is none. */
static struct leg *
attempt_leg(struct attempt *attempt, struct key **keys, const struct key *key)
{
	const struct leg_load load = {.envelope = attempt->env,
				      .fates = attempt->fates,
				      .group = key->group,
				      .domain = key->domain};
	struct leg *leg;
	size_t i = attempt->leg_count;

	while (i-- > 0)
		if (key_equal(&(*keys)[i], key) && leg_count(attempt->legs[i]) < LEG_RECIPIENTS_MAX)
			return attempt->legs[i];
	*keys = xreallocarray(*keys, attempt->leg_count + 1, sizeof **keys);
	(*keys)[attempt->leg_count] = *key;
	leg = leg_new(&attempt->delivery->context, &load, leg_finished, attempt);
	attempt->legs = xreallocarray(attempt->legs, attempt->leg_count + 1, sizeof(struct leg *));
	attempt->legs[attempt->leg_count++] = leg;
	return leg;
}

static void
attempt_split(struct attempt *attempt)
{
	const struct envelope *env = attempt->env;
	struct key *keys = NULL;
	size_t i;

	for (i = 0; i < env->recipient_count; i++) {
		struct key key;

		if (env->recipients[i].state != RECIPIENT_OPEN)
			continue;
		key.domain = address_domain(env->recipients[i].address);
		key.group = find_group(attempt, key.domain);
		leg_add(attempt_leg(attempt, &keys, &key), i);
	}
	free(keys);
}

/* ---- the end of an attempt ---- */

static void
attempt_free(struct attempt *attempt)
{
	size_t i;

	if (attempt->complete)
		TAILQ_REMOVE(&attempt->delivery->complete, attempt, link);
	for (i = 0; i < attempt->leg_count; i++)
		leg_free(attempt->legs[i]);
	for (i = 0; i < attempt->fate_count; i++)
		recipient_fate_clear(&attempt->fates[i]);
	free(attempt->legs);
	free(attempt->fates);
	free(attempt);
}

static void
delivery_complete(void *ctx)
{
	struct delivery *delivery = ctx;
	struct attempt *attempt;

	while ((attempt = TAILQ_FIRST(&delivery->complete)) != NULL) {
		TAILQ_REMOVE(&delivery->complete, attempt, link);
		attempt->complete = false;
		attempt->done(attempt->ctx, attempt->fates);
		attempt_free(attempt);
	}
}

/* ---- the owner's side ---- */

static void
delivery_take_options(struct delivery *delivery, const char *hostname, const char *local_ips)
{
	free(delivery->hostname);
	delivery->hostname = xstrdup(hostname);
	memset(&delivery->local_ips, 0, sizeof delivery->local_ips);
	if (local_ips != NULL)
		(void)route_local_ips_parse(local_ips, &delivery->local_ips, NULL);
	delivery->context.hostname = delivery->hostname;
	delivery->context.local_ips = &delivery->local_ips;
}

struct delivery *
delivery_new(const struct delivery_options *options)
{
	struct delivery *delivery = xcalloc(1, sizeof *delivery);

	delivery->options = *options;
	delivery->context.log = options->log;
	delivery->context.resolver = options->resolver;
	delivery->context.hops = options->hops;
	delivery->context.loop = options->loop;
	delivery->context.health = options->health;
	delivery->context.stats = options->stats;
	delivery_take_options(delivery, options->hostname, options->local_ips);
	delivery->later = timer_new(options->loop, delivery_complete, delivery);
	TAILQ_INIT(&delivery->complete);
	return delivery;
}

void
delivery_configure(struct delivery *delivery, const char *hostname, const char *local_ips)
{
	delivery_take_options(delivery, hostname, local_ips);
}

void
delivery_free(struct delivery *delivery)
{
	if (delivery == NULL)
		return;
	timer_free(delivery->later);
	free(delivery->hostname);
	free(delivery);
}

struct attempt *
delivery_attempt(struct delivery *delivery, const struct envelope *env,
		 void (*done)(void *ctx, struct recipient_fate *fates), void *ctx)
{
	struct attempt *attempt = xcalloc(1, sizeof *attempt);
	size_t i;

	attempt->delivery = delivery;
	attempt->env = env;
	attempt->done = done;
	attempt->ctx = ctx;
	attempt->fate_count = env->recipient_count;
	attempt->fates = xcalloc(env->recipient_count, sizeof *attempt->fates);
	attempt_split(attempt);
	/* One for us, so that legs that end at once do not end the attempt while others are to be
	 * started. */
	attempt->running = attempt->leg_count + 1;
	for (i = 0; i < attempt->leg_count; i++)
		leg_start(attempt->legs[i]);
	leg_finished(attempt);
	return attempt;
}

void
attempt_cancel(struct attempt *attempt)
{
	attempt_free(attempt);
}
