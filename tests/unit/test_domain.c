/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The stored form of domain names (IDNA2008), the form shown to a person, RFC 5321's syntax. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/domain.h"

static void
assert_stored(const char *text, const char *expected)
{
	struct error why = {0};
	char *domain = domain_normalise(text, &why);

	if (domain == NULL && expected != NULL)
		fail_msg("'%s' was refused: %s", text, why.text);
	if (domain != NULL && expected == NULL)
		fail_msg("'%s' was read as '%s'", text, domain);
	if (expected != NULL)
		assert_string_equal(domain, expected);
	else
		assert_int_equal(why.code, ERROR_REFUSED);
	free(domain);
}

static void
test_stored_form(void **state)
{
	static const char *const pairs[][2] = {
	    {"example.com", "example.com"},
	    {"EXAMPLE.Com.", "example.com"},
	    {"localhost", "localhost"},
	    {"_dmarc.example.com", "_dmarc.example.com"},
	    {"r3---sn-4g5e6.example", "r3---sn-4g5e6.example"},
	    {"1and1.com", "1and1.com"},
	    {"1.example", "1.example"},
	    {"ex\xc3\xa4mple.fr", "xn--exmple-cua.fr"},
	    {"EX\xc3\x84MPLE.FR.", "xn--exmple-cua.fr"},
	    {"exa\xcc\x88mple.fr", "xn--exmple-cua.fr"}, /* not composed */
	    {"xn--exmple-cua.fr", "xn--exmple-cua.fr"},
	    {"XN--EXMPLE-CUA.fr", "xn--exmple-cua.fr"},
	    {"fa\xc3\x9f.de", "xn--fa-hia.de"}, /* IDNA2003 said fass.de */
	    {"_spf.ex\xc3\xa4mple.fr", "_spf.xn--exmple-cua.fr"},
	    {"\xe4\xbe\x8b\xe3\x80\x82jp", "xn--fsq.jp"}, /* ideographic full stop */
	    {"\xef\xbd\x81\xef\xbd\x82.fr", "ab.fr"},     /* full width */
	    {"[192.0.2.1]", "[192.0.2.1]"},
	    {"[IPV6:2001:DB8:0:0::1]", "[IPv6:2001:db8::1]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_stored(pairs[i][0], pairs[i][1]);
}

static void
test_refused(void **state)
{
	static const char *const texts[] = {"",
					    ".",
					    "..",
					    ".example.com",
					    "a..b",
					    "a.b..",
					    "-a.b",
					    "a-.b",
					    "a b",
					    "a\tb",
					    "a\nb",
					    "a@b",
					    "a/b",
					    "a:b",
					    "*",
					    "*.example.com",
					    "192.0.2.1",
					    "300.1.2",
					    "1",
					    "example.123",
					    "[",
					    "[]",
					    "[192.0.2.1",
					    "[192.0.2]",
					    "[2001:db8::1]",
					    "[x-tag:y]",
					    "[IPv6:192.0.2.1]",
					    "\xff",
					    "ex\xc3",
					    "\xe2\x98\x95.fr",
					    "xn--53h.fr",
					    "xn--zzzz----.fr",
					    "xn--",
					    "\xc3\xa4_b.fr",
					    "xn--_b-uia.fr",
					    "\xc3\xa4..fr",
					    "-\xc3\xa4.fr",
					    "ex\xe2\x80\x8dz.fr",
					    "\xc3\xa4 .fr"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_stored(texts[i], NULL);
}

static void
test_bounds(void **state)
{
	char text[600];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[63] = '\0';
	assert_stored(text, text);
	text[63] = 'a';
	text[64] = '\0';
	assert_stored(text, NULL);

	memset(text, 'a', sizeof(text));
	for (size_t i = 63; i < 253; i += 64)
		text[i] = '.';
	text[253] = '\0';
	assert_stored(text, text);
	text[253] = 'a';
	text[254] = '\0';
	assert_stored(text, NULL);

	/* Under 253 characters, over 63 octets as an A-label. */
	for (size_t i = 0; i < 120; i += 2)
		memcpy(text + i, i % 4 == 0 ? "\xc3\xa4" : "\xc3\xb6", 2);
	text[120] = '\0';
	assert_stored(text, NULL);
}

static void
assert_shown(const char *domain, const char *expected)
{
	char *shown = domain_display(domain);

	assert_string_equal(shown, expected);
	free(shown);
}

static void
test_display(void **state)
{
	(void)state;
	assert_shown("example.com", "example.com");
	assert_shown("", "");
	assert_shown("xn--exmple-cua.fr", "ex\xc3\xa4mple.fr");
	assert_shown("*", "*");
	assert_shown(".xn--exmple-cua.fr", ".ex\xc3\xa4mple.fr");
	assert_shown("_spf.xn--exmple-cua.fr", "_spf.ex\xc3\xa4mple.fr");
	assert_shown("xn--e1afmkfd.com", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.com");
	/* A Cyrillic a before "pple". */
	assert_shown("xn--pple-43d.com", "xn--pple-43d.com");
	assert_shown("xn--exmple-cua.xn--pple-43d.com", "xn--exmple-cua.xn--pple-43d.com");
	/* Japanese mixes three scripts by nature, and Latin with them. */
	assert_shown("xn--x-hjur54rncbk91h.jp",
		     "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x83\xbbx.jp");
	assert_shown("xn--53h.fr", "xn--53h.fr");
	assert_shown("xn--zzzz----.fr", "xn--zzzz----.fr");
	assert_shown("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]");
}

/* What is shown is read as what was stored. */
static void
test_display_round_trip(void **state)
{
	static const char *const stored[] = {"xn--exmple-cua.fr", "xn--e1afmkfd.com",
					     "xn--fa-hia.de", "xn--fsq.jp",
					     "xn--x-hjur54rncbk91h.jp"};
	char *shown;

	(void)state;
	for (size_t i = 0; i < sizeof(stored) / sizeof(stored[0]); i++) {
		shown = domain_display(stored[i]);
		assert_string_not_equal(shown, stored[i]);
		assert_stored(shown, stored[i]);
		free(shown);
	}
}

static void
test_syntax_alone(void **state)
{
	static const char *const good[] = {
	    "a",       "a.b",         "1.2.3.4",    "a-b.c",
	    "A.B",     "[192.0.2.1]", "[IPv6:::1]", "[ipv6:2001:db8::1]",
	    "[x-y:z]", "a_b",         "_a.b"};
	static const char *const bad[] = {"",   ".",  "a.",    ".a",           "a..b",
					  "-a", "a-", "a b",   "a@b",          "ex\xc3\xa4mple",
					  "[",  "[]", "[::1]", "[192.0.2.1]]", "[x]"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!domain_is_valid(good[i], strlen(good[i])))
			fail_msg("'%s' was refused", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (domain_is_valid(bad[i], strlen(bad[i])))
			fail_msg("'%s' was accepted", bad[i]);
	}
	assert_false(domain_is_valid("a\0b", 3));
	assert_true(domain_is_valid("a.b@c", 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stored_form),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_display),
	    cmocka_unit_test(test_display_round_trip),
	    cmocka_unit_test(test_syntax_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
