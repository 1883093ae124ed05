/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Durable messages. A message that was committed is there after a kill or a power cut, whole, until
 * spool_finish; one that was not committed is not there at all.
 *
 * On disk (relayd-files(5)): DIR/NUMBER.seg are append-only segments; small bodies lie in the
 * segment with their envelope, large ones in DIR/large/ID. Group commit: every draft committed
 * while one fdatasync runs shares the next one. After a failed write or sync the segment is closed
 * for good and never synced again; the next one says where the old one ends.
 *
 * Everything is called on the loop; what blocks runs in the offload threads. No call writes to disk
 * before it returns except spool_open and spool_close.
 *
 * The spool has no table of the messages: it keeps the address of each envelope that is alive, and
 * writes to its `place` alone. So an envelope stays where it is from `done` or `found` until
 * spool_finish or spool_close.
 */
#ifndef RELAYD_SPOOL_SPOOL_H
#define RELAYD_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/spool/envelope.h"

struct spool;
struct spool_draft;
struct spool_reader;

struct spool_options {
	const char *dir;        /* made if absent, mode 0700 */
	uint64_t segment_bytes; /* a new segment after this many; 0: 64 MiB */
	size_t inline_bytes;    /* larger bodies get a file of their own; 0: 256 KiB */
	size_t memory_bytes;    /* of bodies kept for their first delivery, all; 0: 32 MiB */
	struct loop *loop;
	struct offload *offload;
	struct log *log;
};

/*
 * Open DIR and take up every message that was accepted: `found` gets each that is alive, oldest id
 * first, and owns the envelope. A torn tail is cut and logged; damage elsewhere (a record that was
 * synced and does not check, a segment or a large body that is missing) fails with file and offset
 * and changes nothing. A directory that another process has open is refused (lock file, its pid
 * named).
 */
struct spool *spool_open(const struct spool_options *options,
			 void (*found)(void *ctx, struct envelope *env), void *ctx,
			 struct error *why);

/* Writes and syncs what is pending, waits for it and for every other job of the offload threads,
 * seals the last segment. Drafts and readers are gone by now; envelopes may be, save those whose
 * commit is under way. */
void spool_close(struct spool *spool);

/* ---- a message arrives ---- */

/* Begin one: gives it its queue id. Never fails, touches no disk. */
struct spool_draft *spool_begin(struct spool *spool);
uint64_t spool_draft_id(const struct spool_draft *draft);

/* Add body bytes. From inline_bytes on they go to a file in the background. -1 and `why` (why->sys
 * is ENOSPC, EIO ...) once something failed: the draft can only be aborted then. */
int spool_write(struct spool_draft *draft, const void *bytes, size_t len, struct error *why);

/* More than a bounded amount waits for the disk: stop feeding until `relieved` is called (once). */
bool spool_draft_is_behind(const struct spool_draft *draft);
void spool_draft_on_relief(struct spool_draft *draft, void (*relieved)(void *ctx), void *ctx);

/* Leaves nothing behind. */
void spool_abort(struct spool_draft *draft);

/*
 * Make it durable under `env` (the caller's; it has a sender and a recipient; id, size and place
 * are filled in). `done` runs later on the loop: why == NULL means that it is on stable storage,
 * else that nothing was kept, and the spool knows `env` no more. (If the power goes between a
 * failed sync and the next good one, the message may be there after all: one copy too many, never
 * one too few.) The draft is gone with this call, and a commit can't be taken back.
 */
void spool_commit(struct spool_draft *draft, struct envelope *env,
		  void (*done)(void *ctx, const struct error *why), void *ctx);

/* ---- what becomes of it ---- */

/*
 * Write down the envelope's progress, as it is now. It survives a kill as soon as the write in the
 * background has happened (at most a round later), a power cut after the next sync, at most a
 * second later. A failure is logged and kept for the next try: the old state stands then, so a
 * recipient may get a second copy.
 */
void spool_progress(struct spool *spool, const struct envelope *env);

/* Nothing more is to be done for this message: its space may be given back. The envelope stays the
 * caller's and is not looked at after the return. */
void spool_finish(struct spool *spool, const struct envelope *env);

/* ---- its bytes ---- */

/* Does the body still lie in memory? (For choosing what to deliver first.) */
bool spool_is_in_memory(const struct spool *spool, const struct envelope *env);

/* Drop the memory copy, when the first attempt did not finish the message. */
void spool_forget_memory(struct spool *spool, const struct envelope *env);

/*
 * Read a body from its start, in pieces. `got` is called once for each spool_reader_next, with
 * `len` bytes that stay valid until the next call on this reader; len == 0 and why == NULL at the
 * end (the checksum was right); why != NULL on an I/O error or a wrong checksum (then nothing of
 * the message may be completed). `got` may run before spool_reader_next returns (body in memory).
 * The reader works on while the message is finished or its segment unlinked.
 */
struct spool_reader *spool_reader_new(struct spool *spool, const struct envelope *env,
				      struct error *why);
void spool_reader_next(struct spool_reader *reader,
		       void (*got)(void *ctx, const char *bytes, size_t len,
				   const struct error *why),
		       void *ctx);
/* Also while a piece is on its way: no callback then. */
void spool_reader_free(struct spool_reader *reader);

/* ---- what there is ---- */

struct spool_stats {
	uint64_t messages; /* alive */
	uint64_t bytes_alive;
	uint64_t bytes_on_disk;
	uint64_t segments;
	uint64_t syncs; /* since start */
	uint64_t commits;
	uint64_t failures; /* commits that failed */
};
void spool_stats(const struct spool *spool, struct spool_stats *stats);

#endif
