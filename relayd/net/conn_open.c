/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a connection comes from: accepted by somebody, or made here. */
#include "relayd/net/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "relayd/net/conn_private.h"
#include "relayd/net/socket.h"

struct conn *
conn_new(struct loop *loop, int fd, const struct conn_options *options,
	 const struct conn_events *events, void *ctx)
{
	struct conn *conn = conn_make(loop, fd, options, events, ctx);

	socket_local(fd, &conn->local);
	if (conn->local.family != AF_UNSPEC) {
		socket_no_delay(fd);
		socket_remote(fd, &conn->remote);
	}
	conn_arm(conn);
	return conn;
}

struct conn *
conn_connect(struct loop *loop, const struct netaddr *remote, const struct netaddr *local,
	     const struct conn_options *options, const struct conn_events *events, void *ctx,
	     struct error *why)
{
	char text[NETADDR_TEXT_MAX], local_text[NETADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(remote, &ss);
	struct conn *conn;
	int fd;

	if (local != NULL && local->family != remote->family) {
		errno = EAFNOSUPPORT;
		error_sys(why, ERROR_REFUSED, "can't connect to %s from %s",
			  netaddr_text_port(remote, text), netaddr_text(local, local_text));
		return NULL;
	}
	fd = socket(remote->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		error_sys(why, ERROR_REFUSED, "can't make a socket");
		return NULL;
	}
	if (local != NULL && socket_bind(fd, local, why) < 0)
		goto fail;
	socket_no_delay(fd);
	if (connect(fd, (const struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS &&
	    errno != EINTR) {
		error_sys(why, ERROR_REFUSED, "can't connect to %s",
			  netaddr_text_port(remote, text));
		goto fail;
	}
	conn = conn_make(loop, fd, options, events, ctx);
	conn->remote = *remote;
	conn->connecting = true;
	conn_arm(conn);
	return conn;
fail:
	if (close(fd) < 0)
		fatal("conn: can't close a socket");
	return NULL;
}

void
conn_on_connected(struct conn *conn)
{
	int sys = 0;
	socklen_t len = sizeof(sys);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
		sys = errno;
	conn->connecting = false;
	if (sys != 0) {
		conn_fail(conn, sys, "can't connect to");
		return;
	}
	socket_local(conn->fd, &conn->local);
	conn_defer(conn);
	if (conn->events.connected != NULL)
		conn->events.connected(conn->ctx);
}

const struct netaddr *
conn_remote(const struct conn *conn)
{
	return &conn->remote;
}

const struct netaddr *
conn_local(const struct conn *conn)
{
	return &conn->local;
}

int
conn_fd(const struct conn *conn)
{
	return conn->fd;
}
