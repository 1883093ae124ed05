/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One read(2) and one send(2) a burst: input is read into the loop's scratch buffer and offered
 * from there, so that only what `data` leaves over is copied; output gathers until the end of the
 * round. All that touches the socket's bytes is in conn_receive and conn_transmit: a TLS layer
 * would sit between them and the descriptor.
 */
#include "relayd/net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/log.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

enum {
	MAX_INPUT = 64 * 1024,
	LOW_WATER = 16 * 1024,
	READ_CHUNK = 16 * 1024,    /* room made for each read behind input that was left over */
	WRITE_AT_ONCE = 64 * 1024, /* so much pending is not kept until the end of the round */
	KEEP_BYTES = 4 * 1024,     /* an empty buffer larger than this is given back */
	FAREWELL_MS = 1000         /* after the last byte: how long the peer may take to close */
};

/*
 * Its life: connecting -> open -> (eof or failed) -> closed, or from any of them finishing, and
 * freed at last. The flags, because several hold at once (eof and connection still written to):
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
	size_t lent;       /* bytes of the loop's scratch buffer that `data` is looking at */
	struct error *why; /* what went wrong; NULL: nothing */
	struct loop_orphan orphan;
	int64_t finish_by_ms;
	bool connecting;
	bool eof;          /* the peer has sent all; it may still read */
	bool failed;       /* no more bytes either way */
	bool write_failed; /* unread input of before the failure may still be in the kernel */
	bool closed;       /* `closed` was called: no callback any more */
	bool finishing;    /* conn_finish was called: nobody owns us */
	bool shut;         /* finishing, all is written, our side is shut */
	bool freed;        /* memory alone is left, until the deferred items before ours have run */
	bool paused;
	bool offer;   /* resumed: what is there is to be offered again */
	bool written; /* conn_write was called since `drained` was */
	bool blocked; /* the kernel takes no more for now */
	bool queued;  /* conn_settle is deferred */
	bool reading; /* the events that are armed */
	bool writing;
};

static void conn_settle(void *ctx);

/* The bytes of the peer: > 0, 0 for its orderly end, -1 and errno. */
static ssize_t
conn_receive(struct conn *conn, char *bytes, size_t len)
{
	ssize_t n;

	do
		n = recv(conn->fd, bytes, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

/* How many bytes were taken, or -1 and errno. */
static ssize_t
conn_transmit(struct conn *conn, const char *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(conn->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

static bool
is_again(int sys)
{
	return sys == EAGAIN || sys == EWOULDBLOCK;
}

static void
conn_defer(struct conn *conn)
{
	if (conn->queued)
		return;
	conn->queued = true;
	loop_defer(conn->loop, conn_settle, conn);
}

static bool
conn_is_live(const struct conn *conn)
{
	return !conn->freed && !conn->finishing && !conn->closed;
}

static void
event_arm(struct event *event, bool *armed, bool wanted)
{
	if (*armed == wanted)
		return;
	if ((wanted ? event_add(event, NULL) : event_del(event)) < 0)
		fatal("conn: libevent refuses a descriptor");
	*armed = wanted;
}

/* Listen to what the state asks for. An end that was seen must not be listened for again: readiness
 * is level-triggered and would spin. */
static void
conn_arm(struct conn *conn)
{
	bool alive = !conn->freed && !conn->failed;
	bool room = conn->finishing || (!conn->closed && conn->in.len < conn->max_input);

	event_arm(&conn->readable, &conn->reading,
		  alive && !conn->connecting && !conn->eof && room);
	event_arm(&conn->writable, &conn->writing, alive && (conn->connecting || conn->blocked));
}

static void
buffer_keep_small(struct strbuf *buf)
{
	if (buf->len == 0 && buf->room > KEEP_BYTES)
		strbuf_clear(buf);
}

static void
conn_fail(struct conn *conn, int sys, const char *doing)
{
	char text[NETADDR_TEXT_MAX];

	if (conn->failed)
		return;
	conn->failed = true;
	conn->why = xcalloc(1, sizeof(*conn->why));
	errno = sys;
	if (conn->remote.family == AF_UNSPEC)
		error_sys(conn->why, ERROR_REFUSED, "%s", doing);
	else
		error_sys(conn->why, ERROR_REFUSED, "%s %s", doing,
			  netaddr_text_port(&conn->remote, text));
	/* What is pending stays until conn_free: how much was never sent is asked after the end. */
	conn->blocked = false;
}

/* Offer `len` bytes at `bytes`; returns how many were taken. The conn may be freed or finishing
 * afterwards. */
static size_t
conn_offer(struct conn *conn, const char *bytes, size_t len)
{
	size_t taken = conn->events.data(conn->ctx, bytes, len);

	if (taken > len)
		fatal("conn: %zu of %zu bytes were consumed", taken, len);
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
	buffer_keep_small(&conn->in);
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

/* Read once. Returns whether bytes came; the end and failures are noted. */
static bool
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
		buffer_keep_small(&conn->in);
	if (n < 0) {
		if (!is_again(errno))
			conn_fail(conn, errno, "lost the connection with");
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

/* Report the end, once, when all input that came before it was offered. */
static void
conn_report_end(struct conn *conn)
{
	if (!conn_is_live(conn) || (!conn->eof && !conn->failed))
		return;
	if (conn->offer || (conn->paused && conn->in.len > 0))
		return;
	conn->closed = true;
	if (conn->deadline != NULL)
		timer_cancel(conn->deadline);
	conn_arm(conn);
	conn->events.closed(conn->ctx, conn->failed ? conn->why : NULL);
}

static void
conn_flush(struct conn *conn)
{
	ssize_t n;

	if (conn->connecting || conn->failed || conn->blocked || conn->out.len == 0)
		return;
	n = conn_transmit(conn, conn->out.data, conn->out.len);
	if (n < 0 && !is_again(errno)) {
		conn->write_failed = true;
		conn_fail(conn, errno, "lost the connection with");
		return;
	}
	if (n > 0)
		strbuf_consume(&conn->out, (size_t)n);
	/* A part alone means that the socket's buffer is full: asking again would be in vain. */
	conn->blocked = conn->out.len > 0;
	buffer_keep_small(&conn->out);
}

/* The peer may have told why it closes (421) before its reset made our write fail. */
static void
conn_read_last_words(struct conn *conn)
{
	conn->write_failed = false;
	if (conn->eof)
		return;
	while (conn_is_live(conn) && conn->in.len < conn->max_input && conn_read(conn))
		;
}

static void
conn_report_drained(struct conn *conn)
{
	if (!conn->written || conn->failed || conn->connecting || conn->out.len > conn->low_water)
		return;
	conn->written = false;
	if (conn->events.drained != NULL)
		conn->events.drained(conn->ctx);
}

/* Finishing: write, shut, wait for the peer's end, go. */
static void
conn_settle_farewell(struct conn *conn)
{
	int64_t left;

	conn_flush(conn);
	if (conn->failed || (conn->out.len == 0 && conn->eof)) {
		conn_free(conn);
		return;
	}
	if (conn->out.len == 0 && !conn->shut) {
		conn->shut = true;
		if (shutdown(conn->fd, SHUT_WR) < 0) {
			conn_free(conn);
			return;
		}
		left = conn->finish_by_ms - loop_now_ms(conn->loop);
		timer_set(conn->deadline, left < FAREWELL_MS ? left : FAREWELL_MS);
	}
	conn_arm(conn);
}

/* The end of a round: what was put off so that no callback ran inside the call that caused it. */
static void
conn_settle(void *ctx)
{
	struct conn *conn = ctx;

	conn->queued = false;
	if (conn->freed)
		return;
	if (conn->finishing) {
		conn_settle_farewell(conn);
		return;
	}
	if (conn->offer) {
		conn->offer = false;
		if (conn_is_live(conn))
			conn_offer_kept(conn);
	}
	if (conn->freed || conn->finishing)
		return; /* conn_finish has deferred the rest */
	conn_flush(conn);
	if (conn->write_failed)
		conn_read_last_words(conn);
	if (conn_is_live(conn))
		conn_report_drained(conn);
	conn_report_end(conn);
	if (!conn->freed)
		conn_arm(conn);
}

static void
conn_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	if (!conn->finishing) {
		conn_read(conn);
		conn_report_end(conn);
		if (!conn->freed)
			conn_arm(conn);
		return;
	}
	n = conn_receive(conn, loop_scratch(conn->loop), LOOP_SCRATCH_BYTES);
	if (n > 0 || (n < 0 && is_again(errno)))
		return;
	if (n == 0 && conn->out.len > 0) {
		conn->eof = true; /* it may still read what is pending */
		conn_arm(conn);
		return;
	}
	conn_free(conn);
}

static void
conn_find_local(struct conn *conn)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	if (getsockname(conn->fd, (struct sockaddr *)&ss, &len) == 0 &&
	    (ss.ss_family == AF_INET || ss.ss_family == AF_INET6))
		netaddr_from_sockaddr(&conn->local, (const struct sockaddr *)&ss);
}

static void
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
	conn_find_local(conn);
	conn_defer(conn);
	if (conn->events.connected != NULL)
		conn->events.connected(conn->ctx);
}

static void
conn_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->connecting)
		conn_on_connected(conn);
	conn->blocked = false;
	/* Not deferred: a socket that is writable stays so until it is written to or not listened
	 * to. */
	if (!conn->freed && !conn->queued)
		conn_settle(conn);
}

static void
conn_on_deadline(void *ctx)
{
	struct conn *conn = ctx;

	if (conn->finishing)
		conn_free(conn);
	else
		conn->events.timed_out(conn->ctx);
}

static void
conn_on_orphaned(void *ctx)
{
	conn_free(ctx);
}

static struct conn *
conn_make(struct loop *loop, int fd, const struct conn_options *options,
	  const struct conn_events *events, void *ctx)
{
	struct conn *conn = xcalloc(1, sizeof(*conn));

	conn->loop = loop;
	conn->fd = fd;
	conn->events = *events;
	conn->ctx = ctx;
	conn->max_input =
	    options != NULL && options->max_input > 0 ? options->max_input : MAX_INPUT;
	conn->low_water =
	    options != NULL && options->low_water > 0 ? options->low_water : LOW_WATER;
	conn->remote.family = AF_UNSPEC;
	conn->local.family = AF_UNSPEC;
	if (event_assign(&conn->readable, loop_base(loop), fd, EV_READ | EV_PERSIST,
			 conn_on_readable, conn) < 0 ||
	    event_assign(&conn->writable, loop_base(loop), fd, EV_WRITE | EV_PERSIST,
			 conn_on_writable, conn) < 0)
		fatal("conn: event_assign failed");
	return conn;
}

/* Output is gathered here; the kernel need not wait for more. */
static void
socket_no_delay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return; /* slower, not wrong; the connection may be gone already */
}

struct conn *
conn_new(struct loop *loop, int fd, const struct conn_options *options,
	 const struct conn_events *events, void *ctx)
{
	struct conn *conn = conn_make(loop, fd, options, events, ctx);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	conn_find_local(conn);
	if (conn->local.family != AF_UNSPEC) {
		socket_no_delay(fd);
		if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
			netaddr_from_sockaddr(&conn->remote, (const struct sockaddr *)&ss);
	}
	conn_arm(conn);
	return conn;
}

static int
socket_bind(int fd, const struct netaddr *local, struct error *why)
{
	char text[NETADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(local, &ss);

#ifdef IP_BIND_ADDRESS_NO_PORT
	/* The port is chosen when the remote address is known, so that one local address has all
	 * its ports for each next hop. Without it: fewer connections, none wrong. */
	int on = 1;

	if (local->port == 0 &&
	    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
		on = 0;
#endif
	if (bind(fd, (const struct sockaddr *)&ss, len) < 0)
		return error_sys(why, ERROR_REFUSED, "can't send from %s",
				 netaddr_text(local, text));
	return 0;
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

static void
conn_release(void *ctx)
{
	struct conn *conn = ctx;

	strbuf_clear(&conn->in);
	free(conn->why);
	free(conn);
}

/* The memory stays until the end of the round: the caller may be one of our own callbacks (`data`
 * still looks at the input), and conn_settle may be waiting its turn (before conn_release, since
 * items run in order). */
void
conn_free(struct conn *conn)
{
	if (conn == NULL || conn->freed)
		return;
	conn->freed = true;
	conn_arm(conn);
	/* Whatever close says, the descriptor is gone; what was not sent was given up on. */
	if (close(conn->fd) < 0 && errno == EBADF)
		fatal("conn: descriptor %d was closed by someone else", conn->fd);
	timer_free(conn->deadline);
	conn->deadline = NULL;
	loop_orphan_remove(&conn->orphan);
	strbuf_clear(&conn->out);
	loop_defer(conn->loop, conn_release, conn);
}

void
conn_finish(struct conn *conn, int64_t linger_ms)
{
	if (conn->freed || conn->finishing)
		return;
	if (conn->connecting || conn->failed) {
		conn_free(conn);
		return;
	}
	if (linger_ms < 0)
		linger_ms = 0;
	conn->finishing = true;
	conn->finish_by_ms = loop_now_ms(conn->loop) + linger_ms;
	conn->orphan.discard = conn_on_orphaned;
	conn->orphan.ctx = conn;
	loop_adopt(conn->loop, &conn->orphan);
	conn_set_deadline(conn, linger_ms);
	conn_defer(conn);
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

void
conn_set_deadline(struct conn *conn, int64_t after_ms)
{
	if (conn->freed || (conn->closed && !conn->finishing))
		return;
	if (conn->deadline == NULL) {
		if (after_ms < 0)
			return;
		conn->deadline = timer_new(conn->loop, conn_on_deadline, conn);
	}
	if (after_ms < 0)
		timer_cancel(conn->deadline);
	else
		timer_set(conn->deadline, after_ms);
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
