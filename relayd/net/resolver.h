/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names to addresses and mail exchangers, by libunbound (cached by TTL) on the event loop. Names in
 * /etc/hosts are honoured for addresses. Names are looked up as given (A-labels), absolute: no
 * search list. Every lookup ends within 15 seconds (or `timeout_ms`). A name that can't exist (more
 * than 253 octets, an empty label or one of more than 63, other characters than letters, digits,
 * '-', '_') is LOOKUP_NXDOMAIN and is not asked for.
 */
#ifndef RELAYD_NET_RESOLVER_H
#define RELAYD_NET_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/netaddr.h"
#include "relayd/net/loop.h"

struct resolver;
struct lookup; /* one in flight */

enum lookup_status {
	LOOKUP_OK,       /* at least one answer */
	LOOKUP_NONE,     /* the name exists without such records (NODATA) */
	LOOKUP_NXDOMAIN, /* the name does not exist */
	LOOKUP_FAILED    /* for now: SERVFAIL, timeout, bogus DNSSEC; see why */
};

struct lookup_hosts {
	enum lookup_status status;
	size_t count;
	const struct netaddr *addresses; /* port 0; IPv6 first, each in the order they came */
	const char *why;                 /* LOOKUP_FAILED: a sentence */
};

struct lookup_mx_host {
	const char *host; /* lower case, no final dot; "" is RFC 7505's null MX (with preference 0) */
	uint16_t preference;
};

struct lookup_mx {
	enum lookup_status status;
	size_t count;
	const struct lookup_mx_host *hosts; /* by preference, lowest first */
	const char *why;
};

struct resolver_options {
	const char *const *servers; /* "ADDRESS@PORT" each; none: the system's resolvers */
	size_t server_count;
	const char *hosts_file; /* NULL: /etc/hosts */
	int64_t timeout_ms;     /* 0: 15 s */
};

struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options, struct error *why);
void resolver_free(struct resolver *resolver); /* cancels what is in flight: no callback */

/*
 * A and AAAA of `host`; an address as text is its own answer, and a name of the hosts file has the
 * addresses that stand there alone. `done` runs on the loop, never before this returns; its pointers hold until it
 * returns. One family answering is enough for LOOKUP_OK; FAILED only if neither gives an address and
 * at least one failed. When one family has answered, the other has two more seconds.
 */
struct lookup *resolver_hosts(struct resolver *resolver, const char *host,
    void (*done)(void *ctx, const struct lookup_hosts *answer), void *ctx);

/* MX of `domain` (RFC 5321 §5.1; CNAMEs followed). The implicit MX is the caller's affair. */
struct lookup *resolver_mx(struct resolver *resolver, const char *domain,
    void (*done)(void *ctx, const struct lookup_mx *answer), void *ctx);

void lookup_cancel(struct lookup *lookup); /* no callback comes after this */

#endif
