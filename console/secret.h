/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a password comes from. What -rpwd takes:
 *
 *   VALUE      itself (the dispatcher has overwritten it in argv by then)
 *   -          the first line of standard input; on a terminal a prompt, without echo
 *   @FILE      the first line of a file that nobody but its owner can read
 *   @fd:N      the first line that can be read from descriptor N
 *   @route:ID  the password of another route: the daemon copies it, we never see it
 */
#ifndef CONSOLE_SECRET_H
#define CONSOLE_SECRET_H

#include <stdint.h>

#include "common/error.h"
#include "console/session.h"

struct secret {
	char *text;        /* NULL: route_id says which */
	uint64_t route_id; /* when text is NULL */
};

/* `spelled` is the flag as it was written, for errors; `whose` is named in the prompt. ERROR_USAGE
 * if there is no password to be had. */
int secret_read(const struct session *session, const char *spelled, const char *value,
		const char *whose, struct secret *secret, struct error *why);

/* The first line of a file, as @FILE. */
int secret_read_file(const char *spelled, const char *path, struct secret *secret,
		     struct error *why);

void secret_clear(struct secret *secret); /* wipes */

#endif
