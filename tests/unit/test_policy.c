/* SPDX-License-Identifier: GPL-3.0-or-later */
/* relayd/auth/policy: the client's address, its login, the recipient's domain, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relayd/auth/policy.h"

static struct netaddr
address(const char *text)
{
	struct netaddr addr;

	assert_int_equal(netaddr_parse(text, &addr), 0);
	return addr;
}

static bool
may(const char *client, const char *login, const char *domain)
{
	static const char *const domains[] = {"example.org", ".example.com", "[192.0.2.1]"};
	struct netprefix from[2];
	struct policy policy = {.relay_from = from,
				.relay_from_count = 2,
				.relay_domains = domains,
				.relay_domains_count = 3};
	struct netaddr addr = {.family = AF_UNSPEC};

	assert_int_equal(netprefix_parse("10.1.0.0/16", &from[0], NULL), 0);
	assert_int_equal(netprefix_parse("2001:db8::/32", &from[1], NULL), 0);
	if (client != NULL)
		addr = address(client);
	return policy_may_relay(&policy, &addr, login, domain);
}

static void
by_address(void **state)
{
	(void)state;
	assert_true(may("10.1.2.3", NULL, "anywhere.test"));
	assert_true(may("2001:db8:1::1", NULL, "anywhere.test"));
	assert_true(may("::ffff:10.1.2.3", NULL, "anywhere.test")); /* IPv4 in disguise */
	assert_false(may("10.2.0.1", NULL, "anywhere.test"));
	assert_false(may("2001:db9::1", NULL, "anywhere.test"));
	assert_false(may("::1", NULL, "anywhere.test"));
	assert_false(may(NULL, NULL, "anywhere.test")); /* no address at all */
}

static void
by_login(void **state)
{
	(void)state;
	assert_true(may("192.0.2.9", "ann@example.net", "anywhere.test"));
	assert_true(may(NULL, "ann@example.net", "anywhere.test"));
}

static void
by_domain(void **state)
{
	(void)state;
	assert_true(may("192.0.2.9", NULL, "example.org"));
	assert_false(may("192.0.2.9", NULL, "sub.example.org")); /* no dot, no subdomains */
	assert_false(may("192.0.2.9", NULL, "notexample.org"));
	assert_true(may("192.0.2.9", NULL, "a.example.com"));
	assert_true(may("192.0.2.9", NULL, "a.b.example.com"));
	assert_false(may("192.0.2.9", NULL, "example.com"));
	assert_false(may("192.0.2.9", NULL, ".example.com"));
	assert_false(may("192.0.2.9", NULL, "badexample.com"));
	assert_true(may("192.0.2.9", NULL, "[192.0.2.1]"));
	assert_false(may("192.0.2.9", NULL, ""));
}

static void
an_empty_policy_refuses(void **state)
{
	struct policy policy = {0};
	struct netaddr addr = address("127.0.0.1");

	(void)state;
	assert_false(policy_may_relay(&policy, &addr, NULL, "example.org"));
	assert_true(policy_may_relay(&policy, &addr, "ann", "example.org"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(by_address),
	    cmocka_unit_test(by_login),
	    cmocka_unit_test(by_domain),
	    cmocka_unit_test(an_empty_policy_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
