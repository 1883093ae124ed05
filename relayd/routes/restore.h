/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The routes at start-up: checkpoint, then what the journal has beyond it. For changes.c alone. */
#ifndef RELAYD_ROUTES_RESTORE_H
#define RELAYD_ROUTES_RESTORE_H

#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/authors.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/table.h"

struct restored {
	struct table *table;
	struct journal *journal;
	struct authors *authors; /* of the changes in the journal */
	uint64_t revision;
	uint64_t next_id;
	uint64_t checkpoint_revision; /* what routes.gdbm holds; 0: nothing */
	struct journal_timed timed;   /* the change that waits to be confirmed */
	uint64_t torn_at;             /* a last record that was not whole began there ... */
	uint64_t torn;                /* ... and had so many bytes; 0: there was none */
};

/* Table, journal and authors become the caller's. A failure changes nothing on disk. */
int restore(const char *dir, struct restored *restored, struct error *why);

#endif
