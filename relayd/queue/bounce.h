/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text of a report of failure: multipart/report (RFC 6522) with a part for people, a
 * message/delivery-status (RFC 3464) and the header section of the message. Pure text: 7-bit, no line over
 * 998 octets, nothing in it that came from outside without being escaped or encoded.
 */
#ifndef RELAYD_QUEUE_BOUNCE_H
#define RELAYD_QUEUE_BOUNCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/strbuf.h"
#include "relayd/queue/fate.h"
#include "relayd/spool/envelope.h"

struct bounce_recipient {
	const char *address;
	const struct recipient_fate *fate;
};

struct bounce_facts {
	const char *hostname; /* Reporting-MTA */
	uint64_t report_id;   /* the report's own queue id, for its Message-ID */
	int64_t now_ms;       /* wall time */
	uint64_t nonce;       /* random: for the boundary, which nothing quoted can then contain */
	const struct envelope *original;
	const struct bounce_recipient *failed;
	size_t failed_count;
	const char *headers; /* of the message, CRLF line ends, without the empty line; may be cut short */
	size_t headers_len;
};

/* Append the whole message, CRLF line ends, no trace header. */
void bounce_compose(const struct bounce_facts *facts, struct strbuf *out);

#endif
