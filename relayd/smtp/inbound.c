/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A session is live until its server has finished or its peer has gone; then it is retired: it
 * counts no more, and the next round frees it. So a server is never freed while it is at work
 * further up the stack.
 *
 * Input stops for two reasons, each by itself: the server holds it (a commit, a slow disk), or the
 * peer does not read its replies.
 */
#include "relayd/smtp/inbound.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/conn.h"
#include "relayd/smtp/answers.h"
#include "relayd/smtp/clients.h"

enum {
	OUTPUT_MAX =
	    64 * 1024, /* replies that the peer has not read: no more commands are looked at */
	LINGER_MS = 10 * 1000,   /* for a peer to take the last reply */
	REFUSED_LINGER_MS = 1000 /* the same, for one that was never let in */
};

struct session {
	struct session *next;
	struct session *previous;
	struct inbound *inbound;
	struct conn *conn; /* NULL once it was given up */
	struct server *server;
	struct netaddr remote;
	bool is_held;      /* by the server */
	bool is_choked;    /* by its own unread replies */
	bool is_half_shut; /* the peer sends no more, but what it sent is still at work */
};

struct inbound {
	struct loop *loop;
	const struct server_shared *shared;
	struct inbound_limits limits;
	struct session *live;
	struct session *retired;
	struct timer *reaper;
	struct clients *clients;
	size_t count; /* of live ones */
	bool is_stopping;
	void (*done)(void *ctx); /* NULL: not asked for, or called */
	void *done_ctx;
};

/* ---- the end of a session ---- */

static void
free_session(struct session *session)
{
	if (session->conn != NULL)
		conn_free(session->conn);
	server_free(session->server);
	free(session);
}

static void
reap(void *ctx)
{
	struct inbound *inbound = ctx;
	void (*done)(void *ctx) = inbound->done;
	struct session *session;

	while ((session = inbound->retired) != NULL) {
		inbound->retired = session->next;
		free_session(session);
	}
	if (done != NULL && inbound->count == 0) {
		inbound->done = NULL;
		done(inbound->done_ctx);
	}
}

static void
retire(struct session *session)
{
	struct inbound *inbound = session->inbound;

	if (session->previous != NULL)
		session->previous->next = session->next;
	else
		inbound->live = session->next;
	if (session->next != NULL)
		session->next->previous = session->previous;
	session->next = inbound->retired;
	inbound->retired = session;
	inbound->count--;
	clients_remove(inbound->clients, &session->remote);
	timer_set(inbound->reaper, 0);
}

static void
log_connection(const struct inbound *inbound, const char *event, const struct netaddr *remote,
	       const char *why)
{
	char client[NETADDR_TEXT_MAX];

	if (!log_wants(inbound->shared->log, LOG_LEVEL_DEBUG))
		return;
	log_event(inbound->shared->log, LOG_LEVEL_DEBUG, 0, event,
		  LOG_S("client", netaddr_text_port(remote, client)), LOG_S("why", why));
}

/* What was said still goes out. */
static void
finish(struct session *session)
{
	log_connection(session->inbound, "disconnect", &session->remote, NULL);
	conn_finish(session->conn, LINGER_MS);
	session->conn = NULL;
	retire(session);
}

/* ---- what the server wants ---- */

static void
io_send(void *ctx, const char *bytes, size_t len)
{
	struct session *session = ctx;

	if (session->conn != NULL)
		conn_write(session->conn, bytes, len);
}

static void
io_pause(void *ctx)
{
	struct session *session = ctx;

	session->is_held = true;
	if (session->conn != NULL)
		conn_pause(session->conn);
}

static void
io_resume(void *ctx)
{
	struct session *session = ctx;

	session->is_held = false;
	if (session->conn == NULL)
		return;
	if (session->is_half_shut)
		finish(session);
	else if (!session->is_choked)
		conn_resume(session->conn);
}

static void
io_set_deadline(void *ctx, int64_t after_ms)
{
	struct session *session = ctx;

	if (session->conn != NULL)
		conn_set_deadline(session->conn, after_ms);
}

static void
io_finish(void *ctx)
{
	struct session *session = ctx;

	if (session->conn != NULL)
		finish(session);
}

static const struct server_io server_io = {
    .send = io_send,
    .pause = io_pause,
    .resume = io_resume,
    .set_deadline = io_set_deadline,
    .finish = io_finish,
};

/* ---- what the connection brings ---- */

static size_t
on_data(void *ctx, const char *data, size_t len)
{
	struct session *session = ctx;
	size_t used = 0, taken;

	while (used < len && session->conn != NULL && !session->is_held) {
		if (conn_pending(session->conn) > OUTPUT_MAX) {
			session->is_choked = true;
			conn_pause(session->conn);
			break;
		}
		taken = server_feed(session->server, data + used, len - used);
		if (taken == 0)
			break;
		used += taken;
	}
	return used;
}

static void
on_drained(void *ctx)
{
	struct session *session = ctx;

	if (!session->is_choked)
		return;
	session->is_choked = false;
	if (!session->is_held)
		conn_resume(session->conn);
}

static void
on_closed(void *ctx, const struct error *why)
{
	struct session *session = ctx;

	/* Half of a TCP connection may be shut: a peer that has sent all may still want to hear
	 * what became of the message that is being written. */
	if (why == NULL && session->is_held) {
		session->is_half_shut = true;
		return;
	}
	if (why == NULL) {
		finish(session);
		return;
	}
	log_connection(session->inbound, "disconnect", &session->remote, why->text);
	conn_free(session->conn);
	session->conn = NULL;
	retire(session);
}

static void
on_timed_out(void *ctx)
{
	struct session *session = ctx;

	server_timed_out(session->server);
}

static const struct conn_events conn_events = {
    .data = on_data,
    .drained = on_drained,
    .closed = on_closed,
    .timed_out = on_timed_out,
};

/* ---- the whole ---- */

struct inbound *
inbound_new(struct loop *loop, const struct server_shared *shared,
	    const struct inbound_limits *limits)
{
	struct inbound *inbound = xcalloc(1, sizeof(*inbound));

	inbound->loop = loop;
	inbound->shared = shared;
	inbound->limits = *limits;
	inbound->clients = clients_new();
	inbound->reaper = timer_new(loop, reap, inbound);
	return inbound;
}

void
inbound_configure(struct inbound *inbound, const struct inbound_limits *limits)
{
	inbound->limits = *limits;
}

/* Why this one may not come in; ANSWER_NONE: it may. */
static enum answer
judge(const struct inbound *inbound, const struct netaddr *remote)
{
	if (inbound->is_stopping)
		return ANSWER_STOPPING;
	if (inbound->count >= inbound->limits.connections)
		return ANSWER_TOO_MANY_CONNECTIONS;
	if (clients_count(inbound->clients, remote) >= inbound->limits.connections_per_client)
		return ANSWER_TOO_MANY_FROM_CLIENT;
	return ANSWER_NONE;
}

static void
turn_away(struct inbound *inbound, int fd, const struct netaddr *remote, enum answer refusal)
{
	struct conn *conn = conn_new(inbound->loop, fd, NULL, &conn_events, NULL);
	struct strbuf reply = STRBUF_INIT;
	char client[NETADDR_TEXT_MAX];

	answer_put(refusal, inbound->shared->hostname, &reply);
	conn_write(conn, reply.data, reply.len);
	strbuf_truncate(&reply, reply.len - 2);
	log_event(inbound->shared->log, LOG_LEVEL_INFO, 0, "refused", LOG_S("reply", reply.data),
		  LOG_S("client", netaddr_text(remote, client)));
	strbuf_clear(&reply);
	/* No callback comes after this: there is no session for one. */
	conn_finish(conn, REFUSED_LINGER_MS);
}

void
inbound_accept(struct inbound *inbound, int fd, const struct netaddr *remote)
{
	enum answer refusal = judge(inbound, remote);
	struct session *session;

	if (refusal != ANSWER_NONE) {
		turn_away(inbound, fd, remote, refusal);
		return;
	}
	session = xcalloc(1, sizeof(*session));
	session->inbound = inbound;
	session->remote = *remote;
	session->next = inbound->live;
	if (session->next != NULL)
		session->next->previous = session;
	inbound->live = session;
	inbound->count++;
	clients_add(inbound->clients, remote);
	log_connection(inbound, "connect", remote, NULL);
	session->conn = conn_new(inbound->loop, fd, NULL, &conn_events, session);
	session->server = server_new(inbound->shared, &server_io, session, remote);
}

size_t
inbound_count(const struct inbound *inbound)
{
	return inbound->count;
}

void
inbound_shut_down(struct inbound *inbound, void (*done)(void *ctx), void *ctx)
{
	struct session *next;

	inbound->is_stopping = true;
	inbound->done = done;
	inbound->done_ctx = ctx;
	for (struct session *session = inbound->live; session != NULL; session = next) {
		next = session->next;
		server_shut_down(session->server);
	}
	timer_set(inbound->reaper, 0);
}

void
inbound_free(struct inbound *inbound)
{
	struct session *session;

	while ((session = inbound->live) != NULL) {
		inbound->live = session->next;
		free_session(session);
	}
	while ((session = inbound->retired) != NULL) {
		inbound->retired = session->next;
		free_session(session);
	}
	timer_free(inbound->reaper);
	clients_free(inbound->clients);
	free(inbound);
}
