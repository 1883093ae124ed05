/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One inbound SMTP session (RFC 5321 §3, §4): a verb table (verb, the states it is legal in, handler), one
 * state, and the replies. It knows no socket: bytes come by server_feed, replies go out by `io`, time comes
 * by server_timed_out. What becomes of a message is the transaction's affair (smtp/transaction.h).
 *
 * A session never frees itself; its owner does, after `finish`.
 */
#ifndef RELAYD_SMTP_SERVER_H
#define RELAYD_SMTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "relayd/auth/policy.h"
#include "relayd/spool/envelope.h"
#include "relayd/spool/spool.h"

struct server;

/* What all sessions share; must outlive them, and the commits of those that were freed. Values may
 * change between calls (reload). */
struct server_shared {
	const char *hostname;
	uint64_t message_size;  /* octets; announced by SIZE */
	unsigned recipients;    /* per message */
	unsigned errors;        /* after so many refused commands a session gets 421 4.7.0 */
	int64_t command_ms;     /* how long to wait for a command */
	int64_t data_ms;        /* how long to wait between two pieces of data */
	struct policy policy;
	struct spool *spool;
	struct log *log;
	/* A message is durable and the 250 is about to be sent: the envelope becomes the callee's. */
	void (*accepted)(void *ctx, struct envelope *env);
	void *accepted_ctx;
	int64_t (*wall_ms)(void *ctx); /* for Received and arrival times; ms since 1970 */
	void *wall_ctx;
};

struct server_io {
	void (*send)(void *ctx, const char *bytes, size_t len);
	/* Feed nothing until `resume`: a commit is on its way, or the disk is behind. */
	void (*pause)(void *ctx);
	void (*resume)(void *ctx);
	/* Call server_timed_out in `after_ms` unless set again; below 0: never. */
	void (*set_deadline)(void *ctx, int64_t after_ms);
	/* Everything is said: send what is pending, then close. Called once, last. */
	void (*finish)(void *ctx);
};

/* Greets at once. `remote` is copied. */
struct server *server_new(const struct server_shared *shared, const struct server_io *io, void *io_ctx,
    const struct netaddr *remote);

/*
 * Returns how many of the bytes were taken. 0: more is needed, or nothing may be fed now; else the
 * rest is to be offered again: it stops early where the replies add up, so that the owner can look
 * whether the peer reads them.
 */
size_t server_feed(struct server *server, const char *bytes, size_t len);

void server_timed_out(struct server *server); /* 421 4.4.2, then finish */

/* The daemon stops: 421 4.3.2 at the next moment at which nothing in flight is cut (between commands; a
 * transaction whose data has begun is completed first), then finish. */
void server_shut_down(struct server *server);

/* The peer is gone or the owner gives up. A commit that is on its way goes on without the session. */
void server_free(struct server *server);

#endif
