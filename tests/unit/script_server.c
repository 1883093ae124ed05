/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/script_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "tests/unit/sasl_server.h"
#include "tests/unit/script_wire.h"

enum { CONNECTIONS_MAX = 512, MESSAGES_MAX = 4096, RECEIVE_BUFFER = 16 * 1024 };

struct peer {
	struct script_server *server;
	const struct script *script;
	pthread_t thread;
	struct netaddr address;
	size_t number;
	int fd; /* -1: closed; changed under the lock */
	struct script_wire *wire;
	bool pipelining;
	bool has_sender, has_recipient; /* of the transaction */
	unsigned times[SCRIPT_STAGES];
	struct strbuf in, held;
};

struct script_server {
	struct script *scripts;
	size_t script_count;
	struct netaddr address;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; /* for all below */
	struct peer peers[CONNECTIONS_MAX];
	size_t peer_count, open, most_open;
	struct strbuf messages[MESSAGES_MAX];
	size_t message_count;
	struct strbuf transcript;
	bool ending;
	bool spoke_early;
};

/* What a stage ends with. */
enum next { GO_ON, HANG_UP };

static void
server_lock(struct script_server *server)
{
	if (pthread_mutex_lock(&server->lock) != 0)
		abort();
}

static void
server_unlock(struct script_server *server)
{
	if (pthread_mutex_unlock(&server->lock) != 0)
		abort();
}

static void
note(struct peer *peer, const char *what)
{
	server_lock(peer->server);
	strbuf_printf(&peer->server->transcript, "%zu %s\n", peer->number, what);
	server_unlock(peer->server);
}

/* ---- bytes ---- */

/* 0, or -1 at the end. */
static int
read_more(struct peer *peer)
{
	long n = script_wire_read(peer->wire, strbuf_reserve(&peer->in, 65536), 65536);

	if (n <= 0)
		return -1;
	strbuf_grew(&peer->in, (size_t)n);
	return 0;
}

static int
send_all(struct peer *peer, const char *bytes, size_t len)
{
	return script_wire_write(peer->wire, bytes, len);
}

/* The next line without its line end, owned by the caller; NULL at the end. */
static char *
read_line(struct peer *peer)
{
	char *end, *line;

	while (peer->in.len == 0 || (end = memchr(peer->in.data, '\n', peer->in.len)) == NULL)
		if (read_more(peer) != 0)
			return NULL;
	line = xstrndup(peer->in.data, (size_t)(end - peer->in.data));
	line[strcspn(line, "\r")] = '\0';
	strbuf_consume(&peer->in, (size_t)(end + 1 - peer->in.data));
	return line;
}

static void
read_until_closed(struct peer *peer)
{
	while (read_more(peer) == 0)
		strbuf_reset(&peer->in);
}

/* ---- what is said ---- */

static char *
choose(struct peer *peer, enum script_stage stage, const char *usual)
{
	const char *from = peer->script->at[stage] != NULL ? peer->script->at[stage] : usual;
	unsigned left = peer->times[stage];
	const char *bar;

	while ((bar = strchr(from, '|')) != NULL && left-- > 0)
		from = bar + 1;
	return xstrndup(from, strcspn(from, "|"));
}

static void
crlf(struct strbuf *out, const char *reply)
{
	for (; *reply != '\0'; reply++) {
		if (*reply == '\n')
			strbuf_putc(out, '\r');
		strbuf_putc(out, *reply);
	}
	strbuf_puts(out, "\r\n");
}

static enum next
say_reply(struct peer *peer, const char *reply)
{
	enum next next = strncmp(reply, "421", 3) == 0 ? HANG_UP : GO_ON;
	struct strbuf text = STRBUF_INIT;

	if (peer->held.len > 0)
		strbuf_append(&text, peer->held.data, peer->held.len);
	strbuf_reset(&peer->held);
	crlf(&text, reply);
	if (send_all(peer, text.data, text.len) != 0)
		next = HANG_UP;
	strbuf_clear(&text);
	return next;
}

static enum next
say_bytes(struct peer *peer, const char *reply)
{
	struct strbuf text = STRBUF_INIT;
	enum next next = GO_ON;
	size_t i;

	crlf(&text, reply);
	for (i = 0; i < text.len && next == GO_ON; i++) {
		if (send_all(peer, text.data + i, 1) != 0)
			next = HANG_UP;
		(void)poll(NULL, 0, 1); /* so that each travels alone */
	}
	strbuf_clear(&text);
	return next;
}

static void
reset(struct peer *peer)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static enum next
act(struct peer *peer, const char *what)
{
	if (strncmp(what, "raw:", 4) == 0)
		return send_all(peer, what + 4, strlen(what + 4)) == 0 ? GO_ON : HANG_UP;
	if (strncmp(what, "bytes:", 6) == 0)
		return say_bytes(peer, what + 6);
	if (strncmp(what, "hold:", 5) == 0) {
		crlf(&peer->held, what + 5);
		return GO_ON;
	}
	if (strcmp(what, "silence") == 0) {
		read_until_closed(peer);
		return HANG_UP;
	}
	if (strcmp(what, "deaf") == 0) {
		struct pollfd gone = {.fd = peer->fd, .events = 0};

		(void)poll(&gone, 1, -1);
		return HANG_UP;
	}
	if (strcmp(what, "drop") == 0)
		return HANG_UP;
	if (strcmp(what, "reset") == 0) {
		reset(peer);
		return HANG_UP;
	}
	if (strcmp(what, "endless") == 0) {
		while (send_all(peer, "250-and so on\r\n", 15) == 0)
			;
		return HANG_UP;
	}
	return say_reply(peer, what);
}

static enum next
at_stage(struct peer *peer, enum script_stage stage, const char *usual)
{
	char *what = choose(peer, stage, usual);
	enum next next;

	peer->times[stage]++;
	/* Where it can't know that more is welcome, the client has to wait for this reply. */
	if (!peer->pipelining && stage != AT_TLS && stage != AT_BODY && stage != AT_IDLE &&
	    (peer->in.len > 0 || script_wire_has_more(peer->wire))) {
		server_lock(peer->server);
		peer->server->spoke_early = true;
		server_unlock(peer->server);
	}
	next = act(peer, what);
	free(what);
	return next;
}

/* ---- the dialogue ---- */

static enum next
hello(struct peer *peer, const char *word)
{
	const char *from = peer->script->features != NULL ? peer->script->features : "PIPELINING";
	struct strbuf usual = STRBUF_INIT;
	enum next next;

	if (strcmp(word, "HELO") == 0)
		return at_stage(peer, AT_HELO, "250 script");
	if (script_wire_is_secure(peer->wire) && peer->script->secure_features != NULL)
		from = peer->script->secure_features;
	strbuf_puts(&usual, "250-script\n");
	while (strchr(from, '\n') != NULL) {
		strbuf_printf(&usual, "250-%.*s\n", (int)strcspn(from, "\n"), from);
		from = strchr(from, '\n') + 1;
	}
	strbuf_printf(&usual, "250 %s", from);
	next = at_stage(peer, AT_EHLO, usual.data);
	peer->pipelining =
	    strstr(peer->script->at[AT_EHLO] != NULL ? peer->script->at[AT_EHLO] : usual.data,
		   "PIPELINING") != NULL;
	strbuf_clear(&usual);
	return next;
}

static enum next
take_message(struct peer *peer)
{
	struct script_server *server = peer->server;
	struct strbuf message = STRBUF_INIT;
	bool first = true;
	char *line;

	while ((line = read_line(peer)) != NULL && strcmp(line, ".") != 0) {
		strbuf_printf(&message, "%s\r\n", line);
		free(line);
		if (first && peer->script->at[AT_BODY] != NULL &&
		    at_stage(peer, AT_BODY, "") == HANG_UP) {
			strbuf_clear(&message);
			return HANG_UP;
		}
		first = false;
	}
	if (line == NULL) {
		strbuf_clear(&message);
		return HANG_UP;
	}
	free(line);
	note(peer, ".");
	server_lock(server);
	if (server->message_count == MESSAGES_MAX)
		abort();
	server->messages[server->message_count++] = message;
	server_unlock(server);
	if (at_stage(peer, AT_DOT, "250 2.0.0 taken") == HANG_UP)
		return HANG_UP;
	return peer->script->at[AT_IDLE] != NULL ? at_stage(peer, AT_IDLE, "") : GO_ON;
}

/* Will what is said next at this stage be a yes? */
static bool
is_accepted(struct peer *peer, enum script_stage stage, const char *usual)
{
	char *what = choose(peer, stage, usual);
	const char *reply = strncmp(what, "hold:", 5) == 0    ? what + 5
			    : strncmp(what, "bytes:", 6) == 0 ? what + 6
			    : strncmp(what, "raw:", 4) == 0   ? what + 4
							      : what;
	bool yes = reply[0] == (stage == AT_DATA ? '3' : '2');

	free(what);
	return yes;
}

static enum next
secure(struct peer *peer)
{
	struct pollfd readable = {.fd = peer->fd, .events = POLLIN};

	if (peer->script->at[AT_TLS] != NULL) {
		/* Not before the client has begun: it would be something behind the last reply. */
		(void)poll(&readable, 1, -1);
		if (at_stage(peer, AT_TLS, "") == GO_ON)
			read_until_closed(peer);
		return HANG_UP;
	}
	if (script_wire_secure(peer->wire, peer->script->identity) != 0)
		return HANG_UP;
	note(peer, "secured");
	return GO_ON;
}

static enum next
start_tls(struct peer *peer)
{
	static const char usual[] = "220 2.0.0 go";
	bool yes = is_accepted(peer, AT_STARTTLS, usual);
	enum next next = at_stage(peer, AT_STARTTLS, usual);

	return next == GO_ON && yes ? secure(peer) : next;
}

/* The dialogue by the script alone. */
static enum next
log_in_as_scripted(struct peer *peer)
{
	for (;;) {
		char *what = choose(peer, AT_AUTH, ""), *line;
		bool asks = strncmp(what, "334", 3) == 0;
		enum next next = at_stage(peer, AT_AUTH, "");

		free(what);
		if (next == HANG_UP || !asks)
			return next;
		line = read_line(peer);
		if (line == NULL)
			return HANG_UP;
		note(peer, line);
		free(line);
	}
}

static enum next
log_in(struct peer *peer, const char *mechanism)
{
	char *name, *line = NULL;
	struct sasl_server *sasl;
	enum next next = GO_ON;
	const char *reply;

	if (peer->script->at[AT_AUTH] != NULL)
		return log_in_as_scripted(peer);
	name = xstrndup(mechanism, strcspn(mechanism, " "));
	sasl = peer->script->login == NULL
		   ? NULL
		   : sasl_server_new(name, peer->script->login, peer->script->password);
	reply = sasl == NULL
		    ? "504 5.5.4 unknown mechanism"
		    : sasl_server_reply(
			  sasl, mechanism[strlen(name)] == ' ' ? mechanism + strlen(name) + 1 : "");
	while ((next = say_reply(peer, reply)) == GO_ON && strncmp(reply, "334", 3) == 0) {
		free(line);
		line = read_line(peer);
		if (line == NULL) {
			next = HANG_UP;
			break;
		}
		note(peer, line);
		reply = sasl_server_reply(sasl, line);
	}
	free(line);
	free(name);
	sasl_server_free(sasl);
	return next;
}

static enum next
obey(struct peer *peer, const char *line)
{
	char word[5] = "";
	enum next next;

	(void)snprintf(word, sizeof word, "%s", line);
	if (strcmp(word, "EHLO") == 0 || strcmp(word, "HELO") == 0)
		return hello(peer, word);
	if (strcmp(line, "STARTTLS") == 0 && peer->script->identity != NULL)
		return start_tls(peer);
	if (strcmp(word, "AUTH") == 0)
		return log_in(peer, line + 5);
	if (strcmp(word, "MAIL") == 0) {
		peer->has_recipient = false;
		peer->has_sender = is_accepted(peer, AT_MAIL, "250");
		return at_stage(peer, AT_MAIL, "250 2.1.0 ok");
	}
	if (strcmp(word, "RCPT") == 0) {
		const char *usual = peer->has_sender ? "250 2.1.5 ok" : "503 5.5.1 MAIL first";

		peer->has_recipient |= is_accepted(peer, AT_RCPT, usual);
		return at_stage(peer, AT_RCPT, usual);
	}
	if (strcmp(word, "DATA") == 0) {
		const char *usual =
		    peer->has_recipient ? "354 go ahead" : "554 5.5.1 no recipients";
		bool wanted = is_accepted(peer, AT_DATA, usual);

		next = at_stage(peer, AT_DATA, usual);
		return next == GO_ON && wanted ? take_message(peer) : next;
	}
	if (strcmp(word, "RSET") == 0)
		return at_stage(peer, AT_RSET, "250 2.0.0 ok");
	if (strcmp(word, "QUIT") == 0) {
		(void)say_reply(peer, "221 2.0.0 bye");
		return HANG_UP;
	}
	return say_reply(peer, "500 5.5.1 what?");
}

static void
peer_close(struct peer *peer)
{
	struct linger linger = {0};
	socklen_t len = sizeof linger;

	/* In order: our end first, then what the client still sends, or it would see a reset. */
	if (getsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 &&
	    linger.l_onoff == 0 && (script_wire_farewell(peer->wire), true) &&
	    shutdown(peer->fd, SHUT_WR) == 0)
		read_until_closed(peer);
	server_lock(peer->server);
	(void)close(peer->fd);
	peer->fd = -1;
	peer->server->open--;
	server_unlock(peer->server);
	script_wire_free(peer->wire);
	strbuf_clear(&peer->in);
	strbuf_clear(&peer->held);
}

static void *
peer_run(void *ctx)
{
	struct peer *peer = ctx;
	enum next next = peer->script->implicit ? secure(peer) : GO_ON;
	char *line;

	if (next == GO_ON)
		next = at_stage(peer, AT_GREETING, "220 script ESMTP");

	while (next == GO_ON && (line = read_line(peer)) != NULL) {
		note(peer, line);
		next = obey(peer, line);
		free(line);
	}
	peer_close(peer);
	return NULL;
}

/* ---- the server ---- */

static void
peer_begin(struct script_server *server, int fd, const struct sockaddr *from)
{
	struct peer *peer;
	size_t number;
	int on = 1;

	/* A reset must not take back the replies before it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	server_lock(server);
	if (server->ending || server->peer_count == CONNECTIONS_MAX) {
		(void)close(fd);
		server_unlock(server);
		return;
	}
	number = server->peer_count;
	peer = &server->peers[number];
	peer->server = server;
	peer->number = number;
	peer->fd = fd;
	peer->wire = script_wire_new(fd);
	peer->script =
	    &server->scripts[number < server->script_count ? number : server->script_count - 1];
	netaddr_from_sockaddr(&peer->address, from);
	if (++server->open > server->most_open)
		server->most_open = server->open;
	if (pthread_create(&peer->thread, NULL, peer_run, peer) != 0)
		abort();
	server->peer_count++;
	server_unlock(server);
}

static void *
server_run(void *ctx)
{
	struct script_server *server = ctx;

	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		int fd = accept4(server->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);

		if (fd >= 0)
			peer_begin(server, fd, (const struct sockaddr *)&from);
		else if (errno != EINTR && errno != ECONNABORTED)
			return NULL; /* shut down */
	}
}

struct script_server *
script_server_new(const char *address, const struct script *scripts, size_t count)
{
	return script_server_at(address, 0, scripts, count);
}

struct script_server *
script_server_at(const char *address, uint16_t port, const struct script *scripts, size_t count)
{
	struct script_server *server = xcalloc(1, sizeof *server);
	struct sockaddr_storage ss;
	socklen_t len;
	int small = RECEIVE_BUFFER, reuse = 1;

	server->scripts = xcalloc(count, sizeof *scripts);
	memcpy(server->scripts, scripts, count * sizeof *scripts);
	server->script_count = count;
	assert_int_equal(netaddr_parse(address, &server->address), 0);
	server->address.port = port;
	len = netaddr_to_sockaddr(&server->address, &ss);
	server->fd = socket(server->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->fd >= 0);
	/* Small, so that a server that does not read makes a client wait before long. */
	assert_int_equal(setsockopt(server->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	assert_int_equal(setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse), 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(server->fd, 128), 0);
	len = sizeof ss;
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&ss, &len), 0);
	netaddr_from_sockaddr(&server->address, (struct sockaddr *)&ss);
	assert_int_equal(pthread_mutex_init(&server->lock, NULL), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
	return server;
}

void
script_server_free(struct script_server *server)
{
	bool spoke_early;
	size_t i;

	server_lock(server);
	server->ending = true;
	for (i = 0; i < server->peer_count; i++)
		if (server->peers[i].fd >= 0)
			(void)shutdown(server->peers[i].fd, SHUT_RDWR);
	server_unlock(server);
	(void)shutdown(server->fd, SHUT_RDWR);
	assert_int_equal(pthread_join(server->thread, NULL), 0);
	(void)close(server->fd);
	for (i = 0; i < server->peer_count; i++)
		assert_int_equal(pthread_join(server->peers[i].thread, NULL), 0);
	for (i = 0; i < server->message_count; i++)
		strbuf_clear(&server->messages[i]);
	strbuf_clear(&server->transcript);
	spoke_early = server->spoke_early;
	pthread_mutex_destroy(&server->lock);
	free(server->scripts);
	free(server);
	assert_false(spoke_early);
}

struct netaddr
script_server_address(const struct script_server *server)
{
	return server->address;
}

static size_t
look(struct script_server *server, const size_t *value)
{
	size_t seen;

	server_lock(server);
	seen = *value;
	server_unlock(server);
	return seen;
}

size_t
script_server_connections(struct script_server *server)
{
	return look(server, &server->peer_count);
}

size_t
script_server_open(struct script_server *server)
{
	return look(server, &server->open);
}

size_t
script_server_most_open(struct script_server *server)
{
	return look(server, &server->most_open);
}

size_t
script_server_messages(struct script_server *server)
{
	return look(server, &server->message_count);
}

struct netaddr
script_server_peer(struct script_server *server, size_t number)
{
	assert_true(number < script_server_connections(server));
	return server->peers[number].address;
}

const char *
script_server_message(struct script_server *server, size_t number, size_t *len)
{
	const struct strbuf *message = &server->messages[number];

	assert_true(number < script_server_messages(server));
	*len = message->len;
	return message->len > 0 ? message->data : "";
}

char *
script_server_transcript(struct script_server *server)
{
	char *copy;

	server_lock(server);
	copy = xstrdup(server->transcript.len > 0 ? server->transcript.data : "");
	server_unlock(server);
	return copy;
}

size_t
script_server_heard(struct script_server *server, const char *needle)
{
	char *transcript = script_server_transcript(server), *at = transcript;
	size_t times = 0;

	while ((at = strstr(at, needle)) != NULL) {
		times++;
		at += strlen(needle);
	}
	free(transcript);
	return times;
}
