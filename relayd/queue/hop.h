/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of the hops, for hops.c and the hop_*.c files alone:
 *
 *   hops.c         finds hops and serves those that are due
 *   hop_claims.c   what waits for a hop; races
 *   hop_session.c  sessions, from connecting to their end
 *   hop_quota.c    who gets the next session where there are no more
 *
 * A hop lives while it has sessions or claims. What changes for it makes it due (hop_due), and it
 * is served from a timer: never inside a callback of a client or a call of an owner.
 */
#ifndef RELAYD_QUEUE_HOP_H
#define RELAYD_QUEUE_HOP_H

#include "relayd/queue/hops.h"

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(claim_list, claim);
TAILQ_HEAD(hop_line, hop);

struct session {
	struct client *client;
	struct hop *hop;
	LIST_ENTRY(session) link;            /* of its hop, or of hops->ended */
	TAILQ_ENTRY(session) idle_of_all;    /* hops->quota.idle */
	TAILQ_ENTRY(session) idle_of_host;   /* host->quota.idle */
	bool idle;
	bool opening;   /* can't take a job yet; counted in hop->opening */
	unsigned taken; /* jobs */
};

/* Sessions that may be had: of all hops, or of one host's. A hop that would have one stands in line
 * where it can't: at its host's quota first, then at that of all. */
struct quota {
	size_t used;
	struct session_list idle;    /* longest first */
	struct hop_line first_line;  /* hops that have no session */
	struct hop_line second_line; /* that would have one more */
};

/* The hops with one remote and one local address. */
struct host {
	struct netaddr remote, local;
	size_t hop_count;
	struct quota quota;
	size_t opening; /* of quota.used, those that can't take a job yet */
	LIST_ENTRY(host) bucket_link;
};

struct hop {
	struct hops *hops;
	struct host *host;
	struct client_target target; /* its strings are the hop's */
	uint64_t hash;
	LIST_HEAD(, session) sessions;
	size_t session_count, opening;
	struct claim_list waiting;
	size_t waiting_count;
	size_t rivalled; /* of those that wait, how many wait at another hop too */

	size_t narrow; /* no more sessions than this until narrow_until_ms; 0: the limit */
	int64_t narrow_until_ms;
	bool racing;        /* stands in hops->racing until race_ms */
	int64_t race_ms;
	bool slow;          /* no session stands, and the connection takes long */

	struct quota *blocked_by; /* what did not allow the last session that it would have had */
	struct hop_line *line;    /* where it stands; NULL: nowhere */
	bool due; /* to be served */
	LIST_ENTRY(hop) bucket_link;
	TAILQ_ENTRY(hop) line_link;
	TAILQ_ENTRY(hop) due_link;
	TAILQ_ENTRY(hop) narrow_link;
	TAILQ_ENTRY(hop) race_link;
};

enum { HOP_BUCKETS = 1024 };

struct hops {
	struct hops_options options;
	struct timer *serve;
	struct timer *widen; /* for the first of `narrowed` */
	struct timer *race;  /* for the first of `racing` */
	struct quota quota;
	struct hop_line due;
	struct hop_line narrowed;   /* by narrow_until_ms */
	struct hop_line racing;     /* by race_ms */
	LIST_HEAD(, session) ended; /* to be freed outside their callbacks */
	LIST_HEAD(, hop) buckets[HOP_BUCKETS];
	LIST_HEAD(, host) hosts[HOP_BUCKETS];
};

/* ---- hops.c ---- */

struct hop *hop_get(struct hops *hops, const struct client_target *target);
void hop_due(struct hop *hop);
void hop_drop_if_unused(struct hop *hop);
int64_t hops_now_ms(const struct hops *hops);

/* ---- hop_claims.c ---- */

struct errand *errand_of(struct client_job *job);
void hop_enqueue(struct hop *hop, struct errand *errand, unsigned number, bool first);
/* The job that has waited longest; it is withdrawn from its other hop. */
struct client_job *hop_dequeue(struct hop *hop);
/* No session can be had: what waits is told, or the hop is made narrow; see hops.h. */
void hop_refused(struct hop *hop, const struct errand_refusal *refusal);
/* How many connections what waits has use for. */
size_t hop_needs(const struct hop *hop);

void hop_begin_race(struct hop *hop); /* a connection is on its way */
void hop_end_race(struct hop *hop);   /* a session stands, or none is under way */
void hop_race(struct hop *hop);       /* it is slow: offer what waits there to others */
void hops_race(void *ctx);            /* the timer of the races */
void hops_widen(void *ctx);           /* the timer of narrow hops */

/* ---- hop_session.c ---- */

int session_open(struct hop *hop); /* -1 when it failed at once; what waits was told */
void session_mark_idle(struct session *session);
void session_unlink_idle(struct session *session);
void session_take(struct session *session);
void session_quit(struct session *session); /* an idle one */
void session_cut(struct session *session);
void hop_cut_surplus(struct hop *hop); /* connections of a slow hop that nobody waits for */

/* ---- hop_quota.c ---- */

void quota_init(struct quota *quota);
bool quota_has_room(const struct hops *hops, const struct quota *quota);
/* Who stands first in line is due; with nobody in any, whoever gave a session up for one. */
void quota_call(struct quota *quota);
void hop_call_lines(struct hop *hop); /* of its host, and of all */
void hop_leave_line(struct hop *hop);
void hop_join_line(struct hop *hop);
bool hop_may_open(struct hop *hop); /* makes room where it can */
/* Is the next session that has had its turn rather for the first in line? */
bool hop_must_yield(const struct hop *hop);

#endif
