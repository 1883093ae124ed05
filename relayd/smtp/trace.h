/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trace field that every relay puts before a message (RFC 5321 §4.4). */
#ifndef RELAYD_SMTP_TRACE_H
#define RELAYD_SMTP_TRACE_H

#include <stdint.h>

#include "common/netaddr.h"
#include "common/strbuf.h"

struct trace {
	const char *helo; /* as the client gave it; anything without NUL */
	const struct netaddr *client;
	const char *hostname;  /* ours */
	const char *protocol;  /* "SMTP", "ESMTP" (RFC 3848) */
	uint64_t id;           /* the queue id */
	const char *recipient; /* canonical; NULL for several: none may learn of the others */
	int64_t wall_ms;
};

/*
 * Append the field, folded, with its CRLFs. A HELO argument that is no domain or address literal is
 * put into the comment, cut to a sane length and with '?' for every character that could mean
 * anything there.
 */
void trace_put_received(const struct trace *trace, struct strbuf *out);

/* Append an RFC 5322 date-time, in UTC: "Fri, 05 Jan 2024 10:11:12 +0000". */
void trace_put_date(int64_t wall_ms, struct strbuf *out);

#endif
