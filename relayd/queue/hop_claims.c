/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An errand has a claim at each hop where it waits: one, or two while it is raced. Whoever has a
 * session first takes the job, and all its claims are gone in the same step: it can't be sent
 * twice.
 */
#include "relayd/queue/hop.h"

enum { NARROW_MS = 60000 };

static int64_t
narrow_ms(const struct hops *hops)
{
	return hops->options.narrow_ms > 0 ? hops->options.narrow_ms : NARROW_MS;
}

struct errand *
errand_of(struct client_job *job)
{
	return (struct errand *)(void *)((char *)job - offsetof(struct errand, job));
}

/* The claim of `errand` at another place; NULL: there is none. */
static struct claim *
claim_rival(const struct claim *claim)
{
	struct errand *errand = claim->errand;
	size_t i;

	for (i = 0; i < HOPS_RACERS; i++)
		if (&errand->claims[i] != claim && errand->claims[i].hop != NULL)
			return &errand->claims[i];
	return NULL;
}

static void
claim_clear(struct claim *claim)
{
	struct claim *rival = claim_rival(claim);
	struct hop *hop = claim->hop;

	TAILQ_REMOVE(&hop->waiting, claim, link);
	hop->waiting_count--;
	if (rival != NULL) {
		hop->rivalled--;
		rival->hop->rivalled--;
	}
	claim->hop = NULL;
}

/* ---- what waits ---- */

void
hop_enqueue(struct hop *hop, struct errand *errand, unsigned number, bool first)
{
	struct claim *claim = &errand->claims[0], *rival;

	while (claim->hop != NULL)
		claim++;
	*claim = (struct claim){.hop = hop, .errand = errand, .number = number};
	if (first)
		TAILQ_INSERT_HEAD(&hop->waiting, claim, link);
	else
		TAILQ_INSERT_TAIL(&hop->waiting, claim, link);
	hop->waiting_count++;
	rival = claim_rival(claim);
	if (rival != NULL) {
		hop->rivalled++;
		rival->hop->rivalled++;
	}
	hop_due(hop);
}

struct client_job *
hop_dequeue(struct hop *hop)
{
	struct claim *claim = TAILQ_FIRST(&hop->waiting), *rival = claim_rival(claim);
	struct errand *errand = claim->errand;

	errand->number = claim->number;
	claim_clear(claim);
	if (rival != NULL) {
		hop_due(rival->hop); /* which may have nothing to do any more */
		claim_clear(rival);
	}
	return &errand->job;
}

size_t
hop_needs(const struct hop *hop)
{
	size_t alone = hop->waiting_count - hop->rivalled;

	/* While its connection is slow in coming, what may go elsewhere gets no further one. */
	if (!hop->slow)
		return hop->waiting_count;
	return alone > 0 || hop->waiting_count == 0 ? alone : 1;
}

/* One more place to go, where there is one. */
static void
errand_offer(struct hops *hops, struct errand *errand)
{
	struct client_target target;
	size_t i = 0;

	while (i < HOPS_RACERS && errand->claims[i].hop != NULL)
		i++;
	if (i == HOPS_RACERS || errand->another == NULL || !errand->another(errand->ctx, &target))
		return;
	hop_enqueue(hop_get(hops, &target), errand, errand->named++, false);
}

/* ---- what no session can be had for ---- */

static void
claim_refuse(struct claim *claim, const struct errand_refusal *refusal)
{
	struct errand *errand = claim->errand;
	struct hops *hops = claim->hop->hops;
	bool goes_on = claim_rival(claim) != NULL;
	unsigned number = claim->number;

	claim_clear(claim);
	if (goes_on) {
		errand->refused(errand->ctx, number, refusal);
		errand_offer(hops, errand);
		return;
	}
	errand->number = number;
	errand->absent = refusal->absent;
	errand->job.unreachable = true;
	client_job_settle(&errand->job, CLIENT_TEMPORARY, refusal->stage, refusal->is_reply,
			  refusal->status, refusal->text);
	errand->job.finished(errand->job.ctx, &errand->job);
}

static void
hop_make_narrow(struct hop *hop)
{
	struct hops *hops = hop->hops;

	if (hop->narrow > 0)
		TAILQ_REMOVE(&hops->narrowed, hop, narrow_link);
	TAILQ_INSERT_TAIL(&hops->narrowed, hop, narrow_link);
	hop->narrow = hop->session_count;
	hop->narrow_until_ms = hops_now_ms(hops) + narrow_ms(hops);
	if (!timer_is_set(hops->widen))
		timer_set(hops->widen, narrow_ms(hops));
}

void
hops_widen(void *ctx)
{
	struct hops *hops = ctx;
	int64_t now_ms = hops_now_ms(hops);
	struct hop *hop;

	while ((hop = TAILQ_FIRST(&hops->narrowed)) != NULL) {
		if (hop->narrow_until_ms > now_ms) {
			timer_set(hops->widen, hop->narrow_until_ms - now_ms);
			return;
		}
		TAILQ_REMOVE(&hops->narrowed, hop, narrow_link);
		hop->narrow = 0;
		hop_due(hop);
	}
}

/*
 * Where others are served there it wants no more of us for now, and these go on; else what waits
 * now learns it. Jobs that come in meanwhile make a new try.
 */
void
hop_refused(struct hop *hop, const struct errand_refusal *refusal)
{
	size_t left = hop->waiting_count;

	if (hop->session_count > hop->opening) {
		hop_make_narrow(hop);
		return;
	}
	while (left-- > 0)
		claim_refuse(TAILQ_FIRST(&hop->waiting), refusal);
}

/* ---- races ---- */

void
hop_begin_race(struct hop *hop)
{
	struct hops *hops = hop->hops;

	if (hop->racing || hop->slow || hop->session_count > hop->opening)
		return;
	hop->racing = true;
	hop->race_ms = hops_now_ms(hops) + HOPS_RACE_MS;
	TAILQ_INSERT_TAIL(&hops->racing, hop, race_link);
	if (!timer_is_set(hops->race))
		timer_set(hops->race, HOPS_RACE_MS);
}

void
hop_end_race(struct hop *hop)
{
	if (hop->racing)
		TAILQ_REMOVE(&hop->hops->racing, hop, race_link);
	hop->racing = false;
	hop->slow = false;
}

static bool
hop_is_connected(const struct hop *hop)
{
	const struct session *session;

	LIST_FOREACH(session, &hop->sessions, link)
	{
		if (client_is_connected(session->client))
			return true;
	}
	return false;
}

void
hops_race(void *ctx)
{
	struct hops *hops = ctx;
	int64_t now_ms = hops_now_ms(hops);
	struct hop *hop;

	while ((hop = TAILQ_FIRST(&hops->racing)) != NULL) {
		if (hop->race_ms > now_ms) {
			timer_set(hops->race, hop->race_ms - now_ms);
			return;
		}
		hop_end_race(hop);
		hop->slow = !hop_is_connected(hop);
		hop_due(hop);
	}
}

/* Those that came last have not been asked; behind them (but for one that a server gave back) all
 * have. */
void
hop_race(struct hop *hop)
{
	struct claim *claim;

	if (hop_is_connected(hop)) {
		hop->slow = false; /* only its greeting is missing */
		return;
	}
	TAILQ_FOREACH_REVERSE(claim, &hop->waiting, claim_list, link)
	{
		if (claim->asked)
			return;
		claim->asked = true;
		errand_offer(hop->hops, claim->errand);
	}
}
