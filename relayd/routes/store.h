/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The checkpoint of the routes, STATE_DIR/routes.gdbm: the only file that sees GDBM. It is never
 * opened for writing in place: a new one is made in memory, read back whole, written beside it and
 * takes its place when it is synced. It is read without a lock: a gdbmtool that has it open never makes
 * us wait, nor we it.
 *
 * All of it blocks, and touches files alone: for start-up and for the offload threads.
 */
#ifndef RELAYD_ROUTES_STORE_H
#define RELAYD_ROUTES_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define STORE_NAME "routes.gdbm"

/* What the checkpoint says of itself. */
struct store_meta {
	uint64_t revision; /* the last change that is in it */
	uint64_t next_id;  /* above every id that was ever given */
	uint64_t count;    /* routes */
	uint64_t sum;      /* of all records, see store.c */
};

/*
 * Read every route, in no particular order; `found` gets the text of route_encode() and ends the
 * reading by returning -1 with `why` set. Returns 1, 0 if there is no such file (*meta is then all
 * zero, next_id 1), or -1: damage is ERROR_STORAGE, with the file and the reason. Some routes may
 * have been found by then.
 */
int store_load(const char *dir, struct store_meta *meta,
    int (*found)(void *ctx, uint64_t id, const char *record, size_t len, struct error *why),
    void *ctx, struct error *why);

struct store_update;

/* Begin a new checkpoint: a copy of the present one, or nothing where there is none. */
struct store_update *store_update_begin(const char *dir, struct error *why);

/* What the copy held, and holds by now: of revision and next_id those of the old checkpoint. */
const struct store_meta *store_update_meta(const struct store_update *update);

int store_update_put(struct store_update *update, uint64_t id, const char *record, size_t len,
    struct error *why);
/* The record must be there. */
int store_update_delete(struct store_update *update, uint64_t id, struct error *why);

/*
 * Read it back whole, write it down, sync it, rename it over the old one, sync the directory.
 * After a failure the old one is still there (or, where only the last step failed, either of
 * them). Frees `update`.
 */
int store_update_commit(struct store_update *update, uint64_t revision, uint64_t next_id,
    struct error *why);

void store_update_abort(struct store_update *update); /* leaves nothing behind; NULL is allowed */

#endif
