/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A buffered, non-blocking stream connection (TCP or UNIX). It knows bytes and time, no protocol.
 *
 * Input: bytes gather in one contiguous buffer; `data` sees all that is not yet consumed and
 * returns how many it took. It is called again when more has come, and after conn_resume. When the
 * buffer holds `max_input` bytes unconsumed, reading from the socket stops until some are taken:
 * a peer can't make it grow.
 * Output: conn_write copies, tries the socket at the end of the round, and keeps the rest.
 * `drained` is called when the output falls to low_water bytes or less after a conn_write.
 *
 * Freeing: conn_free may be called at any time, also inside its own callbacks; no callback comes
 * after it.
 */
#ifndef RELAYD_NET_CONN_H
#define RELAYD_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/netaddr.h"
#include "relayd/net/loop.h"
#include "relayd/net/tls.h"

struct conn;

struct conn_events {
	/* Outbound alone: the connection stands. May be NULL. */
	void (*connected)(void *ctx);
	/* `len` > 0 unconsumed bytes; returns how many of them are done with. They stay readable
	 * until it returns, even after conn_free. */
	size_t (*data)(void *ctx, const char *data, size_t len);
	/* See above. May be NULL. */
	void (*drained)(void *ctx);
	/* The end, called once: why == NULL: the peer closed in order (after all its data was
	 * offered to `data`); else what went wrong (ECONNREFUSED, ECONNRESET, EPIPE ... in why->sys).
	 * The owner calls conn_free then or later. After an orderly end the peer may still read:
	 * conn_write and conn_finish go on working. No other callback comes after this one.
	 * Under TLS the peer's close_notify is the orderly end; a close without it is a failure, since
	 * anybody on the way could have caused it. */
	void (*closed)(void *ctx, const struct error *why);
	/* The deadline of conn_set_deadline passed. The connection still stands. */
	void (*timed_out)(void *ctx);
	/* The handshake of conn_start_tls is done: what is written and offered from now on is
	 * encrypted. May be NULL. */
	void (*secured)(void *ctx);
};

struct conn_options {
	size_t max_input; /* 0: 64 KiB */
	size_t low_water; /* 0: 16 KiB */
};

/* Take over a connected descriptor (closed with the conn). Reading starts at once. */
struct conn *conn_new(struct loop *loop, int fd, const struct conn_options *options,
    const struct conn_events *events, void *ctx);

/*
 * Connect to `remote`; from `local` (port 0) unless NULL. NULL and `why` when that fails at once
 * (EADDRNOTAVAIL for a local address this host has not, EMFILE ...); else `connected` or `closed`
 * follows. The caller bounds the wait with conn_set_deadline.
 */
struct conn *conn_connect(struct loop *loop, const struct netaddr *remote, const struct netaddr *local,
    const struct conn_options *options, const struct conn_events *events, void *ctx, struct error *why);

void conn_free(struct conn *conn); /* closes; unsent output is dropped */

/* Write out what is pending, then close; `closed` is not called. The conn frees itself, at the
 * latest after `linger_ms`. Input is ignored from now on: it is read and dropped until the peer
 * closes too (a second after the last byte went out at most), because closing over unread input
 * resets the connection and the peer may lose the last reply. Not yet connected: dropped. */
void conn_finish(struct conn *conn, int64_t linger_ms);

void conn_write(struct conn *conn, const void *bytes, size_t len);
size_t conn_pending(const struct conn *conn); /* bytes not taken by the kernel; holds inside `closed` too */

/* `timed_out` is called in `after_ms` unless the deadline is moved or cleared (after_ms < 0). It is not
 * moved by traffic: protocols decide what counts as progress. */
void conn_set_deadline(struct conn *conn, int64_t after_ms);

/* Stop offering data; reading goes on up to max_input so that a close is seen. Resume offers what
 * is there again, in a later callback. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
bool conn_is_paused(const struct conn *conn);

/* Unconsumed input bytes that are here already: an early talker, pipelining past a synchronisation
 * point. Looks at the buffer only. */
size_t conn_input_pending(const struct conn *conn);

struct conn_tls_start {
	struct tls_trust *trust;
	const char *name; /* SNI (unless it is an address), and the name or address to verify */
	bool verify;      /* the handshake fails unless the certificate holds for `name` */
	/* Sessions are resumed among starts of equal key, name and verify; NULL: never. */
	const char *session_key;
};

/*
 * Speak TLS from here on, as the client: on a connection that stands (for TLS from the first byte, in
 * `connected`), once. Nothing is called before it returns. `secured` follows, or `closed` with a
 * sentence that tells what is wrong; what is written meanwhile waits for the handshake. The
 * strings are copied.
 *
 * -1 and `why` when unconsumed input is there (it came in the clear and could be somebody else's:
 * injection) or output is pending. Inside `data` the bytes it looks at are not counted yet: if it
 * then leaves some of them, the connection fails.
 */
int conn_start_tls(struct conn *conn, const struct conn_tls_start *start, struct error *why);

/* NULL while the connection is in the clear or the handshake is not done. Lives as long as the conn. */
const struct tls_facts *conn_tls(const struct conn *conn);

/* The connection ended between conn_start_tls and `secured`, in whatever way: no TLS came about. */
bool conn_tls_failed(const struct conn *conn);

const struct netaddr *conn_remote(const struct conn *conn);
const struct netaddr *conn_local(const struct conn *conn);
int conn_fd(const struct conn *conn); /* for peer credentials; stays the conn's */

#endif
