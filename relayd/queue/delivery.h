/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One attempt to deliver one message (relayd-routes(7)): finds the route group of each open recipient, tries the
 * entries of its plan in order, and gives every recipient exactly one fate. Recipients with the same group share
 * one transaction.
 */
#ifndef RELAYD_QUEUE_DELIVERY_H
#define RELAYD_QUEUE_DELIVERY_H

#include <stddef.h>

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/net/resolver.h"
#include "relayd/queue/fate.h"
#include "relayd/queue/hops.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/health.h"
#include "relayd/routes/stats.h"
#include "relayd/spool/envelope.h"
#include "relayd/spool/spool.h"

struct delivery;
struct attempt;

struct delivery_options {
	struct loop *loop;
	struct log *log;
	struct spool *spool;
	struct changes *changes;
	struct resolver *resolver;
	struct hops *hops;
	struct stats *stats;   /* NULL: nothing is counted */
	struct health *health; /* NULL: nothing is known of any remote */
	const char *hostname;  /* ours: an MX that names us is a loop */
	const char *local_ips; /* default for routes with none; NULL */
};

struct delivery *delivery_new(const struct delivery_options *options);
/* On reload. */
void delivery_configure(struct delivery *delivery, const char *hostname, const char *local_ips);
void delivery_free(struct delivery *delivery);

/*
 * Begin. `env` must live until `done` (never called before this returns) or attempt_cancel; it is not
 * changed. `fates` has one entry for each of the envelope's recipients; the callee may look at
 * them and change them until it returns.
 */
struct attempt *delivery_attempt(struct delivery *delivery, const struct envelope *env,
    void (*done)(void *ctx, struct recipient_fate *fates), void *ctx);

void attempt_cancel(struct attempt *attempt); /* `done` is not called */

#endif
