/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of a connection share: conn.c (its life), conn_open.c (where it comes from),
 * conn_input.c, conn_output.c and conn_tls.c. Nobody else includes this.
 */
#ifndef RELAYD_NET_CONN_PRIVATE_H
#define RELAYD_NET_CONN_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/strbuf.h"
#include "relayd/net/conn.h"
#include "relayd/net/tls_session.h"

enum {
	CONN_KEEP_BYTES = 4 * 1024 /* an empty buffer larger than this is given back */
};

/*
 * Its life: connecting -> (securing) -> open -> (eof or failed) -> closed, or from any of them
 * finishing, and freed at last. The flags, because several hold at once (eof and connection still
 * written to):
 */
struct conn {
	struct loop *loop;
	struct conn_events events;
	void *ctx;
	size_t max_input;
	size_t low_water;
	int fd;
	struct netaddr remote;
	struct netaddr local;
	struct event readable;
	struct event writable;
	struct timer *deadline;
	struct strbuf in;
	struct strbuf out;
	struct tls_session *tls; /* NULL: in the clear */
	size_t lent;             /* bytes of the loop's scratch buffer that `data` is looking at */
	struct error *why;       /* what went wrong; NULL: nothing */
	struct loop_orphan orphan;
	int64_t finish_by_ms;
	bool connecting;
	bool securing;     /* the TLS handshake is under way; stays if that failed */
	bool eof;          /* the peer has sent all; it may still read */
	bool failed;       /* no more bytes either way */
	bool write_failed; /* unread input of before the failure may still be in the kernel */
	bool closed;       /* `closed` was called: no callback any more */
	bool finishing;    /* conn_finish was called: nobody owns us */
	bool shut;         /* finishing, all is written, our side is shut */
	bool freed;        /* memory alone is left, until the deferred items before ours have run */
	bool paused;
	bool offering; /* `data` is being called */
	bool offer;    /* resumed: what is there is to be offered again */
	bool written;  /* conn_write was called since `drained` was */
	bool blocked;  /* the kernel takes no more for now */
	bool queued;   /* the end of the round is waited for */
	bool reading;  /* the events that are armed */
	bool writing;
};

/* ---- conn.c ---- */

struct conn *conn_make(struct loop *loop, int fd, const struct conn_options *options,
    const struct conn_events *events, void *ctx);

/* Nothing is called inside the call that causes it: the rest is done at the end of the round. */
void conn_defer(struct conn *conn);

/* Callbacks may still be made. */
bool conn_is_live(const struct conn *conn);

/* Listen to what the state asks for. */
void conn_arm(struct conn *conn);

/* Nothing goes on after the first failure, which is the one that is reported: with the errno
 * behind it; or, TLS, with a sentence of its own. */
void conn_fail(struct conn *conn, int sys, const char *doing);
void conn_fail_because(struct conn *conn, const char *doing, const char *sentence);

/* The same, after a read or a write failed with `sys`. */
void conn_lose(struct conn *conn, int sys);

/* ---- conn_open.c ---- */

void conn_on_connected(struct conn *conn);

/* ---- conn_input.c ---- */

/* Read once and offer it. Returns whether bytes came; the end and failures are noted. */
bool conn_read(struct conn *conn);
void conn_offer_again(struct conn *conn); /* after conn_resume */
void conn_read_last_words(struct conn *conn);

/* ---- conn_output.c ---- */

void conn_flush(struct conn *conn);
void conn_report_drained(struct conn *conn);

/* ---- conn_tls.c ---- */

/* Go on with the handshake. */
void conn_shake_hands(struct conn *conn);
/* `data` called conn_start_tls and left bytes that came in the clear. */
void conn_refuse_injection(struct conn *conn);
/* Input that TLS has already taken from the kernel, which therefore won't wake us for it. */
bool conn_has_more(const struct conn *conn);
/* Say that no more comes: 0, or -1: later. */
int conn_say_goodbye(struct conn *conn);

#endif
