/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How records get to the disk, and what is done when they can't.
 *
 * One batch is on its way at a time; what is queued meanwhile is the next one: that is the group
 * commit. A batch is one pwritev (or a few) to the end of the head, the segment that is written to,
 * and one fdatasync if a message in it waits for its 250, or if progress has waited for a second.
 * The order, when a new segment has to be begun first:
 *
 *   1  sync the old head, if something in it is not (its length goes into the next header)
 *   2  create the new segment, write its header, fdatasync, fsync the directory
 *   3  write the records       4  fdatasync       5  only now: done(NULL), and places are set
 *
 * When any of these fails, the pages since the last good sync can't be trusted, whatever a later
 * sync says: the kernel reports a lost page once. The segment's valid length is what was durable;
 * it is cut there (at best effort), never written or synced again, and the next header names that
 * length. Commits fail. Progress and finish since the last sync, in this batch or before, go back
 * to the queue's front, and into the next segment. Large bodies of failed commits are unlinked only
 * when that segment stands: until then a power cut may bring their records back, and these must not
 * point nowhere.
 */
#include "relayd/spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/xalloc.h"

enum { BATCH_BYTES = 8 << 20, BATCH_ENTRIES = 4096 };

static void
kick_run(void *ctx)
{
	struct kick *kick = ctx;

	if (kick->spool != NULL) {
		kick->spool->kick = NULL;
		commit_start(kick->spool);
	}
	free(kick);
}

/* Deferred, so that all that is committed in this round of the loop goes together. */
static void
kick(struct spool *spool)
{
	if (spool->kick != NULL || spool->batch.running || spool->closing)
		return;
	spool->kick = xcalloc(1, sizeof(*spool->kick));
	spool->kick->spool = spool;
	loop_defer(spool->loop, kick_run, spool->kick);
}

void
commit_queue(struct spool *spool, struct spool_entry *entry)
{
	entry_list_add(&spool->queue, entry);
	/* On a disk that fails, only a new message is worth a try at once. */
	if (!spool->failing || entry->record.type == RECORD_MESSAGE)
		kick(spool);
	else if (!timer_is_set(spool->timer))
		timer_set(spool->timer, COMMIT_RETRY_MS);
}

void
commit_forget(struct spool_entry *entry)
{
	entry->env = NULL;
	if (entry->state == ENTRY_QUEUED)
		entry->dropped = true;
}

void
commit_timer_fired(void *ctx)
{
	struct spool *spool = ctx;

	spool->sync_due = true;
	commit_start(spool);
}

/* ---- the job ---- */

/* Cut what a failed batch left. Where that fails too, the next start finds a torn tail and cuts it. */
static void
batch_cut(int fd, uint64_t keep)
{
	int unused = ftruncate(fd, (off_t)keep);

	(void)unused;
}

static int
batch_begin(struct batch *batch)
{
	if (batch->old_fd >= 0) {
		if (fdatasync(batch->old_fd) < 0) {
			batch->sys = errno;
			batch->step = "fdatasync";
			batch_cut(batch->old_fd, batch->keep);
			return -1;
		}
		batch->old_synced = true;
	}
	batch->fd = segment_create(batch->dir_fd, &batch->head);
	if (batch->fd < 0) {
		batch->sys = errno;
		batch->step = "create";
		return -1;
	}
	batch->begun = true;
	batch->keep = SEGMENT_HEAD;
	return 0;
}

static void
batch_work(void *ctx)
{
	struct batch *batch = ctx;

	if (batch->begin && batch_begin(batch) < 0)
		return;
	if (segment_write(batch->fd, batch->iov, batch->iov_count, batch->at) < 0) {
		batch->sys = errno;
		batch->step = "write";
	} else if (batch->sync && fdatasync(batch->fd) < 0) {
		batch->sys = errno;
		batch->step = "fdatasync";
	}
	if (batch->sys != 0)
		batch_cut(batch->fd, batch->keep);
}

/* ---- making one up ---- */

static void
batch_iov_add(struct batch *batch, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (batch->iov_count == batch->iov_room) {
		batch->iov_room = batch->iov_room == 0 ? 64 : batch->iov_room * 2;
		batch->iov = xreallocarray(batch->iov, batch->iov_room, sizeof(*batch->iov));
	}
	/* iovec has no const; segment_write only reads. */
	batch->iov[batch->iov_count++] =
	    (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
}

/* Take from the queue what fits. */
static void
batch_fill(struct spool *spool)
{
	struct batch *batch = &spool->batch;
	struct spool_entry *entry;
	size_t count = 0;

	batch->bytes = 0;
	batch->sync = spool->sync_due;
	while ((entry = spool->queue.first) != NULL && batch->bytes < BATCH_BYTES &&
	       count < BATCH_ENTRIES) {
		spool->queue.first = entry->next;
		if (entry->dropped) {
			entry_free(entry);
			continue;
		}
		entry->state = ENTRY_IN_FLIGHT;
		entry_list_add(&batch->entries, entry);
		batch->bytes += record_length(&entry->record);
		batch->sync = batch->sync || entry_is_urgent(entry);
		count++;
	}
}

/* Where it goes: to the head's end, or into a new segment. */
static void
batch_place(struct spool *spool)
{
	struct batch *batch = &spool->batch;
	struct spool_segment *newest = spool->chain.newest;

	batch->begin = spool->head == NULL || (newest->size > SEGMENT_HEAD &&
					       newest->size + batch->bytes > spool->segment_bytes);
	batch->old_fd = -1;
	batch->keep = newest == NULL ? 0 : newest->durable;
	if (!batch->begin) {
		batch->fd = spool->head->fd;
		batch->at = newest->size;
		return;
	}
	if (spool->head != NULL && newest->size > newest->durable)
		batch->old_fd = spool->head->fd;
	batch->fd = -1;
	batch->at = SEGMENT_HEAD;
	batch->head.number = newest == NULL ? spool->chain.gone + 1 : newest->number + 1;
	batch->head.mark = spool_mark(spool, batch->head.number);
	batch->head.before = newest == NULL ? 0 : newest->size;
	batch->head.next_id = spool->next_id;
}

static void
batch_encode(struct spool *spool)
{
	struct batch *batch = &spool->batch;
	uint64_t mark = batch->begin ? batch->head.mark : spool->chain.newest->mark;
	uint64_t durable = batch->begin ? SEGMENT_HEAD : spool->chain.newest->durable;
	uint64_t at = batch->at;

	batch->iov_count = 0;
	for (struct spool_entry *entry = batch->entries.first; entry != NULL; entry = entry->next) {
		entry->offset = at;
		entry->record.durable = durable;
		record_encode(&entry->record, mark, at, entry->head);
		batch_iov_add(batch, entry->head, sizeof(entry->head));
		batch_iov_add(batch, entry->meta, entry->record.meta_len);
		if (entry->body != NULL)
			batch_iov_add(batch, entry->body->bytes, entry->body->len);
		at += record_length(&entry->record);
	}
}

void
commit_start(struct spool *spool)
{
	struct batch *batch = &spool->batch;

	if (batch->running)
		return;
	batch_fill(spool);
	if (batch->entries.first == NULL && spool->unsynced.first == NULL) {
		spool->sync_due = false;
		return;
	}
	if (batch->entries.first == NULL && !batch->sync)
		return;
	if (batch->sync)
		spool->sync_due = false;
	batch->spool = spool;
	batch->running = true;
	batch->dir_fd = spool->dir_fd;
	batch->old_synced = false;
	batch->begun = false;
	batch->sys = 0;
	batch->step = NULL;
	batch_place(spool);
	batch_encode(spool);
	offload_run(spool->offload, batch_work, commit_done, batch);
}

void
commit_clear(struct spool *spool)
{
	if (spool->kick != NULL)
		spool->kick->spool = NULL;
	entry_list_clear(&spool->queue);
	entry_list_clear(&spool->unsynced);
	free(spool->batch.iov);
	free(spool->doomed);
}
