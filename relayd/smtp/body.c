/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two readers of the same language. step() is the language: one byte, one place, one next place. It
 * is what counts wherever something happens. plain_run() is there for speed: it measures how far
 * nothing happens at all (every CR and LF is half of a CRLF, no line begins with a dot), many bytes
 * at a time, so that long stretches are taken at once. In the header step() has to see the
 * beginning of each line, to count the Received fields; there plain_run() stops at every line end.
 */
#include "relayd/smtp/body.h"

#include <string.h>

/* gcc and clang turn these into what the machine has. */
enum { VECTOR = 16, RUN_MAX = 16 * 1024 };
typedef signed char vector __attribute__((vector_size(VECTOR)));
typedef uint64_t words __attribute__((vector_size(VECTOR)));

static const char received_name[] = "received:";
enum { RECEIVED_LEN = sizeof(received_name) - 1 };

void
body_init(struct body *body, uint64_t max_bytes)
{
	memset(body, 0, sizeof(*body));
	body->place = BODY_AT_START;
	body->in_header = true;
	body->most = max_bytes;
}

bool
body_has_ended(const struct body *body)
{
	return body->place == BODY_AT_END;
}

static void
set_fault(struct body *body, enum body_fault fault)
{
	if (body->fault == BODY_FINE)
		body->fault = fault;
}

static vector
load(const char *bytes)
{
	vector v;

	memcpy(&v, bytes, sizeof(v));
	return v;
}

static bool
is_any_set(vector v)
{
	words w = (words)v;

	return (w[0] | w[1]) != 0;
}

/*
 * How many bytes from `bytes` on hold nothing that step() would have to see; some may be left out,
 * and the last one always is. The byte before them is no CR and they begin no line with a dot: the
 * caller's affair. With `in_header` no line may end in them either.
 */
static size_t
plain_run(const char *bytes, size_t len, bool in_header, bool *has_8bit)
{
	vector here, next, odd, high = {0};
	size_t at = 0;

	if (len > RUN_MAX)
		len = RUN_MAX;
	/* A LF at the very start has no CR before it here. */
	if (len > 0 && bytes[0] == '\n')
		return 0;
	for (; len - at > VECTOR; at += VECTOR) {
		here = load(bytes + at);
		next = load(bytes + at + 1);
		odd = (here == '\r') ^ (next == '\n');
		odd |= (here == '\n') & (next == '.');
		if (in_header)
			odd |= (here == '\r');
		if (is_any_set(odd))
			break;
		high |= here;
	}
	if (is_any_set(high & (signed char)-128))
		*has_8bit = true;
	return at;
}

/* Count a run's octets into the lines they belong to. RUN_MAX is less than BODY_LINE_MAX: only the
 * line that was begun before can be too long. */
static void
measure_run(struct body *body, const char *bytes, size_t len)
{
	const char *first = memchr(bytes, '\n', len), *last;

	if (first == NULL) {
		body->line += len;
	} else {
		body->line += (size_t)(first - bytes) + 1;
		if (body->line > BODY_LINE_MAX)
			set_fault(body, BODY_LINE_TOO_LONG);
		last = memrchr(bytes, '\n', len);
		body->line = len - (size_t)(last - bytes) - 1;
	}
	if (body->line > BODY_LINE_MAX)
		set_fault(body, BODY_LINE_TOO_LONG);
}

/* Take a run in one go. The places between are all plain, so that its last byte tells the place. */
static size_t
take_run(struct body *body, const char *bytes, size_t len)
{
	bool in_header = body->in_header;
	size_t run;

	if (body->place == BODY_IN_LINE) {
		if (in_header && body->matched < RECEIVED_LEN)
			return 0;
	} else if (body->place != BODY_AT_START || in_header || bytes[0] == '.') {
		return 0;
	}
	run = plain_run(bytes, len, in_header, &body->has_8bit);
	if (run == 0)
		return 0;
	measure_run(body, bytes, run);
	if (bytes[run - 1] == '\n')
		body->place = BODY_AT_START;
	else
		body->place = bytes[run - 1] == '\r' ? BODY_AFTER_CR : BODY_IN_LINE;
	return run;
}

/* An octet that stands in a line and is neither CR nor LF. */
static void
step_in_line(struct body *body, char c)
{
	if (body->in_header && body->matched < RECEIVED_LEN) {
		if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != received_name[body->matched])
			body->matched = RECEIVED_LEN;
		else if (++body->matched == RECEIVED_LEN && ++body->received > BODY_RECEIVED_MAX)
			set_fault(body, BODY_LOOP);
	}
	if ((unsigned char)c > 127)
		body->has_8bit = true;
	body->place = BODY_IN_LINE;
}

static void
count_octet(struct body *body)
{
	if (++body->line > BODY_LINE_MAX)
		set_fault(body, BODY_LINE_TOO_LONG);
}

/* By the LF of a CRLF. */
static void
end_line(struct body *body)
{
	count_octet(body);
	/* The first empty line ends the header. */
	if (body->line == 2)
		body->in_header = false;
	body->line = 0;
	body->matched = 0;
	body->place = BODY_AT_START;
}

/* One byte. False for one that is not the message's: a dot taken out, the end of data. */
static bool
step(struct body *body, char c)
{
	switch (body->place) {
	case BODY_AT_START:
		if (c == '.') {
			body->place = BODY_AFTER_DOT;
			return false;
		}
		break;
	case BODY_IN_LINE:
		break;
	case BODY_AFTER_DOT:
		if (c == '\r') {
			body->place = BODY_AFTER_DOT_CR;
			return false;
		}
		break;
	case BODY_AFTER_CR:
	case BODY_AFTER_DOT_CR:
		if (c == '\n') {
			if (body->place == BODY_AFTER_DOT_CR) {
				body->place = BODY_AT_END;
				return false;
			}
			end_line(body);
			return true;
		}
		set_fault(body, BODY_BARE);
		break;
	case BODY_AT_END:
		return false;
	}
	count_octet(body);
	if (c == '\r') {
		body->place = BODY_AFTER_CR;
	} else if (c == '\n') {
		set_fault(body, BODY_BARE);
		body->place = BODY_IN_LINE;
	} else {
		step_in_line(body, c);
	}
	return true;
}

/* Give out what lies between `from` and `to`, unless the message is spoilt. */
static void
give_out(struct body *body, const char *from, const char *to,
	 void (*write)(void *ctx, const char *bytes, size_t len), void *ctx)
{
	size_t len = (size_t)(to - from);

	if (len == 0 || body->fault != BODY_FINE)
		return;
	if (len > body->most - body->size) {
		set_fault(body, BODY_TOO_LARGE);
		return;
	}
	body->size += len;
	write(ctx, from, len);
}

size_t
body_feed(struct body *body, const char *bytes, size_t len,
	  void (*write)(void *ctx, const char *bytes, size_t len), void *ctx)
{
	const char *at = bytes, *end = bytes + len, *from = bytes, *near;

	while (at < end && body->place != BODY_AT_END) {
		at += take_run(body, at, (size_t)(end - at));
		/* Whatever stopped the run stands among the next few bytes. */
		near = end - at > VECTOR ? at + VECTOR : end;
		for (; at < near && body->place != BODY_AT_END; at++) {
			if (!step(body, *at)) {
				give_out(body, from, at, write, ctx);
				from = at + 1;
			}
		}
	}
	give_out(body, from, at, write, ctx);
	return (size_t)(at - bytes);
}
