/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rows that a console sends for routes.import and routes.diff, in as many requests as it likes:
 * each piece is read by a thread while the next one is on its way, then all of them are held
 * beside the table in slices between which mail goes on. One for each console at most.
 */
#ifndef RELAYD_CONTROL_UPLOAD_H
#define RELAYD_CONTROL_UPLOAD_H

#include <stddef.h>

#include "common/error.h"
#include "relayd/control/call.h"
#include "relayd/control/control.h"
#include "relayd/routes/matching.h"
#include "relayd/routes/rows.h"

struct upload;

struct upload *upload_new(const struct control_services *services);

/* The console has gone, or begins anew. What threads work on is waited for. NULL is allowed. */
void upload_free(struct upload *upload);

/* A piece: `lines` is a JSON string that holds the rows, kept until it has been read, then
 * overwritten. */
void upload_piece(struct upload *upload, const unsigned *columns, size_t column_count,
    json_t *lines);

/* Answer the call with {"rows":N} as soon as further pieces are welcome. */
void upload_continue(struct upload *upload, struct call *call);

/*
 * There are no more pieces. `matched` gets what is to be done (matching), which is its own from
 * then on. The call is refused if rows can't be done, with "failures" and "failure_count", or if the
 * console has gone. Later, in any case; the upload is empty then.
 */
void upload_match(struct upload *upload, struct call *call, bool prune,
    void (*matched)(struct upload *upload, struct call *call, struct matching *matching));

/* What is kept for a console that reads a long difference in pages; freed with the upload. */
struct differences {
	const struct route **before; /* NULL: the route is new; referred to */
	struct route **after;        /* NULL: it goes */
	size_t count;
	size_t added, changed, deleted;
	json_int_t revision;
};
struct differences *upload_differences(struct upload *upload);
void upload_keep(struct upload *upload, struct differences *differences);
void differences_free(struct differences *differences);

#endif
