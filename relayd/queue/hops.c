/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hops are found by a hash of their target, hosts by one of their two addresses.
 *
 * Sessions are opened when jobs wait, none is free, and the limits allow one more; at a limit a
 * session takes the next job while it waits for the last one's final reply (pipelining across
 * messages).
 */
#include "relayd/queue/hops.h"

#include <stdlib.h>
#include <string.h>

#include "common/vault.h"
#include "common/xalloc.h"
#include "relayd/queue/hop.h"

enum { TURN = 10 /* jobs before a session is given up for another hop */ };

int64_t
hops_now_ms(const struct hops *hops)
{
	return loop_now_ms(hops->options.client.loop);
}

/* ---- finding hops ---- */

static uint64_t
hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *byte = bytes;

	while (len-- > 0)
		hash = (hash ^ *byte++) * 1099511628211ULL;
	return hash;
}

static uint64_t
hash_addresses(const struct client_target *target)
{
	uint64_t hash = 1469598103934665603ULL ^ target->remote.port;

	hash = hash_bytes(hash, target->remote.bytes, sizeof target->remote.bytes);
	if (target->local.family != AF_UNSPEC)
		hash = hash_bytes(hash, target->local.bytes, sizeof target->local.bytes);
	return hash;
}

static uint64_t
hash_target(uint64_t addresses, const struct client_target *target)
{
	if (target->name != NULL)
		addresses = hash_bytes(addresses, target->name, strlen(target->name));
	if (target->login != NULL)
		addresses = hash_bytes(addresses, target->login, strlen(target->login));
	return addresses;
}

static size_t
bucket_of(uint64_t hash)
{
	return (size_t)(hash ^ hash >> 32) % HOP_BUCKETS;
}

static bool
text_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
addresses_equal(const struct client_target *target, const struct netaddr *remote,
		const struct netaddr *local)
{
	return netaddr_equal(&target->remote, remote) && target->local.family == local->family &&
	       (local->family == AF_UNSPEC || netaddr_same_host(&target->local, local));
}

/* But for the route's number, which is for the log. */
static bool
target_equal(const struct client_target *a, const struct client_target *b)
{
	return addresses_equal(a, &b->remote, &b->local) && a->tls == b->tls &&
	       a->clear_login == b->clear_login && text_equal(a->name, b->name) &&
	       text_equal(a->login, b->login) && text_equal(a->password, b->password);
}

static struct host *
host_get(struct hops *hops, const struct client_target *target, uint64_t hash)
{
	struct host *host;
	size_t bucket = bucket_of(hash);

	LIST_FOREACH(host, &hops->hosts[bucket], bucket_link)
	{
		if (addresses_equal(target, &host->remote, &host->local))
			return host;
	}
	host = xcalloc(1, sizeof *host);
	host->remote = target->remote;
	host->local = target->local;
	quota_init(&host->quota);
	LIST_INSERT_HEAD(&hops->hosts[bucket], host, bucket_link);
	return host;
}

static struct hop *
hop_new(struct hops *hops, const struct client_target *target, uint64_t addresses, size_t bucket)
{
	struct hop *hop = xcalloc(1, sizeof *hop);

	hop->hops = hops;
	hop->host = host_get(hops, target, addresses);
	hop->host->hop_count++;
	hop->target = *target;
	hop->target.name = target->name != NULL ? xstrdup(target->name) : NULL;
	hop->target.login = target->login != NULL ? xstrdup(target->login) : NULL;
	hop->target.password = vault_keep(target->password);
	LIST_INIT(&hop->sessions);
	TAILQ_INIT(&hop->waiting);
	LIST_INSERT_HEAD(&hops->buckets[bucket], hop, bucket_link);
	return hop;
}

struct hop *
hop_get(struct hops *hops, const struct client_target *target)
{
	uint64_t addresses = hash_addresses(target);
	size_t bucket = bucket_of(hash_target(addresses, target));
	struct hop *hop;

	LIST_FOREACH(hop, &hops->buckets[bucket], bucket_link)
	{
		if (target_equal(&hop->target, target))
			return hop;
	}
	return hop_new(hops, target, addresses, bucket);
}

/* It has neither sessions nor claims. */
static void
hop_free(struct hop *hop)
{
	struct hops *hops = hop->hops;

	hop_leave_line(hop);
	hop_end_race(hop);
	if (hop->narrow > 0)
		TAILQ_REMOVE(&hops->narrowed, hop, narrow_link);
	if (hop->due)
		TAILQ_REMOVE(&hops->due, hop, due_link);
	LIST_REMOVE(hop, bucket_link);
	if (--hop->host->hop_count == 0) {
		LIST_REMOVE(hop->host, bucket_link);
		free(hop->host);
	}
	free((char *)hop->target.name);
	free((char *)hop->target.login);
	vault_drop((char *)hop->target.password);
	free(hop);
}

void
hop_drop_if_unused(struct hop *hop)
{
	if (hop->session_count == 0 && hop->waiting_count == 0)
		hop_free(hop);
}

/* ---- giving jobs to sessions ---- */

static size_t
hop_limit(const struct hop *hop)
{
	size_t limit = hop->hops->options.per_host;

	return hop->narrow > 0 && hop->narrow < limit ? hop->narrow : limit;
}

static bool
hop_wants_session(const struct hop *hop)
{
	return hop_needs(hop) > hop->opening && hop->session_count < hop_limit(hop);
}

static void
hop_give_idle(struct hop *hop)
{
	struct session *session;

	LIST_FOREACH(session, &hop->sessions, link)
	{
		if (hop->waiting_count == 0)
			return;
		if (!client_is_idle(session->client))
			continue;
		if (session->taken >= TURN && hop_must_yield(hop))
			session_mark_idle(session);
		else
			session_take(session);
	}
}

/* What no session is being opened for goes to those that still wait for a final reply. */
static void
hop_give_piped(struct hop *hop)
{
	struct session *session;

	LIST_FOREACH(session, &hop->sessions, link)
	{
		if (hop->waiting_count <= hop->opening || hop_must_yield(hop))
			return;
		/* One that is idle even now was left so for the first in line. */
		if (client_can_take(session->client) && !client_is_idle(session->client))
			session_take(session);
	}
}

static void
hop_open_more(struct hop *hop)
{
	while (hop_wants_session(hop) && hop_may_open(hop)) {
		/* Who got one stands behind the others for the next. */
		hop_leave_line(hop);
		if (session_open(hop) != 0)
			return;
	}
}

/* Room that this hop did not need is the next one's. */
static void
quota_pass_on(const struct hops *hops, struct quota *quota)
{
	if (quota_has_room(hops, quota))
		quota_call(quota);
}

static void
hop_serve(struct hop *hop)
{
	struct hops *hops = hop->hops;
	struct session *session;

	hop_give_idle(hop);
	if (hop->slow)
		hop_race(hop);
	if (hop->slow)
		hop_cut_surplus(hop);
	hop_open_more(hop);
	hop_give_piped(hop);
	if (hop_wants_session(hop))
		hop_join_line(hop);
	else
		hop_leave_line(hop);
	LIST_FOREACH(session, &hop->sessions, link)
	{
		if (hop->waiting_count == 0)
			session_mark_idle(session);
	}
	quota_pass_on(hops, &hop->host->quota);
	quota_pass_on(hops, &hops->quota);
	hop_drop_if_unused(hop);
}

/* ---- the round in which hops are served ---- */

void
hop_due(struct hop *hop)
{
	if (hop->due)
		return;
	hop->due = true;
	TAILQ_INSERT_TAIL(&hop->hops->due, hop, due_link);
	timer_set(hop->hops->serve, 0);
}

static void
hops_serve(void *ctx)
{
	struct hops *hops = ctx;
	struct session *session;
	struct hop *hop;

	while ((session = LIST_FIRST(&hops->ended)) != NULL) {
		LIST_REMOVE(session, link);
		client_free(session->client);
		free(session);
	}
	while ((hop = TAILQ_FIRST(&hops->due)) != NULL) {
		TAILQ_REMOVE(&hops->due, hop, due_link);
		hop->due = false;
		hop_serve(hop);
	}
}

/* ---- the owner's side ---- */

struct hops *
hops_new(const struct hops_options *options)
{
	struct hops *hops = xcalloc(1, sizeof *hops);
	struct loop *loop = options->client.loop;
	size_t i;

	hops->options = *options;
	hops->serve = timer_new(loop, hops_serve, hops);
	hops->widen = timer_new(loop, hops_widen, hops);
	hops->race = timer_new(loop, hops_race, hops);
	quota_init(&hops->quota);
	TAILQ_INIT(&hops->due);
	TAILQ_INIT(&hops->narrowed);
	TAILQ_INIT(&hops->racing);
	LIST_INIT(&hops->ended);
	for (i = 0; i < HOP_BUCKETS; i++) {
		LIST_INIT(&hops->buckets[i]);
		LIST_INIT(&hops->hosts[i]);
	}
	return hops;
}

void
hops_configure(struct hops *hops, const struct hops_options *options)
{
	struct host *host;
	size_t i;

	hops->options = *options;
	quota_call(&hops->quota);
	for (i = 0; i < HOP_BUCKETS; i++)
		LIST_FOREACH(host, &hops->hosts[i], bucket_link)
		{
			quota_call(&host->quota);
		}
}

void
hops_send(struct hops *hops, const struct client_target *target, struct errand *errand)
{
	hop_enqueue(hop_get(hops, target), errand, errand->named++, false);
}

size_t
hops_sessions(const struct hops *hops)
{
	return hops->quota.used;
}

void
hops_free(struct hops *hops)
{
	struct session *session;
	struct hop *hop;
	size_t i;

	if (hops == NULL)
		return;
	while ((session = LIST_FIRST(&hops->ended)) != NULL) {
		LIST_REMOVE(session, link);
		client_free(session->client);
		free(session);
	}
	for (i = 0; i < HOP_BUCKETS; i++) {
		while ((hop = LIST_FIRST(&hops->buckets[i])) != NULL) {
			while (!LIST_EMPTY(&hop->sessions))
				session_cut(LIST_FIRST(&hop->sessions));
			while (hop->waiting_count > 0)
				(void)hop_dequeue(hop);
			hop_free(hop);
		}
	}
	timer_free(hops->serve);
	timer_free(hops->widen);
	timer_free(hops->race);
	free(hops);
}
