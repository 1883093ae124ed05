/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/transaction.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/domain.h"
#include "common/error.h"
#include "common/log.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/auth/policy.h"
#include "relayd/smtp/body.h"
#include "relayd/smtp/server.h"
#include "relayd/smtp/trace.h"
#include "relayd/spool/envelope.h"
#include "relayd/spool/spool.h"

enum transaction_state {
	TRANSACTION_ENVELOPE,  /* Recipients are coming in. */
	TRANSACTION_RECEIVING, /* Message bytes go to the draft. */
	TRANSACTION_REFUSED, /* The message is refused and the draft gone; its data is swallowed. */
	TRANSACTION_COMMITTING, /* The draft was given to the spool; `done` will come. */
	TRANSACTION_SETTLED     /* The spool said what became of it. */
};

struct transaction {
	const struct server_shared *shared;
	enum transaction_state state;
	struct netaddr client;
	char *helo;
	bool is_esmtp;
	struct envelope *env;
	struct spool_draft *draft;
	uint64_t id;
	struct body body;
	enum answer refusal;                         /* TRANSACTION_REFUSED: what with */
	struct error why;                            /* of the spool */
	void (*done)(void *ctx, enum answer answer); /* NULL: nobody waits any more */
	void *done_ctx;
};

static const char *const state_names[] = {
    [TRANSACTION_ENVELOPE] = "envelope", [TRANSACTION_RECEIVING] = "receiving",
    [TRANSACTION_REFUSED] = "refused",   [TRANSACTION_COMMITTING] = "committing",
    [TRANSACTION_SETTLED] = "settled",
};

static void
set_state(struct transaction *transaction, enum transaction_state state)
{
	log_event(transaction->shared->log, LOG_LEVEL_DEBUG, transaction->id, "transaction",
		  LOG_S("old", state_names[transaction->state]), LOG_S("new", state_names[state]));
	transaction->state = state;
}

struct transaction *
transaction_new(const struct server_shared *shared, const struct transaction_client *client,
		char *sender)
{
	struct transaction *transaction = xcalloc(1, sizeof(*transaction));

	transaction->shared = shared;
	transaction->state = TRANSACTION_ENVELOPE;
	transaction->client = client->address;
	transaction->helo = xstrdup(client->helo);
	transaction->is_esmtp = client->is_esmtp;
	transaction->env = envelope_new();
	transaction->env->sender = sender;
	transaction->env->login = xstrdup(client->login);
	return transaction;
}

static void
destroy(struct transaction *transaction)
{
	if (transaction->draft != NULL)
		spool_abort(transaction->draft);
	envelope_free(transaction->env);
	free(transaction->helo);
	free(transaction);
}

void
transaction_free(struct transaction *transaction)
{
	if (transaction == NULL)
		return;
	/* The spool still has our envelope: on_committed ends it. */
	if (transaction->state == TRANSACTION_COMMITTING)
		transaction->done = NULL;
	else
		destroy(transaction);
}

/* ---- recipients ---- */

/* With its domain in the stored form, by which routes and policy know it. NULL: no host can have
 * it. */
static char *
stored_form(const struct transaction *transaction, const char *address)
{
	const char *domain = address_domain(address);
	bool has_domain = *domain != '\0';
	size_t local = has_domain ? (size_t)(domain - address) - 1 : strlen(address);
	char *normal, *stored = NULL;

	normal = domain_normalise(has_domain ? domain : transaction->shared->hostname, NULL);
	if (normal != NULL)
		stored = xasprintf("%.*s@%s", (int)local, address, normal);
	free(normal);
	return stored;
}

/* Both in stored form: the same text is the same mailbox. */
static bool
is_listed(const struct envelope *env, const char *address)
{
	for (size_t i = 0; i < env->recipient_count; i++) {
		if (strcmp(env->recipients[i].address, address) == 0)
			return true;
	}
	return false;
}

enum answer
transaction_add_recipient(struct transaction *transaction, const char *address)
{
	const struct server_shared *shared = transaction->shared;
	struct envelope *env = transaction->env;
	char *stored = stored_form(transaction, address);
	enum answer answer = ANSWER_RECIPIENT_OK;

	/* Policy goes first: who may not relay here learns nothing else. */
	if (stored == NULL)
		answer = ANSWER_BAD_RECIPIENT;
	else if (!policy_may_relay(&shared->policy, &transaction->client, env->login,
				   address_domain(stored)))
		answer = ANSWER_RELAYING_DENIED;
	else if (is_listed(env, stored))
		answer = ANSWER_RECIPIENT_OK;
	else if (env->recipient_count >= shared->recipients)
		answer = ANSWER_TOO_MANY_RECIPIENTS;
	else
		envelope_add_recipient(env, stored);
	free(stored);
	return answer;
}

/* ---- data ---- */

static void
refuse(struct transaction *transaction, enum answer refusal)
{
	if (transaction->state != TRANSACTION_RECEIVING)
		return;
	transaction->refusal = refusal;
	spool_abort(transaction->draft);
	transaction->draft = NULL;
	set_state(transaction, TRANSACTION_REFUSED);
}

static enum answer
storage_refusal(const struct error *why)
{
	return why->sys == ENOSPC || why->sys == EDQUOT ? ANSWER_STORAGE_FULL : ANSWER_STORAGE;
}

static void
write_draft(void *ctx, const char *bytes, size_t len)
{
	struct transaction *transaction = ctx;

	if (transaction->state == TRANSACTION_RECEIVING &&
	    spool_write(transaction->draft, bytes, len, &transaction->why) == -1)
		refuse(transaction, storage_refusal(&transaction->why));
}

void
transaction_begin_data(struct transaction *transaction)
{
	const struct server_shared *shared = transaction->shared;
	struct strbuf received = STRBUF_INIT;
	struct trace trace = {
	    .helo = transaction->helo,
	    .client = &transaction->client,
	    .hostname = shared->hostname,
	    .protocol = transaction->is_esmtp ? "ESMTP" : "SMTP",
	    .recipient = transaction_recipient(transaction),
	    .wall_ms = shared->wall_ms(shared->wall_ctx),
	};

	transaction->draft = spool_begin(shared->spool);
	transaction->id = spool_draft_id(transaction->draft);
	set_state(transaction, TRANSACTION_RECEIVING);
	body_init(&transaction->body, shared->message_size);
	trace.id = transaction->id;
	trace_put_received(&trace, &received);
	write_draft(transaction, received.data, received.len);
	strbuf_clear(&received);
}

static enum answer
fault_refusal(enum body_fault fault)
{
	switch (fault) {
	case BODY_FINE:
		break;
	case BODY_BARE:
		return ANSWER_BARE_IN_DATA;
	case BODY_LINE_TOO_LONG:
		return ANSWER_TEXT_LINE_TOO_LONG;
	case BODY_LOOP:
		return ANSWER_LOOP;
	case BODY_TOO_LARGE:
		return ANSWER_MESSAGE_TOO_LARGE;
	}
	return ANSWER_NONE;
}

size_t
transaction_feed(struct transaction *transaction, const char *bytes, size_t len)
{
	size_t taken = body_feed(&transaction->body, bytes, len, write_draft, transaction);

	if (transaction->body.fault != BODY_FINE)
		refuse(transaction, fault_refusal(transaction->body.fault));
	return taken;
}

bool
transaction_has_all(const struct transaction *transaction)
{
	return body_has_ended(&transaction->body);
}

bool
transaction_must_wait(struct transaction *transaction, void (*relieved)(void *ctx), void *ctx)
{
	if (transaction->state != TRANSACTION_RECEIVING ||
	    !spool_draft_is_behind(transaction->draft))
		return false;
	spool_draft_on_relief(transaction->draft, relieved, ctx);
	return true;
}

/* ---- commit ---- */

static void
log_accepted(const struct transaction *transaction)
{
	const struct envelope *env = transaction->env;
	char client[NETADDR_TEXT_MAX];

	log_event(transaction->shared->log, LOG_LEVEL_INFO, env->id, "accepted",
		  LOG_S("from", env->sender), LOG_S("rcpt", transaction_recipient(transaction)),
		  LOG_U("nrcpt", env->recipient_count), LOG_U("size", env->size),
		  LOG_S("client", netaddr_text(&transaction->client, client)),
		  LOG_S("helo", transaction->helo), LOG_S("login", env->login));
}

/* The message is durable, or was not kept. The session may be gone by now. */
static void
on_committed(void *ctx, const struct error *why)
{
	struct transaction *transaction = ctx;
	const struct server_shared *shared = transaction->shared;
	enum answer answer = ANSWER_OK;
	struct envelope *env;

	if (why == NULL) {
		log_accepted(transaction);
		env = transaction->env;
		transaction->env = NULL;
		shared->accepted(shared->accepted_ctx, env);
	} else {
		transaction->why = *why;
		answer = storage_refusal(why);
	}
	if (transaction->done == NULL) {
		destroy(transaction);
		return;
	}
	/* From here on transaction_free ends it, if need be from within `done`. */
	set_state(transaction, TRANSACTION_SETTLED);
	transaction->done(transaction->done_ctx, answer);
}

enum answer
transaction_commit(struct transaction *transaction, void (*done)(void *ctx, enum answer answer),
		   void *ctx)
{
	const struct server_shared *shared = transaction->shared;
	struct spool_draft *draft = transaction->draft;

	if (transaction->state == TRANSACTION_REFUSED)
		return transaction->refusal;
	transaction->env->arrived_ms = shared->wall_ms(shared->wall_ctx);
	transaction->env->has_8bit = transaction->body.has_8bit;
	transaction->done = done;
	transaction->done_ctx = ctx;
	transaction->draft = NULL;
	set_state(transaction, TRANSACTION_COMMITTING);
	spool_commit(draft, transaction->env, on_committed, transaction);
	return ANSWER_NONE;
}

const char *
transaction_sender(const struct transaction *transaction)
{
	return transaction->env != NULL ? transaction->env->sender : "";
}

const char *
transaction_recipient(const struct transaction *transaction)
{
	const struct envelope *env = transaction->env;

	return env != NULL && env->recipient_count == 1 ? env->recipients[0].address : NULL;
}

uint64_t
transaction_id(const struct transaction *transaction)
{
	return transaction->id;
}

const char *
transaction_why(const struct transaction *transaction)
{
	return transaction->why.code != ERROR_NONE ? transaction->why.text : NULL;
}
