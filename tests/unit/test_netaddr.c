/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IP addresses and prefixes: text both ways, sockaddr both ways, mapped addresses, what contains
 * what. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/netaddr.h"

static struct netaddr
address_of(const char *text)
{
	struct netaddr addr;

	if (netaddr_parse(text, &addr) == -1)
		fail_msg("'%s' was refused", text);
	return addr;
}

static void
test_text(void **state)
{
	static const char *const rows[][4] = {
	    /* read, plain, with port 25, literal */
	    {"192.0.2.1", "192.0.2.1", "192.0.2.1:25", "[192.0.2.1]"},
	    {"0.0.0.0", "0.0.0.0", "0.0.0.0:25", "[0.0.0.0]"},
	    {"2001:DB8:0:0::1", "2001:db8::1", "[2001:db8::1]:25", "[IPv6:2001:db8::1]"},
	    {"[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:25", "[IPv6:2001:db8::1]"},
	    {"::", "::", "[::]:25", "[IPv6:::]"},
	    {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:25", "[192.0.2.1]"},
	    {"[::ffff:c000:201]", "192.0.2.1", "192.0.2.1:25", "[192.0.2.1]"},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
	     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:25",
	     "[IPv6:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"},
	};
	char text[NETADDR_TEXT_MAX];
	struct netaddr addr;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		addr = address_of(rows[i][0]);
		assert_int_equal(addr.port, 0);
		addr.port = 25;
		assert_string_equal(netaddr_text(&addr, text), rows[i][1]);
		assert_string_equal(netaddr_text_port(&addr, text), rows[i][2]);
		assert_string_equal(netaddr_literal(&addr, text), rows[i][3]);
	}
}

static void
test_refused(void **state)
{
	static const char *const texts[] = {"",
					    " ",
					    "[",
					    "]",
					    "[]",
					    "localhost",
					    "192.0.2",
					    "127.1",
					    "192.0.2.256",
					    "192.0.2.01",
					    "0x7f.0.0.1",
					    "192.0.2.1 ",
					    " 192.0.2.1",
					    "192.0.2.1:25",
					    "[192.0.2.1]",
					    "[::1",
					    "::1]",
					    "[::1]:25",
					    "[[::1]]",
					    "::1::",
					    "fe80::1%lo",
					    "1:2:3:4:5:6:7",
					    "12345::",
					    "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555555]"};
	struct netaddr addr = address_of("192.0.2.9"), before = addr;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (netaddr_parse(texts[i], &addr) == 0)
			fail_msg("'%s' was accepted", texts[i]);
		assert_memory_equal(&addr, &before, sizeof(addr));
	}
}

static void
test_sockaddr(void **state)
{
	static const char *const texts[] = {"192.0.2.1", "2001:db8::1"};
	struct sockaddr_storage ss;
	struct netaddr addr, back;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(587)};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		addr = address_of(texts[i]);
		addr.port = 2525;
		assert_int_equal(netaddr_to_sockaddr(&addr, &ss),
				 i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		netaddr_from_sockaddr(&back, (const struct sockaddr *)&ss);
		assert_true(netaddr_equal(&addr, &back));
	}
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr), 1);
	netaddr_from_sockaddr(&back, (const struct sockaddr *)&in6);
	addr = address_of("192.0.2.1");
	addr.port = 587;
	assert_int_equal(back.family, AF_INET);
	assert_true(netaddr_equal(&addr, &back));

	ss.ss_family = AF_UNIX;
	netaddr_from_sockaddr(&back, (const struct sockaddr *)&ss);
	assert_int_equal(back.family, AF_UNSPEC);
	assert_int_equal(netaddr_to_sockaddr(&back, &ss), 0);
}

static void
test_equal(void **state)
{
	struct netaddr a = address_of("192.0.2.1"), b = a, none = {0};

	(void)state;
	assert_true(netaddr_equal(&a, &b));
	b.port = 1;
	assert_false(netaddr_equal(&a, &b));
	assert_true(netaddr_same_host(&a, &b));
	/* Bytes behind an IPv4 address say nothing. */
	b.bytes[15] = 1;
	assert_true(netaddr_same_host(&a, &b));
	b = address_of("c000:201::");
	assert_false(netaddr_same_host(&a, &b));
	assert_false(netaddr_same_host(&a, &none));
}

static void
test_prefix_contains(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool inside;
	} rows[] = {
	    {"192.0.2.0/24", "192.0.2.255", true},
	    {"192.0.2.0/24", "192.0.3.0", false},
	    {"192.0.2.0/24", "192.0.1.255", false},
	    {"192.0.2.128/25", "192.0.2.127", false},
	    {"192.0.2.128/25", "192.0.2.128", true},
	    {"10.0.0.0/9", "10.127.0.1", true},
	    {"10.0.0.0/9", "10.128.0.1", false},
	    {"127.0.0.1", "127.0.0.1", true},
	    {"127.0.0.1", "127.0.0.2", false},
	    {"0.0.0.0/0", "255.1.2.3", true},
	    {"0.0.0.0/0", "::1", false},
	    {"::/0", "2001:db8::1", true},
	    {"::/0", "192.0.2.1", false},
	    {"::1", "::1", true},
	    {"::1", "::2", false},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"2001:db8::/33", "2001:db8:8000::1", false},
	    {"::ffff:192.0.2.0/120", "192.0.2.77", true},
	    {"::ffff:192.0.2.0/120", "192.0.3.77", false},
	    {"192.0.2.0/24", "::ffff:192.0.2.5", true},
	};
	struct netprefix prefix;
	struct netaddr addr;
	struct error why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (netprefix_parse(rows[i].prefix, &prefix, &why) == -1)
			fail_msg("%s", why.text);
		addr = address_of(rows[i].address);
		addr.port = 999;
		if (netprefix_contains(&prefix, &addr) != rows[i].inside)
			fail_msg("%s and %s", rows[i].prefix, rows[i].address);
	}
}

static void
test_prefix_refused(void **state)
{
	static const char *const texts[] = {"",
					    "/",
					    "/8",
					    "10.0.0.0/",
					    "10.0.0.0/33",
					    "::/129",
					    "10.0.0.0/08",
					    "10.0.0.0/-1",
					    "10.0.0.0/+8",
					    "10.0.0.0/8 ",
					    "10.0.0.0/8/8",
					    "10.0.0.1/8",
					    "2001:db8::1/64",
					    "10/8",
					    "localhost",
					    "[::1]",
					    "[::]/0",
					    "::ffff:10.0.0.0/95",
					    "10.0.0.0/4294967304",
					    "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8"};
	struct netprefix prefix;
	struct error why;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (netprefix_parse(texts[i], &prefix, &why) == 0)
			fail_msg("'%s' was accepted", texts[i]);
		assert_int_equal(why.code, ERROR_REFUSED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_sockaddr),
	    cmocka_unit_test(test_equal),
	    cmocka_unit_test(test_prefix_contains),
	    cmocka_unit_test(test_prefix_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
