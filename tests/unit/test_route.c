/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One route: what each field accepts and how it is kept, the rules between fields, the list line
 * letter by letter, the stored record both ways, the policy for TLS, references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/route.h"

static void
set(struct route *route, enum route_field field, const char *value)
{
	struct error why = {0};

	if (route_set(route, field, value, &why) == -1)
		fail_msg("%s '%s': %s", route_field_name(field), value, why.text);
}

static struct route *
route_to(const char *destination, const char *host)
{
	struct route *route = route_new();

	set(route, ROUTE_DESTINATION, destination);
	set(route, ROUTE_REMOTE_HOST, host);
	return route;
}

struct row {
	enum route_field field;
	const char *value, *kept; /* NULL: refused */
};

static void
check_rows(const struct row *rows, size_t count)
{
	struct route *route = route_to("before.example", "before.example");
	const char *kept, *before;
	char scratch[24], scratch_before[24];
	struct error why;

	for (size_t i = 0; i < count; i++) {
		before = route_get(route, rows[i].field, scratch_before);
		memset(&why, 0, sizeof(why));
		if (route_set(route, rows[i].field, rows[i].value, &why) == -1) {
			if (rows[i].kept != NULL)
				fail_msg("'%s' was refused: %s", rows[i].value, why.text);
			assert_int_equal(why.code, ERROR_REFUSED);
			assert_true(why.text[0] != '\0');
			/* Unchanged: the very same text, not a copy. */
			kept = route_get(route, rows[i].field, scratch);
			if (before != scratch_before)
				assert_ptr_equal(kept, before);
			continue;
		}
		kept = route_get(route, rows[i].field, scratch);
		if (rows[i].kept == NULL)
			fail_msg("'%s' was kept as '%s'", rows[i].value,
				 kept != NULL ? kept : "NULL");
		/* "" stands for the default. */
		assert_string_equal(kept != NULL ? kept : "", rows[i].kept);
	}
	route_unref(route);
}

#define CHECK(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

static void
test_destination(void **state)
{
	static const struct row rows[] = {
	    {ROUTE_DESTINATION, "*", ""},
	    {ROUTE_DESTINATION, "Example.COM", "example.com"},
	    {ROUTE_DESTINATION, "", ""},
	    {ROUTE_DESTINATION, "example.com.", "example.com"},
	    {ROUTE_DESTINATION, ".Example.com", ".example.com"},
	    {ROUTE_DESTINATION, "*.example.com", ".example.com"},
	    {ROUTE_DESTINATION, ".com", ".com"},
	    {ROUTE_DESTINATION, "ex\xc3\xa4mple.fr", "xn--exmple-cua.fr"},
	    {ROUTE_DESTINATION, "*.ex\xc3\xa4mple.fr", ".xn--exmple-cua.fr"},
	    {ROUTE_DESTINATION, "[192.0.2.1]", "[192.0.2.1]"},
	    {ROUTE_DESTINATION, "[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]"},
	    {ROUTE_DESTINATION, "**", NULL},
	    {ROUTE_DESTINATION, "*.", NULL},
	    {ROUTE_DESTINATION, ".", NULL},
	    {ROUTE_DESTINATION, "*.*", NULL},
	    {ROUTE_DESTINATION, "*example.com", NULL},
	    {ROUTE_DESTINATION, "a.*.com", NULL},
	    {ROUTE_DESTINATION, "..com", NULL},
	    {ROUTE_DESTINATION, ".[192.0.2.1]", NULL},
	    {ROUTE_DESTINATION, "192.0.2.1", NULL},
	    {ROUTE_DESTINATION, "paul@example.com", NULL},
	    {ROUTE_DESTINATION, "a b", NULL},
	    {ROUTE_DESTINATION, "a\nb", NULL},
	};

	(void)state;
	CHECK(rows);
}

static void
test_remote(void **state)
{
	static const struct row rows[] = {
	    {ROUTE_REMOTE_HOST, "Mail.Example.com", "mail.example.com"},
	    {ROUTE_REMOTE_HOST, "localhost", "localhost"},
	    {ROUTE_REMOTE_HOST, "out2", "out2"},
	    {ROUTE_REMOTE_HOST, "ex\xc3\xa4mple.fr", "xn--exmple-cua.fr"},
	    {ROUTE_REMOTE_HOST, "192.0.2.1", "192.0.2.1"},
	    {ROUTE_REMOTE_HOST, "[2001:DB8::1]", "2001:db8::1"},
	    {ROUTE_REMOTE_HOST, "2001:db8::1", "2001:db8::1"},
	    {ROUTE_REMOTE_HOST, "[::ffff:192.0.2.1]", "192.0.2.1"},
	    {ROUTE_REMOTE_HOST, "", NULL},
	    {ROUTE_REMOTE_HOST, "*", NULL},
	    {ROUTE_REMOTE_HOST, ".example.com", NULL},
	    {ROUTE_REMOTE_HOST, "mail.example.com:25", NULL},
	    {ROUTE_REMOTE_HOST, "[2001:db8::1]:25", NULL},
	    {ROUTE_REMOTE_HOST, "[192.0.2.1]", NULL},
	    {ROUTE_REMOTE_HOST, "[IPv6:2001:db8::1]", NULL},
	    {ROUTE_REMOTE_HOST, "300.1.1.1", NULL},
	    {ROUTE_REMOTE_HOST, "a b", NULL},
	    {ROUTE_REMOTE_PORT, "2525", "2525"},
	    {ROUTE_REMOTE_PORT, "25", ""},
	    {ROUTE_REMOTE_PORT, "65535", "65535"},
	    {ROUTE_REMOTE_PORT, "", ""},
	    {ROUTE_REMOTE_PORT, "0", NULL},
	    {ROUTE_REMOTE_PORT, "65536", NULL},
	    {ROUTE_REMOTE_PORT, "smtp", NULL},
	    {ROUTE_PRIORITY, "65535", "65535"},
	    {ROUTE_PRIORITY, "1", ""},
	    {ROUTE_PRIORITY, "0", NULL},
	    {ROUTE_PRIORITY, "65536", NULL},
	    {ROUTE_PRIORITY, "-1", NULL},
	    {ROUTE_WEIGHT, "1000", "1000"},
	    {ROUTE_WEIGHT, "1001", NULL},
	    {ROUTE_WEIGHT, "0", NULL},
	    {ROUTE_WEIGHT, "", ""},
	};
	struct route *route = route_to("*", "a");
	struct error why;

	(void)state;
	CHECK(rows);
	assert_int_equal(route_set(route, ROUTE_REMOTE_PORT, "70000", &why), -1);
	assert_string_equal(why.text, "the port must be 1-65535");
	route_unref(route);
}

static void
test_local_ips(void **state)
{
	static const struct row rows[] = {
	    {ROUTE_LOCAL_IPS, "192.0.2.1", "192.0.2.1"},
	    {ROUTE_LOCAL_IPS, "192.0.2.2|2001:DB8::1", "192.0.2.2|2001:db8::1"},
	    {ROUTE_LOCAL_IPS, "192.0.2.2&[2001:db8::1]&192.0.2.1",
	     "192.0.2.2&2001:db8::1&192.0.2.1"},
	    {ROUTE_LOCAL_IPS, "", ""},
	    {ROUTE_LOCAL_IPS, "192.0.2.1&192.0.2.2|192.0.2.3", NULL},
	    {ROUTE_LOCAL_IPS, "192.0.2.1|", NULL},
	    {ROUTE_LOCAL_IPS, "|192.0.2.1", NULL},
	    {ROUTE_LOCAL_IPS, "192.0.2.1||192.0.2.2", NULL},
	    {ROUTE_LOCAL_IPS, "|", NULL},
	    {ROUTE_LOCAL_IPS, "192.0.2.1,192.0.2.2", NULL},
	    {ROUTE_LOCAL_IPS, "192.0.2.1:25", NULL},
	    {ROUTE_LOCAL_IPS, "host", NULL},
	    {ROUTE_LOCAL_IPS, "0.0.0.0", NULL},
	    {ROUTE_LOCAL_IPS, "::", NULL},
	    {ROUTE_LOCAL_IPS,
	     "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", NULL},
	};
	struct route_local_ips ips;
	struct error why;
	char many[200] = "";

	(void)state;
	CHECK(rows);
	assert_int_equal(route_local_ips_parse("", &ips, &why), 0);
	assert_int_equal(ips.count, 0);
	assert_int_equal(route_local_ips_parse("192.0.2.1|2001:db8::1", &ips, &why), 0);
	assert_int_equal(ips.count, 2);
	assert_false(ips.failover);
	assert_int_equal(ips.address[0].family, AF_INET);
	assert_int_equal(ips.address[1].family, AF_INET6);
	assert_int_equal(route_local_ips_parse("192.0.2.1&192.0.2.2", &ips, &why), 0);
	assert_true(ips.failover);
	assert_int_equal(ips.address[1].bytes[3], 2);

	for (int i = 0; i < 16; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s10.0.0.%d",
			 i > 0 ? "|" : "", i + 1);
	assert_int_equal(route_local_ips_parse(many, &ips, &why), 0);
	assert_int_equal(ips.count, 16);
	strcat(many, "|10.0.0.17");
	assert_int_equal(route_local_ips_parse(many, &ips, &why), -1);
	assert_int_equal(ips.count, 16);
}

static void
test_who(void **state)
{
	static const struct row rows[] = {
	    {ROUTE_USER, "Toorop@TMAIL.io", "toorop@tmail.io"},
	    {ROUTE_USER, "TMAIL.io", "tmail.io"},
	    {ROUTE_USER, "Paul", "paul"},
	    {ROUTE_USER, "jean.dupont", "jean.dupont"},
	    {ROUTE_USER, "jean..dupont", "jean..dupont"},
	    {ROUTE_USER, "a@b@Ex\xc3\xa4mple.fr", "a@b@xn--exmple-cua.fr"},
	    {ROUTE_USER, "ex\xc3\xa4mple.fr", "xn--exmple-cua.fr"},
	    {ROUTE_USER, "ren\xc3\xa9", "ren\xc3\xa9"},
	    {ROUTE_USER, "Paul@no domain", "paul@no domain"},
	    {ROUTE_USER, "", ""},
	    {ROUTE_USER, "@tmail.io", NULL},
	    {ROUTE_USER, "a\nb", NULL},
	    {ROUTE_USER, "a\x1b", NULL},
	    {ROUTE_USER, "\xff", NULL},
	    {ROUTE_MAIL_FROM, "Paul@Example.ORG", "Paul@example.org"},
	    {ROUTE_MAIL_FROM, "\"pa\\ul\"@Example.ORG", "paul@example.org"},
	    {ROUTE_MAIL_FROM, "Example.ORG", "example.org"},
	    {ROUTE_MAIL_FROM, "ex\xc3\xa4mple.fr", "xn--exmple-cua.fr"},
	    {ROUTE_MAIL_FROM, "ren\xc3\xa9@ex\xc3\xa4mple.fr", "ren\xc3\xa9@xn--exmple-cua.fr"},
	    {ROUTE_MAIL_FROM, "[192.0.2.1]", "[192.0.2.1]"},
	    {ROUTE_MAIL_FROM, "", ""},
	    {ROUTE_MAIL_FROM, "<>", NULL},
	    {ROUTE_MAIL_FROM, "<a@b>", NULL},
	    {ROUTE_MAIL_FROM, "@example.org", NULL},
	    {ROUTE_MAIL_FROM, "a b@example.org", NULL},
	    {ROUTE_MAIL_FROM, "*.example.org", NULL},
	    {ROUTE_MAIL_FROM, "a@b\n", NULL},
	};

	(void)state;
	CHECK(rows);
}

static void
test_words(void **state)
{
	static const struct row rows[] = {
	    {ROUTE_TLS, "none", "none"},
	    {ROUTE_TLS, "may", "may"},
	    {ROUTE_TLS, "require", "require"},
	    {ROUTE_TLS, "verify", "verify"},
	    {ROUTE_TLS, "implicit", "implicit"},
	    {ROUTE_TLS, "", ""},
	    {ROUTE_TLS, "Verify", NULL},
	    {ROUTE_TLS, "yes", NULL},
	    {ROUTE_TLS, "default", NULL},
	    {ROUTE_ENABLED, "no", "no"},
	    {ROUTE_ENABLED, "yes", ""},
	    {ROUTE_ENABLED, "false", "no"},
	    {ROUTE_ENABLED, "true", ""},
	    {ROUTE_ENABLED, "off", NULL},
	    {ROUTE_COMMENT, "own limit, \xc3\xa9t\xc3\xa9 = \"x\"",
	     "own limit, \xc3\xa9t\xc3\xa9 = \"x\""},
	    {ROUTE_COMMENT, " ", " "},
	    {ROUTE_COMMENT, "", ""},
	    {ROUTE_COMMENT, "a\nb", NULL},
	    {ROUTE_COMMENT, "a\rb", NULL},
	    {ROUTE_COMMENT, "a\tb", NULL},
	    {ROUTE_COMMENT, "\x1b[2J", NULL},
	    {ROUTE_COMMENT, "\x7f", NULL},
	    {ROUTE_COMMENT, "\xc2\x9b", NULL},
	    {ROUTE_COMMENT, "\xe9", NULL},
	    {ROUTE_COMMENT, "\xe2\x80\xae", NULL},
	    {ROUTE_REMOTE_LOGIN, "Relay2", "Relay2"},
	    {ROUTE_REMOTE_LOGIN, "a\nb", NULL},
	    {ROUTE_REMOTE_PASSWORD, " p=w:@ ", " p=w:@ "},
	    {ROUTE_REMOTE_PASSWORD, "a\nb", NULL},
	    {ROUTE_REMOTE_PASSWORD, "", ""},
	};
	struct route *route = route_to("*", "a");
	struct error why;
	char wide[1100];

	(void)state;
	CHECK(rows);
	memset(wide, 'c', sizeof(wide));
	wide[1025] = '\0';
	assert_int_equal(route_set(route, ROUTE_COMMENT, wide, &why), -1);
	wide[1024] = '\0';
	assert_int_equal(route_set(route, ROUTE_COMMENT, wide, &why), 0);
	/* A refused password is not told to whoever reads the error. */
	assert_int_equal(route_set(route, ROUTE_REMOTE_PASSWORD, "hunter2\n", &why), -1);
	assert_null(strstr(why.text, "hunter2"));
	route_unref(route);
}

static void
test_field_names(void **state)
{
	enum route_field field;

	(void)state;
	for (int i = 0; i < ROUTE_FIELDS; i++) {
		assert_int_equal(route_field_of(route_field_name((enum route_field)i), &field), 0);
		assert_int_equal(field, i);
	}
	assert_string_equal(route_field_name(ROUTE_REMOTE_PORT), "remote_port");
	assert_int_equal(route_field_of("id", &field), -1);
	assert_int_equal(route_field_of("", &field), -1);
}

static void
test_validate(void **state)
{
	struct route *route = route_new();
	struct error why;

	(void)state;
	assert_int_equal(route_validate(route, &why), -1);
	set(route, ROUTE_REMOTE_HOST, "a");
	assert_int_equal(route_validate(route, &why), 0);
	set(route, ROUTE_REMOTE_LOGIN, "l");
	assert_int_equal(route_validate(route, &why), -1);
	set(route, ROUTE_REMOTE_PASSWORD, "p");
	assert_int_equal(route_validate(route, &why), 0);
	set(route, ROUTE_REMOTE_LOGIN, "");
	assert_int_equal(route_validate(route, &why), -1);
	assert_int_equal(why.code, ERROR_REFUSED);
	route_unref(route);
}

static void
test_effective_tls(void **state)
{
	struct route *route = route_to("*", "a");

	(void)state;
	assert_int_equal(route_effective_tls(route), ROUTE_TLS_MAY);
	set(route, ROUTE_REMOTE_PORT, "465");
	assert_int_equal(route_effective_tls(route), ROUTE_TLS_IMPLICIT);
	set(route, ROUTE_REMOTE_LOGIN, "l");
	assert_int_equal(route_effective_tls(route), ROUTE_TLS_VERIFY);
	set(route, ROUTE_TLS, "none");
	assert_int_equal(route_effective_tls(route), ROUTE_TLS_NONE);
	route_unref(route);
}

static void
assert_line(const struct route *route, const char *expected)
{
	struct strbuf line = STRBUF_INIT;

	route_line(route, &line);
	assert_string_equal(line.data, expected);
	strbuf_clear(&line);
}

static void
test_line(void **state)
{
	struct route *route = route_to("toorop.fr", "mail.toorop.fr");

	(void)state;
	route->id = 1;
	assert_line(route, "1 - Destination host: toorop.fr - Prority: 1 - Local IPs: default - "
			   "Remote host: mail.toorop.fr:25");
	set(route, ROUTE_USER, "tmail.io");
	set(route, ROUTE_MAIL_FROM, "Paul@tmail.io");
	set(route, ROUTE_PRIORITY, "3");
	set(route, ROUTE_LOCAL_IPS, "192.0.2.1&2001:db8::1");
	set(route, ROUTE_REMOTE_LOGIN, "relay2");
	set(route, ROUTE_REMOTE_PASSWORD, "hunter2");
	set(route, ROUTE_REMOTE_PORT, "587");
	set(route, ROUTE_REMOTE_HOST, "[2001:db8::9]");
	set(route, ROUTE_TLS, "none");
	set(route, ROUTE_WEIGHT, "2");
	set(route, ROUTE_ENABLED, "no");
	set(route, ROUTE_COMMENT, "own limit");
	route->id = 18446744073709551615u;
	assert_line(
	    route,
	    "18446744073709551615 - Destination host: toorop.fr - if user: tmail.io - "
	    "if mail from: Paul@tmail.io - Prority: 3 - Local IPs: 192.0.2.1&2001:db8::1 - "
	    "Remote host: relay2:********@[2001:db8::9]:587 - TLS: none - Weight: 2 - disabled - "
	    "Comment: own limit");
	/* Written out, but the same as the default. */
	set(route, ROUTE_TLS, "verify");
	set(route, ROUTE_WEIGHT, "1");
	set(route, ROUTE_ENABLED, "yes");
	set(route, ROUTE_COMMENT, "");
	set(route, ROUTE_USER, "");
	set(route, ROUTE_MAIL_FROM, "");
	assert_line(route, "18446744073709551615 - Destination host: toorop.fr - Prority: 3 - "
			   "Local IPs: 192.0.2.1&2001:db8::1 - "
			   "Remote host: relay2:********@[2001:db8::9]:587");
	route_unref(route);
}

static void
assert_same(const struct route *a, const struct route *b)
{
	const char *value_a, *value_b;
	char scratch_a[24], scratch_b[24];

	assert_int_equal(a->id, b->id);
	for (int i = 0; i < ROUTE_FIELDS; i++) {
		value_a = route_get(a, (enum route_field)i, scratch_a);
		value_b = route_get(b, (enum route_field)i, scratch_b);
		assert_string_equal(value_a != NULL ? value_a : "", value_b != NULL ? value_b : "");
	}
}

static struct route *
full_route(void)
{
	struct route *route = route_to(".example.com", "2001:db8::9");

	route->id = 77;
	set(route, ROUTE_REMOTE_PORT, "587");
	set(route, ROUTE_PRIORITY, "2");
	set(route, ROUTE_WEIGHT, "3");
	set(route, ROUTE_LOCAL_IPS, "192.0.2.1|192.0.2.2");
	set(route, ROUTE_USER, "paul@tmail.io");
	set(route, ROUTE_MAIL_FROM, "Paul@tmail.io");
	set(route, ROUTE_REMOTE_LOGIN, "rel=ay");
	set(route, ROUTE_REMOTE_PASSWORD, " p=w ");
	set(route, ROUTE_TLS, "require");
	set(route, ROUTE_ENABLED, "no");
	set(route, ROUTE_COMMENT, "a = b");
	return route;
}

static void
test_record(void **state)
{
	struct route *route = full_route(), *back;
	struct strbuf record = STRBUF_INIT;
	struct error why;

	(void)state;
	route_encode(route, &record);
	assert_string_equal(
	    record.data,
	    "destination=.example.com\nremote_host=2001:db8::9\nremote_port=587\npriority="
	    "2\nweight=3\n"
	    "local_ips=192.0.2.1|192.0.2.2\nuser=paul@tmail.io\nmail_from=Paul@tmail.io\n"
	    "remote_login=rel=ay\nremote_password= p=w \ntls=require\nenabled=no\ncomment=a = b\n");
	back = route_decode(77, record.data, record.len, &why);
	assert_non_null(back);
	assert_same(route, back);
	assert_int_equal(back->references, 1);
	route_unref(back);
	route_unref(route);

	strbuf_reset(&record);
	route = route_to("*", "a.example");
	route_encode(route, &record);
	assert_string_equal(record.data, "remote_host=a.example\n");
	back = route_decode(0, record.data, record.len, &why);
	assert_non_null(back);
	assert_same(route, back);
	route_unref(back);
	route_unref(route);

	/* Fields in another order are the same route; a record may be longer than most. */
	strbuf_reset(&record);
	strbuf_printf(&record,
		      "comment=%01000d\nremote_host=a\ndestination=b.example\nuser=%0400d\n", 7, 7);
	back = route_decode(1, record.data, record.len, &why);
	assert_non_null(back);
	assert_string_equal(back->destination, "b.example");
	assert_int_equal(strlen(back->comment), 1000);
	route_unref(back);
	strbuf_clear(&record);
}

static void
test_record_refused(void **state)
{
	static const char *const records[] = {"",
					      "\n",
					      "remote_host=a",
					      "remote_host\n",
					      "=a\n",
					      "remote_host=a\n\n",
					      "remote_host=\n",
					      "remote_host=a\ncolour=red\n",
					      "remote_host=a\nremote_host=b\n",
					      "remote_host=a\nid=4\n",
					      "destination=a.example\n",
					      "remote_host=a\nremote_port=0\n",
					      "remote_host=a\nremote_login=l\n",
					      "remote_host=a\nlocal_ips=x\n",
					      "remote_host=a\ncomment=a\x1b\n",
					      " remote_host=a\n",
					      "REMOTE_HOST=a\n"};
	struct route *route = full_route(), *back;
	struct strbuf record = STRBUF_INIT;
	struct error why;

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		memset(&why, 0, sizeof(why));
		if (route_decode(5, records[i], strlen(records[i]), &why) != NULL)
			fail_msg("'%s' was accepted", records[i]);
		assert_int_equal(why.code, ERROR_STORAGE);
		assert_memory_equal(why.text, "route 5: ", 9);
	}
	assert_null(route_decode(5, "remote_host=a\0b\n", 16, &why));
	assert_null(route_decode(5, "remote_host=a\0\n", 15, NULL));

	/* Cut at any byte: a whole route, or an error, never a crash or half a line. */
	route_encode(route, &record);
	for (size_t len = 0; len < record.len; len++) {
		back = route_decode(5, record.data, len, &why);
		assert_true(back == NULL || record.data[len - 1] == '\n');
		route_unref(back);
	}
	strbuf_clear(&record);
	route_unref(route);
}

static void
test_copy_and_references(void **state)
{
	struct route *route = full_route(), *copy = route_copy(route), *kept;

	(void)state;
	assert_same(route, copy);
	assert_int_equal(copy->references, 1);
	set(copy, ROUTE_REMOTE_HOST, "other.example");
	assert_string_equal(route->remote_host, "2001:db8::9");
	kept = route_ref(route);
	assert_ptr_equal(kept, route);
	route_unref(route);
	assert_string_equal(kept->destination, ".example.com");
	route_unref(kept);
	route_unref(copy);
	route_unref(NULL);
}

/* A copy keeps its texts in its own block: each can be replaced and cleared all the same, and a
 * copy of what came of it is like it. */
static void
test_changed_copies(void **state)
{
	struct route *route = full_route(), *copy, *again;

	(void)state;
	for (int field = 0; field < ROUTE_FIELDS; field++) {
		char scratch[24];
		const char *value = route_get(route, (enum route_field)field, scratch);
		bool needed = field == ROUTE_REMOTE_HOST;

		assert_non_null(value);
		copy = route_copy(route);
		again = route_copy(copy);
		set(copy, (enum route_field)field, needed ? "other.example" : "");
		set(copy, (enum route_field)field, value);
		assert_same(copy, route);
		set(again, (enum route_field)field, needed ? "other.example" : "");
		route_unref(copy);
		copy = route_copy(again);
		assert_same(copy, again);
		route_unref(again);
		set(copy, (enum route_field)field, value);
		assert_same(copy, route);
		route_unref(copy);
	}
	route_unref(route);
}

static void
test_same_hop(void **state)
{
	static const struct row others[] = {
	    {ROUTE_REMOTE_HOST, "other.example", NULL},
	    {ROUTE_REMOTE_PORT, "588", NULL},
	    {ROUTE_REMOTE_LOGIN, "other", NULL},
	    {ROUTE_REMOTE_PASSWORD, "other", NULL},
	    {ROUTE_LOCAL_IPS, "192.0.2.1&192.0.2.2", NULL},
	    {ROUTE_LOCAL_IPS, "", NULL},
	    {ROUTE_TLS, "verify", NULL},
	};
	static const struct row alike[] = {
	    {ROUTE_DESTINATION, "other.example", NULL},
	    {ROUTE_PRIORITY, "9", NULL},
	    {ROUTE_WEIGHT, "9", NULL},
	    {ROUTE_COMMENT, "", NULL},
	    {ROUTE_USER, "", NULL},
	    {ROUTE_MAIL_FROM, "", NULL},
	};
	struct route *route = full_route(), *copy;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		copy = route_copy(route);
		assert_true(route_same_hop(route, copy));
		set(copy, others[i].field, others[i].value);
		assert_false(route_same_hop(route, copy));
		assert_false(route_same_hop(copy, route));
		route_unref(copy);
	}
	for (size_t i = 0; i < sizeof(alike) / sizeof(alike[0]); i++) {
		copy = route_copy(route);
		set(copy, alike[i].field, alike[i].value);
		assert_true(route_same_hop(route, copy));
		route_unref(copy);
	}
	/* The policy that holds, however it came about. */
	set(route, ROUTE_TLS, "verify");
	copy = route_copy(route);
	set(copy, ROUTE_TLS, "");
	assert_true(route_same_hop(route, copy));
	route_unref(copy);
	route_unref(route);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_destination),    cmocka_unit_test(test_remote),
	    cmocka_unit_test(test_local_ips),      cmocka_unit_test(test_who),
	    cmocka_unit_test(test_words),          cmocka_unit_test(test_field_names),
	    cmocka_unit_test(test_validate),       cmocka_unit_test(test_effective_tls),
	    cmocka_unit_test(test_line),           cmocka_unit_test(test_record),
	    cmocka_unit_test(test_record_refused), cmocka_unit_test(test_copy_and_references),
	    cmocka_unit_test(test_changed_copies), cmocka_unit_test(test_same_hop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
