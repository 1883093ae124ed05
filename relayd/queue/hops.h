/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Next hops: the outbound sessions to each target, kept open for the next message, used in parallel
 * up to a limit per host and in total, and the transactions that wait for one.
 *
 * A hop is a client_target as a whole: a session is never used for another name, TLS policy or
 * login than it was opened for. The limit per host holds for all hops with one remote address (and
 * port) and local address together.
 *
 * A session that can't be made settles every transaction that waits for its hop, unless other
 * sessions of that hop are alive: then these go on and the hop gets no more than they are, for a
 * while.
 *
 * RFC 8305 §5: where no session of a hop stands and its connection has not come about after
 * HOPS_RACE_MS, what waits there is offered to one other target as well; the first that has a
 * session takes it, and it is withdrawn from the other. So a job is never in two sessions. One
 * connection of the slower hop is let go on, so that its outcome becomes known; others are dropped.
 * All of them count for the limits.
 */
#ifndef RELAYD_QUEUE_HOPS_H
#define RELAYD_QUEUE_HOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/routes/health.h"
#include "relayd/smtp/client.h"
#include "relayd/smtp/job.h"

enum { HOPS_RACE_MS = 250, HOPS_RACERS = 2 /* targets of an errand at one time */ };

struct hops;
struct hop;

struct hops_options {
	struct client_options client; /* its strings outlive the hops, or the next hops_configure */
	struct health *health;        /* is told which connections could be made; NULL: none */
	unsigned total;               /* sessions at once */
	unsigned per_host;
	int64_t narrow_ms; /* how long a hop that wants no more of us is believed; 0: a minute */
};

/* Why no session came about. */
struct errand_refusal {
	enum client_stage stage;
	bool is_reply; /* `text` is the peer's own */
	bool absent;   /* this host has not the target's local address */
	const char *status;
	const char *text;
};

/*
 * A job on its way to one of several targets, which are numbered from 0 in the order in which they
 * were named. Belongs to its maker, must stay until job.finished; all but job and the functions
 * is zero at first.
 */
struct errand {
	struct client_job job;
	/* One more target, for a race or since all but one have refused: it is copied at once.
	 * False: there is none. Asked again after a target has refused. NULL: never any. */
	bool (*another)(void *ctx, struct client_target *target);
	/* Target `number` has refused while another is still under way. May be NULL if `another`
	 * is. */
	void (*refused)(void *ctx, unsigned number, const struct errand_refusal *refusal);
	void *ctx;

	/* Set when job.finished is called: the target that took the job or was the last to
	 * refuse. */
	unsigned number;
	bool absent; /* it refused: this host has not its local address */

	unsigned named; /* targets */
	struct claim {
		struct hop *hop; /* NULL: free */
		struct errand *errand;
		unsigned number;
		bool asked; /* for a rival */
		TAILQ_ENTRY(claim) link;
	} claims[HOPS_RACERS];
};

struct hops *hops_new(const struct hops_options *options);
void hops_configure(struct hops *hops, const struct hops_options *options);

/* Send the errand's job by way of `target`, its number 0. job.finished, `another` and `refused` are
 * called later, never before this returns. */
void hops_send(struct hops *hops, const struct client_target *target, struct errand *errand);

size_t hops_sessions(const struct hops *hops); /* open or being opened */

void hops_free(struct hops *hops); /* cuts all; jobs are forgotten without a call */

#endif
