/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A batch has come back from the disk, well or not: what follows from it. The order and the reasons
 * stand in commit.c. */
#include "relayd/spool/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

static void
settle_message(struct spool *spool, struct spool_segment *segment, struct spool_entry *entry)
{
	struct envelope *env = entry->env;

	chain_attach(&spool->chain, segment, env, entry->offset, record_length(&entry->record));
	env->place.large = (entry->record.flags & RECORD_LARGE) != 0;
	spool->counts.messages++;
	spool->counts.commits++;
	if (env->place.large) {
		spool->large_bytes += entry->record.body_len;
	} else if (spool->kept.bytes + entry->body->len <= spool->memory_bytes) {
		memory_keep(entry->body, &spool->kept);
		env->place.memory = entry->body;
	}
}

/* The entries are on stable storage, in `segment`. Messages move to `acked`: their owners are told
 * when everything here is in order again. */
static void
settle(struct spool *spool, struct spool_segment *segment, struct entry_list *entries,
       struct entry_list *acked)
{
	struct spool_entry *entry;

	while ((entry = entry_list_take(entries)) != NULL) {
		switch (entry->record.type) {
		case RECORD_MESSAGE:
			settle_message(spool, segment, entry);
			entry_list_add(acked, entry);
			continue;
		case RECORD_MOVED:
			cleaner_moved(spool, entry, true);
			break;
		case RECORD_PROGRESS:
			if (entry->env != NULL && !spool->closing) {
				entry->env->place.progress_in = segment;
				entry->env->place.progress_at = (uint32_t)entry->offset;
				entry->env->place.pending = NULL;
			}
			break;
		case RECORD_FINISH:
			if ((entry->record.flags & RECORD_LARGE) != 0)
				large_unlink(spool, entry->record.id);
			break;
		case RECORD_SEAL:
			break;
		}
		entry_free(entry);
	}
}

static void
batch_succeeded(struct spool *spool, struct entry_list *acked)
{
	struct batch *batch = &spool->batch;
	struct spool_segment *newest = spool->chain.newest;
	struct spool_entry *entry;

	chain_grew(&spool->chain, newest, batch->at + batch->bytes);
	if (batch->sync) {
		newest->durable = newest->size;
		spool->counts.syncs++;
		settle(spool, newest, &spool->unsynced, acked);
		settle(spool, newest, &batch->entries, acked);
		timer_cancel(spool->timer);
	} else {
		while ((entry = entry_list_take(&batch->entries)) != NULL) {
			entry->state = ENTRY_UNSYNCED;
			entry_list_add(&spool->unsynced, entry);
		}
		if (!timer_is_set(spool->timer))
			timer_set(spool->timer, COMMIT_SYNC_MS);
	}
	if (spool->failing)
		log_event(spool->log, LOG_LEVEL_NOTICE, 0, "spool-recovered",
			  LOG_S("dir", spool->dir), LOG_U("segment", newest->number));
	spool->failing = false;
}

/* Nothing more is written to the head. */
static void
close_head(struct spool *spool)
{
	if (spool->head == NULL)
		return;
	spool->chain.newest->closed_ms = loop_now_ms(spool->loop);
	segment_file_unref(spool, spool->head);
	spool->head = NULL;
}

static void
doomed_add(struct spool *spool, uint64_t id)
{
	spool->doomed =
	    xreallocarray(spool->doomed, spool->doomed_count + 1, sizeof(*spool->doomed));
	spool->doomed[spool->doomed_count++] = id;
}

/* Keep what has to be written all the same; messages move to `failed`. */
static void
sort_out(struct spool *spool, struct entry_list *entries, struct entry_list *kept,
	 struct entry_list *failed)
{
	struct spool_entry *entry;

	while ((entry = entry_list_take(entries)) != NULL) {
		bool wanted = entry->record.type == RECORD_FINISH ||
			      (entry->record.type == RECORD_PROGRESS && entry->env != NULL);

		if (wanted) {
			entry->state = ENTRY_QUEUED;
			entry_list_add(kept, entry);
		} else if (entry->record.type == RECORD_MESSAGE) {
			if ((entry->record.flags & RECORD_LARGE) != 0)
				doomed_add(spool, entry->record.id);
			spool->counts.failures++;
			entry_list_add(failed, entry);
		} else {
			if (entry->record.type == RECORD_MOVED)
				cleaner_moved(spool, entry, false);
			entry_free(entry);
		}
	}
}

static void
batch_failed(struct spool *spool, struct entry_list *failed)
{
	struct batch *batch = &spool->batch;
	struct spool_segment *newest = spool->chain.newest;
	struct entry_list kept = {0};
	struct spool_entry *entry;

	close_head(spool);
	if (newest != NULL)
		chain_grew(&spool->chain, newest, newest->durable);
	sort_out(spool, &spool->unsynced, &kept, failed);
	sort_out(spool, &batch->entries, &kept, failed);
	while ((entry = entry_list_take(&spool->queue)) != NULL)
		entry_list_add(&kept, entry);
	spool->queue = kept;
	if (!spool->failing)
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-failed", LOG_S("dir", spool->dir),
			  LOG_S("step", batch->step), LOG_S("why", strerror(batch->sys)));
	spool->failing = true;
	if (spool->queue.first != NULL && !timer_is_set(spool->timer))
		timer_set(spool->timer, COMMIT_RETRY_MS);
}

/* The new segment stands, with its header: what it supersedes in the old one is gone for good. */
static void
head_changed(struct spool *spool)
{
	struct batch *batch = &spool->batch;
	struct spool_segment *segment;

	close_head(spool);
	segment = chain_add(&spool->chain, batch->head.number, batch->head.mark);
	chain_grew(&spool->chain, segment, SEGMENT_HEAD);
	segment->durable = SEGMENT_HEAD;
	spool->head = segment_file_new(segment, batch->fd);
	for (size_t i = 0; i < spool->doomed_count; i++)
		large_unlink(spool, spool->doomed[i]);
	free(spool->doomed);
	spool->doomed = NULL;
	spool->doomed_count = 0;
}

static void
tell(struct entry_list *entries, const struct error *why)
{
	struct spool_entry *entry;

	while ((entry = entry_list_take(entries)) != NULL) {
		void (*done)(void *, const struct error *) = entry->done;
		void *ctx = entry->ctx;

		entry_free(entry);
		done(ctx, why);
	}
}

static bool
queue_has_message(const struct spool *spool)
{
	for (const struct spool_entry *entry = spool->queue.first; entry != NULL;
	     entry = entry->next)
		if (entry->record.type == RECORD_MESSAGE)
			return true;
	return false;
}

void
commit_done(void *ctx)
{
	struct batch *batch = ctx;
	struct spool *spool = batch->spool;
	struct entry_list acked = {0}, failed = {0};
	struct error why = {0};

	batch->running = false;
	if (batch->old_synced) {
		spool->chain.newest->durable = spool->chain.newest->size;
		spool->counts.syncs++;
		settle(spool, spool->chain.newest, &spool->unsynced, &acked);
	}
	if (batch->begun)
		head_changed(spool);
	if (batch->sys == 0) {
		batch_succeeded(spool, &acked);
	} else {
		errno = batch->sys;
		error_sys(&why, ERROR_STORAGE, "%s: can't write to the spool: %s", spool->dir,
			  batch->step);
		batch_failed(spool, &failed);
	}
	/* The disk works on while the owners are told. */
	if (!spool->closing) {
		if (spool->queue.first != NULL && (!spool->failing || queue_has_message(spool)))
			commit_start(spool);
		else if (spool->sync_due && spool->unsynced.first != NULL)
			commit_start(spool);
		cleaner_look(spool);
	}
	tell(&acked, NULL);
	tell(&failed, &why);
}
