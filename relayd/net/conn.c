/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The life of a connection: what its descriptor and its deadline wake, in which order the end of a
 * round does what was put off, how it ends. Its bytes are the business of conn_input.c and
 * conn_output.c, which send them in the clear or through tls_session.
 */
#include "relayd/net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "relayd/net/conn_private.h"
#include "relayd/net/socket.h"

enum {
	MAX_INPUT = 64 * 1024,
	LOW_WATER = 16 * 1024,
	FAREWELL_MS = 1000 /* after the last byte: how long the peer may take to close */
};

static void conn_settle(void *ctx);

void
conn_defer(struct conn *conn)
{
	if (conn->queued)
		return;
	conn->queued = true;
	loop_defer(conn->loop, conn_settle, conn);
}

bool
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

/* An end that was seen must not be listened for again: readiness is level-triggered and would
 * spin. So would input that TLS can't take before it has written. */
void
conn_arm(struct conn *conn)
{
	bool alive = !conn->freed && !conn->failed;
	bool room = conn->finishing || (!conn->closed && conn->in.len < conn->max_input);
	bool read = alive && !conn->connecting && !conn->eof && room;
	bool write = alive && (conn->connecting || conn->blocked);

	if (conn->tls != NULL && !conn->finishing && tls_session_wants_write(conn->tls)) {
		read = false;
		write = alive;
	}
	event_arm(&conn->readable, &conn->reading, read);
	event_arm(&conn->writable, &conn->writing, write);
	if (read && conn_has_more(conn))
		conn_defer(conn);
}

/* ---- what goes wrong ---- */

static struct error *
conn_note_failure(struct conn *conn)
{
	if (conn->failed)
		return NULL;
	conn->failed = true;
	conn->why = xcalloc(1, sizeof(*conn->why));
	/* What is pending stays until conn_free: how much was never sent is asked after the end. */
	conn->blocked = false;
	return conn->why;
}

void
conn_fail(struct conn *conn, int sys, const char *doing)
{
	char text[NETADDR_TEXT_MAX];
	struct error *why = conn_note_failure(conn);

	if (why == NULL)
		return;
	errno = sys;
	if (conn->remote.family == AF_UNSPEC)
		error_sys(why, ERROR_REFUSED, "%s", doing);
	else
		error_sys(why, ERROR_REFUSED, "%s %s", doing,
			  netaddr_text_port(&conn->remote, text));
}

void
conn_fail_because(struct conn *conn, const char *doing, const char *sentence)
{
	char text[NETADDR_TEXT_MAX];
	struct error *why = conn_note_failure(conn);

	if (why == NULL)
		return;
	if (conn->remote.family == AF_UNSPEC)
		error_set(why, ERROR_REFUSED, "%s: %s", doing, sentence);
	else
		error_set(why, ERROR_REFUSED, "%s %s: %s", doing,
			  netaddr_text_port(&conn->remote, text), sentence);
}

void
conn_lose(struct conn *conn, int sys)
{
	const char *sentence = conn->tls != NULL ? tls_session_complaint(conn->tls) : NULL;

	if (sentence != NULL)
		conn_fail_because(conn, "lost the connection with", sentence);
	else
		conn_fail(conn, sys, "lost the connection with");
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

/* ---- the end of a round ---- */

/* Finishing: write, shut, wait for the peer's end, go. */
static void
conn_settle_farewell(struct conn *conn)
{
	int64_t left;

	conn_flush(conn);
	if (!conn->failed && conn->out.len == 0 && !conn->shut && conn_say_goodbye(conn) < 0) {
		conn->blocked = true;
		conn_arm(conn);
		return;
	}
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

/* What was put off so that no callback ran inside the call that caused it. */
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
	if (conn->securing) {
		conn_shake_hands(conn);
	} else {
		conn_offer_again(conn);
		if (conn_is_live(conn) && !conn->failed && conn_has_more(conn))
			conn_read(conn);
	}
	if (conn->freed || conn->finishing)
		return; /* conn_finish has deferred the rest */
	conn_flush(conn);
	if (conn->write_failed)
		conn_read_last_words(conn);
	if (conn_is_live(conn) && !conn->securing)
		conn_report_drained(conn);
	conn_report_end(conn);
	if (!conn->freed)
		conn_arm(conn);
}

/* ---- what wakes us ---- */

static void
conn_on_farewell(struct conn *conn)
{
	ssize_t n = socket_receive(conn->fd, loop_scratch(conn->loop), LOOP_SCRATCH_BYTES);

	if (n > 0 || (n < 0 && socket_is_again(errno)))
		return;
	if (n == 0 && conn->out.len > 0) {
		conn->eof = true; /* it may still read what is pending */
		conn_arm(conn);
		return;
	}
	conn_free(conn);
}

static void
conn_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->finishing) {
		conn_on_farewell(conn);
		return;
	}
	if (conn->securing)
		conn_shake_hands(conn);
	else if (!conn_read(conn) && conn->tls != NULL)
		/* Session tickets, as a rule: many a server (Postfix) can't send the reply behind
		 * them before they are acknowledged, by default up to 40 ms later. */
		socket_ack_now(conn->fd);
	conn_report_end(conn);
	if (!conn->freed)
		conn_arm(conn);
}

static void
conn_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->connecting)
		conn_on_connected(conn);
	else if (conn->tls != NULL && !conn->securing && conn_is_live(conn) &&
		 tls_session_wants_write(conn->tls))
		conn_read(conn);
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

/* ---- birth and death ---- */

struct conn *
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

static void
conn_release(void *ctx)
{
	struct conn *conn = ctx;

	strbuf_clear(&conn->in);
	tls_session_free(conn->tls);
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

static void
conn_on_orphaned(void *ctx)
{
	conn_free(ctx);
}

void
conn_finish(struct conn *conn, int64_t linger_ms)
{
	if (conn->freed || conn->finishing)
		return;
	if (conn->connecting || conn->securing || conn->failed) {
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
