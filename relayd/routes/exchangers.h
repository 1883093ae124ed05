/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the MX records of a domain mean for mail to it (RFC 5321 §5.1, RFC 7505). A pure function of
 * the answer and of our own name; for delivery and for explain.
 */
#ifndef RELAYD_ROUTES_EXCHANGERS_H
#define RELAYD_ROUTES_EXCHANGERS_H

#include <stddef.h>

#include "relayd/net/resolver.h"
#include "relayd/routes/draw.h"

enum exchangers {
	EXCHANGERS_FOUND,    /* at least one host */
	EXCHANGERS_IMPLICIT, /* no MX: the one host is the domain itself */
	EXCHANGERS_NO_DOMAIN, /* it does not exist: 5.1.2 */
	EXCHANGERS_NULL,     /* it takes no mail, RFC 7505: 5.1.10 */
	EXCHANGERS_LOOP,     /* we are the best of them: 5.4.6 */
	EXCHANGERS_UNKNOWN   /* can't be looked up for now: 4.4.3, see answer->why */
};

/*
 * Writes the hosts that mail may go to, *count of them, to `hosts`, which has room for
 * answer->count and one. Names are borrowed from the answer and from `domain`. Where `hostname` is
 * one of them, only those nearer to the mailbox than we are (RFC 5321 §5.1) are taken.
 */
enum exchangers exchangers_of(const struct lookup_mx *answer, const char *domain,
    const char *hostname, struct plan_host *hosts, size_t *count);

#endif
