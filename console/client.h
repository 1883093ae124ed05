/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The console's end of the control socket (common/protocol.h): connect, ask, wait for the answer
 * with a bound on the time. Blocking; one request after the other, but the next may be sent before
 * the answer to the last one has been looked at (client_send twice, then client_receive twice).
 *
 * Failures: ERROR_NO_DAEMON where nobody listens or the daemon went away before a question that
 * changes nothing was answered; ERROR_DENIED where the socket can't be opened; ERROR_TIMEOUT where
 * a change may have been made though no answer came, or no answer came in time; else what the
 * daemon said.
 */
#ifndef CONSOLE_CLIENT_H
#define CONSOLE_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct client;

/* `timeout_ms` bounds the connecting and each wait for an answer. */
struct client *client_connect(const char *path, int64_t timeout_ms, struct error *why);
void client_free(struct client *client); /* NULL is allowed */

/* Ask. `params` is stolen (NULL: none); what was sent is wiped from memory. `writes`: the daemon
 * may change something on hearing this, which the text of a failure then says. Returns 0 or -1. */
int client_send(struct client *client, const char *method, json_t *params, bool writes,
		struct error *why);

/* The answer to the oldest question that has none: its result, owned by the caller, or NULL. `hint`
 * is set to what the daemon advises after an error (owned by the caller) or to NULL. */
json_t *client_receive(struct client *client, struct error *why, char **hint);

/* The "data" of the error that the last answer was, borrowed until the next one; NULL: none. */
const json_t *client_error_data(const struct client *client);

/* Both. */
json_t *client_call(struct client *client, const char *method, json_t *params, bool writes,
		    struct error *why, char **hint);

#endif
