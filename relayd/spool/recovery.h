/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parts of a start-up (see recover.c): census.c, which files are there; replay.c, which
 * messages they hold. Both only read.
 */
#ifndef RELAYD_SPOOL_RECOVERY_H
#define RELAYD_SPOOL_RECOVERY_H

#include "relayd/spool/idmap.h"
#include "relayd/spool/listing.h"
#include "relayd/spool/scan.h"
#include "relayd/spool/store.h"

struct found_segment {
	int fd; /* -1: closed again */
	uint64_t number;
	uint64_t size;
	bool head_good;
	struct segment_head head;
};

struct recovery {
	struct spool *spool;
	struct listing numbers; /* of the segments */
	struct listing large;
	size_t stale; /* so many of the numbers, at the front, have been removed already */
	bool unbegun; /* the last one was never begun for good */
	bool marked;  /* the .gone file is there */
	struct found_segment *segments; /* the others, in order */
	size_t count;
	struct idmap alive;
	struct spool_segment *segment; /* that is being read */
	struct scan_end end;           /* of the last one */
	uint64_t next_id;
};

/* DIR/NUMBER.seg, for messages; the caller frees it. */
char *recovery_path(const struct recovery *recovery, uint64_t number);

/* List the segments; refuses when one is missing. */
int recovery_list(struct recovery *recovery, struct error *why);
/* Read every header; refuses one that does not check and may not be torn. */
int recovery_read_heads(struct recovery *recovery, struct error *why);
int recovery_open_segment(struct recovery *recovery, struct found_segment *segment,
			  struct error *why);
int recovery_close_segment(struct recovery *recovery, struct found_segment *segment,
			   struct error *why);

/* Read the i-th segment's records. The last one stays open. */
int recovery_read_segment(struct recovery *recovery, size_t i, struct error *why);
/* Is every large body there, with its length? */
int recovery_check_large(struct recovery *recovery, struct error *why);

#endif
