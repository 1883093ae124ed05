/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One outbound transaction: what is to be sent, and for each recipient what came of it. A plain value
 * between the client, which fills it in, and delivery, which reads it.
 */
#ifndef RELAYD_SMTP_JOB_H
#define RELAYD_SMTP_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "relayd/smtp/reply.h"
#include "relayd/spool/envelope.h"

/* What the try meant for one recipient. */
enum client_verdict {
	CLIENT_OPEN,      /* no verdict yet */
	CLIENT_ACCEPTED,  /* 2xx to the final dot */
	CLIENT_TEMPORARY, /* 4xx, or the connection went before the final dot was sent: the next entry of the plan */
	CLIENT_PERMANENT, /* 5xx, or the message can't be sent there at all (5.6.3, 5.3.4): a report */
	CLIENT_UNCERTAIN, /* lost after the final dot: deferred, it may have been accepted */
	CLIENT_LOCAL      /* our own trouble (spool unreadable): deferred */
};

/* The stages of a session, for what is said of a failure. */
enum client_stage {
	CLIENT_STAGE_CONNECT,
	CLIENT_STAGE_GREETING,
	CLIENT_STAGE_HELLO,
	CLIENT_STAGE_STARTTLS, /* the command; also where TLS is required and not offered */
	CLIENT_STAGE_TLS,      /* the handshake, and what the certificate is worth */
	CLIENT_STAGE_AUTH,
	CLIENT_STAGE_MAIL,
	CLIENT_STAGE_RCPT,
	CLIENT_STAGE_DATA,
	CLIENT_STAGE_BODY,
	CLIENT_STAGE_DOT
};
const char *client_stage_name(enum client_stage stage); /* "connect", "greeting", "EHLO", "MAIL", ... */

/* What the session had agreed on when it took the job; "": nothing. */
struct client_facts {
	char tls[16];    /* "TLSv1.3" */
	char cipher[64]; /* "TLS_AES_256_GCM_SHA384" */
	bool verified;   /* the server's certificate holds for its name, whether it had to or not */
	char auth[16];   /* "SCRAM-SHA-256" */
};

struct client_recipient {
	const char *address; /* canonical; borrowed */
	enum client_verdict verdict;
	enum client_stage stage;       /* where the verdict fell */
	bool from_remote;              /* `reply` is the next hop's own words */
	char status[REPLY_STATUS_MAX]; /* enhanced status code; "" where none is known */
	char *reply;                   /* one line, escaped; owned by the job */
};

/* Belongs to its maker; must stay until `finished`. */
struct client_job {
	const struct envelope *envelope; /* sender, size, has_8bit; borrowed */
	size_t count;
	struct client_recipient *recipients;
	struct client_facts facts; /* filled in by the client */
	bool unreachable; /* no session came about: nothing was said to a living server */

	/* Every recipient has its verdict. Called once, never before the call that gave the job returns. */
	void (*finished)(void *ctx, struct client_job *job);
	void *ctx;
};

/* Give each recipient without a verdict this one. `status` and `reply` are copied. */
void client_job_settle(struct client_job *job, enum client_verdict verdict, enum client_stage stage,
    bool from_remote, const char *status, const char *reply);
void client_recipient_settle(struct client_recipient *recipient, enum client_verdict verdict,
    enum client_stage stage, bool from_remote, const char *status, const char *reply);
size_t client_job_open(const struct client_job *job); /* how many have no verdict yet */
void client_job_clear(struct client_job *job); /* frees the replies, not the job */

#endif
