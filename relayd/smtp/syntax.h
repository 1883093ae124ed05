/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The client's half of SMTP as a language (RFC 5321 §4.1): where a command line ends, its verb, and
 * the arguments of MAIL and RCPT. Pure: bytes in, values or the fitting refusal out.
 *
 * A line ends with CRLF and with nothing else. A bare CR or LF spoils the whole line up to its
 * CRLF, so that two servers can't disagree about where the next command begins.
 *
 * Source routes (<@a,@b:user@c>) are read and dropped, as RFC 5321 §3.6.1 wants it: what is left is
 * the final mailbox, and policy judges that one. '%' and '!' in a local part mean nothing.
 */
#ifndef RELAYD_SMTP_SYNTAX_H
#define RELAYD_SMTP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relayd/smtp/answers.h"

/* Octets of a command line with its CRLF: 512 (§4.5.3.1.4) and room for every extension's
 * parameters. */
enum { SYNTAX_LINE_MAX = 2048 };

enum syntax_line {
	SYNTAX_LINE_PART,    /* its end is not here yet; nothing is used up */
	SYNTAX_LINE_WHOLE,   /* the bytes used are the line and its CRLF */
	SYNTAX_LINE_BARE,    /* a bare CR or LF: skip the rest of it */
	SYNTAX_LINE_TOO_LONG /* longer than SYNTAX_LINE_MAX: skip the rest of it */
};

/* Look for the line at the start of `bytes`. *used bytes are done with. */
enum syntax_line syntax_line(const char *bytes, size_t len, size_t *used);

/* The rest of a spoilt line. Returns how many bytes are done with; *ended once its CRLF is among
 * them. */
size_t syntax_skip_line(const char *bytes, size_t len, bool *ended);

/* A line in parts, which point into it. */
struct syntax_command {
	const char *verb;
	size_t verb_len;
	const char *argument; /* without white space around it */
	size_t argument_len;
};

/* Split a line (without its CRLF). The refusal of one that holds control characters, else
 * ANSWER_NONE. */
enum answer syntax_split(const char *line, size_t len, struct syntax_command *command);

bool syntax_is_verb(const struct syntax_command *command, const char *verb); /* without case */

struct syntax_mail {
	char *sender;  /* canonical (common/address.h), owned; "" is the null reverse-path */
	bool has_size; /* SIZE=, RFC 1870 */
	uint64_t size; /* UINT64_MAX: more than that */
	bool is_8bit;  /* BODY=8BITMIME, RFC 6152 */
};

/* What follows MAIL and RCPT. On a refusal nothing is owned. */
enum answer syntax_mail(const char *argument, size_t len, struct syntax_mail *mail);

struct syntax_rcpt {
	char *recipient; /* canonical, owned; "postmaster" alone if so it was given (§4.5.1) */
};

enum answer syntax_rcpt(const char *argument, size_t len, struct syntax_rcpt *rcpt);

#endif
