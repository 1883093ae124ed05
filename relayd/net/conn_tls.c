/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A connection that goes over to TLS. While the handshake is under way (`securing`) nothing is
 * offered and nothing written; afterwards conn_input.c and conn_output.c go through the session.
 */
#include "relayd/net/conn.h"

#include <errno.h>

#include "relayd/net/conn_private.h"

static const char doing_handshake[] = "can't set up TLS with";

int
conn_start_tls(struct conn *conn, const struct conn_tls_start *start, struct error *why)
{
	if (!conn_is_live(conn) || conn->connecting || conn->failed || conn->eof)
		return error_set(why, ERROR_REFUSED, "TLS: there is no connection");
	if (conn->tls != NULL)
		return error_set(why, ERROR_REFUSED, "TLS is spoken already");
	if (conn->out.len > 0)
		return error_set(why, ERROR_REFUSED, "TLS: what was written is still pending");
	if (!conn->offering && conn->in.len > 0)
		return error_set(why, ERROR_REFUSED,
				 "TLS: bytes came in the clear behind the last reply");
	conn->tls = tls_session_connect(start->trust, conn->fd, start->name, start->verify,
					start->session_key, why);
	if (conn->tls == NULL)
		return -1;
	conn->securing = true;
	conn_defer(conn);
	return 0;
}

void
conn_refuse_injection(struct conn *conn)
{
	conn_fail_because(conn, doing_handshake, "bytes came in the clear behind the last reply");
	conn_defer(conn);
}

void
conn_shake_hands(struct conn *conn)
{
	const char *sentence;

	if (conn->failed || !conn_is_live(conn))
		return;
	switch (tls_session_shake_hands(conn->tls)) {
	case TLS_SESSION_WAITS:
		break;
	case TLS_SESSION_STANDS:
		conn->securing = false;
		/* What was written meanwhile, and what came with the last flight. */
		conn_defer(conn);
		if (conn->events.secured != NULL)
			conn->events.secured(conn->ctx);
		break;
	case TLS_SESSION_FAILED:
		sentence = tls_session_complaint(conn->tls);
		if (sentence != NULL)
			conn_fail_because(conn, doing_handshake, sentence);
		else
			conn_fail(conn, errno, doing_handshake);
		break;
	}
}

bool
conn_has_more(const struct conn *conn)
{
	return conn->tls != NULL && !conn->securing && !conn->finishing && !conn->eof &&
	       tls_session_has_more(conn->tls);
}

int
conn_say_goodbye(struct conn *conn)
{
	return conn->tls != NULL ? tls_session_close(conn->tls) : 0;
}

const struct tls_facts *
conn_tls(const struct conn *conn)
{
	return conn->tls != NULL && !conn->securing ? tls_session_facts(conn->tls) : NULL;
}

bool
conn_tls_failed(const struct conn *conn)
{
	return conn->securing && (conn->failed || conn->eof);
}
