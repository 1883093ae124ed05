/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Makes one report of failure durable: reads the header of the message it is about, composes the text
 * (queue/bounce.h), and commits it to the spool as a message from <> to the sender. Only when that is done
 * may the recipients it is about be closed.
 */
#ifndef RELAYD_QUEUE_REPORT_H
#define RELAYD_QUEUE_REPORT_H

#include "common/error.h"
#include "relayd/net/loop.h"
#include "relayd/queue/fate.h"
#include "relayd/spool/envelope.h"
#include "relayd/spool/spool.h"

struct report;

struct report_options {
	struct loop *loop;
	struct spool *spool;
	const char *hostname;
};

/*
 * Begin one for those of the envelope's recipients whose fate is FATE_FAILED (copied). `env` must live until
 * `done` or report_cancel. `done`, never called before this returns: the report's envelope, which is the
 * callee's from then on, or NULL and `why`: nothing was kept.
 */
struct report *report_new(const struct report_options *options, const struct envelope *env,
    const struct recipient_fate *fates, void (*done)(void *ctx, struct envelope *made, const struct error *why),
    void *ctx);

/* No callback any more. A commit that is on its way may still succeed: the report is found at the next start. */
void report_cancel(struct report *report);

#endif
