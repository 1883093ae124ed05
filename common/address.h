/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mail addresses as RFC 5321 §4.1.2 writes them: Local-part "@" ( Domain / address-literal ).
 * An address is kept as one canonical string: the local part as it was given (quoted where it has
 * to be, with needless quoting removed: "a\b"@x is ab@x), '@', the domain in lower case. The null
 * sender is "". Since no domain holds '@', the last '@' separates the two.
 */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

enum { ADDRESS_LOCAL_MAX = 64, ADDRESS_DOMAIN_MAX = 255, ADDRESS_MAX = 256 + 64 };

/*
 * Read a Mailbox (no angle brackets) of `len` bytes. Returns the canonical form, owned by the
 * caller, or NULL and `why`. Bytes above 127 are refused unless `utf8` (RFC 6531).
 * Bounds of §4.5.3.1: local part 64 octets, domain 255.
 */
char *address_parse(const char *text, size_t len, bool utf8, struct error *why);

/* The domain of a canonical address: behind the last '@'; "" for the null sender. Points into it. */
const char *address_domain(const char *address);

/* Same mailbox? Domains without case, local parts with it. */
bool address_equal(const char *a, const char *b);

#endif
