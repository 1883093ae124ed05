/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The console's end of the control socket: answers in order, long ones, errors with their codes and
 * hints; and what is said when there is no daemon, no answer, half an answer - above all whether a
 * change may have been made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "console/client.h"
#include "tests/unit/fake_daemon.h"

enum { SHORT_MS = 200, LONG_MS = 10000 };

static void
test_result(void **state)
{
	static const char *const script[] = {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"n\":7}}",
					     NULL};
	struct fake_daemon fake;
	struct client *client;
	struct error why;
	json_t *result;
	char *hint, *asked;

	(void)state;
	fake_daemon_start(&fake, script);
	client = client_connect(fake.path, LONG_MS, &why);
	assert_non_null(client);
	result = client_call(client, "a.b", json_pack("{s:i}", "x", 5), false, &why, &hint);
	assert_non_null(result);
	assert_int_equal(json_integer_value(json_object_get(result, "n")), 7);
	json_decref(result);
	client_free(client);
	asked = fake_daemon_stop(&fake);
	assert_string_equal(
	    asked, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a.b\",\"params\":{\"x\":5}}\n");
	free(asked);
}

static void
test_daemon_says_no(void **state)
{
	static const char *const script[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":3,\"message\":\"no route 42\","
	    "\"data\":{\"name\":\"not_found\",\"hint\":\"look\"}}}",
	    NULL};
	struct fake_daemon fake;
	struct client *client;
	struct error why;
	char *hint;

	(void)state;
	fake_daemon_start(&fake, script);
	client = client_connect(fake.path, LONG_MS, &why);
	assert_non_null(client);
	assert_null(client_call(client, "x", NULL, true, &why, &hint));
	assert_int_equal(why.code, ERROR_NOT_FOUND);
	assert_string_equal(why.text, "no route 42");
	assert_string_equal(hint, "look");
	free(hint);
	client_free(client);
	free(fake_daemon_stop(&fake));
}

/* Two questions before the first answer is looked at, and an answer of many reads. */
static void
test_pipelined(void **state)
{
	const char *script[] = {NULL, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":2}", NULL};
	struct strbuf big = STRBUF_INIT;
	struct fake_daemon fake;
	struct client *client;
	struct error why;
	json_t *result;
	char *hint;

	(void)state;
	strbuf_puts(&big, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"");
	for (int i = 0; i < 3000000; i++)
		strbuf_putc(&big, 'x');
	strbuf_puts(&big, "\"}");
	script[0] = big.data;
	fake_daemon_start(&fake, script);
	client = client_connect(fake.path, LONG_MS, &why);
	assert_non_null(client);
	assert_int_equal(client_send(client, "one", NULL, false, &why), 0);
	assert_int_equal(client_send(client, "two", NULL, false, &why), 0);
	result = client_receive(client, &why, &hint);
	assert_int_equal(json_string_length(result), 3000000);
	json_decref(result);
	result = client_receive(client, &why, &hint);
	assert_int_equal(json_integer_value(result), 2);
	json_decref(result);
	/* Nothing is outstanding now. */
	assert_null(client_receive(client, &why, &hint));
	assert_int_equal(why.code, ERROR_BUG);
	client_free(client);
	free(fake_daemon_stop(&fake));
	strbuf_clear(&big);
}

static void
assert_failure(const char *answer, bool writes, enum error_code code, const char *text,
	       bool may_be_made)
{
	const char *const script[] = {answer, NULL};
	struct fake_daemon fake;
	struct client *client;
	struct error why;
	char *hint;

	fake_daemon_start(&fake, script);
	client = client_connect(fake.path, SHORT_MS, &why);
	assert_non_null(client);
	assert_null(client_call(client, "x", NULL, writes, &why, &hint));
	assert_int_equal(why.code, code);
	assert_non_null(strstr(why.text, text));
	assert_int_equal(strstr(why.text, "the change may have been made") != NULL, may_be_made);
	assert_null(hint);
	client_free(client);
	free(fake_daemon_stop(&fake));
}

static void
test_no_answer(void **state)
{
	(void)state;
	assert_failure(FAKE_SILENT, false, ERROR_TIMEOUT, "no answer from relayd within 0.2 s",
		       false);
	assert_failure(FAKE_SILENT, true, ERROR_TIMEOUT, "no answer from relayd within 0.2 s",
		       true);
	assert_failure(FAKE_CLOSE, false, ERROR_NO_DAEMON, "went away", false);
	assert_failure(FAKE_CLOSE, true, ERROR_TIMEOUT, "went away", true);
}

static void
test_nonsense(void **state)
{
	(void)state;
	assert_failure("nonsense", false, ERROR_BUG, "not JSON", false);
	assert_failure("{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":1}", false, ERROR_BUG,
		       "another request", false);
	assert_failure(
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no method\"}}",
	    false, ERROR_BUG, "no method", false);
}

static void
test_no_daemon(void **state)
{
	char long_path[200];
	struct error why;

	(void)state;
	assert_null(client_connect("/nonexistent/control.sock", LONG_MS, &why));
	assert_int_equal(why.code, ERROR_NO_DAEMON);
	assert_string_equal(why.text, "no daemon at /nonexistent/control.sock: No such file or "
				      "directory; start relayd or name its "
				      "socket with -s");
	/* Not a socket. */
	assert_null(client_connect("/dev/null", LONG_MS, &why));
	assert_int_equal(why.code, ERROR_NO_DAEMON);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_null(client_connect(long_path, LONG_MS, &why));
	assert_int_equal(why.code, ERROR_USAGE);
}

/* Nobody accepts, and the queue of the socket is full. */
static void
test_busy_daemon(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/tmail-test-XXXXXX";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct client *clients[8] = {0};
	struct error why = {0};
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", directory);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (i = 0; i < 8; i++) {
		clients[i] = client_connect(address.sun_path, SHORT_MS, &why);
		if (clients[i] == NULL)
			break;
	}
	assert_true(i < 8);
	assert_int_equal(why.code, ERROR_TIMEOUT);
	assert_null(strstr(why.text, "change"));
	while (i > 0)
		client_free(clients[--i]);
	close(listener);
	unlink(address.sun_path);
	rmdir(directory);
}

static void
test_denied(void **state)
{
	static const char *const script[] = {NULL};
	struct fake_daemon fake;
	struct error why;

	(void)state;
	fake_daemon_start(&fake, script);
	chmod(fake.path, 0);
	if (geteuid() != 0) {
		assert_null(client_connect(fake.path, LONG_MS, &why));
		assert_int_equal(why.code, ERROR_DENIED);
	}
	kill(fake.pid, SIGKILL);
	free(fake_daemon_stop(&fake));
	if (geteuid() == 0)
		skip(); /* every door is open to root */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_result),      cmocka_unit_test(test_daemon_says_no),
	    cmocka_unit_test(test_pipelined),   cmocka_unit_test(test_no_answer),
	    cmocka_unit_test(test_nonsense),    cmocka_unit_test(test_no_daemon),
	    cmocka_unit_test(test_busy_daemon), cmocka_unit_test(test_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
