/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A file of routes on its way to the daemon (routes.import, routes.diff): cut in pieces, of which
 * some are sent before the answer to the first has come; and the way back from the rows that the
 * daemon does not take to their places in the file.
 */
#ifndef CONSOLE_ROW_SENDER_H
#define CONSOLE_ROW_SENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "console/failures.h"
#include "console/route_file.h"
#include "console/session.h"

struct row_sender {
	struct session *session;
	struct route_file *file;
	const char *method;
	unsigned columns; /* of the piece: a bit each */
	struct strbuf lines;
	size_t rows;
	size_t unanswered;
	bool clumsy; /* rows were found to be wrong here: the daemon is asked about the others */
	struct failures failures;
	size_t failed_rows[FAILURES_TOLD];
};

/* Send all rows but the last piece. -1 and `why` when there is no use in going on. */
int row_sender_run(struct row_sender *sender, struct session *session, struct route_file *file,
		   const char *method, struct error *why);

/* The last piece, as params to which others may be added. New reference, for row_sender_wipe. */
json_t *row_sender_last(struct row_sender *sender);

/* Overwrite the rows in it, and let it go. */
void row_sender_wipe(json_t *params);

/* After an error that the daemon answered: if it is about rows, say which. Returns -1. */
int row_sender_refused(struct row_sender *sender, struct error *why);

/* Rows were wrong already on this side: ask about the rest, say all. -1, or 0 if there are none. */
int row_sender_check(struct row_sender *sender, struct error *why);
void row_sender_clear(struct row_sender *sender);

#endif
