/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is wrong with the lines of a file: gathered, so that all of it is told at once, each with
 * its place, as FILE:LINE:COLUMN: message.
 */
#ifndef CONSOLE_FAILURES_H
#define CONSOLE_FAILURES_H

#include <jansson.h>
#include <stddef.h>

#include "common/error.h"
#include "console/session.h"

enum { FAILURES_TOLD = 20 };

struct failures {
	const char *file; /* as it is named in messages: borrowed */
	json_t *list;     /* the first FAILURES_TOLD; NULL: none */
	size_t count;
	enum error_code code; /* of the first */
};

/* Line and column count from 1, columns in characters. */
void failures_add(struct failures *failures, size_t line, size_t column, const struct error *why);

/* Give them to the session, which reports them before `why`; `what` counts them: "line", "row".
 * Returns -1, with the code of the first; 0 if there are none. */
int failures_end(struct failures *failures, struct session *session, const char *what,
		 struct error *why);
void failures_clear(struct failures *failures);

#endif
