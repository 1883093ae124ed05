/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a connection sends: gathered until the end of the round, one send(2) a burst, and what the
 * kernel did not take kept until it does.
 */
#include "relayd/net/conn.h"

#include <errno.h>

#include "relayd/net/conn_private.h"
#include "relayd/net/socket.h"

enum {
	WRITE_AT_ONCE = 64 * 1024 /* so much pending is not kept until the end of the round */
};

/* How many bytes were taken, or -1 and errno. */
static ssize_t
conn_transmit(struct conn *conn, const char *bytes, size_t len)
{
	if (conn->tls != NULL)
		return tls_session_write(conn->tls, bytes, len);
	return socket_send(conn->fd, bytes, len);
}

void
conn_flush(struct conn *conn)
{
	ssize_t n;

	if (conn->connecting || conn->securing || conn->failed || conn->blocked ||
	    conn->out.len == 0)
		return;
	n = conn_transmit(conn, conn->out.data, conn->out.len);
	if (n < 0 && !socket_is_again(errno)) {
		conn->write_failed = true;
		conn_lose(conn, errno);
		return;
	}
	if (n > 0)
		strbuf_consume(&conn->out, (size_t)n);
	/* A part alone means that the socket's buffer is full: asking again would be in vain. */
	conn->blocked = conn->out.len > 0;
	if (conn->out.len == 0 && conn->out.room > CONN_KEEP_BYTES)
		strbuf_clear(&conn->out);
}

void
conn_report_drained(struct conn *conn)
{
	if (!conn->written || conn->failed || conn->connecting || conn->out.len > conn->low_water)
		return;
	conn->written = false;
	if (conn->events.drained != NULL)
		conn->events.drained(conn->ctx);
}

void
conn_write(struct conn *conn, const void *bytes, size_t len)
{
	if (conn->freed || conn->finishing || conn->failed || len == 0)
		return;
	strbuf_append(&conn->out, bytes, len);
	conn->written = true;
	if (conn->out.len >= WRITE_AT_ONCE)
		conn_flush(conn);
	conn_defer(conn);
}

size_t
conn_pending(const struct conn *conn)
{
	return conn->out.len;
}
