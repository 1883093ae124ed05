/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A few threads for what blocks (fdatasync, GDBM checkpoints, large files, password hashing). The
 * only file that sees threads. A job's `work` runs on one of them and touches nothing but its own
 * ctx; `done` runs on the loop afterwards. Jobs start in the order they were given; jobs that must
 * not overlap are given one after the other by their owner.
 */
#ifndef RELAYD_NET_OFFLOAD_H
#define RELAYD_NET_OFFLOAD_H

#include <stddef.h>

#include "common/error.h"
#include "relayd/net/loop.h"

struct offload;

/* Signals are blocked in the threads. */
struct offload *offload_new(struct loop *loop, unsigned threads, struct error *why);

void offload_run(struct offload *offload, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

/* The same for a job of seconds that nobody waits for: on one more thread, which gives way to all that
 * serves mail. These jobs are done one after the other, in their order; no other job is behind them. */
void offload_run_slowly(struct offload *offload, void (*work)(void *ctx), void (*done)(void *ctx),
    void *ctx);

size_t offload_pending(const struct offload *offload); /* jobs whose `done` has not run */

/* Wait for every job and run its `done` (which may give further jobs: these are waited for too).
 * For an orderly end; the loop need not be running. */
void offload_finish(struct offload *offload);

void offload_free(struct offload *offload); /* after offload_finish */

#endif
