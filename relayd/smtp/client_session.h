/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the client share, and nobody else includes:
 *
 *   client.c              the session's life: the connection, its end, its jobs
 *   client_dialogue.c     what is written, what is awaited, and whose a reply is
 *   client_hello.c        greeting, EHLO, STARTTLS
 *   client_tls.c          the handshake, and what follows where it fails and may
 *   client_login.c        AUTH
 *   client_transaction.c  MAIL, RCPT, DATA and what their replies mean
 *   client_body.c         the message itself
 *
 * The session's life:
 *
 *   CONNECTING  the socket is on its way
 *   SECURING    a TLS handshake is: before the greeting (implicit) or after STARTTLS
 *   GREETING    waits for the 220
 *   HELLO       EHLO, HELO where that was refused, STARTTLS and EHLO again, AUTH
 *   READY       transactions may run; none: idle
 *   CLOSED      over; the conn is gone
 *
 * Where the policy is `may`, a failure from STARTTLS to the end of the handshake leads from there
 * back to CONNECTING, once, and then there is no TLS. Only a READY session gets jobs.
 *
 * A transaction's life, in its slot:
 *
 *   RSET, MAIL, RCPT, DATA   the next command to be written (RSET where the last one left a
 *                            transaction open)
 *   GO_AHEAD                 DATA written, 354 awaited
 *   BODY                     354 came: the message is being written
 *   DOT                      the final dot is written, its reply awaited
 *
 * Replies are matched to commands by a queue: what is written is noted there, each reply takes the
 * oldest.
 */
#ifndef RELAYD_SMTP_CLIENT_SESSION_H
#define RELAYD_SMTP_CLIENT_SESSION_H

#include "relayd/auth/sasl_client.h"
#include "relayd/net/conn.h"
#include "relayd/net/tls.h"
#include "relayd/smtp/client.h"
#include "relayd/smtp/reply.h"

enum client_state {
	CLIENT_CONNECTING,
	CLIENT_SECURING,
	CLIENT_GREETING,
	CLIENT_HELLO,
	CLIENT_READY,
	CLIENT_CLOSED
};

enum phase {
	PHASE_FREE,
	PHASE_RSET,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_GO_AHEAD,
	PHASE_BODY,
	PHASE_DOT
};

/* What a reply may be to. All from EXPECT_RSET on belong to a transaction. */
enum expected {
	EXPECT_GREETING,
	EXPECT_EHLO,
	EXPECT_HELO,
	EXPECT_STARTTLS,
	EXPECT_AUTH,
	EXPECT_RSET,
	EXPECT_MAIL,
	EXPECT_RCPT,
	EXPECT_DATA,
	EXPECT_DOT
};

enum { CLIENT_SLOTS = 2 /* one waits for its final reply, one is being sent */ };

struct slot {
	struct client_job *job; /* NULL: free */
	enum phase phase;
	size_t next;     /* recipient whose RCPT is to be written */
	size_t answered; /* recipients whose RCPT has its reply */
	bool heard;      /* some reply to this transaction has come */
	bool piped; /* began while another waited for its reply, or in a session that had served */
	uint64_t dot_end; /* count of bytes written, up to and with the final dot */
	bool line_start;  /* the next byte of the body begins a line */
	struct spool_reader *reader;
	bool reading; /* a piece was asked for */
	bool pumping; /* inside body_pump: what a piece brings is handled there */
};

struct awaited {
	enum expected what;
	unsigned slot;
	size_t recipient;
};

/* What the EHLO reply offers. */
struct features {
	bool pipelining, eightbit, size, starttls;
	uint64_t size_max;
	struct strbuf mechanisms; /* of AUTH, blanks between them */
};

struct client {
	struct client_options options; /* but not its hostname: that may change meanwhile */
	char *hostname;
	const struct client_events *events;
	void *ctx;
	struct conn *conn;
	struct timer *later; /* gives back a job that could not be sent at all */
	struct client_job *refused;
	enum client_state state;
	bool greeted;
	unsigned served; /* transactions that ended here */

	/* Where to. The password is in a vault, and gone once the session is READY. */
	struct netaddr remote, local;
	char *name; /* NULL: none */
	char *label; /* "NAME[ADDRESS]:PORT", for the log */
	enum route_tls tls;
	struct tls_trust *trust;
	char *login, *password;
	bool clear_login;
	uint64_t route_id;
	bool may_fall_back; /* no TLS: once more in the clear */

	struct features features;
	struct client_facts facts;
	bool stale_rset; /* a refused transaction is still open there */

	struct sasl_client *sasl;
	int mechanism;    /* of sasl; -1: none */
	bool sasl_begins; /* its first line is still to be sent, when the server has spoken */
	unsigned mechanisms_refused; /* bits */
	char *cancelled;            /* why "*" was said; NULL: it was not */

	struct slot slots[CLIENT_SLOTS];
	struct awaited *awaited;
	size_t awaited_head, awaited_count, awaited_room;
	uint64_t written;

	struct reply_reader reader;
	struct reply reply;
	size_t unread; /* bytes that are here behind this reply */

	enum client_stage failure_stage;
	bool failure_is_reply; /* the text is the peer's own */
	char failure_status[REPLY_STATUS_MAX];
	char *failure_text;
};

/* ---- client.c ---- */

/* The session is over; or, where TLS failed and may, it begins again in the clear. `dropped`: the
 * peer closed it, as it may between transactions. */
void client_end(struct client *client, bool dropped, const char *status, const char *text);

/* The same, where it is the next reply that will not come. */
void client_lost(struct client *client, bool dropped, const char *status, const char *text);

/* The same, with the reply that is there; `status` unless that has one for "not now". */
void client_refused(struct client *client, enum client_stage stage, const char *status);

/* There is nothing left between us and the first transaction. */
void client_become_ready(struct client *client);

void client_await_greeting(struct client *client);

/* QUIT, and what is still to be said goes out by itself. */
void client_leave(struct client *client);

/* 0, or -1 and `why`. */
int client_connect(struct client *client, struct error *why);

void client_tell_ready(struct client *client);

/* ---- client_dialogue.c ---- */

void client_write(struct client *client, const void *bytes, size_t len);
void client_await(struct client *client, enum expected what, unsigned slot, size_t recipient);
void client_say(struct client *client, const char *line, enum expected what); /* without CRLF */
bool client_awaits(const struct client *client);

/* How many of the bytes written the kernel has taken. */
uint64_t client_sent(const struct client *client);

/* Set the deadline for what is awaited now. */
void client_wait(struct client *client);

/* Which stage the oldest command without a reply belongs to. */
enum client_stage client_awaited_stage(const struct client *client);

/* All of the dialogue so far is forgotten. */
void client_forget(struct client *client);

size_t client_data(void *ctx, const char *bytes, size_t len);

/* ---- client_hello.c ---- */

void hello_begin(struct client *client); /* say EHLO */
void hello_reply(struct client *client, enum expected what);
void features_forget(struct features *features);

/* ---- client_tls.c ---- */

/* Begin the handshake. The session may be over then. */
void client_secure(struct client *client);
void client_secured(void *ctx);

/* The same address once more, without TLS. */
void client_fall_back(struct client *client, const char *reason);

/* ---- client_login.c ---- */

void login_begin(struct client *client); /* or client_become_ready, if there is no login */
void login_reply(struct client *client);
void login_forget(struct client *client); /* wipes */

/* ---- client_transaction.c ---- */

struct slot *client_sending(struct client *client); /* whose commands or body are being written */
unsigned slot_index(const struct client *client, const struct slot *slot);
void slot_release(struct slot *slot);

void transaction_begin(struct client *client, struct slot *slot, struct client_job *job);
void transaction_reply(struct client *client, const struct awaited *awaited);

/* ---- client_body.c ---- */

void body_begin(struct client *client, struct slot *slot);
void body_pump(struct client *client, struct slot *slot);

#endif
