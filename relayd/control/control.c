/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/control.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/control/call.h"
#include "relayd/control/upload.h"
#include "relayd/control/verbs.h"
#include "relayd/net/conn.h"
#include "relayd/net/listener.h"

enum {
	CONSOLES_MOST = 256,
	PENDING_MOST = 1024 * 1024, /* bytes of answers not read: no further request until then */
	LINGER_MS = 10000
};

/*
 * A connected console. Its requests are worked off one after the other: the next one is looked at
 * when the last one is answered, so answers keep their order and a list shows the change before it.
 */
struct console {
	struct control *control;
	struct conn *conn; /* NULL: gone */
	struct console *next, *previous;
	uid_t uid;
	pid_t pid;
	char *user;           /* looked up for the first request that changes something */
	struct upload *upload; /* rows that it sends; NULL: none yet */
	struct call *waiting; /* a request whose answer is not there yet */
	size_t scanned;       /* bytes behind the last request that hold no newline */
	bool ended;           /* it will send no more, but may wait for an answer */
};

struct control {
	const struct control_services *services;
	struct listener *listener;
	struct console *consoles;
	size_t count;
};

/* Leave the list and free, with the answer it waits for. The conn has been dealt with. */
static void
console_free(struct console *console)
{
	struct control *control = console->control;

	if (console->waiting != NULL)
		call_detach(console->waiting);
	upload_free(console->upload);
	if (console->previous != NULL)
		console->previous->next = console->next;
	else
		control->consoles = console->next;
	if (console->next != NULL)
		console->next->previous = console->previous;
	control->count--;
	free(console->user);
	free(console);
}

/* Say what is still to be said, then close. */
static void
console_finish(struct console *console)
{
	conn_finish(console->conn, LINGER_MS);
	console_free(console);
}

/* Who it is, for the record of changes. The system's user database may be slow: it is asked once a
 * console, and never for one that only reads. */
static const char *
console_user(struct console *console)
{
	struct passwd entry, *found = NULL;
	char buffer[4096];

	if (console->user != NULL)
		return console->user;
	if (getpwuid_r(console->uid, &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL)
		console->user = xstrdup(found->pw_name);
	else
		console->user = xasprintf("uid %lu", (unsigned long)console->uid);
	return console->user;
}

/* Enough is unread, or an answer is due: no further request for now. */
static bool
console_is_busy(const struct console *console)
{
	return console->waiting != NULL || conn_pending(console->conn) > PENDING_MOST;
}

static void
console_answered(void *ctx, const struct strbuf *line)
{
	struct console *console = ctx;

	console->waiting = NULL;
	conn_write(console->conn, line->data, line->len);
	if (console->ended)
		console_finish(console);
	else if (conn_is_paused(console->conn) && !console_is_busy(console))
		conn_resume(console->conn);
}

/* What can't be understood is answered without an id. */
static void
console_complain(struct console *console, int rpc_code, const char *message)
{
	const struct control_services *services = console->control->services;
	struct strbuf line = STRBUF_INIT;

	log_event(services->log, LOG_LEVEL_NOTICE, 0, "control-refused",
		  LOG_U("uid", (uint64_t)console->uid), LOG_U("pid", (uint64_t)console->pid),
		  LOG_S("reason", message));
	protocol_write_rpc_error(&line, NULL, rpc_code, message);
	conn_write(console->conn, line.data, line.len);
	strbuf_clear(&line);
}

/* One line. -1: the console can't be talked with. */
static int
console_request(struct console *console, const char *line, size_t len)
{
	const struct control_services *services = console->control->services;
	struct protocol_request request;
	const struct verb *verb;
	struct strbuf answer = STRBUF_INIT;
	struct error why;
	struct call *call;
	int rpc_code;

	if (protocol_read_request(line, len, &request, &rpc_code, &why) != 0) {
		if (rpc_code == PROTOCOL_PARSE_ERROR) {
			protocol_request_clear(&request);
			console_complain(console, rpc_code, why.text);
			return -1;
		}
		protocol_write_rpc_error(&answer, request.id, rpc_code, why.text);
		conn_write(console->conn, answer.data, answer.len);
		strbuf_clear(&answer);
		protocol_request_clear(&request);
		return 0;
	}
	verb = verbs_find(request.method);
	/* The pieces of a long request are one. */
	if (verb != NULL && verb->writes && !json_is_true(json_object_get(request.params, "more")))
		log_event(services->log, LOG_LEVEL_INFO, 0, "control",
			  LOG_S("method", verb->method), LOG_S("user", console_user(console)),
			  LOG_U("uid", (uint64_t)console->uid),
			  LOG_U("pid", (uint64_t)console->pid));
	call =
	    call_new(services, &request, verb != NULL && verb->writes ? console_user(console) : "",
		     &console->upload, console_answered, console);
	/* Set before it runs: an answer that comes at once takes it away again. */
	console->waiting = call;
	if (verb != NULL)
		verbs_run(verb, call);
	else
		call_unknown(call);
	return 0;
}

static size_t
console_data(void *ctx, const char *data, size_t len)
{
	struct console *console = ctx;
	const char *newline;
	size_t taken = 0, line;

	while (taken < len) {
		if (console_is_busy(console)) {
			conn_pause(console->conn);
			return taken;
		}
		newline =
		    memchr(data + taken + console->scanned, '\n', len - taken - console->scanned);
		line = newline != NULL ? (size_t)(newline - data) - taken : len - taken;
		if (line > PROTOCOL_LINE_MAX) {
			console_complain(console, PROTOCOL_INVALID_REQUEST, "the line is too long");
			console_finish(console);
			return len;
		}
		console->scanned = newline != NULL ? 0 : line;
		if (newline == NULL)
			return taken;
		if (console_request(console, data + taken, line) != 0) {
			console_finish(console);
			return len;
		}
		taken += line + 1;
	}
	return taken;
}

/* It reads again. */
static void
console_drained(void *ctx)
{
	struct console *console = ctx;

	if (conn_is_paused(console->conn) && !console_is_busy(console))
		conn_resume(console->conn);
}

static void
console_closed(void *ctx, const struct error *why)
{
	struct console *console = ctx;

	/* "echo REQUEST | nc -U SOCKET": it has said all, and wants the answers. */
	if (why == NULL && console->waiting != NULL) {
		console->ended = true;
	} else if (why == NULL) {
		console_finish(console);
	} else {
		conn_free(console->conn);
		console_free(console);
	}
}

static void
control_full(struct control *control, struct console *console)
{
	struct strbuf line = STRBUF_INIT;
	struct error why;

	error_set(&why, ERROR_REFUSED, "too many consoles are connected (%d)", CONSOLES_MOST);
	log_event(control->services->log, LOG_LEVEL_WARNING, 0, "control-refused",
		  LOG_U("uid", (uint64_t)console->uid), LOG_U("pid", (uint64_t)console->pid),
		  LOG_S("reason", why.text));
	protocol_write_error(&line, NULL, &why, NULL);
	conn_write(console->conn, line.data, line.len);
	strbuf_clear(&line);
	console_finish(console);
}

/* The mode and the group of the socket have decided on who gets here; who it is matters for the
 * record. */
static void
control_accepted(void *ctx, int fd, const struct netaddr *remote)
{
	static const struct conn_events events = {
	    .data = console_data,
	    .drained = console_drained,
	    .closed = console_closed,
	};
	/* A line and its newline must fit, and one byte more to see that a line is too long. */
	static const struct conn_options options = {.max_input = (size_t)PROTOCOL_LINE_MAX + 2};
	struct control *control = ctx;
	struct console *console;
	struct error why;
	gid_t gid;

	(void)remote;
	console = xcalloc(1, sizeof(*console));
	if (listener_peer(fd, &console->uid, &gid, &console->pid, &why) != 0) {
		log_event(control->services->log, LOG_LEVEL_ERROR, 0, "control-refused",
			  LOG_S("reason", why.text));
		/* Nothing was said on it. */
		(void)close(fd);
		free(console);
		return;
	}
	console->control = control;
	console->conn = conn_new(control->services->loop, fd, &options, &events, console);
	console->next = control->consoles;
	if (control->consoles != NULL)
		control->consoles->previous = console;
	control->consoles = console;
	control->count++;
	if (control->count > CONSOLES_MOST)
		control_full(control, console);
}

struct control *
control_new(const struct control_services *services, const char *path, gid_t gid, struct error *why)
{
	struct control *control = xcalloc(1, sizeof(*control));

	control->services = services;
	control->listener = listener_unix(services->loop, path, 0660, gid, services->log,
					  control_accepted, control, why);
	if (control->listener == NULL) {
		free(control);
		return NULL;
	}
	return control;
}

void
control_start(struct control *control)
{
	listener_start(control->listener);
}

void
control_free(struct control *control)
{
	if (control == NULL)
		return;
	listener_free(control->listener);
	while (control->consoles != NULL) {
		conn_free(control->consoles->conn);
		console_free(control->consoles);
	}
	free(control);
}
