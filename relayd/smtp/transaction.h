/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One inbound mail transaction (RFC 5321 §3.3), from an accepted MAIL to the durable message:
 * judges recipients, owns the envelope being built, and writes what arrives to a draft of the
 * spool. It knows no socket and no command line, and says what to answer as a value.
 *
 * Whatever goes wrong, nothing half is kept: the draft is aborted at once, and what the client
 * still sends of the message is swallowed.
 */
#ifndef RELAYD_SMTP_TRANSACTION_H
#define RELAYD_SMTP_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "relayd/smtp/answers.h"

struct server_shared;
struct transaction;

/* Who sends. Copied. */
struct transaction_client {
	struct netaddr address;
	const char *helo;
	const char *login; /* NULL: did not authenticate */
	bool is_esmtp;
};

/* `sender` is canonical and becomes the transaction's. `shared` must outlive it and its commit. */
struct transaction *transaction_new(const struct server_shared *shared,
				    const struct transaction_client *client, char *sender);

/* Cuts it: nothing is kept. But a commit that is on its way goes on, and `accepted` is called for
 * it. */
void transaction_free(struct transaction *transaction); /* NULL is allowed */

/* `address` as syntax_rcpt has it. ANSWER_RECIPIENT_OK, or the refusal. A mailbox that is there
 * already is accepted and not listed twice. */
enum answer transaction_add_recipient(struct transaction *transaction, const char *address);

/* DATA was answered with 354: begins the draft with its Received field. */
void transaction_begin_data(struct transaction *transaction);

/* Takes message bytes, up to the end of data. Returns how many. */
size_t transaction_feed(struct transaction *transaction, const char *bytes, size_t len);
bool transaction_has_all(const struct transaction *transaction); /* the end of data was seen */

/* True if the disk is behind: feed no more until `relieved`, which comes once and later. */
bool transaction_must_wait(struct transaction *transaction, void (*relieved)(void *ctx), void *ctx);

/*
 * All data is here: ANSWER_NONE if the message is being made durable; then `done` comes later, with
 * ANSWER_OK after it was handed on, or with the refusal. Anything else is the refusal, and nothing
 * comes.
 */
enum answer transaction_commit(struct transaction *transaction,
			       void (*done)(void *ctx, enum answer answer), void *ctx);

const char *transaction_sender(const struct transaction *transaction);

/* The recipient, where there is exactly one; else NULL. */
const char *transaction_recipient(const struct transaction *transaction);

/* The queue id; 0 before transaction_begin_data. */
uint64_t transaction_id(const struct transaction *transaction);

/* What the spool said, behind a refusal for storage; else NULL. */
const char *transaction_why(const struct transaction *transaction);

#endif
