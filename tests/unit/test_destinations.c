/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes/destinations: each rule of RFC 6724 §6 that is applied, the families in turn (RFC 8305
 * §4), what can't be reached at the end; and net/source, which asks the kernel for sources.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "relayd/net/source.h"
#include "relayd/routes/destinations.h"

enum { MOST = 8 };

struct row {
	const char *name;
	struct {
		const char *address, *source; /* NULL: none, it can't be reached */
	} given[MOST];
	const char *order[MOST];
};

/* The examples of RFC 6724 §10.2 among them. */
static const struct row rows[] = {
    {"one", {{"192.0.2.1", "198.51.100.1"}}, {"192.0.2.1"}},
    {"the order stays",
     {{"192.0.2.1", "198.51.100.1"}, {"192.0.2.9", "198.51.100.1"}, {"192.0.2.4", "198.51.100.1"}},
     {"192.0.2.1", "192.0.2.9", "192.0.2.4"}},
    {"IPv6 first",
     {{"198.51.100.121", "198.51.100.117"}, {"2001:db8:1::1", "2001:db8:1::2"}},
     {"2001:db8:1::1", "198.51.100.121"}},
    {"1: what can't be reached comes last",
     {{"2001:db8:1::1", NULL}, {"198.51.100.121", "198.51.100.117"}},
     {"198.51.100.121", "2001:db8:1::1"}},
    {"1: and does not take turns",
     {{"2001:db8:1::1", NULL},
      {"2001:db8:1::2", NULL},
      {"192.0.2.1", "198.51.100.1"},
      {"192.0.2.2", "198.51.100.1"}},
     {"192.0.2.1", "192.0.2.2", "2001:db8:1::1", "2001:db8:1::2"}},
    {"1: none can be reached",
     {{"192.0.2.1", NULL}, {"2001:db8:1::1", NULL}},
     {"2001:db8:1::1", "192.0.2.1"}},
    {"2: same scope",
     {{"2001:db8:1::1", "fe80::2"}, {"198.51.100.121", "198.51.100.117"}},
     {"198.51.100.121", "2001:db8:1::1"}},
    {"2: link-local IPv4 source",
     {{"198.51.100.121", "169.254.13.78"}, {"2001:db8:1::1", "2001:db8:1::2"}},
     {"2001:db8:1::1", "198.51.100.121"}},
    {"5: same label (6to4)",
     {{"2002:c633:6401::1", "2002:c633:6401::2"}, {"2001:db8:1::1", "2002:c633:6401::2"}},
     {"2002:c633:6401::1", "2001:db8:1::1"}},
    {"6: higher precedence (6to4 below the others)",
     {{"2002:c633:6401::1", "2002:c633:6401::2"}, {"2001:db8:1::1", "2001:db8:1::2"}},
     {"2001:db8:1::1", "2002:c633:6401::1"}},
    {"6: a unique local address below IPv4",
     {{"fd00::1", "fd00::2"}, {"192.0.2.1", "198.51.100.1"}},
     {"192.0.2.1", "fd00::1"}},
    {"6: loopback", {{"127.0.0.1", "127.0.0.1"}, {"::1", "::1"}}, {"::1", "127.0.0.1"}},
    {"8: smaller scope",
     {{"2001:db8:1::1", "2001:db8:1::2"}, {"fe80::1", "fe80::2"}},
     {"fe80::1", "2001:db8:1::1"}},
    {"9: longest prefix, IPv6",
     {{"2001:db8:3ffe::1", "2001:db8:1::2"}, {"2001:db8:1::1", "2001:db8:1::2"}},
     {"2001:db8:1::1", "2001:db8:3ffe::1"}},
    {"9: not for IPv4",
     {{"203.0.113.1", "192.0.2.7"}, {"192.0.2.1", "192.0.2.7"}},
     {"203.0.113.1", "192.0.2.1"}},
    {"10.0.0.0/8 is global",
     {{"10.1.2.3", "10.1.2.4"}, {"fe80::1", "fe80::2"}},
     {"fe80::1", "10.1.2.3"}},
    {"families in turn",
     {{"192.0.2.1", "198.51.100.1"},
      {"192.0.2.2", "198.51.100.1"},
      {"192.0.2.3", "198.51.100.1"},
      {"2001:db8::1", "2001:db8::9"},
      {"2001:db8::2", "2001:db8::9"}},
     {"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"}},
    {"families in turn, IPv4 first",
     {{"fd00::1", "fd00::9"},
      {"fd00::2", "fd00::9"},
      {"fd00::3", "fd00::9"},
      {"192.0.2.2", "198.51.100.1"}},
     {"192.0.2.2", "fd00::1", "fd00::2", "fd00::3"}},
};

static struct netaddr
address(const char *text)
{
	struct netaddr parsed = {.family = AF_UNSPEC};

	if (text != NULL)
		assert_int_equal(netaddr_parse(text, &parsed), 0);
	return parsed;
}

static void
test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		struct destination list[MOST];
		char text[NETADDR_TEXT_MAX];
		size_t count = 0;

		for (; count < MOST && row->given[count].address != NULL; count++)
			list[count] =
			    (struct destination){.address = address(row->given[count].address),
						 .source = address(row->given[count].source)};
		destinations_sort(list, count);
		for (size_t j = 0; j < count; j++) {
			if (strcmp(netaddr_text(&list[j].address, text), row->order[j]) != 0)
				fail_msg("%s: at %zu %s, not %s", row->name, j, text,
					 row->order[j]);
		}
	}
	destinations_sort(NULL, 0);
}

/* Whatever comes in comes out, once, and its source with it. */
static void
test_permutation(void **state)
{
	static const char *const prefixes[] = {
	    "192.0.2.", "10.0.0.", "2001:db8::", "2002::", "fe80::", "fd00::", "169.254.0.", "::"};
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		struct destination list[MOST];
		unsigned seen = 0;

		for (unsigned i = 0; i < MOST; i++) {
			char text[64];
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			(void)snprintf(text, sizeof text, "%s%u", prefixes[(seed >> 40) % 8],
				       i + 1);
			list[i].address = address(text);
			list[i].address.port = (uint16_t)i;
			list[i].source = list[i].address;
			if ((seed >> 50) % 4 == 0)
				list[i].source.family = AF_UNSPEC;
		}
		destinations_sort(list, MOST);
		for (unsigned i = 0; i < MOST; i++) {
			seen |= 1U << list[i].address.port;
			assert_int_equal(list[i].source.port, list[i].address.port);
			if (i > 0 && list[i].source.family != AF_UNSPEC)
				assert_int_not_equal(list[i - 1].source.family, AF_UNSPEC);
		}
		assert_int_equal(seen, (1U << MOST) - 1);
	}
}

static void
test_sources(void **state)
{
	const struct netaddr remotes[] = {address("127.0.0.1"), address("127.0.0.9"),
					  address("255.255.255.255")};
	struct netaddr sources[3], expected = address("127.0.0.1");

	(void)state;
	sources_find(remotes, 3, sources);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(sources[i].family, AF_INET);
		assert_true(netaddr_same_host(&sources[i], &expected));
		assert_int_equal(sources[i].port, 0);
	}
	/* A broadcast: no ordinary socket may go there. */
	assert_int_equal(sources[2].family, AF_UNSPEC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_permutation),
	    cmocka_unit_test(test_sources),
	};

	return cmocka_run_group_tests_name("destinations", tests, NULL, NULL);
}
