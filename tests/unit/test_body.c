/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/smtp/body: where the data ends and where it does not, whatever pieces it comes in; what is
 * taken out (stuffed dots) and what is left alone (everything else); each reason to refuse a
 * message, and that a refused one is still read to its real end. Random data is compared with a
 * reader that was written apart from the one under test, on whole lines in place of a state for
 * each byte.
 */
#include "relayd/smtp/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"

/* A text with NULs in it. */
#define BYTES(text) (text), sizeof(text) - 1

struct result {
	struct body body;
	struct strbuf out;
	size_t taken;
};

static void
collect(void *ctx, const char *bytes, size_t len)
{
	assert_true(len > 0);
	strbuf_append(ctx, bytes, len);
}

static void
feed(struct result *result, const char *bytes, size_t len)
{
	/* A copy of its own size, so that a sanitizer sees the least step over its end. */
	char *copy = xmalloc(len > 0 ? len : 1);
	size_t taken;

	memcpy(copy, bytes, len);
	taken = body_feed(&result->body, copy, len, collect, &result->out);
	assert_true(taken == len || body_has_ended(&result->body));
	result->taken += taken;
	free(copy);
}

/* In two pieces, cut at `cut`; with `single`, each byte by itself from there on. */
static void
run(struct result *result, const char *bytes, size_t len, size_t cut, bool single, uint64_t most)
{
	memset(result, 0, sizeof(*result));
	body_init(&result->body, most);
	feed(result, bytes, cut);
	while (cut < len && !body_has_ended(&result->body)) {
		feed(result, bytes + cut, single ? 1 : len - cut);
		cut += single ? 1 : len - cut;
	}
}

struct example {
	const char *name;
	const char *wire;
	size_t wire_len;
	enum body_fault fault;
	const char *message; /* NULL: the data does not end; not looked at with a fault */
	size_t message_len;
	size_t left; /* bytes behind the end of data */
};

#define ENDS(wire, message) BYTES(wire), BODY_FINE, BYTES(message)
#define REFUSED(wire) BYTES(wire), BODY_BARE, BYTES("")
#define GOES_ON(wire, fault) BYTES(wire), (fault), NULL, 0, 0

static const struct example examples[] = {
    {"nothing at all", ENDS(".\r\n", ""), 0},
    {"one line", ENDS("a\r\n.\r\n", "a\r\n"), 0},
    {"an empty line", ENDS("\r\n.\r\n", "\r\n"), 0},
    {"what follows is left", ENDS("a\r\n.\r\nQUIT\r\n", "a\r\n"), 6},
    {"a second end is left", ENDS(".\r\n.\r\n", ""), 3},
    {"a stuffed dot", ENDS("..\r\n.\r\n", ".\r\n"), 0},
    {"stuffed dots", ENDS("...\r\n..a\r\n.\r\n", "..\r\n.a\r\n"), 0},
    {"a dot that nobody stuffed is dropped all the same", ENDS(".a\r\n.\r\n", "a\r\n"), 0},
    {"dots elsewhere stay", ENDS("a.\r\nb..c\r\n .\r\n.\r\n", "a.\r\nb..c\r\n .\r\n"), 0},
    {"NUL and 8 bit pass", ENDS("a\0b\xff\r\n.\r\n", "a\0b\xff\r\n"), 0},
    {"not yet", GOES_ON("a\r\n.\r", BODY_FINE)},
    {"not yet either", GOES_ON("a\r\n.", BODY_FINE)},
    {"a dot at the end of a line", GOES_ON("a.\r\n", BODY_FINE)},

    /* Each of these would end the data for a careless reader. */
    {"LF.LF", GOES_ON("a\n.\n", BODY_BARE)},
    {"CR.CR", GOES_ON("a\r.\r", BODY_BARE)},
    {"LF.CRLF", GOES_ON("a\n.\r\n", BODY_BARE)},
    {"CRLF.LF", GOES_ON("a\r\n.\n", BODY_BARE)},
    {"CRLF.CR", GOES_ON("a\r\n.\rx", BODY_BARE)},
    {"CR.CRLF", GOES_ON("a\r.\r\n", BODY_BARE)},
    {"CRLF NUL.CRLF", GOES_ON("a\r\n\0.\r\n", BODY_FINE)},
    {"CRLF.NUL CRLF", GOES_ON("a\r\n.\0\r\n", BODY_FINE)},
    {"CR NUL LF.CRLF", GOES_ON("a\r\0\n.\r\n", BODY_BARE)},
    {"CRLF.CR NUL LF", GOES_ON("a\r\n.\r\0\n", BODY_BARE)},
    {"CRLF.CRCRLF", GOES_ON("a\r\n.\r\r\n", BODY_BARE)},
    {"LF at the very start", GOES_ON("\n.\r\n", BODY_BARE)},
    {"LFCR.LFCR", GOES_ON("a\n\r.\n\r", BODY_BARE)},
    {"a space behind the dot", GOES_ON("a\r\n. \r\n", BODY_FINE)},
    {"CRLF.CR CR NUL", GOES_ON("a\r\n.\r\r\0", BODY_BARE)},

    /* The same, with the real end behind them: the message is refused, what follows is not touched.
     */
    {"LF.LF, then the end", REFUSED("a\n.\nMAIL FROM:<>\r\n.\r\nQUIT"), 4},
    {"CR.CR, then the end", REFUSED("a\r.\rMAIL FROM:<>\r\n.\r\nQUIT"), 4},
    {"LF.CRLF, then the end", REFUSED("a\n.\r\nMAIL FROM:<>\r\n.\r\nQUIT"), 4},
    {"CRLF.LF, then the end", REFUSED("a\r\n.\nMAIL FROM:<>\r\n.\r\nQUIT"), 4},
    {"CRLF.CR, then the end", REFUSED("a\r\n.\rMAIL FROM:<>\r\n.\r\nQUIT"), 4},
    {"CR.CRLF, then the end", REFUSED("a\r.\r\nMAIL FROM:<>\r\n.\r\nQUIT"), 4},
    {"CRCRLF.CRLF is a CR and the end", REFUSED("a\r\r\n.\r\nQUIT"), 4},
    {"CRLF.CRCRLF, then the end", REFUSED("a\r\n.\r\r\n.\r\nQUIT"), 4},
    {"CRCRLF.CRCRLF, then the end", REFUSED("a\r\r\n.\r\r\n.\r\nQUIT"), 4},
};

/* In front of the examples, so that they meet every alignment of the fast way. */
static const size_t paddings[] = {0, 1, 14, 15, 16, 17, 31, 33, 64};

static void
check_example(const struct example *example, const char *wire, size_t len, size_t cut, bool single,
	      size_t pad)
{
	struct result result;

	run(&result, wire, len, cut, single, UINT64_MAX);
	if (body_has_ended(&result.body) != (example->message != NULL) ||
	    result.body.fault != example->fault)
		fail_msg("%s: cut at %zu: ended %d, fault %d", example->name, cut,
			 body_has_ended(&result.body), (int)result.body.fault);
	if (example->message != NULL)
		assert_int_equal(result.taken, len - example->left);
	if (example->message != NULL && example->fault == BODY_FINE) {
		assert_int_equal(result.body.size, result.out.len);
		assert_int_equal(result.out.len, example->message_len + pad);
		if (example->message_len > 0)
			assert_memory_equal(result.out.data + pad, example->message,
					    example->message_len);
	}
	strbuf_clear(&result.out);
}

static void
test_end_of_data(void **state)
{
	struct strbuf wire = STRBUF_INIT;
	size_t pad;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		for (size_t p = 0; p < sizeof(paddings) / sizeof(paddings[0]); p++) {
			/* The padding ends its line and, the first time, the header. */
			pad = paddings[p] == 0 ? 0 : paddings[p] + 4;
			strbuf_reset(&wire);
			for (size_t n = 0; n < paddings[p]; n++)
				strbuf_putc(&wire, 'p');
			if (pad > 0)
				strbuf_puts(&wire, "\r\n\r\n");
			strbuf_append(&wire, examples[i].wire, examples[i].wire_len);
			for (size_t cut = 0; cut <= wire.len; cut++) {
				check_example(&examples[i], wire.data, wire.len, cut, false, pad);
				check_example(&examples[i], wire.data, wire.len, cut, true, pad);
			}
		}
	}
	strbuf_clear(&wire);
}

static void
test_8bit_is_seen(void **state)
{
	char wire[200];
	struct result result;

	(void)state;
	for (size_t at = 0; at < 150; at++) {
		memset(wire, 'x', sizeof(wire));
		memcpy(wire, "\r\n", 2);
		memcpy(wire + 150, "\r\n.\r\n", 5);
		if (at >= 2)
			wire[at] = (char)0x80;
		run(&result, wire, 155, at, false, UINT64_MAX);
		assert_true(body_has_ended(&result.body));
		assert_int_equal(result.body.has_8bit, at >= 2);
		strbuf_clear(&result.out);
	}
}

static void
test_line_length(void **state)
{
	static const struct {
		const char *before;
		size_t content;
		enum body_fault fault;
	} lines[] = {
	    {"", BODY_LINE_MAX - 2, BODY_FINE},
	    {"", BODY_LINE_MAX - 1, BODY_LINE_TOO_LONG},
	    {"\r\n", BODY_LINE_MAX - 2, BODY_FINE},
	    {"\r\n", BODY_LINE_MAX - 1, BODY_LINE_TOO_LONG},
	    {"\r\n", BODY_LINE_MAX, BODY_LINE_TOO_LONG},
	    {"a\r\n\r\nb\r\n", BODY_LINE_MAX - 2, BODY_FINE},
	    {"a\r\n\r\nb\r\n", 4 * BODY_LINE_MAX, BODY_LINE_TOO_LONG},
	    /* The stuffed dot is not of the line. */
	    {"\r\n.", BODY_LINE_MAX - 2, BODY_FINE},
	    {"\r\n.", BODY_LINE_MAX - 1, BODY_LINE_TOO_LONG},
	};
	struct strbuf wire = STRBUF_INIT;
	struct result result;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		strbuf_reset(&wire);
		strbuf_puts(&wire, lines[i].before);
		for (size_t n = 0; n < lines[i].content; n++)
			strbuf_putc(&wire, 'x');
		strbuf_puts(&wire, "\r\nand another\r\n.\r\n");
		for (size_t cut = 0; cut <= wire.len;
		     cut += cut < 40 || cut + 60 > wire.len ? 1 : 4001) {
			run(&result, wire.data, wire.len, cut, false, UINT64_MAX);
			assert_true(body_has_ended(&result.body));
			assert_int_equal(result.body.fault, lines[i].fault);
			strbuf_clear(&result.out);
		}
		run(&result, wire.data, wire.len, 0, true, UINT64_MAX);
		assert_int_equal(result.body.fault, lines[i].fault);
		strbuf_clear(&result.out);
	}
	strbuf_clear(&wire);
}

static void
test_size(void **state)
{
	static const char wire[] = "one\r\n..two\r\n.\r\n"; /* eleven octets of message */
	struct result result;

	(void)state;
	for (size_t cut = 0; cut <= sizeof(wire) - 1; cut++) {
		run(&result, BYTES(wire), cut, false, 11);
		assert_int_equal(result.body.fault, BODY_FINE);
		assert_int_equal(result.body.size, 11);
		strbuf_clear(&result.out);

		run(&result, BYTES(wire), cut, true, 10);
		assert_true(body_has_ended(&result.body));
		assert_int_equal(result.body.fault, BODY_TOO_LARGE);
		assert_true(result.out.len <= 10);
		strbuf_clear(&result.out);
	}
}

static void
test_received_loop(void **state)
{
	static const struct {
		const char *field;
		unsigned count;
		const char *after;
		enum body_fault fault;
	} headers[] = {
	    {"Received: from a\r\n", 50, "\r\n", BODY_FINE},
	    {"Received: from a\r\n", 51, "\r\n", BODY_LOOP},
	    {"RECEIVED:x\r\n\tby y\r\n", 51, "Subject: s\r\n", BODY_LOOP},
	    {"received:\r\n", 51, "", BODY_LOOP},
	    {"X-Received: from a\r\n", 60, "\r\n", BODY_FINE},
	    {"Received-SPF: pass\r\n", 60, "\r\n", BODY_FINE},
	    {" Received: folded\r\n", 60, "\r\n", BODY_FINE},
	    {"Receive:\r\n", 60, "\r\n", BODY_FINE},
	    {"Received: from a\r\n", 50, "\r\nReceived: in the body\r\n", BODY_FINE},
	    {"Received: from a\r\n", 50, " \r\nReceived: a blank is no empty line\r\n", BODY_LOOP},
	};
	struct strbuf wire = STRBUF_INIT;
	struct result result;

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		strbuf_reset(&wire);
		for (unsigned n = 0; n < headers[i].count; n++)
			strbuf_puts(&wire, headers[i].field);
		strbuf_puts(&wire, headers[i].after);
		strbuf_puts(&wire, "end\r\n.\r\n");
		for (size_t cut = 0; cut <= wire.len; cut++) {
			run(&result, wire.data, wire.len, cut, false, UINT64_MAX);
			assert_true(body_has_ended(&result.body));
			if (result.body.fault != headers[i].fault)
				fail_msg("header %zu cut at %zu: fault %d", i, cut,
					 (int)result.body.fault);
			strbuf_clear(&result.out);
		}
		run(&result, wire.data, wire.len, 0, true, UINT64_MAX);
		assert_int_equal(result.body.fault, headers[i].fault);
		strbuf_clear(&result.out);
	}
	strbuf_clear(&wire);
}

/* The other reader: looks for CRLF with memmem, line by line. Returns the bytes up to the end of
 * data, 0 where it does not end. */
static size_t
reference(const char *wire, size_t len, struct strbuf *out, bool *bare)
{
	const char *at = wire, *end = wire + len, *line_end;

	*bare = false;
	while ((line_end = memmem(at, (size_t)(end - at), "\r\n", 2)) != NULL) {
		if (line_end - at == 1 && *at == '.')
			return (size_t)(line_end - wire) + 2;
		for (const char *p = at; p < line_end; p++)
			*bare = *bare || *p == '\r' || *p == '\n';
		if (*at == '.')
			at++;
		strbuf_append(out, at, (size_t)(line_end - at) + 2);
		at = line_end + 2;
	}
	return 0;
}

static void
test_random(void **state)
{
	static const char *const words[] = {
	    "\r\n",
	    "\r\n",
	    "\r\n",
	    ".",
	    ".",
	    "\r\n.",
	    "a",
	    "bc",
	    "a longer piece of text that fills a vector or two, and then some more of it",
	    "\r",
	    "\n",
	    "\r\n..",
	    "Received: x\r\n",
	    "\xe4"};
	struct strbuf wire = STRBUF_INIT, expected = STRBUF_INIT;
	struct result result;
	size_t taken, kinds;
	bool bare;

	(void)state;
	srandom(20240229);
	for (unsigned round = 0; round < 30000; round++) {
		strbuf_reset(&wire);
		strbuf_reset(&expected);
		/* Half of them without bare CR and LF, or few would be fine. */
		kinds = round % 2 == 0 ? 9 : sizeof(words) / sizeof(words[0]);
		for (long n = random() % 40; n >= 0; n--)
			strbuf_puts(&wire, words[(size_t)random() % kinds]);
		taken = reference(wire.data, wire.len, &expected, &bare);
		run(&result, wire.data, wire.len, (size_t)random() % (wire.len + 1), round % 3 == 0,
		    UINT64_MAX);
		assert_int_equal(body_has_ended(&result.body), taken > 0);
		if (taken > 0) {
			assert_int_equal(result.taken, taken);
			assert_int_equal(result.body.fault, bare ? BODY_BARE : BODY_FINE);
			if (!bare) {
				assert_int_equal(result.out.len, expected.len);
				if (expected.len > 0)
					assert_memory_equal(result.out.data, expected.data,
							    expected.len);
			}
		}
		strbuf_clear(&result.out);
	}
	strbuf_clear(&wire);
	strbuf_clear(&expected);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_end_of_data),   cmocka_unit_test(test_8bit_is_seen),
	    cmocka_unit_test(test_line_length),   cmocka_unit_test(test_size),
	    cmocka_unit_test(test_received_loop), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
