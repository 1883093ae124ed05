/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket with the real table, journal, spool and queue behind it, in a temporary
 * directory: every method and what it refuses, passwords that never come out, replies in the order
 * of the requests, half-closed and vanished consoles, garbage, lines without end, consoles that do
 * not read, too many of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/protocol.h"
#include "common/xalloc.h"
#include "relayd/control/control.h"
#include "relayd/control/pasts.h"

enum { PATIENCE_MS = 30000 };

struct fixture {
	char dir[64];
	char path[96];
	struct loop *loop;
	struct offload *offload;
	struct changes *changes;
	struct spool *spool;
	struct queue *queue;
	struct control_services services;
	struct pasts *pasts;
	struct control *control;
	size_t statuses; /* how many server.status were worked off */
	int reload_code; /* ERROR_NONE: it works */
};

static size_t
count_status(void *ctx)
{
	struct fixture *fixture = ctx;

	fixture->statuses++;
	return 4;
}

static size_t
outbound(void *ctx)
{
	(void)ctx;
	return 2;
}

static int
reload(void *ctx, struct error *why)
{
	struct fixture *fixture = ctx;

	if (fixture->reload_code == ERROR_NONE)
		return 0;
	return error_set(why, (enum error_code)fixture->reload_code,
			 "relayd.conf:12: what is this");
}

static void
found(void *ctx, struct envelope *env)
{
	(void)ctx;
	envelope_free(env);
}

static int
set_up(void **state)
{
	static const int64_t retry_ms[] = {60000};
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	struct error why = {0};
	char *spool_dir;

	snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->path, sizeof(fixture->path), "%s/control.sock", fixture->dir);
	fixture->loop = loop_new(&why);
	fixture->offload = offload_new(fixture->loop, 2, &why);
	assert_non_null(fixture->offload);
	fixture->changes = changes_open(&(struct changes_options){.state_dir = fixture->dir,
								  .loop = fixture->loop,
								  .offload = fixture->offload},
					&why);
	assert_non_null(fixture->changes);
	spool_dir = xasprintf("%s/spool", fixture->dir);
	fixture->spool = spool_open(&(struct spool_options){.dir = spool_dir,
							    .loop = fixture->loop,
							    .offload = fixture->offload},
				    found, NULL, &why);
	free(spool_dir);
	assert_non_null(fixture->spool);
	/* Never started: what is put in stays. */
	fixture->queue = queue_new(&(struct queue_options){.loop = fixture->loop,
							   .spool = fixture->spool,
							   .hostname = "relay.example",
							   .retry_ms = retry_ms,
							   .retry_count = 1,
							   .lifetime_ms = 86400000});
	fixture->pasts = pasts_new(fixture->loop, fixture->changes);
	fixture->services =
	    (struct control_services){.loop = fixture->loop,
				      .changes = fixture->changes,
				      .pasts = fixture->pasts,
				      .queue = fixture->queue,
				      .spool = fixture->spool,
				      .hostname = "relay.example",
				      .version = "1.2.3",
				      .started_ms = loop_wall_ms(fixture->loop) - 61000,
				      .inbound = count_status,
				      .outbound = outbound,
				      .reload = reload,
				      .ctx = fixture};
	fixture->control = control_new(&fixture->services, fixture->path, (gid_t)-1, &why);
	assert_non_null(fixture->control);
	control_start(fixture->control);
	*state = fixture;
	return 0;
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct fixture *fixture = *state;

	control_free(fixture->control);
	pasts_free(fixture->pasts);
	queue_free(fixture->queue);
	changes_close(fixture->changes);
	spool_close(fixture->spool);
	offload_finish(fixture->offload);
	offload_free(fixture->offload);
	loop_free(fixture->loop);
	nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

/* ---- a console
 * ----------------------------------------------------------------------------------- */

/* A connection, without waiting: the daemon runs in this very thread. */
static int
dial(const struct fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, fixture->path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Send all of it while the daemon goes on. */
static void
say(struct fixture *fixture, int fd, const char *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = send(fd, bytes, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			loop_once(fixture->loop, 1);
			continue;
		}
		assert_true(n > 0);
		bytes += n;
		len -= (size_t)n;
	}
}

static void
say_text(struct fixture *fixture, int fd, const char *text)
{
	say(fixture, fd, text, strlen(text));
}

/* The next line, without its newline, owned by the caller; NULL at the end of the connection.
 * `input` keeps what came behind it. */
static char *
hear(struct fixture *fixture, int fd, struct strbuf *input)
{
	int64_t deadline_ms = loop_now_ms(fixture->loop) + PATIENCE_MS;
	char *newline, *line;
	size_t len;
	ssize_t n;

	for (;;) {
		newline = input->len > 0 ? memchr(input->data, '\n', input->len) : NULL;
		if (newline != NULL) {
			len = (size_t)(newline - input->data);
			line = xstrndup(input->data, len);
			strbuf_consume(input, len + 1);
			return line;
		}
		n = recv(fd, strbuf_reserve(input, 65536), 65536, 0);
		if (n > 0) {
			strbuf_grew(input, (size_t)n);
		} else if (n == 0 || errno == ECONNRESET) {
			return NULL;
		} else {
			assert_int_equal(errno, EAGAIN);
			assert_true(loop_now_ms(fixture->loop) < deadline_ms);
			loop_once(fixture->loop, 10);
		}
	}
}

/* One line there and one back. */
static char *
exchange(struct fixture *fixture, const char *line)
{
	struct strbuf input = STRBUF_INIT;
	int fd = dial(fixture);
	char *reply;

	say_text(fixture, fd, line);
	say_text(fixture, fd, "\n");
	reply = hear(fixture, fd, &input);
	assert_non_null(reply);
	strbuf_clear(&input);
	close(fd);
	return reply;
}

static json_t *
ask(struct fixture *fixture, const char *method, const char *params, struct error *why)
{
	char *line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
			       method, params);
	char *reply = exchange(fixture, line), *hint;
	json_t *result = protocol_read_reply(reply, strlen(reply), 1, why, &hint);

	free(hint);
	free(reply);
	free(line);
	return result;
}

/* The result of a request as text. */
static void
assert_result(struct fixture *fixture, const char *method, const char *params, const char *expected)
{
	struct error why = {0};
	json_t *result = ask(fixture, method, params, &why);
	char *text;

	if (result == NULL)
		fail_msg("%s %s: %s", method, params, why.text);
	text = json_dumps(result, JSON_COMPACT);
	assert_string_equal(text, expected);
	free(text);
	json_decref(result);
}

static void
assert_error(struct fixture *fixture, const char *method, const char *params, const char *expected)
{
	char *line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
			       method, params);
	char *reply = exchange(fixture, line);
	char *whole = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":%s}", expected);

	assert_string_equal(reply, whole);
	free(whole);
	free(reply);
	free(line);
}

static const char nothing_there[] = "{\"revision\":0,\"count\":0,\"lines\":\"\",\"next\":null}";

#define LINE(id, host)                                                                             \
#id " - Destination host: * - Prority: 1 - Local IPs: default - Remote host: " host ":25\\n"

/* ---- routes
 * -------------------------------------------------------------------------------------- */

static void
test_add_list_del(void **state)
{
	struct fixture *fixture = *state;
	const struct passwd *entry = getpwuid(getuid());
	const char *who = entry != NULL ? entry->pw_name : "";
	char *expected;

	assert_result(fixture, "routes.list", "{\"form\":\"lines\"}", nothing_there);
	assert_result(fixture, "routes.list", "{}",
		      "{\"revision\":0,\"count\":0,\"routes\":[],\"next\":null}");
	expected =
	    xasprintf("{\"revision\":1,\"dry_run\":false,\"added\":1,\"changed\":0,\"deleted\":0,"
		      "\"confirm_by\":null,"
		      "\"routes\":[{\"id\":1,\"destination\":\"tmail.io\",\"user\":"
		      "null,\"mail_from\":null,"
		      "\"priority\":3,\"weight\":1,\"remote_host\":\"a\",\"remote_port\":2525,"
		      "\"local_ips\":null,"
		      "\"remote_login\":null,\"has_password\":false,\"tls\":null,\"enabled\":true,"
		      "\"comment\":null,\"group_rank\":1,\"shared_with\":[],\"state\":"
		      "\"unknown\",\"rate_1m\":0.0,\"deferred_1h\":null,\"revision\":1,"
		      "\"changed_by\":\"%s\"}],"
		      "\"lines\":\"1 - Destination host: tmail.io - Prority: 3 - Local IPs: "
		      "default - Remote host: "
		      "a:2525\\n\",\"changes\":[{\"what\":\"add\",\"id\":1,\"fields\":["
		      "{\"field\":\"destination\",\"from\":null,\"to\":\"tmail.io\"},"
		      "{\"field\":\"remote_host\",\"from\":null,\"to\":\"a\"},"
		      "{\"field\":\"remote_port\",\"from\":null,\"to\":2525},"
		      "{\"field\":\"priority\",\"from\":null,\"to\":3}]}],\"left_out\":0}",
		      who);
	assert_result(fixture, "routes.add",
		      "{\"route\":{\"destination\":\"Tmail.IO\",\"remote_host\":\"a\",\"remote_"
		      "port\":2525,\"priority\":\"3\"}}",
		      expected);
	free(expected);
	json_decref(ask(fixture, "routes.add",
			"{\"routes\":[{\"remote_host\":\"b\"},{\"remote_host\":\"c\"}]}", NULL));
	assert_result(fixture, "routes.list", "{\"form\":\"lines\",\"after\":1}",
		      "{\"revision\":2,\"count\":3,\"lines\":\"" LINE(2, "b")
			  LINE(3, "c") "\",\"next\":null}");
	assert_result(fixture, "routes.list", "{\"form\":\"lines\",\"after\":1,\"limit\":1}",
		      "{\"revision\":2,\"count\":3,\"lines\":\"" LINE(2, "b") "\",\"next\":2}");
	assert_error(fixture, "routes.get", "{\"id\":7}",
		     "{\"code\":3,\"message\":\"no route "
		     "7\",\"data\":{\"name\":\"not_found\",\"hint\":\"tmail routes list -o "
		     "id\"}}");
	/* All or none. */
	assert_error(fixture, "routes.del", "{\"ids\":[2,7]}",
		     "{\"code\":3,\"message\":\"no route "
		     "7\",\"data\":{\"name\":\"not_found\",\"hint\":\"tmail routes list -o "
		     "id\"}}");
	assert_int_equal(table_count(changes_table(fixture->changes)), 3);
	/* What it would be, and nothing done. */
	assert_result(fixture, "routes.del", "{\"ids\":[3],\"dry_run\":true}",
		      "{\"revision\":2,\"dry_run\":true,\"added\":0,\"changed\":0,\"deleted\":1,"
		      "\"confirm_by\":null,"
		      "\"routes\":[],\"lines\":\"\",\"changes\":[{\"what\":\"delete\",\"id\":3,"
		      "\"fields\":[{\"field\":\"remote_host\",\"from\":\"c\",\"to\":null}]}],"
		      "\"left_out\":0}");
	assert_int_equal(table_count(changes_table(fixture->changes)), 3);
	expected = xasprintf("{\"code\":4,\"message\":\"the routes are at revision 2, not "
			     "1: revision 2 by %s (routes 2, 3)\",\"data\":{\"name\":\"conflict\"}}",
			     who);
	assert_error(fixture, "routes.del", "{\"ids\":[3],\"expected_revision\":1}", expected);
	free(expected);
	json_decref(ask(fixture, "routes.del", "{\"ids\":[3,1,3]}", NULL));
	assert_result(fixture, "routes.list", "{\"form\":\"lines\"}",
		      "{\"revision\":3,\"count\":1,\"lines\":\"" LINE(2, "b") "\",\"next\":null}");
}

static void
test_routes_refused(void **state)
{
	struct fixture *fixture = *state;
	static const char *const refused[][2] = {
	    {"{\"route\":{\"remote_host\":\"a\",\"remote_port\":70000}}",
	     "remote_port: the port must be 1-65535"},
	    {"{\"route\":{\"remote_host\":\"a\",\"remote_port\":0}}",
	     "remote_port: the port must be 1-65535"},
	    {"{\"route\":{\"destination\":\"b\"}}", NULL},
	    {"{\"route\":{\"remote_host\":\"a\",\"colour\":\"red\"}}",
	     "a route has no member 'colour'"},
	    {"{\"route\":{\"remote_host\":\"a\",\"remote_login\":\"l\"}}", NULL},
	    {"{\"route\":\"a\"}", "a route must be an object"},
	    {"{\"routes\":[{\"remote_host\":\"a\"},{\"remote_host\":\"a\",\"weight\":1001}]}",
	     "routes[1]: weight: the weight must be 1-1000"},
	};
	static const char *const misused[][2] = {
	    {"routes.add", "{}"},
	    {"routes.add", "{\"routes\":[]}"},
	    {"routes.add", "{\"routes\":{}}"},
	    {"routes.add", "{\"route\":{},\"routes\":[{}]}"},
	    /* A condition that this daemon does not know must not be passed over. */
	    {"routes.add", "{\"route\":{\"remote_host\":\"a\"},\"expect_revision\":3}"},
	    {"routes.del", "{}"},
	    {"routes.del", "{\"ids\":[]}"},
	    {"routes.del", "{\"ids\":[\"1\"]}"},
	    {"routes.del", "{\"ids\":[-1]}"},
	    {"routes.del", "{\"ids\":3}"},
	    {"routes.get", "{}"},
	    {"routes.get", "{\"id\":\"x\"}"},
	    {"routes.list", "{\"after\":-1}"},
	    {"routes.list", "{\"limit\":0}"},
	    {"routes.list", "{\"limit\":10001}"},
	    {"routes.list", "{\"form\":\"poem\"}"},
	    {"routes.list", "{\"form\":1}"},
	    {"queue.list", "{\"limit\":true}"},
	    {"server.status", "{\"x\":1}"},
	};
	struct error why;
	char *line, *reply;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_null(ask(fixture, "routes.add", refused[i][0], &why));
		assert_int_equal(why.code, ERROR_REFUSED);
		if (refused[i][1] != NULL)
			assert_string_equal(why.text, refused[i][1]);
	}
	for (size_t i = 0; i < sizeof(misused) / sizeof(misused[0]); i++) {
		line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
				 misused[i][0], misused[i][1]);
		reply = exchange(fixture, line);
		if (strstr(reply, "\"code\":-32602") == NULL)
			fail_msg("%s: %s", line, reply);
		free(reply);
		free(line);
	}
	assert_int_equal(changes_revision(fixture->changes), 0);
}

static bool
file_has(const char *path, const char *text)
{
	char *bytes = xcalloc(1, 65536);
	FILE *file = fopen(path, "r");
	size_t len = file != NULL ? fread(bytes, 1, 65535, file) : 0;
	bool has = memmem(bytes, len, text, strlen(text)) != NULL;

	if (file != NULL)
		fclose(file);
	free(bytes);
	return has;
}

static void
test_passwords(void **state)
{
	static const char *const questions[][2] = {
	    {"routes.add", "{\"route\":{\"remote_host\":\"a\",\"remote_login\":\"l\",\"remote_"
			   "password\":\"geheim\"}}"},
	    {"routes.add", "{\"route\":{\"remote_host\":\"b\",\"remote_login\":\"m\",\"remote_"
			   "password_from\":1}}"},
	    {"routes.get", "{\"id\":1}"},
	    {"routes.get", "{\"id\":2}"},
	    {"routes.list", "{}"},
	    {"routes.list", "{\"form\":\"lines\"}"},
	};
	struct fixture *fixture = *state;
	struct error why = {0};
	char *line, *reply;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
				 questions[i][0], questions[i][1]);
		reply = exchange(fixture, line);
		assert_non_null(strstr(reply, "\"result\""));
		assert_null(strstr(reply, "geheim"));
		free(reply);
		free(line);
	}
	assert_string_equal(table_get(changes_table(fixture->changes), 1)->remote_password,
			    "geheim");
	assert_string_equal(table_get(changes_table(fixture->changes), 2)->remote_password,
			    "geheim");
	json_decref(ask(fixture, "routes.add", "{\"route\":{\"remote_host\":\"c\"}}", &why));
	assert_null(ask(
	    fixture, "routes.add",
	    "{\"route\":{\"remote_host\":\"b\",\"remote_login\":\"m\",\"remote_password_from\":3}}",
	    &why));
	assert_int_equal(why.code, ERROR_REFUSED);
	assert_string_equal(why.text, "route 3 has no password");
	assert_null(ask(
	    fixture, "routes.add",
	    "{\"route\":{\"remote_host\":\"b\",\"remote_login\":\"m\",\"remote_password_from\":9}}",
	    &why));
	assert_int_equal(why.code, ERROR_NOT_FOUND);
	assert_null(ask(
	    fixture, "routes.add",
	    "{\"route\":{\"remote_host\":\"b\",\"remote_login\":\"m\",\"remote_password\":\"x\","
	    "\"remote_password_from\":1}}",
	    &why));
	assert_int_equal(why.code, ERROR_REFUSED);
}

/* The change log has who it was. */
static void
test_user(void **state)
{
	struct fixture *fixture = *state;
	struct passwd *entry = getpwuid(getuid());
	char *journal = xasprintf("%s/routes.journal", fixture->dir);
	char *who =
	    entry != NULL ? xstrdup(entry->pw_name) : xasprintf("uid %lu", (unsigned long)getuid());

	json_decref(ask(fixture, "routes.add", "{\"route\":{\"remote_host\":\"a\"}}", NULL));
	assert_true(file_has(journal, who));
	free(who);
	free(journal);
}

/* ---- the queue and the server
 * -------------------------------------------------------------------- */

static void
put_message(struct fixture *fixture, uint64_t id, const char *sender, const char *reply)
{
	struct envelope *env = envelope_new();

	env->id = id;
	free(env->sender);
	env->sender = xstrdup(sender);
	env->size = 1000;
	env->arrived_ms = 1769155840000;
	env->next_attempt_ms = id == 5 ? 0 : 1769155900000;
	env->attempts = 1;
	envelope_add_recipient(env, "c@d.example");
	envelope_add_recipient(env, "e@f.example");
	env->recipients[0].last_reply = xstrdup(reply);
	env->recipients[1].state = RECIPIENT_DELIVERED;
	queue_add(fixture->queue, env);
}

static void
test_queue(void **state)
{
	struct fixture *fixture = *state;
	struct error why;
	json_t *result;

	assert_result(fixture, "queue.list", "{}", "{\"count\":0,\"messages\":[],\"next\":null}");
	assert_result(fixture, "queue.count", "{}", "{\"messages\":0,\"active\":0}");
	put_message(fixture, 5, "", "450 \033[2J\xff busy");
	put_message(fixture, 9, "a@b.example", NULL);
	assert_result(fixture, "queue.count", "{}", "{\"messages\":2,\"active\":0}");
	assert_result(fixture, "queue.list", "{\"limit\":1}",
		      "{\"count\":2,\"messages\":[{\"id\":5,\"sender\":\"\",\"login\":null,"
		      "\"size\":1000,\"attempts\":1,"
		      "\"added\":\"2026-01-23T08:10:40Z\",\"next_attempt\":\"2026-01-23T08:10:"
		      "40Z\",\"status\":\"scheduled\","
		      "\"recipients\":[{\"address\":\"c@d.example\",\"state\":\"open\",\"last_"
		      "reply\":\"450 \\\\x1b[2J\\\\xff "
		      "busy\"},{\"address\":\"e@f.example\",\"state\":\"delivered\",\"last_reply\":"
		      "null}]}],\"next\":5}");
	result = ask(fixture, "queue.list", "{\"after\":5}", &why);
	assert_non_null(result);
	assert_int_equal(json_array_size(json_object_get(result, "messages")), 1);
	assert_true(json_is_null(json_object_get(result, "next")));
	json_decref(result);
}

static void
test_server(void **state)
{
	struct fixture *fixture = *state;
	struct error why = {0};
	json_t *status;

	assert_result(fixture, "server.version", "{}", "{\"version\":\"1.2.3\"}");
	assert_result(fixture, "server.reload", "{}", "{}");
	fixture->reload_code = ERROR_USAGE;
	assert_null(ask(fixture, "server.reload", "{}", &why));
	assert_string_equal(why.text, "relayd.conf:12: what is this");
	assert_int_equal(why.code, ERROR_REFUSED);
	put_message(fixture, 5, "", NULL);
	json_decref(ask(fixture, "routes.add", "{\"route\":{\"remote_host\":\"a\"}}", &why));
	status = ask(fixture, "server.status", "{}", &why);
	assert_non_null(status);
	assert_string_equal(json_string_value(json_object_get(status, "hostname")),
			    "relay.example");
	assert_int_equal(json_integer_value(json_object_get(status, "routes")), 1);
	assert_int_equal(json_integer_value(json_object_get(status, "revision")), 1);
	assert_int_equal(json_integer_value(json_object_get(status, "queue_messages")), 1);
	assert_int_equal(json_integer_value(json_object_get(status, "connections_in")), 4);
	assert_int_equal(json_integer_value(json_object_get(status, "connections_out")), 2);
	assert_int_equal(json_integer_value(json_object_get(status, "pid")), getpid());
	assert_in_range(json_integer_value(json_object_get(status, "uptime_s")), 61, 120);
	json_decref(status);
}

/* ---- lines
 * --------------------------------------------------------------------------------------- */

static void
assert_heard(struct fixture *fixture, int fd, struct strbuf *input, const char *expected)
{
	char *line = hear(fixture, fd, input);

	if (line == NULL)
		fail_msg("the end came instead of %s", expected);
	assert_string_equal(line, expected);
	free(line);
}

static void
assert_end(struct fixture *fixture, int fd, struct strbuf *input)
{
	char *line = hear(fixture, fd, input);

	if (line != NULL)
		fail_msg("not the end: %s", line);
	strbuf_clear(input);
	close(fd);
}

/* A change waits for the disk; what was asked after it waits too, and sees it. */
static void
test_order(void **state)
{
	static const char questions[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"routes.add\",\"params\":{\"route\":{"
	    "\"remote_host\":\"x\"}}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"routes.list\",\"params\":{\"form\":"
	    "\"lines\"}}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"routes.del\",\"params\":{\"ids\":[1]}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"nothing\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":2.5,\"method\":\"routes.list\",\"params\":{\"form\":"
	    "\"lines\"}}\n";
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	int fd = dial(fixture);
	char *line;

	say_text(fixture, fd, questions);
	line = hear(fixture, fd, &input);
	assert_non_null(strstr(line, "\"id\":\"a\",\"result\":{\"revision\":1,"));
	free(line);
	assert_heard(fixture, fd, &input,
		     "{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"result\":{\"revision\":1,\"count\":1,"
		     "\"lines\":\"" LINE(1, "x") "\","
						 "\"next\":null}}");
	/* A notification has no answer. */
	assert_heard(fixture, fd, &input,
		     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32601,\"message\":"
		     "\"relayd has no method "
		     "'nothing'\"}}");
	assert_heard(fixture, fd, &input,
		     "{\"jsonrpc\":\"2.0\",\"id\":2.5,\"result\":{\"revision\":2,\"count\":0,"
		     "\"lines\":\"\",\"next\":null}}");
	/* Byte by byte. */
	for (const char *c = "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"queue.count\"}\n";
	     *c != '\0'; c++) {
		say(fixture, fd, c, 1);
		loop_once(fixture->loop, 0);
	}
	assert_heard(fixture, fd, &input,
		     "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"messages\":0,\"active\":0}}");
	shutdown(fd, SHUT_WR);
	assert_end(fixture, fd, &input);
}

/* "echo REQUEST | nc -U SOCKET" */
static void
test_half_closed(void **state)
{
	static const char questions[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"queue.count\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"routes.add\",\"params\":{\"route\":{"
	    "\"remote_host\":\"x\"}}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"routes.del\",\"params\":{\"ids\":[1]}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"routes";
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	int fd = dial(fixture);
	char *line;

	say_text(fixture, fd, questions);
	shutdown(fd, SHUT_WR);
	assert_heard(fixture, fd, &input,
		     "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"messages\":0,\"active\":0}}");
	line = hear(fixture, fd, &input);
	assert_non_null(strstr(line, "\"id\":2,\"result\""));
	free(line);
	assert_heard(fixture, fd, &input,
		     "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"revision\":2,\"dry_run\":false,"
		     "\"added\":0,\"changed\":0,\"deleted\":1,\"confirm_by\":null,\"routes\":[],"
		     "\"lines\":\"\","
		     "\"changes\":[{\"what\":\"delete\",\"id\":1,\"fields\":[{\"field\":"
		     "\"remote_host\",\"from\":\"x\",\"to\":null}]}],\"left_out\":0}}");
	assert_end(fixture, fd, &input);
	/* The end is seen while the only request waits for the disk. */
	fd = dial(fixture);
	say_text(fixture, fd,
		 "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"routes.add\",\"params\":{\"route\":{"
		 "\"remote_host\":\"y\"}}}\n");
	shutdown(fd, SHUT_WR);
	line = hear(fixture, fd, &input);
	assert_non_null(line);
	assert_non_null(strstr(line, "\"id\":5,\"result\":{\"revision\":3,"));
	free(line);
	assert_end(fixture, fd, &input);
}

static void
test_garbage(void **state)
{
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	int fd = dial(fixture);
	char *line;

	/* What is JSON and no request leaves the connection as it is. */
	say_text(fixture, fd, "[1,2]\n{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"x\"}\n");
	line = hear(fixture, fd, &input);
	assert_non_null(strstr(line, "\"id\":null,\"error\":{\"code\":-32600"));
	free(line);
	line = hear(fixture, fd, &input);
	assert_non_null(strstr(line, "\"id\":7,\"error\":{\"code\":-32600"));
	free(line);
	say_text(fixture, fd, "EHLO mail.example\r\nQUIT\r\n");
	line = hear(fixture, fd, &input);
	assert_non_null(strstr(line, "\"id\":null,\"error\":{\"code\":-32700"));
	free(line);
	assert_end(fixture, fd, &input);
	/* An empty line is no JSON either. */
	fd = dial(fixture);
	say_text(fixture, fd, "\n");
	line = hear(fixture, fd, &input);
	assert_non_null(strstr(line, "-32700"));
	free(line);
	assert_end(fixture, fd, &input);
}

static void
test_endless_line(void **state)
{
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	int fd = dial(fixture);
	size_t len = (size_t)PROTOCOL_LINE_MAX + 1, sent = 0;
	char *piece = xcalloc(1, 1 << 20), *line;
	ssize_t n;

	memset(piece, 'x', 1 << 20);
	while (sent < len) {
		n = send(fd, piece, len - sent < 1 << 20 ? len - sent : 1 << 20, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		else
			loop_once(fixture->loop, 1);
	}
	line = hear(fixture, fd, &input);
	assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
				  "\"message\":\"the line is too long\"}}");
	free(line);
	free(piece);
	assert_end(fixture, fd, &input);
}

/* ---- consoles that do not do what they should
 * ------------------------------------------------------ */

/* One that does not read stops being served, and gets everything once it does. */
static void
test_does_not_read(void **state)
{
	enum { QUESTIONS = 20000 };
	static const char question[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.status\"}\n";
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	size_t answered, idle = 0;
	int fd = dial(fixture);
	char *line;

	for (int i = 0; i < QUESTIONS; i++)
		say_text(fixture, fd, question);
	/* Until nothing more happens. */
	for (answered = fixture->statuses; idle < 20; answered = fixture->statuses) {
		loop_once(fixture->loop, 1);
		idle = fixture->statuses == answered ? idle + 1 : 0;
	}
	assert_in_range(answered, 1, QUESTIONS / 2);
	/* Others are served meanwhile. */
	assert_result(fixture, "server.version", "{}", "{\"version\":\"1.2.3\"}");
	for (int i = 0; i < QUESTIONS; i++) {
		line = hear(fixture, fd, &input);
		assert_non_null(line);
		free(line);
	}
	assert_int_equal(fixture->statuses, QUESTIONS);
	strbuf_clear(&input);
	close(fd);
}

/* It asks for a change and is gone before it is durable: the change is made, nobody is told. */
static void
test_gone_while_waiting(void **state)
{
	static const char question[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"routes.add\",\"params\":{\"route\":{"
	    "\"remote_host\":\"x\"}}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"queue.count\"}\n";
	int64_t deadline_ms;
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say_text(fixture, fd, question);
	loop_once(fixture->loop, 0);
	close(fd);
	deadline_ms = loop_now_ms(fixture->loop) + PATIENCE_MS;
	while (changes_revision(fixture->changes) == 0) {
		assert_true(loop_now_ms(fixture->loop) < deadline_ms);
		loop_once(fixture->loop, 10);
	}
	assert_result(fixture, "server.version", "{}", "{\"version\":\"1.2.3\"}");
}

/* The control goes before the change is durable. */
static void
test_freed_while_waiting(void **state)
{
	static const char question[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"routes.add\","
				       "\"params\":{\"route\":{\"remote_host\":\"x\"}}}\n";
	int64_t deadline_ms;
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	int fd = dial(fixture);

	/* Round after round: the connection is taken, the line is read and given to the changes. */
	say_text(fixture, fd, question);
	for (int i = 0; i < 2; i++)
		loop_once(fixture->loop, 0);
	control_free(fixture->control);
	fixture->control = NULL;
	assert_end(fixture, fd, &input);
	deadline_ms = loop_now_ms(fixture->loop) + PATIENCE_MS;
	while (offload_pending(fixture->offload) > 0) {
		assert_true(loop_now_ms(fixture->loop) < deadline_ms);
		loop_once(fixture->loop, 10);
	}
	assert_int_equal(access(fixture->path, F_OK), -1);
}

static void
test_too_many(void **state)
{
	struct fixture *fixture = *state;
	struct strbuf input = STRBUF_INIT;
	int fds[256], fd;
	char *line;

	for (size_t i = 0; i < 256; i++) {
		fds[i] = dial(fixture);
		loop_once(fixture->loop, 0);
	}
	fd = dial(fixture);
	line = hear(fixture, fd, &input);
	assert_non_null(line);
	assert_non_null(
	    strstr(line, "\"id\":null,\"error\":{\"code\":5,\"message\":\"too many consoles"));
	free(line);
	assert_end(fixture, fd, &input);
	for (size_t i = 0; i < 256; i++)
		close(fds[i]);
	for (int i = 0; i < 20; i++)
		loop_once(fixture->loop, 1);
	assert_result(fixture, "server.version", "{}", "{\"version\":\"1.2.3\"}");
}

static void
test_socket(void **state)
{
	struct fixture *fixture = *state;
	struct control *second;
	struct error why = {0};
	struct stat status;

	assert_int_equal(stat(fixture->path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0660);
	second = control_new(&fixture->services, fixture->path, (gid_t)-1, &why);
	assert_null(second);
	assert_non_null(strstr(why.text, fixture->path));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(test_add_list_del),
	    TEST(test_routes_refused),
	    TEST(test_passwords),
	    TEST(test_user),
	    TEST(test_queue),
	    TEST(test_server),
	    TEST(test_order),
	    TEST(test_half_closed),
	    TEST(test_garbage),
	    TEST(test_endless_line),
	    TEST(test_does_not_read),
	    TEST(test_gone_while_waiting),
	    TEST(test_freed_while_waiting),
	    TEST(test_too_many),
	    TEST(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
