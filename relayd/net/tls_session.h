/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One TLS session over a non-blocking descriptor, for conn. It does no waiting and calls nobody:
 * each call does what can be done now.
 */
#ifndef RELAYD_NET_TLS_SESSION_H
#define RELAYD_NET_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "relayd/net/tls.h"

struct tls_session;

/* As the client, over `fd`, which stays the caller's. See struct conn_tls_start. NULL and `why`
 * where that can't be asked for (verify without a name). */
struct tls_session *tls_session_connect(struct tls_trust *trust, int fd, const char *name,
    bool verify, const char *session_key, struct error *why);
void tls_session_free(struct tls_session *session); /* writes nothing; NULL is allowed */

enum tls_session_step {
	TLS_SESSION_WAITS,  /* for the peer, or to write: tls_session_wants_write */
	TLS_SESSION_STANDS,
	TLS_SESSION_FAILED  /* tls_session_complaint, or errno where that is NULL */
};
enum tls_session_step tls_session_shake_hands(struct tls_session *session);

/* As recv(2): 0 is the peer's close_notify. -1 and EAGAIN: nothing now; any other errno: over, and
 * tls_session_complaint says why unless errno alone does. Fills `bytes` if so much is there, but
 * takes a bounded amount from the descriptor in one call. */
ssize_t tls_session_read(struct tls_session *session, char *bytes, size_t len);

/* Bytes are here that no readiness of the descriptor will tell of: read again. What is read then
 * does not touch the descriptor. */
bool tls_session_has_more(const struct tls_session *session);

/* As send(2). After EAGAIN or a part the same bytes come first in the next call. */
ssize_t tls_session_write(struct tls_session *session, const char *bytes, size_t len);

/* Send close_notify, once. 0: it is out or can't be sent any more; -1: later, when the descriptor
 * is writable. */
int tls_session_close(struct tls_session *session);

/* The handshake or a read waits until the descriptor is writable. */
bool tls_session_wants_write(const struct tls_session *session);

/* NULL: nothing went wrong, or errno says it all. */
const char *tls_session_complaint(const struct tls_session *session);

/* After TLS_SESSION_STANDS. */
const struct tls_facts *tls_session_facts(const struct tls_session *session);

#endif
