/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a command runs in: the three standard streams, the settings of the flags that every command
 * has, and the connection to the daemon, made at the first question. Words for people go to
 * standard error, and only where a terminal is; results go to standard output through
 * console/output.h.
 */
#ifndef CONSOLE_SESSION_H
#define CONSOLE_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "console/client.h"
#include "console/output.h"

struct session {
	int in; /* standard input, output, error: not closed by the session */
	int out;
	int err;
	const char *socket; /* borrowed */
	int64_t timeout_ms;
	struct output_style style;
	bool quiet;
	struct client *client; /* NULL: not connected */
	json_t *failures;      /* lines of a file that are wrong (console/failures.h); NULL: none */
	char *hint;            /* what the daemon advised after its last error; NULL: nothing */
};

enum { SESSION_TIMEOUT_MS = 10000 };

/* On the process's own streams, with what the environment says (TMAIL_SOCKET, COLUMNS). */
void session_init(struct session *session);
void session_clear(struct session *session);

/* Colour: "auto" (a terminal, unless NO_COLOR), "always", "never". -1 for another word. */
int session_set_colour(struct session *session, const char *when);

/*
 * The client, connected; NULL and `why`. Owned by the session.
 */
struct client *session_client(struct session *session, struct error *why);

/* Ask the daemon and wait for its answer (client_call). */
json_t *session_call(struct session *session, const char *method, json_t *params_stolen,
		     bool writes, struct error *why);

/* The answer to a question that was sent with client_send. */
json_t *session_receive(struct session *session, struct error *why);

/* A line on standard error for a person: only on a terminal, and not with -q. */
void session_say(const struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As session_say, also with -q: something that is not as it should be. */
void session_warn(const struct session *session, const char *text);

/* Is somebody there who can answer? */
bool session_can_ask(const struct session *session);

/* Put a question that ends in "? "; true for y or yes. Only where session_can_ask. */
bool session_ask(const struct session *session, const char *question);

/* The error line `tmail: ...`, or with -o json the error object. `command` (NULL: none) is named in
 * the hint. */
void session_report(const struct session *session, const struct error *why, const char *command);

#endif
