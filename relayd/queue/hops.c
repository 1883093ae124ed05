/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A hop lives while it has sessions or waiting jobs. Hops are found by a hash of their two
 * addresses.
 *
 * Sessions are opened when jobs wait, none is free, and the limits allow one more; at a limit a
 * session takes the next job while it waits for the last one's final reply (pipelining across
 * messages). Where the total is used up, the longest idle session elsewhere makes room, or the hop
 * stands in line; a session that has done a few jobs is then given up for the first in line, if
 * that one has none or clearly fewer: no hop waits for a busier one to run dry.
 */
#include "relayd/queue/hops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/xalloc.h"

enum { BUCKETS = 1024, NARROW_MS = 60000, TURN = 10 /* jobs before a session is given up */ };

struct waiting {
	struct client_job *job;
	STAILQ_ENTRY(waiting) link;
};

struct session {
	struct client *client;
	struct hop *hop;
	LIST_ENTRY(session) link;       /* of its hop */
	TAILQ_ENTRY(session) idle_link; /* of all idle ones, longest first */
	bool idle;
	unsigned taken; /* jobs */
	bool opening;   /* not yet greeted; counted in hop->opening */
};

struct line;

struct hop {
	struct hops *hops;
	struct plan_try key;
	LIST_HEAD(, session) sessions;
	size_t session_count, opening;
	STAILQ_HEAD(, waiting) waiting;
	size_t waiting_count;
	size_t narrow; /* no more sessions than this until narrow_until_ms; 0: the limit */
	int64_t narrow_until_ms;
	struct line *line; /* waits there for the total to allow a session; NULL: does not */
	bool due;          /* hop_serve is to run */
	LIST_ENTRY(hop) bucket_link;
	TAILQ_ENTRY(hop) line_link;
	TAILQ_ENTRY(hop) due_link;
};

TAILQ_HEAD(line, hop);

struct hops {
	struct hops_options options;
	struct timer *serve; /* runs the due hops: never inside a caller */
	size_t session_count;
	TAILQ_HEAD(, session) idle;
	struct line first_line;  /* hops that have no session */
	struct line second_line; /* that would have one more */
	TAILQ_HEAD(, hop) due;
	LIST_HEAD(, session) ended; /* to be freed outside their callbacks */
	LIST_HEAD(, hop) buckets[BUCKETS];
};

static void hop_due(struct hop *hop);

/* ---- finding hops ---- */

static size_t
hash_try(const struct plan_try *try)
{
	const unsigned char *parts[2] = {try->remote.bytes, try->local.bytes};
	size_t hash = 1469598103934665603ULL ^ try->remote.port, i, j;

	for (i = 0; i < 2; i++)
		for (j = 0; j < sizeof try->remote.bytes; j++)
			hash = (hash ^ parts[i][j]) * 1099511628211ULL;
	return (hash ^ hash >> 32) % BUCKETS;
}

static bool
try_equal(const struct plan_try *a, const struct plan_try *b)
{
	if (!netaddr_equal(&a->remote, &b->remote) || a->local.family != b->local.family)
		return false;
	return a->local.family == AF_UNSPEC || netaddr_same_host(&a->local, &b->local);
}

static struct hop *
hop_get(struct hops *hops, const struct plan_try *try)
{
	size_t bucket = hash_try(try);
	struct hop *hop;

	LIST_FOREACH(hop, &hops->buckets[bucket], bucket_link)
	{
		if (try_equal(&hop->key, try))
			return hop;
	}
	hop = xcalloc(1, sizeof *hop);
	hop->hops = hops;
	hop->key = *try;
	LIST_INIT(&hop->sessions);
	STAILQ_INIT(&hop->waiting);
	LIST_INSERT_HEAD(&hops->buckets[bucket], hop, bucket_link);
	return hop;
}

static void
hop_leave_line(struct hop *hop)
{
	if (hop->line != NULL)
		TAILQ_REMOVE(hop->line, hop, line_link);
	hop->line = NULL;
}

static void
hop_join_line(struct hop *hop)
{
	struct hops *hops = hop->hops;
	struct line *line = hop->session_count == 0 ? &hops->first_line : &hops->second_line;

	if (hop->line == line)
		return;
	hop_leave_line(hop);
	TAILQ_INSERT_TAIL(line, hop, line_link);
	hop->line = line;
}

static struct hop *
hops_first_in_line(const struct hops *hops)
{
	struct hop *first = TAILQ_FIRST(&hops->first_line);

	return first != NULL ? first : TAILQ_FIRST(&hops->second_line);
}

/* There is, or may be made, room for one session: the hop that has stood in line longest. With
 * nobody in line, a session that was given up for one is its own hop's again. */
static void
hops_call_line(struct hops *hops)
{
	struct hop *first = hops_first_in_line(hops);
	const struct session *idle = TAILQ_FIRST(&hops->idle);

	if (first != NULL)
		hop_due(first);
	else if (idle != NULL && idle->hop->waiting_count > 0)
		hop_due(idle->hop);
}

static void
hop_drop_if_unused(struct hop *hop)
{
	if (hop->session_count > 0 || hop->waiting_count > 0)
		return;
	hop_leave_line(hop);
	if (hop->due)
		TAILQ_REMOVE(&hop->hops->due, hop, due_link);
	LIST_REMOVE(hop, bucket_link);
	free(hop);
}

/* ---- jobs that wait ---- */

static void
hop_enqueue(struct hop *hop, struct client_job *job, bool first)
{
	struct waiting *waiting = xcalloc(1, sizeof *waiting);

	waiting->job = job;
	if (first)
		STAILQ_INSERT_HEAD(&hop->waiting, waiting, link);
	else
		STAILQ_INSERT_TAIL(&hop->waiting, waiting, link);
	hop->waiting_count++;
	hop_due(hop);
}

static struct client_job *
hop_dequeue(struct hop *hop)
{
	struct waiting *waiting = STAILQ_FIRST(&hop->waiting);
	struct client_job *job = waiting->job;

	STAILQ_REMOVE_HEAD(&hop->waiting, link);
	hop->waiting_count--;
	free(waiting);
	return job;
}

/*
 * No session can be had. Where others are served there it wants no more of us for now, and these go
 * on; else what waits now learns it. Jobs that come in meanwhile make a new try.
 */
static void
hop_refused(struct hop *hop, enum client_stage stage, bool is_reply, const char *status,
	    const char *text)
{
	size_t left = hop->waiting_count;

	if (hop->session_count > hop->opening) {
		hop->narrow = hop->session_count;
		hop->narrow_until_ms = loop_now_ms(hop->hops->options.client.loop) + NARROW_MS;
		return;
	}
	while (left-- > 0) {
		struct client_job *job = hop_dequeue(hop);

		job->unreachable = true;
		client_job_settle(job, CLIENT_TEMPORARY, stage, is_reply, status, text);
		job->finished(job->ctx, job);
	}
}

/* ---- sessions ---- */

static void
session_unlink_idle(struct session *session)
{
	if (session->idle)
		TAILQ_REMOVE(&session->hop->hops->idle, session, idle_link);
	session->idle = false;
}

static void
session_mark_idle(struct session *session)
{
	if (session->idle || !client_is_idle(session->client))
		return;
	session->idle = true;
	TAILQ_INSERT_TAIL(&session->hop->hops->idle, session, idle_link);
	hops_call_line(session->hop->hops);
}

static void
session_leave(struct session *session)
{
	struct hop *hop = session->hop;
	struct hops *hops = hop->hops;

	session_unlink_idle(session);
	LIST_REMOVE(session, link);
	hop->session_count--;
	hops->session_count--;
	hops_call_line(hops);
}

static void
session_opened(struct session *session)
{
	if (session->opening)
		session->hop->opening--;
	session->opening = false;
}

static void
session_ready(void *ctx)
{
	struct session *session = ctx;

	session_opened(session);
	if (session->hop->waiting_count > 0)
		hop_due(session->hop);
	else
		session_mark_idle(session);
}

static void
session_returned(void *ctx, struct client_job *job)
{
	struct session *session = ctx;

	hop_enqueue(session->hop, job, true);
}

static void
session_ended(void *ctx)
{
	struct session *session = ctx;
	struct hop *hop = session->hop;
	struct hops *hops = hop->hops;

	session_opened(session);
	session_leave(session);
	LIST_INSERT_HEAD(&hops->ended, session, link);
	timer_set(hops->serve, 0);
	if (!client_was_greeted(session->client))
		hop_refused(hop, client_failure_stage(session->client),
			    client_failure_is_reply(session->client),
			    client_failure_status(session->client),
			    client_failure_text(session->client));
	hop_due(hop);
}

static const struct client_events session_events = {
    .ready = session_ready,
    .ended = session_ended,
    .returned = session_returned,
};

/* 0, or -1 when it failed at once. */
static int
session_open(struct hop *hop)
{
	struct hops *hops = hop->hops;
	struct session *session = xcalloc(1, sizeof *session);
	struct error why;

	session->hop = hop;
	session->opening = true;
	session->client = client_new(&hops->options.client, &hop->key.remote,
				     hop->key.local.family == AF_UNSPEC ? NULL : &hop->key.local,
				     &session_events, session, &why);
	if (session->client == NULL) {
		free(session);
		hop_refused(hop, CLIENT_STAGE_CONNECT, false, "4.4.1", why.text);
		return -1;
	}
	LIST_INSERT_HEAD(&hop->sessions, session, link);
	hop->session_count++;
	hop->opening++;
	hops->session_count++;
	return 0;
}

/* Close the session that has been idle longest, wherever it is, to make room. */
static bool
hops_make_room(struct hops *hops)
{
	struct session *session = TAILQ_FIRST(&hops->idle);
	struct hop *hop;

	if (session == NULL)
		return false;
	hop = session->hop;
	session_unlink_idle(session);
	LIST_REMOVE(session, link);
	hop->session_count--;
	hops->session_count--;
	client_quit(session->client);
	free(session);
	if (hop->waiting_count > 0)
		hop_due(hop); /* it gave that one up, and stands in line now */
	else
		hop_drop_if_unused(hop);
	return true;
}

/* ---- giving jobs to sessions ---- */

static size_t
hop_limit(const struct hop *hop)
{
	size_t limit = hop->hops->options.per_hop;

	if (hop->narrow > 0 && hop->narrow < limit &&
	    loop_now_ms(hop->hops->options.client.loop) < hop->narrow_until_ms)
		return hop->narrow;
	return limit;
}

static bool
hop_wants_session(const struct hop *hop)
{
	return hop->waiting_count > hop->opening && hop->session_count < hop_limit(hop);
}

/* Is the next session that has had its turn rather for the first in line? */
static bool
hop_must_yield(const struct hop *hop)
{
	const struct hops *hops = hop->hops;
	const struct hop *first = hops_first_in_line(hops);

	return first != NULL && first != hop && hops->session_count >= hops->options.total &&
	       TAILQ_EMPTY(&hops->idle) &&
	       (first->session_count == 0 || first->session_count + 1 < hop->session_count);
}

static void
session_take(struct session *session)
{
	session->taken++;
	client_take(session->client, hop_dequeue(session->hop));
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
		if (session->taken >= TURN && hop_must_yield(hop)) {
			session_mark_idle(session);
			continue;
		}
		session_unlink_idle(session);
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
	struct hops *hops = hop->hops;

	while (hop_wants_session(hop)) {
		const struct hop *first = hops_first_in_line(hops);

		if (first != NULL && first != hop)
			return;
		if (hops->session_count >= hops->options.total && !hops_make_room(hops))
			return;
		/* Who got one stands behind the others for the next. */
		hop_leave_line(hop);
		if (session_open(hop) != 0)
			return;
	}
}

static void
hop_serve(struct hop *hop)
{
	struct hops *hops = hop->hops;
	struct session *session;

	hop_give_idle(hop);
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
	hop_drop_if_unused(hop);
	/* Room that it did not need is the next one's. */
	if (hops->session_count < hops->options.total || !TAILQ_EMPTY(&hops->idle))
		hops_call_line(hops);
}

/* ---- the round in which hops are served ---- */

static void
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
	size_t i;

	hops->options = *options;
	hops->serve = timer_new(options->client.loop, hops_serve, hops);
	TAILQ_INIT(&hops->idle);
	TAILQ_INIT(&hops->first_line);
	TAILQ_INIT(&hops->second_line);
	TAILQ_INIT(&hops->due);
	LIST_INIT(&hops->ended);
	for (i = 0; i < BUCKETS; i++)
		LIST_INIT(&hops->buckets[i]);
	return hops;
}

void
hops_configure(struct hops *hops, const struct hops_options *options)
{
	hops->options = *options;
	hops_call_line(hops);
}

void
hops_send(struct hops *hops, const struct plan_try *try, struct client_job *job)
{
	hop_enqueue(hop_get(hops, try), job, false);
}

size_t
hops_sessions(const struct hops *hops)
{
	return hops->session_count;
}

static void
session_cut(struct session *session)
{
	LIST_REMOVE(session, link);
	client_free(session->client);
	free(session);
}

void
hops_free(struct hops *hops)
{
	size_t i;

	if (hops == NULL)
		return;
	while (!LIST_EMPTY(&hops->ended))
		session_cut(LIST_FIRST(&hops->ended));
	for (i = 0; i < BUCKETS; i++) {
		struct hop *hop;
		while ((hop = LIST_FIRST(&hops->buckets[i])) != NULL) {
			while (!LIST_EMPTY(&hop->sessions))
				session_cut(LIST_FIRST(&hop->sessions));
			while (hop->waiting_count > 0)
				(void)hop_dequeue(hop);
			LIST_REMOVE(hop, bucket_link);
			free(hop);
		}
	}
	timer_free(hops->serve);
	free(hops);
}
