/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The bytes between DATA and the end of data (RFC 5321 §4.1.1.4, §4.5.2): finds CRLF.CRLF, takes
 * the stuffed dots out, and looks at what goes by. Pure, and the same whatever pieces the bytes
 * come in.
 *
 * Line ends are CRLF and nothing else: a bare CR or LF begins no line, so it can't make a dot end
 * the data, and it spoils the message. The data of a spoilt message is read on to its real end, and
 * no octet of it is given out any more. Apart from the dots nothing is ever changed: 8-bit octets
 * and NULs pass as they are. (RFC 5322 has no NUL, but it is for the reader of a message to object:
 * here it is an octet like any other and hides nothing from the search for the end.)
 *
 * RFC 5321's 998 octets a line are what a sender should keep to; real mail does not. Lines up to
 * BODY_LINE_MAX pass unbroken, longer ones are refused.
 */
#ifndef RELAYD_SMTP_BODY_H
#define RELAYD_SMTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BODY_LINE_MAX = 64 * 1024, /* octets of a line with its CRLF */
	BODY_RECEIVED_MAX = 50     /* Received fields; more are a loop (RFC 5321 §6.3) */
};

enum body_fault {
	BODY_FINE,
	BODY_BARE, /* a bare CR or LF */
	BODY_LINE_TOO_LONG,
	BODY_LOOP,
	BODY_TOO_LARGE
};

/* Where the next byte stands. */
enum body_place {
	BODY_AT_START,     /* of a line: before the first byte, or behind a CRLF */
	BODY_IN_LINE,      /* behind an octet of a line that is no CR */
	BODY_AFTER_CR,     /* behind a CR: only LF may follow */
	BODY_AFTER_DOT,    /* behind a dot that began a line: it is dropped, whatever follows */
	BODY_AFTER_DOT_CR, /* behind CRLF.CR: LF ends the data */
	BODY_AT_END        /* behind the end of data */
};

/* A value. What is read of it: fault, size, has_8bit; the rest is the scanner's own. */
struct body {
	enum body_fault fault; /* the first one that was found */
	uint64_t size;         /* octets given out */
	bool has_8bit;         /* one of them is above 127 */
	enum body_place place;
	bool in_header;
	unsigned matched; /* octets of "Received:" at the start of a header line; all: looked at */
	unsigned received;
	size_t line;   /* octets of this line so far */
	uint64_t most; /* BODY_TOO_LARGE above this size */
};

void body_init(struct body *body, uint64_t max_bytes);

/* Takes all of `bytes`, or those up to the end of data. Returns how many. `write` gets the
 * message's octets, in as few pieces as they came in. */
size_t body_feed(struct body *body, const char *bytes, size_t len,
		 void (*write)(void *ctx, const char *bytes, size_t len), void *ctx);

bool body_has_ended(const struct body *body);

#endif
