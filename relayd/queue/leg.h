/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One leg of an attempt: the recipients of a message that share a plan, taken along it try by try
 * until each has its fate or the plan is used up. They travel in one transaction a try.
 */
#ifndef RELAYD_QUEUE_LEG_H
#define RELAYD_QUEUE_LEG_H

#include <stddef.h>

#include "common/log.h"
#include "common/route.h"
#include "relayd/net/loop.h"
#include "relayd/net/resolver.h"
#include "relayd/queue/fate.h"
#include "relayd/queue/hops.h"
#include "relayd/routes/health.h"
#include "relayd/routes/stats.h"
#include "relayd/routes/table.h"
#include "relayd/spool/envelope.h"

enum { LEG_RECIPIENTS_MAX = 100 }; /* what every server takes: RFC 5321 §4.5.3.1.8 */

struct leg;

struct leg_context {
	struct loop *loop;
	struct log *log;
	struct resolver *resolver;
	struct hops *hops;
	struct stats *stats;                     /* NULL: nothing is counted */
	struct health *health;                   /* NULL: nothing is known of any */
	const char *hostname;                    /* ours: an MX of that name is ourselves */
	const struct route_local_ips *local_ips; /* default for routes with none */
};

/* What travels: all borrowed, to outlive the leg. */
struct leg_load {
	const struct envelope *envelope;
	struct recipient_fate *fates;    /* of all the envelope's recipients */
	const struct route_group *group; /* NULL: by the MX records of `domain`; else a reference is taken */
	const char *domain;
};

/* `finished` is called once, maybe before leg_start returns; every recipient has its fate then.
 * The leg is freed by its owner afterwards. `context` must outlive the leg. */
struct leg *leg_new(const struct leg_context *context, const struct leg_load *load, void (*finished)(void *ctx),
    void *ctx);
void leg_add(struct leg *leg, size_t recipient); /* index; at most LEG_RECIPIENTS_MAX, before leg_start */
size_t leg_count(const struct leg *leg);
void leg_start(struct leg *leg);

/* Allowed while a lookup is in flight; while a transaction is, only if it will not be finished
 * any more (the hops are gone). */
void leg_free(struct leg *leg);

#endif
