/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An IPv4 or IPv6 address with a port, and address prefixes. Plain values. An IPv4-mapped IPv6
 * address (::ffff:a.b.c.d) is always turned into the IPv4 address it means.
 */
#ifndef COMMON_NETADDR_H
#define COMMON_NETADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/error.h"

struct netaddr {
	int family;             /* AF_INET, AF_INET6; AF_UNSPEC: none */
	uint16_t port;          /* host byte order, 0 where it does not matter */
	unsigned char bytes[16]; /* network order; IPv4 uses the first four */
};

struct netprefix {
	struct netaddr address;
	unsigned bits;
};

enum { NETADDR_TEXT_MAX = 64 };

/* "192.0.2.1", "2001:db8::1" or "[2001:db8::1]", port 0. No scope ids. */
int netaddr_parse(const char *text, struct netaddr *addr);

/* An SMTP address literal, "[192.0.2.1]" or "[IPv6:2001:db8::1]", of `len` bytes; port 0. */
int netaddr_parse_literal(const char *text, size_t len, struct netaddr *addr);

/* The address alone: "192.0.2.1", "2001:db8::1". Returns `text` (NETADDR_TEXT_MAX bytes). */
const char *netaddr_text(const struct netaddr *addr, char *text);

/* With its port: "192.0.2.1:25", "[2001:db8::1]:25". */
const char *netaddr_text_port(const struct netaddr *addr, char *text);

/* As an SMTP address literal: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
const char *netaddr_literal(const struct netaddr *addr, char *text);

void netaddr_from_sockaddr(struct netaddr *addr, const struct sockaddr *sa);
socklen_t netaddr_to_sockaddr(const struct netaddr *addr, struct sockaddr_storage *ss);

bool netaddr_equal(const struct netaddr *a, const struct netaddr *b);      /* with the port */
bool netaddr_same_host(const struct netaddr *a, const struct netaddr *b);  /* without it */

/* "192.0.2.0/24", "::1" (a whole address). Bits behind the prefix must be zero. */
int netprefix_parse(const char *text, struct netprefix *prefix, struct error *why);
bool netprefix_contains(const struct netprefix *prefix, const struct netaddr *addr);

#endif
