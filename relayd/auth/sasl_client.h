/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The client's side of one SASL exchange (RFC 4422), as AUTH carries it (RFC 4954): base64
 * lines in, base64 lines out. It knows no SMTP: who sends the lines, and what a reply code
 * means, is the caller's.
 *
 * Which mechanism: the strongest that is offered. SCRAM-SHA-256 (RFC 7677) first: it shows the
 * password to nobody and proves that the server knows it too. After it, where the server's
 * certificate was checked, PLAIN (RFC 4616), LOGIN, and CRAM-MD5 (RFC 2195) last: nobody but
 * the right server can read along, and one that keeps its passwords hashed can't check
 * CRAM-MD5. Where it was not, or in the clear, CRAM-MD5 comes before the two that hand over the
 * password as it is.
 */
#ifndef RELAYD_AUTH_SASL_CLIENT_H
#define RELAYD_AUTH_SASL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "relayd/net/offload.h"

struct sasl_client;

enum sasl_mechanism { SASL_SCRAM_SHA_256, SASL_CRAM_MD5, SASL_PLAIN, SASL_LOGIN, SASL_MECHANISMS };

const char *sasl_mechanism_name(enum sasl_mechanism mechanism); /* "SCRAM-SHA-256" */

/*
 * The strongest of those in `offered` (names with blanks between them, in either case) whose bit
 * (1 << mechanism) is not in `refused`. `server_is_known`: its certificate was checked. -1: none.
 */
int sasl_client_choose(const char *offered, bool server_is_known, unsigned refused);

/*
 * Begin an exchange. The texts are copied; the password's copies are wiped by sasl_client_free.
 * Long computations (SCRAM's) run on a thread of `offload`, or at once where it is NULL. NULL
 * and `why` if the mechanism can't be used at all.
 */
struct sasl_client *sasl_client_new(enum sasl_mechanism mechanism, const char *login,
    const char *password, struct offload *offload, struct error *why);

/* The client has the first word: sasl_client_answer with the challenge "" gives its line. */
bool sasl_client_begins(const struct sasl_client *sasl);

/*
 * Answer a challenge (base64). `answered` is called once, maybe before this returns, with the
 * line to send (base64, maybe empty; readable until the next call), or with NULL and `why`: the
 * exchange is to be cancelled. It may call sasl_client_free. One challenge at a time.
 */
void sasl_client_answer(struct sasl_client *sasl, const char *challenge,
    void (*answered)(void *ctx, const char *line, const struct error *why), void *ctx);

/* The line it gave last, "" for none: to be kept out of whatever repeats it. */
const char *sasl_client_last_line(const struct sasl_client *sasl);

/* The exchange has come to its end on our side; for SCRAM: the server has proved that it knows
 * the password. The server's "yes" counts only then. */
bool sasl_client_is_complete(const struct sasl_client *sasl);

/* `answered` is not called any more. NULL is allowed. */
void sasl_client_free(struct sasl_client *sasl);

#endif
