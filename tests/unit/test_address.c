/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RFC 5321 mailboxes: the canonical form of what is valid, and the refusal of all that only looks
 * like it: comments, source routes, control characters, half-closed quotes, over-long parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/address.h"

static void
assert_canonical(const char *text, bool utf8, const char *expected)
{
	struct error why = {0};
	char *address = address_parse(text, strlen(text), utf8, &why);
	char *again;

	if (address == NULL)
		fail_msg("'%s' was refused: %s", text, why.text);
	assert_string_equal(address, expected);
	/* What is canonical stays as it is. */
	again = address_parse(address, strlen(address), utf8, &why);
	assert_non_null(again);
	assert_string_equal(again, expected);
	free(again);
	free(address);
}

static void
assert_refused(const char *text, size_t len, bool utf8)
{
	struct error why = {0};
	char *address = address_parse(text, len, utf8, &why);

	if (address != NULL)
		fail_msg("'%.*s' was read as '%s'", (int)len, text, address);
	assert_int_equal(why.code, ERROR_REFUSED);
	assert_true(why.text[0] != '\0');
}

static void
test_canonical(void **state)
{
	static const char *const pairs[][2] = {
	    {"a@b", "a@b"},
	    {"Joe.Blow@Example.ORG", "Joe.Blow@example.org"},
	    {"!#$%&'*+-/=?^_`{|}~@x.example", "!#$%&'*+-/=?^_`{|}~@x.example"},
	    {"\"a\\b\"@x", "ab@x"},
	    {"\"joe\"@x", "joe@x"},
	    {"\"joe.blow\"@x", "joe.blow@x"},
	    {"\"joe..blow\"@x", "\"joe..blow\"@x"},
	    {"\".joe\"@x", "\".joe\"@x"},
	    {"\"joe.\"@x", "\"joe.\"@x"},
	    {"\"\"@x", "\"\"@x"},
	    {"\" \"@x", "\" \"@x"},
	    {"\"\\ a\"@x", "\" a\"@x"},
	    {"\"a@b\"@x", "\"a@b\"@x"},
	    {"\"\\\"\\\\\"@x", "\"\\\"\\\\\"@x"},
	    {"\"(a) <b>, c;\"@x", "\"(a) <b>, c;\"@x"},
	    {"a@1.example", "a@1.example"},
	    {"a@x-y.example", "a@x-y.example"},
	    {"a@[192.0.2.1]", "a@[192.0.2.1]"},
	    {"a@[ipv6:2001:DB8:0::1]", "a@[IPv6:2001:db8::1]"},
	    {"a@[IPv6:::ffff:192.0.2.1]", "a@[192.0.2.1]"},
	    {"a@[X-tag:Some{thing}]", "a@[x-tag:some{thing}]"},
	    {"a@XN--EXMPLE-CUA.fr", "a@xn--exmple-cua.fr"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_canonical(pairs[i][0], false, pairs[i][1]);
		assert_canonical(pairs[i][0], true, pairs[i][1]);
	}
}

static void
test_refused(void **state)
{
	static const char *const texts[] = {"",
					    "@",
					    "a",
					    "a@",
					    "@b",
					    "a b@x",
					    "a@b c",
					    " a@b",
					    "a@b ",
					    "a@b@c",
					    ".a@b",
					    "a.@b",
					    "a..b@c",
					    "a@.b",
					    "a@b.",
					    "a@b..c",
					    "a@-b",
					    "a@b-",
					    "<a@b>",
					    "a@b>",
					    "@x.example:a@b",
					    "@x,@y:a@b",
					    "(c)a@b",
					    "a(c)@b",
					    "a@b(c)",
					    "a@(c)b",
					    "\"a@b",
					    "\"a\"b@c",
					    "\"a\" @c",
					    "a\"b\"@c",
					    "\"a\".\"b\"@c",
					    "\"a\\\"@b",
					    "\"a\"",
					    "\"",
					    "\"\\",
					    "a,b@c",
					    "a;b@c",
					    "a:b@c",
					    "a@b,c",
					    "a@b/c",
					    "a@b%c",
					    "a@[]",
					    "a@[192.0.2.1",
					    "a@192.0.2.1]",
					    "a@[192.0.2]",
					    "a@[192.0.2.256]",
					    "a@[192.0.2.01]",
					    "a@[192.0.2.1]x",
					    "a@[192.0.2.1].x",
					    "a@[2001:db8::1]",
					    "a@[IPv6:]",
					    "a@[IPv6:192.0.2.1]",
					    "a@[IPv6:::1::]",
					    "a@[IPv6:[::1]]",
					    "a@[IPv6:fe80::1%lo]",
					    "a@[x]",
					    "a@[x:]",
					    "a@[:x]",
					    "a@[x-:y]",
					    "a@[x_y:z]",
					    "a@[x:a b]",
					    "a@[x:a[b]",
					    "a@[x:a]b]",
					    "a@[x:a\\]]"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_refused(texts[i], strlen(texts[i]), false);
		assert_refused(texts[i], strlen(texts[i]), true);
	}
}

/* Any control character at any place of any kind of address. */
static void
test_control_characters(void **state)
{
	static const char *const texts[] = {"ab@cd", "\"a\\b\"@cd", "a@[192.0.2.1]", "a@[IPv6:::1]",
					    "a@[x:yz]"};
	char changed[32];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		len = strlen(texts[i]);
		for (int c = 0; c < 256; c++) {
			if (c >= 0x20 && c < 0x7f)
				continue;
			for (size_t at = 0; at <= len; at++) {
				memcpy(changed, texts[i], at);
				changed[at] = (char)c;
				memcpy(changed + at + 1, texts[i] + at, len - at);
				assert_refused(changed, len + 1, false);
				assert_refused(changed, len + 1, true);
				if (at == len)
					continue;
				memcpy(changed, texts[i], len);
				changed[at] = (char)c;
				assert_refused(changed, len, false);
				assert_refused(changed, len, true);
			}
		}
	}
}

static void
test_utf8(void **state)
{
	(void)state;
	assert_refused("ren\xc3\xa9@x", 7, false);
	assert_refused("a@ex\xc3\xa4mple.fr", 13, false);
	assert_canonical("ren\xc3\xa9@x", true, "ren\xc3\xa9@x");
	assert_canonical("\"ren\xc3\xa9 a\"@x", true, "\"ren\xc3\xa9 a\"@x");
	assert_canonical("\"ren\xc3\xa9\"@x", true, "ren\xc3\xa9@x");
	assert_canonical("root@my_host", false, "root@my_host");
	assert_canonical("a@Ex\xc3\x84mple.fr", true, "a@xn--exmple-cua.fr");
	assert_refused("a\xc3@x", 4, true);
	assert_refused("\"\\\xc3\xa9\"@x", 7, true);
	assert_refused("a\xc2\x85@x", 5, true);       /* NEL, a C1 control */
	assert_refused("a\xe2\x80\xa8@x", 6, true);   /* line separator */
	assert_refused("a@\xe2\x98\x95.fr", 8, true); /* a symbol: none of IDNA2008 */
	assert_refused("a@\xc3\xa4.123", 8, true);
	assert_refused("a@\xc3\xa4.", 5, true);
}

static void
test_bounds(void **state)
{
	char text[400];

	(void)state;
	memset(text, 'l', sizeof(text));
	memcpy(text + 64, "@x", 3);
	assert_canonical(text, false, text);
	text[64] = 'l';
	memcpy(text + 65, "@x", 3);
	assert_refused(text, 67, false);

	/* A quoted string may be shorter once it is canonical; the bound is that of the protocol.
	 */
	memset(text, 'l', sizeof(text));
	text[0] = '"';
	memcpy(text + 64, "\"@x", 4);
	assert_refused(text, 67, false);

	/* Labels of 63, a domain of 255 and one of 256. */
	memset(text, 'd', sizeof(text));
	memcpy(text, "a@", 2);
	for (size_t i = 63; i < 255; i += 64)
		text[2 + i] = '.';
	text[2 + 255] = '\0';
	assert_canonical(text, false, text);
	text[2 + 255] = 'd';
	text[2 + 256] = '\0';
	assert_refused(text, 258, false);
	memset(text, 'd', sizeof(text));
	memcpy(text, "a@", 2);
	assert_refused(text, 2 + 64, false);
}

static void
test_domain_and_equal(void **state)
{
	(void)state;
	assert_string_equal(address_domain("a@b.example"), "b.example");
	assert_string_equal(address_domain("\"a@b\"@c"), "c");
	assert_string_equal(address_domain(""), "");
	assert_true(address_equal("", ""));
	assert_false(address_equal("", "a@b"));
	assert_true(address_equal("a@b", "a@B"));
	assert_false(address_equal("a@b", "A@b"));
	assert_false(address_equal("a@b", "a@bc"));
	assert_false(address_equal("ab@c", "a@bc"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_canonical),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_control_characters),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_domain_and_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
