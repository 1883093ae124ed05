/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A turn of the journal: what is done off the loop for a group of changes, for whoever reads what
 * was, for a confirmation, or behind a checkpoint. For changes.c alone.
 */
#ifndef RELAYD_ROUTES_TURN_H
#define RELAYD_ROUTES_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/past.h"
#include "relayd/routes/pending.h"

/* A thread works on what is in here and nothing else. */
struct turn {
	struct changes *changes;
	struct journal *journal;
	struct past past;
	struct pending *group; /* NULL: behind a checkpoint */
	bool cut;
	uint64_t cut_revision;
	uint64_t cut_at;
	char *surplus; /* a file that is needed no more; NULL: none */
	int rc;        /* of the writing; a failure to read is the reader's own */
	struct error why;
};

/* For offload_run(): `ctx` is the turn. */
void turn_work(void *ctx);

#endif
