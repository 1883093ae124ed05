/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Host and port as people write them, and the port alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hostport.h"

static void
test_read(void **state)
{
	static const struct {
		const char *text;
		char separator;
		const char *host;
		uint16_t port;
	} rows[] = {
	    {"mail.example.com:25", ':', "mail.example.com", 25},
	    {"mail.example.com", ':', "mail.example.com", 0},
	    {"ex\xc3\xa4mple.fr:65535", ':', "ex\xc3\xa4mple.fr", 65535},
	    {"0.0.0.0:25", ':', "0.0.0.0", 25},
	    {"[::]:465", ':', "::", 465},
	    {"[2001:db8::1]", ':', "2001:db8::1", 0},
	    {"2001:db8::1", ':', "2001:db8::1", 0},
	    {"::1:25", ':', "::1:25", 0}, /* all of it is an address */
	    {"127.0.0.1@53", '@', "127.0.0.1", 53},
	    {"127.0.0.1", '@', "127.0.0.1", 0},
	    {"::1@5353", '@', "::1", 5353},
	    {"[::1]@5353", '@', "::1", 5353},
	    {"localhost:1", ':', "localhost", 1},
	};
	struct hostport hp;
	struct error why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (hostport_parse(rows[i].text, rows[i].separator, &hp, &why) == -1)
			fail_msg("%s", why.text);
		assert_string_equal(hp.host, rows[i].host);
		assert_int_equal(hp.port, rows[i].port);
		hostport_clear(&hp);
		assert_null(hp.host);
	}
	hostport_clear(&hp);
}

static void
test_refused(void **state)
{
	static const char *const texts[] = {"",
					    ":",
					    ":25",
					    "host:",
					    "host:0",
					    "host:65536",
					    "host:-1",
					    "host:+25",
					    "host: 25",
					    "host:25 ",
					    "host:smtp",
					    "host:0x19",
					    "host:4294967321",
					    "a b:25",
					    "a\n:25",
					    "a:b:25",
					    "[::1]25",
					    "[::1]:",
					    "[::1",
					    "::1]:25",
					    "[]:25",
					    "[localhost]:25",
					    "[192.0.2.1]:25",
					    "[[::1]]:25",
					    "host/24:25",
					    "a@b:25",
					    "\xff:25"};
	struct hostport hp = {0};
	struct error why;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (hostport_parse(texts[i], ':', &hp, &why) == 0)
			fail_msg("'%s' was accepted", texts[i]);
		assert_int_equal(why.code, ERROR_REFUSED);
		assert_null(hp.host);
	}
	assert_int_equal(hostport_parse("127.0.0.1:53", '@', &hp, &why), -1);
	assert_int_equal(hostport_parse("::1@", '@', &hp, &why), -1);
}

static void
test_port(void **state)
{
	static const char *const bad[] = {"",   "0",   "00",      "65536", "99999999999999999999",
					  "-1", "+1",  " 1",      "1 ",    "1a",
					  "a",  "1.0", "\xd9\xa1"};
	uint16_t port = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(port_parse(bad[i], &port), -1);
		assert_int_equal(port, 7);
	}
	assert_int_equal(port_parse("1", &port), 0);
	assert_int_equal(port, 1);
	assert_int_equal(port_parse("65535", &port), 0);
	assert_int_equal(port, 65535);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
