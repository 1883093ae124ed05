/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lines of the control protocol: requests good and broken, replies and errors both ways, a
 * route as an object without its password, and back with every wrong member refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/protocol.h"

static void
test_request(void **state)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"routes.get\","
				   "\"params\":{\"id\":42,\"note\":\"a\\nb\"}}\n";
	struct strbuf out = STRBUF_INIT;
	struct protocol_request request;
	struct error why;
	json_t *params = json_pack("{s:i, s:s}", "id", 42, "note", "a\nb");
	int rpc_code = -1;

	(void)state;
	protocol_write_request(&out, 7, "routes.get", params);
	assert_string_equal(out.data, line);
	assert_int_equal(protocol_read_request(out.data, out.len - 1, &request, &rpc_code, &why),
			 0);
	assert_int_equal(rpc_code, 0);
	assert_string_equal(request.method, "routes.get");
	assert_int_equal(json_integer_value(request.id), 7);
	assert_string_equal(json_string_value(json_object_get(request.params, "note")), "a\nb");
	protocol_request_clear(&request);
	assert_null(request.root);

	/* No params: an empty object. No id: a notification. */
	strbuf_reset(&out);
	protocol_write_request(&out, INT64_MIN, "x", NULL);
	assert_string_equal(out.data,
			    "{\"jsonrpc\":\"2.0\",\"id\":-9223372036854775808,\"method\":\"x\"}\n");
	strbuf_reset(&out);
	strbuf_puts(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}");
	assert_int_equal(protocol_read_request(out.data, out.len, &request, &rpc_code, &why), 0);
	assert_null(request.id);
	assert_true(json_is_object(request.params));
	assert_int_equal(json_object_size(request.params), 0);
	protocol_request_clear(&request);
	strbuf_clear(&out);
}

static void
test_broken_requests(void **state)
{
	static const struct {
		const char *line;
		int rpc_code;
		bool id;
	} rows[] = {
	    {"", PROTOCOL_PARSE_ERROR, false},
	    {"{", PROTOCOL_PARSE_ERROR, false},
	    {"{} {}", PROTOCOL_PARSE_ERROR, false},
	    {"{\"jsonrpc\":\"2.0\",\"method\":\"x\xff\"}", PROTOCOL_PARSE_ERROR, false},
	    {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"method\":\"y\"}", PROTOCOL_PARSE_ERROR,
	     false},
	    {"{\"jsonrpc\":\"2.0\",\"method\":\"x\\u0000y\"}", PROTOCOL_PARSE_ERROR, false},
	    {"7", PROTOCOL_PARSE_ERROR, false},
	    {"[]", PROTOCOL_INVALID_REQUEST, false},
	    {"{}", PROTOCOL_INVALID_REQUEST, false},
	    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"x\"}", PROTOCOL_INVALID_REQUEST, true},
	    {"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"x\"}", PROTOCOL_INVALID_REQUEST, true},
	    {"{\"jsonrpc\":\"2.0\",\"id\":1}", PROTOCOL_INVALID_REQUEST, true},
	    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}", PROTOCOL_INVALID_REQUEST, true},
	    {"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"x\"}", PROTOCOL_INVALID_REQUEST, false},
	    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":[]}",
	     PROTOCOL_INVALID_PARAMS, true},
	    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":null}",
	     PROTOCOL_INVALID_PARAMS, true},
	};
	struct protocol_request request;
	struct error why;
	char *deep = malloc(20001);
	int rpc_code;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(protocol_read_request(rows[i].line, strlen(rows[i].line), &request,
						       &rpc_code, &why),
				 -1);
		if (rpc_code != rows[i].rpc_code || (request.id != NULL) != rows[i].id)
			fail_msg("%s: %d", rows[i].line, rpc_code);
		assert_true(why.text[0] != '\0');
		protocol_request_clear(&request);
	}
	/* Depth must cost an error, not the stack. */
	assert_non_null(deep);
	memset(deep, '[', 20000);
	assert_int_equal(protocol_read_request(deep, 20000, &request, &rpc_code, &why), -1);
	assert_int_equal(rpc_code, PROTOCOL_PARSE_ERROR);
	protocol_request_clear(&request);
	free(deep);
}

static void
test_replies(void **state)
{
	struct strbuf out = STRBUF_INIT;
	struct error why = {.code = ERROR_NOT_FOUND, .text = "no route 42"};
	json_t *id = json_integer(3), *result;
	char *hint;

	(void)state;
	protocol_write_result(&out, id, json_pack("{s:[i,i]}", "routes", 1, 2));
	assert_string_equal(out.data,
			    "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"routes\":[1,2]}}\n");
	result = protocol_read_reply(out.data, out.len - 1, 3, &why, &hint);
	assert_non_null(result);
	assert_null(hint);
	assert_int_equal(json_array_size(json_object_get(result, "routes")), 2);
	json_decref(result);
	assert_null(protocol_read_reply(out.data, out.len - 1, 4, &why, &hint));
	assert_int_equal(why.code, ERROR_BUG);

	strbuf_reset(&out);
	protocol_write_result(&out, id, NULL);
	result = protocol_read_reply(out.data, out.len, 3, &why, NULL);
	assert_true(json_is_null(result));
	json_decref(result);

	strbuf_reset(&out);
	error_set(&why, ERROR_NOT_FOUND, "no route 42");
	protocol_write_error(&out, id, &why, "tmail routes list -o id");
	assert_string_equal(out.data,
			    "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":3,\"message\":\"no "
			    "route 42\",\"data\":"
			    "{\"name\":\"not_found\",\"hint\":\"tmail routes list -o id\"}}}\n");
	memset(&why, 0, sizeof(why));
	assert_null(protocol_read_reply(out.data, out.len, 3, &why, &hint));
	assert_int_equal(why.code, ERROR_NOT_FOUND);
	assert_string_equal(why.text, "no route 42");
	assert_string_equal(hint, "tmail routes list -o id");
	free(hint);

	strbuf_reset(&out);
	protocol_write_error(&out, id, &why, NULL);
	assert_null(protocol_read_reply(out.data, out.len, 3, NULL, &hint));
	assert_null(hint);

	/* To a line that could not be read there is no id. */
	strbuf_reset(&out);
	protocol_write_rpc_error(&out, NULL, PROTOCOL_PARSE_ERROR, "not JSON: \xff");
	assert_string_equal(out.data, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
				      "\"message\":\"not JSON: \\\\xff\"}}\n");
	assert_null(protocol_read_reply(out.data, out.len, 3, &why, &hint));
	assert_int_equal(why.code, ERROR_BUG);
	assert_string_equal(why.text, "not JSON: \\xff");
	strbuf_clear(&out);
	json_decref(id);
}

static void
test_broken_replies(void **state)
{
	static const char *const lines[] = {
	    "",
	    "x",
	    "[]",
	    "{}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1}",
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":1}",
	    "{\"jsonrpc\":\"2.0\",\"result\":1}",
	    "{\"id\":1,\"result\":1}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":\"x\"}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":3,\"message\":5,\"data\":[]}}"};
	struct error why;
	char *hint;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		memset(&why, 0, sizeof(why));
		assert_null(protocol_read_reply(lines[i], strlen(lines[i]), 1, &why, &hint));
		assert_int_equal(why.code, ERROR_BUG);
		assert_true(why.text[0] != '\0');
		assert_null(hint);
	}
}

static void
test_route_object(void **state)
{
	struct route *route = route_new(), *back = route_new();
	struct strbuf text = STRBUF_INIT;
	struct error why;
	json_t *object;
	char *dump;

	(void)state;
	assert_int_equal(route_set(route, ROUTE_REMOTE_HOST, "out2.relay.net", &why), 0);
	object = protocol_route_object(route);
	dump = json_dumps(object, JSON_COMPACT);
	assert_string_equal(
	    dump, "{\"id\":0,\"destination\":\"*\",\"user\":null,\"mail_from\":null,\"priority\":1,"
		  "\"weight\":1,"
		  "\"remote_host\":\"out2.relay.net\",\"remote_port\":25,\"local_ips\":null,"
		  "\"remote_login\":null,\"has_password\":false,\"tls\":null,\"enabled\":true,"
		  "\"comment\":null}");
	free(dump);
	json_decref(object);

	route->id = 3;
	assert_int_equal(route_set(route, ROUTE_DESTINATION, "gmail.com", &why), 0);
	assert_int_equal(route_set(route, ROUTE_REMOTE_PORT, "587", &why), 0);
	assert_int_equal(route_set(route, ROUTE_REMOTE_LOGIN, "relay2", &why), 0);
	assert_int_equal(route_set(route, ROUTE_REMOTE_PASSWORD, "hunter2", &why), 0);
	assert_int_equal(route_set(route, ROUTE_TLS, "require", &why), 0);
	assert_int_equal(route_set(route, ROUTE_ENABLED, "no", &why), 0);
	assert_int_equal(route_set(route, ROUTE_LOCAL_IPS, "192.0.2.1&192.0.2.2", &why), 0);
	object = protocol_route_object(route);
	dump = json_dumps(object, JSON_COMPACT);
	assert_null(strstr(dump, "hunter2"));
	free(dump);
	assert_true(json_is_true(json_object_get(object, "has_password")));
	assert_int_equal(protocol_route_from_object(object, back, &why), 0);
	assert_int_equal(back->id, 0);
	assert_null(back->remote_password);
	assert_int_equal(route_set(back, ROUTE_REMOTE_PASSWORD, "hunter2", &why), 0);
	back->id = 3;
	route_line(route, &text);
	strbuf_putc(&text, '|');
	route_line(back, &text);
	dump = strbuf_take(&text);
	assert_memory_equal(dump, strchr(dump, '|') + 1, strlen(strchr(dump, '|') + 1));
	free(dump);
	json_decref(object);
	route_unref(route);
	route_unref(back);
}

static int
from_text(const char *text, struct route *route, struct error *why)
{
	json_t *object = json_loads(text, JSON_ALLOW_NUL, NULL);
	int rc;

	assert_non_null(object);
	rc = protocol_route_from_object(object, route, why);
	json_decref(object);
	return rc;
}

static void
test_route_from_object(void **state)
{
	static const char *const bad[][2] = {
	    {"{\"remote_port\":70000}", "remote_port: the port must be 1-65535"},
	    {"{\"remote_port\":0}", "remote_port: "},
	    {"{\"remote_port\":-1}", "remote_port: "},
	    {"{\"remote_port\":25.0}", "remote_port: "},
	    {"{\"remote_port\":true}", "remote_port: "},
	    {"{\"remote_host\":5}", "remote_host: "},
	    {"{\"remote_host\":null}", "remote_host: "},
	    {"{\"remote_host\":[\"a\"]}", "remote_host: "},
	    {"{\"comment\":true}", "comment: "},
	    {"{\"comment\":\"a\\u0000b\"}", "comment: "},
	    {"{\"enabled\":1}", "enabled: "},
	    {"{\"remotehost\":\"a\"}", "a route has no member 'remotehost'"},
	    {"{\"references\":1}", "a route has no member 'references'"},
	    {"[]", "a route must be a JSON object"},
	};
	struct route *route = route_new();
	struct error why;

	(void)state;
	assert_int_equal(
	    from_text("{\"remote_host\":\"a\",\"priority\":2,\"weight\":\"3\",\"enabled\":false,"
		      "\"comment\":\"c\",\"id\":9,\"has_password\":true,\"group_rank\":2,"
		      "\"shared_with\":[],\"state\":\"slow\",\"rate_1m\":0.3,"
		      "\"deferred_1h\":0.1,\"revision\":3,\"changed_by\":\"marc\"}",
		      route, &why),
	    0);
	assert_int_equal(route->id, 0);
	assert_int_equal(route->priority, 2);
	assert_int_equal(route->weight, 3);
	assert_false(route->enabled);
	assert_int_equal(
	    from_text("{\"enabled\":true,\"comment\":null,\"priority\":null}", route, &why), 0);
	assert_true(route->enabled);
	assert_null(route->comment);
	assert_int_equal(route->priority, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (from_text(bad[i][0], route, &why) == 0)
			fail_msg("%s was accepted", bad[i][0]);
		assert_int_equal(why.code, ERROR_REFUSED);
		assert_memory_equal(why.text, bad[i][1], strlen(bad[i][1]));
	}
	route_unref(route);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_request),      cmocka_unit_test(test_broken_requests),
	    cmocka_unit_test(test_replies),      cmocka_unit_test(test_broken_replies),
	    cmocka_unit_test(test_route_object), cmocka_unit_test(test_route_from_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
