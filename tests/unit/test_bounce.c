/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue/bounce: a report is 7-bit, its lines are short, its parts are there, and nothing from outside can
 * add a header, a part or a field. */
#include "relayd/queue/bounce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct strbuf
compose(const char *address, const char *reply, const char *headers)
{
	static char sender[] = "me@example.org";
	char reply_text[512];
	struct envelope original = {.id = 17, .arrived_ms = 1774256400000, .sender = sender};
	struct recipient_fate fate = {.fate = FATE_FAILED,
	    .status = "5.1.1",
	    .remote = (char[]){"mx.example.com[192.0.2.1]:25"},
	    .remote_name = (char[]){"mx.example.com"},
	    .reply = strcpy(reply_text, reply),
	    .from_remote = true};
	const struct bounce_recipient failed = {.address = address, .fate = &fate};
	const struct bounce_facts facts = {.hostname = "relay.example.org",
	    .report_id = 18,
	    .now_ms = 1774256460000,
	    .nonce = 0x1234,
	    .original = &original,
	    .failed = &failed,
	    .failed_count = 1,
	    .headers = headers,
	    .headers_len = strlen(headers)};
	struct strbuf out = STRBUF_INIT;

	bounce_compose(&facts, &out);
	return out;
}

static void
assert_well_formed(const struct strbuf *out)
{
	size_t i, line = 0;

	for (i = 0; i < out->len; i++) {
		unsigned char c = (unsigned char)out->data[i];

		assert_true(c < 0x7f);
		if (c == '\n') {
			assert_true(i > 0 && out->data[i - 1] == '\r');
			assert_true(line <= 999);
			line = 0;
			continue;
		}
		assert_true(c != '\r' || (i + 1 < out->len && out->data[i + 1] == '\n'));
		line++;
	}
	assert_int_equal(line, 0);
}

static size_t
occurrences(const struct strbuf *out, const char *what)
{
	const char *at = out->data;
	size_t count = 0;

	while ((at = strstr(at, what)) != NULL) {
		count++;
		at++;
	}
	return count;
}

static void
test_parts(void **state)
{
	struct strbuf out = compose("you@example.com", "550 5.1.1 no such user", "Subject: hello\r\n");

	(void)state;
	assert_well_formed(&out);
	assert_non_null(strstr(out.data, "To: <me@example.org>\r\n"));
	assert_non_null(strstr(out.data, "Auto-Submitted: auto-replied\r\n"));
	assert_non_null(strstr(out.data, "Reporting-MTA: dns; relay.example.org\r\n"));
	assert_non_null(strstr(out.data, "Arrival-Date: Mon, 23 Mar 2026 09:00:00 +0000\r\n"));
	assert_non_null(strstr(out.data, "\r\n\r\nFinal-Recipient: rfc822; you@example.com\r\nAction: failed\r\n"
					 "Status: 5.1.1\r\nRemote-MTA: dns; mx.example.com\r\n"
					 "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
	assert_non_null(strstr(out.data, "text/rfc822-headers\r\n\r\nSubject: hello\r\n"));
	assert_int_equal(occurrences(&out, "\r\n--=_0000000000001234_18"), 4);
	strbuf_clear(&out);
}

static void
test_eight_bit_headers(void **state)
{
	struct strbuf out = compose("you@example.com", "550 no", "Subject: caf\xc3\xa9 =\r\nX: a \r\n");

	(void)state;
	assert_well_formed(&out);
	assert_non_null(strstr(out.data, "quoted-printable\r\n\r\nSubject: caf=C3=A9 =3D\r\nX: a=20\r\n"));
	strbuf_clear(&out);
}

static void
test_long_header_line(void **state)
{
	char headers[3000];
	struct strbuf out;

	(void)state;
	memset(headers, 'x', sizeof headers);
	memcpy(headers, "X: ", 3);
	memcpy(headers + sizeof headers - 3, "\r\n", 3);
	out = compose("you@example.com", "550 no", headers);
	assert_well_formed(&out);
	strbuf_clear(&out);
}

static void
test_injection(void **state)
{
	struct strbuf out =
	    compose("\"a\r\nX-Evil: 1\"@example.com", "550 no\r\n\r\nFinal-Recipient: rfc822; evil\xff", "A: b\r\n");

	(void)state;
	assert_well_formed(&out);
	assert_null(strstr(out.data, "\r\nX-Evil"));
	assert_int_equal(occurrences(&out, "\r\nFinal-Recipient:"), 1);
	strbuf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_eight_bit_headers),
	    cmocka_unit_test(test_long_header_line),
	    cmocka_unit_test(test_injection),
	};

	return cmocka_run_group_tests_name("bounce", tests, NULL, NULL);
}
