/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Has checkpoints made in the background, a while after there were changes, and the history told
 * of what the journal has. For changes.c alone, which cuts the journal then.
 */
#ifndef RELAYD_ROUTES_KEEPER_H
#define RELAYD_ROUTES_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/routes/history.h"

struct keeper;

/* What was made of the journal's first `journal_end` bytes. */
struct keeper_result {
	bool kept; /* checkpoint and history have all of it: it may be cut off */
	uint64_t revision;
	uint64_t journal_end;
	struct history_growth *growth; /* to be given to history_take(); NULL: none */
};

struct keeper_options {
	const char *dir;
	struct loop *loop;
	struct offload *offload;
	struct log *log;
	int64_t after_ms;
	const struct history *history; /* unchanged while a checkpoint is being made */
	uint64_t checkpoint_revision;  /* what the checkpoint on disk has */
	/* The last change that is durable, and where the journal ends behind it. */
	void (*look)(void *ctx, uint64_t *revision, uint64_t *journal_end);
	/* It is done: keeper_settled() follows, in this call or later. */
	void (*done)(void *ctx, const struct keeper_result *result);
	void *ctx;
};

struct keeper *keeper_new(const struct keeper_options *options);
void keeper_free(struct keeper *keeper); /* while nothing is being made */

/* There may be something to keep. */
void keeper_wake(struct keeper *keeper);

/* What was made has been taken: the next may begin. */
void keeper_settled(struct keeper *keeper);

/* Begin now, if there is something to keep, and nothing by itself after that. */
void keeper_finish(struct keeper *keeper);

#endif
