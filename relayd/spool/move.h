/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One step of the cleaner: some messages of the oldest segment are read, and made into MOVED
 * records. */
#ifndef RELAYD_SPOOL_MOVE_H
#define RELAYD_SPOOL_MOVE_H

#include "relayd/spool/store.h"

enum { MOVE_ITEMS = 64 };

struct move_item {
	uint32_t slot;
	uint64_t id;
	uint32_t offset;
	struct spool_segment *progress_in; /* as the place had it; not followed in the job */
	uint64_t progress_number;
	uint64_t progress_mark;
	uint32_t progress_at;
	struct spool_entry *entry; /* the result; NULL: it could not be read */
};

struct move {
	struct spool *spool;
	struct segment_file *file;
	int dir_fd;
	uint64_t number;
	uint64_t mark;
	struct error failed; /* and the items from here on are left alone */
	size_t count;
	struct move_item items[MOVE_ITEMS];
};

/* The job. Touches nothing but the struct. */
void move_work(void *ctx);

#endif
