/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One outbound SMTP session (RFC 5321 §3.3, §4.3): connects, greets, encrypts (RFC 3207, RFC
 * 8314) and logs in (RFC 4954) as it was told, and sends one transaction after the other. It
 * knows nothing of routes or queues: it is told where to go and what to send, and says for each
 * recipient what the next hop answered.
 *
 * Commands are pipelined where the peer offers it (RFC 2920), across messages too: while the
 * reply to one final dot is awaited, the next transaction may be under way. One reader of
 * replies keeps the order: each reply belongs to the oldest command without one.
 */
#ifndef RELAYD_SMTP_CLIENT_H
#define RELAYD_SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/netaddr.h"
#include "common/route.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/net/tls.h"
#include "relayd/smtp/job.h"
#include "relayd/spool/spool.h"

struct client;

struct client_options {
	struct loop *loop;
	struct log *log;
	struct spool *spool;
	struct offload *offload;   /* for SCRAM's hashing; NULL: on the loop */
	struct tls_trust *trust;   /* kept by each client; NULL: no TLS comes about */
	const char *hostname;      /* for EHLO; copied */
	int64_t connect_ms;
	int64_t remote_command_ms; /* each reply; twice as long for the final dot's */
	int64_t idle_ms;           /* without a job: QUIT */
};

/*
 * Where a session goes and how; a plain value, whose strings are copied by client_new. The
 * policies:
 *
 *   none      in the clear
 *   may       STARTTLS where it is offered; if it is refused, or TLS does not come about, the same
 *             address once more in the clear
 *   require   STARTTLS or no session; the certificate is not looked at
 *   verify    STARTTLS or no session; the certificate must hold for the name
 *   implicit  TLS from the first byte, the certificate as with verify
 *
 * With a login, no session comes about unless the server takes it. It is sent in the clear only if
 * clear_login allows that.
 */
struct client_target {
	struct netaddr remote;
	struct netaddr local;  /* family AF_UNSPEC: the kernel's choice */
	const char *name;      /* of the remote host: for SNI, its certificate and the log; NULL: none */
	enum route_tls tls;    /* as route_effective_tls() has it: never ROUTE_TLS_DEFAULT */
	const char *login;     /* with `password`; both NULL: no AUTH */
	const char *password;
	bool clear_login;      /* AUTH in the clear is allowed: the route says so by name */
	uint64_t route_id;     /* for the log; 0: none */
};

struct client_events {
	/* It can take a job: client_can_take() has become true. */
	void (*ready)(void *ctx);
	/*
	 * The session is over and has given back all its jobs. Called once; the owner calls client_free
	 * then or later. If it never got as far as taking a job, client_failure_* say why.
	 */
	void (*ended)(void *ctx);
	/*
	 * The peer dropped a session that had served before, without a word about this job (an idle
	 * connection it was closing, or its limit of messages a connection): nothing happened to it, it
	 * may be sent again elsewhere at once.
	 */
	void (*returned)(void *ctx, struct client_job *job);
};

/* Begin to connect. NULL and `why` when that fails at once. */
struct client *client_new(const struct client_options *options, const struct client_target *target,
    const struct client_events *events, void *ctx, struct error *why);

bool client_can_take(const struct client *client);

/* Only while client_can_take(). */
void client_take(struct client *client, struct client_job *job);

/* Nothing under way and ready: an idle session. */
bool client_is_idle(const struct client *client);
bool client_was_greeted(const struct client *client);
bool client_is_connected(const struct client *client); /* or was: the connection came about */

/* What the session has agreed on so far. */
const struct client_facts *client_facts(const struct client *client);

/* Why no session came about (client_was_greeted is false, after `ended`): the stage, and a line. */
enum client_stage client_failure_stage(const struct client *client);
const char *client_failure_text(const struct client *client);
bool client_failure_is_reply(const struct client *client); /* the text is what the peer said */
const char *client_failure_status(const struct client *client); /* "4.4.1" and the like */

/* Say QUIT and free: for an idle session that is no longer wanted. */
void client_quit(struct client *client);

/* Cut. Jobs under way are forgotten without a call. Not inside one of its own callbacks. */
void client_free(struct client *client);

#endif
