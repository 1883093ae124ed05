/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Private to the spool: what its files share. Each file answers one question:
 *
 *   spool.c    what the caller may ask, and the life of the whole
 *   recover.c  what is there at start-up: census.c, which files; replay.c, which messages
 *   draft.c    a message while it arrives
 *   large.c    the bodies that have a file of their own
 *   entry.c    a record on its way
 *   commit.c   how records get to the disk
 *   settle.c   what follows when they did, and when they could not
 *   chain.c    the segments that exist, and which message lies in which
 *   reader.c   a body's bytes
 *   cleaner.c  when the oldest segment goes
 *   move.c     how what lives in it is rewritten
 *   removal.c  how it is removed
 *   idmap.c    envelopes by id, for start-up     listing.c  what lies in a directory, too
 *   record, segment, scan, memory, crc32c, number: see their headers
 *
 * Only the loop's thread touches what is declared here; a job gets what it needs in its own struct.
 */
#ifndef RELAYD_SPOOL_STORE_H
#define RELAYD_SPOOL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relayd/spool/memory.h"
#include "relayd/spool/record.h"
#include "relayd/spool/segment.h"
#include "relayd/spool/spool.h"

/* ---- the segments (chain.c) ---- */

/* A descriptor that is shared, so that unlinking and giving up a segment hurts no reader. */
struct segment_file {
	int fd;
	unsigned refs;
	struct spool_segment *segment; /* NULL once that is gone */
};

struct spool_segment {
	struct spool_segment *next; /* the next newer one */
	uint64_t number;
	uint64_t mark;
	uint64_t size;     /* of what counts in the file */
	uint64_t durable;  /* so much of it is on stable storage */
	int64_t closed_ms; /* monotonic time when it stopped being the head; 0: found at start */
	uint64_t alive_bytes;
	struct envelope **live; /* by slot; NULL: no longer here. The only list of who lies where */
	uint32_t slots;
	uint32_t room;
	uint32_t alive;
	struct segment_file *file; /* while somebody has it open */
};

struct chain {
	struct spool_segment *oldest;
	struct spool_segment *newest; /* exists on disk, durably; never removed */
	uint64_t count;
	uint64_t bytes;       /* on disk */
	uint64_t alive_bytes; /* of records of messages that are alive, large bodies not counted */
	uint64_t gone;        /* the number in the name of the .gone file */
};

struct spool_segment *chain_add(struct chain *chain, uint64_t number, uint64_t mark);
void chain_grew(struct chain *chain, struct spool_segment *segment, uint64_t size);
void chain_remove_oldest(struct chain *chain);
void chain_clear(struct chain *chain);

/* The message's record lies here now: fills in the envelope's place. */
void chain_attach(struct chain *chain, struct spool_segment *segment, struct envelope *env,
		  uint64_t offset, uint64_t length);
/* It does no longer. */
void chain_detach(struct chain *chain, struct envelope *env);

/* Open for reading (or join who has it open); NULL and `why`. */
struct segment_file *segment_file_open(struct spool *spool, struct spool_segment *segment,
				       struct error *why);
struct segment_file *segment_file_new(struct spool_segment *segment, int fd);
struct segment_file *segment_file_ref(struct segment_file *file);
void segment_file_unref(struct spool *spool, struct segment_file *file); /* NULL is allowed */

/* ---- records on their way to the disk (entry.c, commit.c, settle.c) ---- */

enum entry_state { ENTRY_QUEUED, ENTRY_IN_FLIGHT, ENTRY_UNSYNCED };

struct spool_entry {
	struct spool_entry *next;
	enum entry_state state;
	bool dropped; /* queued, but overtaken by a newer one: not to be written */
	struct record record;
	uint64_t offset;
	struct envelope *env;      /* whose place it sets; NULL: nobody's any more */
	uint32_t slot;             /* MOVED: in the oldest segment, from where it moves */
	struct spool_memory *body; /* NULL: none inside */
	void (*done)(void *ctx, const struct error *why); /* of a commit */
	void *ctx;
	unsigned char head[RECORD_HEAD];
	char meta[]; /* record.meta_len octets */
};

struct entry_list {
	struct spool_entry *first;
	struct spool_entry *last;
};

struct batch {
	bool running;
	struct spool *spool;
	struct entry_list entries;
	bool sync;
	struct iovec *iov;
	size_t iov_count;
	size_t iov_room;
	uint64_t bytes;
	uint64_t at; /* where the first record goes */
	int dir_fd;
	int old_fd;               /* to be synced before a new segment is begun; -1: none */
	bool begin;               /* a new segment comes first */
	struct segment_head head; /* its header */
	int fd;                   /* of the segment to write to; set by the job when it began one */
	uint64_t keep;            /* how much of `fd` (or `old_fd`) stands after a failure */
	/* what came of it */
	bool old_synced;
	bool begun;
	int sys;          /* errno, 0: all is well */
	const char *step; /* the call that failed */
};

enum {
	COMMIT_SYNC_MS = 1000, /* progress waits at most so long */
	COMMIT_RETRY_MS = 1000
};

struct spool_entry *entry_new(enum record_type type, uint64_t id, const char *meta,
			      size_t meta_len);
void entry_free(struct spool_entry *entry);
/* Is it worth a sync of its own: does somebody wait for it? */
bool entry_is_urgent(const struct spool_entry *entry);
void entry_list_add(struct entry_list *list, struct spool_entry *entry);
struct spool_entry *entry_list_take(struct entry_list *list); /* NULL when empty */
void entry_list_clear(struct entry_list *list);

/* Put a record in the queue. It is written with the next batch. */
void commit_queue(struct spool *spool, struct spool_entry *entry);
/* Nobody needs this record of progress any more. */
void commit_forget(struct spool_entry *entry);
/* Start a batch if there is something to do and none is running. */
void commit_start(struct spool *spool);
void commit_timer_fired(void *ctx);
/* The batch is back (settle.c). */
void commit_done(void *ctx);
void commit_clear(struct spool *spool);

/* ---- large bodies (large.c) ---- */

enum { LARGE_NAME = 24 };
void large_name(char name[LARGE_NAME], uint64_t id);
bool large_id_of(const char *name, uint64_t *id);
/* Unlink it in the background. */
void large_unlink(struct spool *spool, uint64_t id);

/* ---- the oldest segment (cleaner.c) ---- */

struct cleaner {
	bool busy;          /* a job runs or records of ours are on their way */
	bool stuck;         /* the oldest segment is damaged: said once, and left as it is */
	uint32_t cursor;    /* the slot to look at next */
	bool resting;       /* something failed: nothing is tried until the timer fires */
	size_t outstanding; /* MOVED records on their way */
	struct timer *timer;
};

/* Something has changed: is there anything to clean? */
void cleaner_look(struct spool *spool);
void cleaner_timer_fired(void *ctx);
/* A MOVED record is durable, or could not be written. */
void cleaner_moved(struct spool *spool, struct spool_entry *entry, bool written);

/* Try again later. */
void cleaner_rest(struct spool *spool);

/* Remove the oldest segments, in which nothing lives, in the background (removal.c). */
void removal_start(struct spool *spool);
/* Directory steps of a removal, for a thread or for start-up: what is up to `number` counts as gone
 * from here on. Returns -1 with errno; `*gone` is the number that stands then. */
int removal_mark(int dir_fd, uint64_t *gone, uint64_t number);

/* ---- the whole ---- */

/* loop_defer can't be taken back: this outlives the spool if it must. */
struct kick {
	struct spool *spool; /* NULL: closed meanwhile */
};

struct spool {
	char *dir;
	int dir_fd;
	int large_fd;
	int lock_fd;
	uint64_t segment_bytes;
	size_t inline_bytes;
	size_t memory_bytes;
	struct loop *loop;
	struct offload *offload;
	struct log *log;

	uint64_t next_id;
	uint64_t sealed_id; /* the next id that the disk knows of */
	uint64_t seed;      /* of the segments' marks */
	struct chain chain;
	uint64_t large_bytes;    /* of large bodies that are alive */
	struct memory_list kept; /* bodies kept for their first delivery */

	struct segment_file *head; /* chain.newest's, while it may be written; NULL: begin one */
	struct entry_list queue;
	struct entry_list unsynced; /* written to the head since the last sync, in order */
	struct batch batch;
	struct kick *kick;   /* set: commit_start is deferred */
	struct timer *timer; /* the next sync or the next try */
	bool sync_due;
	bool failing; /* the last batch failed, and it was logged */
	bool closing;
	uint64_t *doomed; /* large bodies of failed commits, see commit.c */
	size_t doomed_count;

	struct cleaner cleaner;
	struct spool_stats counts; /* messages, syncs, commits, failures */
};

/* recover.c: fill in chain, next_id and so on. */
int recover_run(struct spool *spool, void (*found)(void *ctx, struct envelope *env), void *ctx,
		struct error *why);

uint64_t spool_mark(const struct spool *spool, uint64_t number);

#endif
