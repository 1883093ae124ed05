/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Domain names and the data of DNS records (RFC 1035 §3.3, RFC 3596). Pure. */
#ifndef RELAYD_NET_RDATA_H
#define RELAYD_NET_RDATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"

enum { RDATA_NAME_MAX = 253 };

/* May `name` (with or without its final dot) be a host's: labels of 1 to 63 letters, digits, '-' and
 * '_', 253 octets at most? */
bool name_is_possible(const char *name);

/* A (4 bytes) or AAAA (16 bytes). -1: of another length. */
int rdata_address(const char *rdata, size_t len, struct netaddr *address);

/* Preference and exchanger, an uncompressed name, lower case here and without the final dot; "" is
 * the root. -1 for anything else: too short, too long, a label that no host name has. */
int rdata_mx(const char *rdata, size_t len, uint16_t *preference, char host[RDATA_NAME_MAX + 1]);

#endif
