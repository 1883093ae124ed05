/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/smtp/trace: the Received field in each of its forms, HELO arguments that try to become
 * something else, and dates.
 */
#include "relayd/smtp/trace.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/xalloc.h"

static void
check(const char *helo, const char *client, const char *recipient, const char *expected)
{
	struct strbuf out = STRBUF_INIT;
	struct netaddr address;
	struct trace trace = {
	    .helo = helo,
	    .client = &address,
	    .hostname = "mx.example.org",
	    .protocol = "ESMTP",
	    .id = 4711,
	    .recipient = recipient,
	    .wall_ms = INT64_C(1704449472345),
	};

	assert_int_equal(netaddr_parse(client, &address), 0);
	trace_put_received(&trace, &out);
	assert_string_equal(out.data, expected);
	strbuf_clear(&out);
}

static void
test_received(void **state)
{
	(void)state;
	check("client.example", "192.0.2.1", "a@example.org",
	      "Received: from client.example ([192.0.2.1])\r\n"
	      "\tby mx.example.org with ESMTP id 4711\r\n"
	      "\tfor <a@example.org>;\r\n"
	      "\tFri, 05 Jan 2024 10:11:12 +0000\r\n");
	check("[IPv6:2001:db8::7]", "2001:db8::7", NULL,
	      "Received: from [IPv6:2001:db8::7] ([IPv6:2001:db8::7])\r\n"
	      "\tby mx.example.org with ESMTP id 4711;\r\n"
	      "\tFri, 05 Jan 2024 10:11:12 +0000\r\n");
}

static void
test_odd_helo(void **state)
{
	static const struct {
		const char *helo;
		const char *shown;
	} examples[] = {
	    {"my pc", "my?pc"},
	    {"x) by evil (y", "x??by?evil??y"},
	    {"a\\)b;c", "a??b?c"},
	    {"x\r\nSubject: y", "x??Subject:?y"},
	    {"\xc3\xa4\x1b[2J", "???[2J"},
	    {"<\"a\"@b>", "??a?@b?"},
	    {"-", "-"},
	};
	char *expected, *helo;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		expected = xasprintf("Received: from [192.0.2.1] (HELO %s)\r\n"
				     "\tby mx.example.org with ESMTP id 4711;\r\n"
				     "\tFri, 05 Jan 2024 10:11:12 +0000\r\n",
				     examples[i].shown);
		check(examples[i].helo, "192.0.2.1", NULL, expected);
		free(expected);
	}
	/* No line of the field grows past RFC 5322's bound. */
	helo = xmalloc(2001);
	memset(helo, 'x', 2000);
	helo[2000] = '\0';
	expected = xasprintf("Received: from [192.0.2.1] (HELO %.128s)\r\n"
			     "\tby mx.example.org with ESMTP id 4711;\r\n"
			     "\tFri, 05 Jan 2024 10:11:12 +0000\r\n",
			     helo);
	check(helo, "192.0.2.1", NULL, expected);
	free(expected);
	free(helo);
}

static void
test_dates(void **state)
{
	static const struct {
		int64_t wall_ms;
		const char *date;
	} examples[] = {
	    {0, "Thu, 01 Jan 1970 00:00:00 +0000"},
	    {INT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 +0000"},
	    {INT64_C(1767225599999), "Wed, 31 Dec 2025 23:59:59 +0000"},
	    {INT64_C(4102444800000), "Fri, 01 Jan 2100 00:00:00 +0000"},
	};
	struct strbuf out = STRBUF_INIT;

	(void)state;
	/* Whatever the locale and the time zone are. */
	setlocale(LC_ALL, "");
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		strbuf_reset(&out);
		trace_put_date(examples[i].wall_ms, &out);
		assert_string_equal(out.data, examples[i].date);
	}
	strbuf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_received),
	    cmocka_unit_test(test_odd_helo),
	    cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
