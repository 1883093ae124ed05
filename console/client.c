/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/protocol.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

enum { PIECE = 256 * 1024 }; /* bytes of one read */

struct client {
	int fd;
	int64_t timeout_ms;
	int64_t asked;    /* id of the last request sent */
	int64_t answered; /* id of the last reply taken */
	bool writes;      /* one of the requests without an answer may change something */
	size_t scanned;   /* bytes of `input` that hold no newline */
	struct strbuf input;
	json_t *error_data; /* of the last reply; NULL: it was none, or has none */
};

static int64_t
now_ms(void)
{
	struct timespec now;

	/* Can't fail for this clock. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
no_answer(const struct client *client, struct error *why)
{
	double seconds = (double)client->timeout_ms / 1000.0;

	if (client->writes)
		return error_set(why, ERROR_TIMEOUT,
				 "no answer from relayd within %g s; the change may have been "
				 "made: look before you "
				 "repeat it",
				 seconds);
	return error_set(why, ERROR_TIMEOUT, "no answer from relayd within %g s", seconds);
}

static int
lost_daemon(const struct client *client, struct error *why)
{
	if (client->writes)
		return error_set(why, ERROR_TIMEOUT,
				 "relayd went away without an answer; the change may have been "
				 "made: look before you "
				 "repeat it");
	return error_set(why, ERROR_NO_DAEMON, "relayd went away without an answer");
}

/* Wait until `events` are there. 0, or -1 once the deadline has passed. */
static int
wait_for(const struct client *client, short events, int64_t deadline_ms, struct error *why)
{
	struct pollfd poller = {.fd = client->fd, .events = events};
	int64_t left;
	int ready;

	for (;;) {
		left = deadline_ms - now_ms();
		if (left <= 0)
			return no_answer(client, why);
		ready = poll(&poller, 1, left > 3600 * 1000 ? 3600 * 1000 : (int)left);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return error_sys(why, ERROR_BUG, "poll");
	}
}

static int
connect_failure(const char *path, const struct client *client, struct error *why)
{
	switch (errno) {
	case EACCES:
	case EPERM:
		return error_sys(why, ERROR_DENIED, "not allowed on %s", path);
	case EAGAIN:
		/* The queue of connections stayed full for the whole time. */
		return no_answer(client, why);
	default:
		return error_set(why, ERROR_NO_DAEMON,
				 "no daemon at %s: %s; start relayd or name its socket with -s",
				 path, strerror(errno));
	}
}

struct client *
client_connect(const char *path, int64_t timeout_ms, struct error *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {
	    .tv_sec = (time_t)(timeout_ms / 1000),
	    .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000),
	};
	struct client *client;

	if (strlen(path) >= sizeof(address.sun_path)) {
		error_set(why, ERROR_USAGE, "-s %s: the name of a socket has at most %zu bytes",
			  path, sizeof(address.sun_path) - 1);
		return NULL;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	client = xcalloc(1, sizeof(*client));
	client->timeout_ms = timeout_ms;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0) {
		error_sys(why, ERROR_BUG, "socket");
		goto failed;
	}
	/* It bounds connect as well, unix(7). */
	if (setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0) {
		error_sys(why, ERROR_BUG, "SO_SNDTIMEO");
		goto failed;
	}
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		connect_failure(path, client, why);
		goto failed;
	}
	return client;
failed:
	client_free(client);
	return NULL;
}

void
client_free(struct client *client)
{
	if (client == NULL)
		return;
	/* Nothing is lost by a failing close: every answer that counts has been read. */
	if (client->fd >= 0)
		(void)close(client->fd);
	strbuf_clear(&client->input);
	json_decref(client->error_data);
	free(client);
}

const json_t *
client_error_data(const struct client *client)
{
	return client->error_data;
}

int
client_send(struct client *client, const char *method, json_t *params, bool writes,
	    struct error *why)
{
	struct strbuf line = STRBUF_INIT;
	int64_t deadline_ms = now_ms() + client->timeout_ms;
	size_t sent = 0;
	ssize_t n;
	int result = -1;

	protocol_write_request(&line, client->asked + 1, method,
			       params != NULL ? params : json_object());
	client->asked++;
	while (sent < line.len) {
		/* A daemon that stops reading can't hold us: MSG_DONTWAIT, and the deadline. */
		n = send(client->fd, line.data + sent, line.len - sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			sent += (size_t)n;
			/* From the last byte on the request is whole. */
			client->writes = client->writes || (writes && sent == line.len);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (wait_for(client, POLLOUT, deadline_ms, why) != 0)
				goto out;
			continue;
		}
		lost_daemon(client, why);
		goto out;
	}
	result = 0;
out:
	explicit_bzero(line.data, line.len);
	strbuf_clear(&line);
	return result;
}

/* Until `input` holds a whole line. Its length without the newline is put into `len`. */
static int
read_line(struct client *client, size_t *len, struct error *why)
{
	int64_t deadline_ms = now_ms() + client->timeout_ms;
	const char *newline;
	ssize_t n;

	for (;;) {
		newline = client->input.len == client->scanned
			      ? NULL
			      : memchr(client->input.data + client->scanned, '\n',
				       client->input.len - client->scanned);
		if (newline != NULL) {
			*len = (size_t)(newline - client->input.data);
			client->scanned = 0;
			return 0;
		}
		client->scanned = client->input.len;
		if (client->input.len > PROTOCOL_LINE_MAX)
			return error_set(why, ERROR_BUG, "relayd sent a line that has no end");
		if (wait_for(client, POLLIN, deadline_ms, why) != 0)
			return -1;
		n = recv(client->fd, strbuf_reserve(&client->input, PIECE), PIECE, MSG_DONTWAIT);
		if (n > 0)
			strbuf_grew(&client->input, (size_t)n);
		else if (n == 0 || (errno != EINTR && errno != EAGAIN))
			return lost_daemon(client, why);
	}
}

json_t *
client_receive(struct client *client, struct error *why, char **hint)
{
	json_t *result;
	size_t len = 0;

	*hint = NULL;
	if (client->answered == client->asked) {
		error_set(why, ERROR_BUG, "an answer was awaited before a question");
		return NULL;
	}
	if (read_line(client, &len, why) != 0)
		return NULL;
	client->answered++;
	if (client->answered == client->asked)
		client->writes = false;
	json_decref(client->error_data);
	result = protocol_read_reply_data(client->input.data, len, client->answered, why, hint,
					  &client->error_data);
	strbuf_consume(&client->input, len + 1);
	return result;
}

json_t *
client_call(struct client *client, const char *method, json_t *params, bool writes,
	    struct error *why, char **hint)
{
	*hint = NULL;
	if (client_send(client, method, params, writes, why) != 0)
		return NULL;
	return client_receive(client, why, hint);
}
