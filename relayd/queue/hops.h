/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Next hops: the outbound sessions to each (remote address and port, local address), kept open for the next
 * message, used in parallel up to a limit per hop and in total, and the transactions that wait for one.
 *
 * A session that can't be made settles every transaction that waits for its hop, unless other sessions
 * there are alive: then these go on and the hop gets no more than they are, for a while.
 */
#ifndef RELAYD_QUEUE_HOPS_H
#define RELAYD_QUEUE_HOPS_H

#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/routes/plan.h"
#include "relayd/smtp/client.h"
#include "relayd/smtp/job.h"

struct hops;

struct hops_options {
	struct client_options client; /* its strings must outlive the hops, or the next hops_configure */
	unsigned total;               /* sessions at once */
	unsigned per_hop;
};

struct hops *hops_new(const struct hops_options *options);
void hops_configure(struct hops *hops, const struct hops_options *options);

/* Send `job` by way of `try`. job->finished is called later, never before this returns. */
void hops_send(struct hops *hops, const struct plan_try *try, struct client_job *job);

size_t hops_sessions(const struct hops *hops); /* open or being opened */

void hops_free(struct hops *hops); /* cuts all; jobs are forgotten without a call */

#endif
