/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a connection receives: one read(2) a burst into the loop's scratch buffer, offered from
 * there, so that only what `data` leaves over is copied. With TLS the bytes are deciphered into
 * that same place.
 */
#include "relayd/net/conn.h"

#include <errno.h>

#include "common/log.h"
#include "relayd/net/conn_private.h"
#include "relayd/net/socket.h"

enum {
	READ_CHUNK = 16 * 1024 /* room made for each read behind input that was left over */
};

/* The bytes of the peer: > 0, 0 for its orderly end, -1 and errno. */
static ssize_t
conn_receive(struct conn *conn, char *bytes, size_t len)
{
	if (conn->tls != NULL)
		return tls_session_read(conn->tls, bytes, len);
	return socket_receive(conn->fd, bytes, len);
}

static void
conn_keep_small(struct conn *conn)
{
	if (conn->in.len == 0 && conn->in.room > CONN_KEEP_BYTES)
		strbuf_clear(&conn->in);
}

/* Offer `len` bytes at `bytes`; returns how many were taken. The conn may be freed or finishing
 * afterwards. */
static size_t
conn_offer(struct conn *conn, const char *bytes, size_t len)
{
	size_t taken;

	conn->offering = true;
	taken = conn->events.data(conn->ctx, bytes, len);
	conn->offering = false;
	if (taken > len)
		fatal("conn: %zu of %zu bytes were consumed", taken, len);
	if (taken < len && conn->securing && conn_is_live(conn)) {
		conn_refuse_injection(conn);
		return len;
	}
	return taken;
}

static void
conn_offer_kept(struct conn *conn)
{
	size_t taken;

	if (conn->paused || conn->in.len == 0)
		return;
	conn->offer = false;
	taken = conn_offer(conn, conn->in.data, conn->in.len);
	if (!conn_is_live(conn))
		return;
	strbuf_consume(&conn->in, taken);
	conn_keep_small(conn);
}

static void
conn_offer_fresh(struct conn *conn, const char *bytes, size_t len)
{
	size_t taken;

	conn->lent = len;
	taken = conn_offer(conn, bytes, len);
	conn->lent = 0;
	if (conn_is_live(conn) && taken < len)
		strbuf_append(&conn->in, bytes + taken, len - taken);
}

void
conn_offer_again(struct conn *conn)
{
	if (!conn->offer)
		return;
	conn->offer = false;
	if (conn_is_live(conn))
		conn_offer_kept(conn);
}

bool
conn_read(struct conn *conn)
{
	size_t room = conn->max_input - conn->in.len;
	bool fresh = conn->in.len == 0 && !conn->paused;
	char *bytes;
	ssize_t n;

	if (room == 0)
		return false; /* a read of no bytes would look like the peer's end */
	if (fresh) {
		bytes = loop_scratch(conn->loop);
		room = room < LOOP_SCRATCH_BYTES ? room : LOOP_SCRATCH_BYTES;
	} else {
		room = room < READ_CHUNK ? room : READ_CHUNK;
		bytes = strbuf_reserve(&conn->in, room);
	}
	n = conn_receive(conn, bytes, room);
	if (n <= 0)
		conn_keep_small(conn);
	if (n < 0) {
		if (!socket_is_again(errno))
			conn_lose(conn, errno);
		return false;
	}
	if (n == 0) {
		conn->eof = true;
		return false;
	}
	if (fresh) {
		conn_offer_fresh(conn, bytes, (size_t)n);
	} else {
		strbuf_grew(&conn->in, (size_t)n);
		conn_offer_kept(conn);
	}
	return true;
}

/* The peer may have told why it closes (421) before its reset made our write fail. */
void
conn_read_last_words(struct conn *conn)
{
	bool more;

	conn->write_failed = false;
	if (conn->eof)
		return;
	do
		more = conn_has_more(conn);
	while (conn_is_live(conn) && !conn->securing && conn->in.len < conn->max_input &&
	       (conn_read(conn) || more));
}

void
conn_pause(struct conn *conn)
{
	conn->paused = true;
}

void
conn_resume(struct conn *conn)
{
	if (!conn->paused)
		return;
	conn->paused = false;
	conn->offer = true;
	conn_defer(conn);
}

bool
conn_is_paused(const struct conn *conn)
{
	return conn->paused;
}

size_t
conn_input_pending(const struct conn *conn)
{
	return conn->in.len + conn->lent;
}
