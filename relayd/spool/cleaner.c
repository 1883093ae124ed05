/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * When the oldest segment goes. Only ever the oldest: first what still lives in it is written again
 * at the head (MOVED: envelope, progress, body or the name of the large file), and when that is
 * durable, the segment is removed.
 *
 * Why strict age is enough. A message's records stand in the log in this order: MESSAGE, PROGRESS
 * any number of times, FINISH, with a MOVED wherever it was moved, before the FINISH. Each stands
 * in the same segment as the one before it, or in a newer one. So when a segment is removed,
 *
 *   - a FINISH in it has no MESSAGE or MOVED that it still has to undo: these were older, hence
 *     are gone or go with it. A finished message can't come back; a FINISH needs no keeping.
 *   - a PROGRESS in it belongs to a message whose record is not newer: one that was finished, or
 *     one that lies in this segment, and is moved with the progress. (If it was moved here, the
 *     PROGRESS was written after the MOVED; what was written before is part of the MOVED.)
 *   - nothing has to be durable first but the MOVED records. If the power fails after the removal
 *     and before a FINISH is synced, the message is gone with its segment, as it should be.
 *
 * A message whose progress is not durable yet is not moved: the older progress would go into the
 * newer record.
 */
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/spool/move.h"
#include "relayd/spool/store.h"

enum {
	MOVE_BYTES = 256 << 10, /* in one step */
	PACE_MS = 20,           /* between steps */
	GRACE_MS = 3000,        /* what was written just now is probably delivered soon */
	AGAIN_MS = 10000,       /* after a failure */
	SMALL_PART = 8          /* so much of a segment's size is worth moving at any time */
};

static void
step_ended(struct spool *spool, int64_t pause_ms)
{
	spool->cleaner.busy = false;
	if (!spool->closing)
		timer_set(spool->cleaner.timer, pause_ms);
}

void
cleaner_rest(struct spool *spool)
{
	spool->cleaner.resting = true;
	timer_set(spool->cleaner.timer, AGAIN_MS);
}

/* Much more is on disk than lives: no pauses any more. */
static int64_t
pace_ms(const struct spool *spool)
{
	const struct chain *chain = &spool->chain;

	return chain->bytes > 4 * chain->alive_bytes + 8 * spool->segment_bytes ? 0 : PACE_MS;
}

/* Is the message still where it was read, with the same progress? */
static bool
still_true(const struct spool_segment *oldest, const struct move_item *item)
{
	const struct envelope *env = oldest->live[item->slot];

	return env != NULL && env->place.pending == NULL &&
	       env->place.progress_in == item->progress_in &&
	       (item->progress_in == NULL || env->place.progress_at == item->progress_at);
}

static void
move_done(void *ctx)
{
	struct move *move = ctx;
	struct spool *spool = move->spool;

	for (size_t i = 0; i < move->count; i++) {
		struct spool_entry *entry = move->items[i].entry;

		if (entry == NULL)
			continue;
		if (spool->closing || !still_true(spool->chain.oldest, &move->items[i])) {
			entry_free(entry);
			continue;
		}
		spool->cleaner.outstanding++;
		commit_queue(spool, entry);
	}
	if (move->failed.code != ERROR_NONE) {
		/* Mail flows on; the segment stays for a person to look at. */
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-damaged", LOG_S("dir", spool->dir),
			  LOG_U("segment", move->number), LOG_S("why", move->failed.text));
		spool->cleaner.stuck = true;
	}
	segment_file_unref(spool, move->file);
	free(move);
	if (spool->cleaner.outstanding == 0)
		step_ended(spool, pace_ms(spool));
}

void
cleaner_moved(struct spool *spool, struct spool_entry *entry, bool written)
{
	struct chain *chain = &spool->chain;
	struct cleaner *cleaner = &spool->cleaner;
	struct envelope *env = chain->oldest->live[entry->slot]; /* NULL: finished meanwhile */

	if (written && env != NULL && !spool->closing) {
		chain_detach(chain, env);
		chain_attach(chain, chain->newest, env, entry->offset,
			     record_length(&entry->record));
		env->place.progress_in = NULL;
	}
	if (!written)
		cleaner->cursor = 0;
	if (--cleaner->outstanding == 0)
		step_ended(spool, written ? pace_ms(spool) : COMMIT_RETRY_MS);
}

/* Messages from the cursor on, as many as one step takes. Those whose progress is not durable yet
 * are passed over: the cursor comes round again. */
static void
move_fill(struct move *move, const struct spool_segment *oldest, struct cleaner *cleaner)
{
	uint64_t bytes = 0;

	for (; cleaner->cursor < oldest->slots && move->count < MOVE_ITEMS && bytes < MOVE_BYTES;
	     cleaner->cursor++) {
		const struct envelope *env = oldest->live[cleaner->cursor];
		struct move_item *item = &move->items[move->count];

		if (env == NULL || env->place.pending != NULL)
			continue;
		*item = (struct move_item){
		    .slot = cleaner->cursor, .id = env->id, .offset = env->place.offset};
		if (env->place.progress_in != NULL) {
			item->progress_in = env->place.progress_in;
			item->progress_number = item->progress_in->number;
			item->progress_mark = item->progress_in->mark;
			item->progress_at = env->place.progress_at;
		}
		bytes += env->place.length;
		move->count++;
	}
	if (cleaner->cursor == oldest->slots)
		cleaner->cursor = 0;
}

static void
move_start(struct spool *spool)
{
	struct spool_segment *oldest = spool->chain.oldest;
	struct move *move = xcalloc(1, sizeof(*move));
	struct error why;

	move->spool = spool;
	move->dir_fd = spool->dir_fd;
	move->number = oldest->number;
	move->mark = oldest->mark;
	move_fill(move, oldest, &spool->cleaner);
	if (move->count == 0) {
		free(move);
		timer_set(spool->cleaner.timer, COMMIT_SYNC_MS);
		return;
	}
	move->file = segment_file_open(spool, oldest, &why);
	if (move->file == NULL) {
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-read-failed",
			  LOG_S("why", why.text));
		free(move);
		cleaner_rest(spool);
		return;
	}
	spool->cleaner.busy = true;
	offload_run(spool->offload, move_work, move_done, move);
}

/* Milliseconds until it is worth moving what lives in the oldest segment; -1: not now. */
static int64_t
worth_in_ms(const struct spool *spool)
{
	const struct chain *chain = &spool->chain;
	int64_t age = loop_now_ms(spool->loop) - chain->oldest->closed_ms;

	if (chain->bytes > 2 * chain->alive_bytes + 4 * spool->segment_bytes)
		return 0;
	if (chain->oldest->alive_bytes >= spool->segment_bytes / SMALL_PART)
		return -1;
	return age < GRACE_MS ? GRACE_MS - age : 0;
}

void
cleaner_look(struct spool *spool)
{
	struct cleaner *cleaner = &spool->cleaner;
	int64_t wait_ms;

	if (cleaner->busy || cleaner->resting || spool->closing ||
	    spool->chain.oldest == spool->chain.newest)
		return;
	if (spool->chain.oldest->alive == 0) {
		removal_start(spool);
		return;
	}
	if (timer_is_set(cleaner->timer))
		return;
	wait_ms = cleaner->stuck || spool->failing ? -1 : worth_in_ms(spool);
	if (wait_ms == 0)
		move_start(spool);
	else if (wait_ms > 0)
		timer_set(cleaner->timer, wait_ms);
}

void
cleaner_timer_fired(void *ctx)
{
	struct spool *spool = ctx;

	spool->cleaner.resting = false;
	cleaner_look(spool);
}
