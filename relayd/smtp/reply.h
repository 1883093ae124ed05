/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Replies of a remote server (RFC 5321 §4.2, §4.2.1; enhanced status codes RFC 2034, RFC 3463), read from
 * bytes as they come. Pure. A reply without end or form is malformed: no peer makes this grow.
 */
#ifndef RELAYD_SMTP_REPLY_H
#define RELAYD_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/strbuf.h"

enum {
	REPLY_LINE_MAX = 4096,  /* octets of one line; the RFC's own bound is 512, some exceed it */
	/* (The lines of AUTH have a bound of their own.) */
	REPLY_TEXT_MAX = 32768, /* octets of a whole reply */
	REPLY_STATUS_MAX = 12
};

struct reply {
	int code;                      /* 200 .. 599; 0: none yet */
	char status[REPLY_STATUS_MAX]; /* "2.1.5"; "" where the reply has none of the code's own class */
	struct strbuf text;            /* the lines without their codes, '\n' between them */
};

struct reply_reader {
	int code; /* of the lines so far, 0 before the first */
	struct strbuf text;
	size_t line_max; /* octets of one line; 0: REPLY_LINE_MAX */
};

#define REPLY_INIT {0}

void reply_clear(struct reply *reply);

/*
 * Look for a whole reply at the start of what has come. 1: `reply` holds it (what it held before is
 * replaced); 0: more is needed; -1: malformed. *taken bytes of the input are done with in each case.
 */
int reply_read(struct reply_reader *reader, const char *bytes, size_t len, size_t *taken, struct reply *reply);
void reply_reader_clear(struct reply_reader *reader);

static inline bool
reply_is_positive(const struct reply *reply)
{
	return reply->code >= 200 && reply->code < 300;
}

static inline bool
reply_is_permanent(const struct reply *reply)
{
	return reply->code >= 500;
}

/* As one line for logs and reports, "550 5.1.1 no such user here": control characters escaped, line ends
 * made spaces, at most 400 octets. Appends. */
void reply_line(const struct reply *reply, struct strbuf *out);

#endif
