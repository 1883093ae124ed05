/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * In which order the addresses of one host are tried: RFC 6724 §6 for the order, RFC 8305 §4 for
 * taking the families in turn. A pure function of the addresses and of the source address that each
 * would be reached from.
 */
#ifndef RELAYD_ROUTES_DESTINATIONS_H
#define RELAYD_ROUTES_DESTINATIONS_H

#include <stddef.h>

#include "common/netaddr.h"

struct destination {
	struct netaddr address;
	struct netaddr source; /* AF_UNSPEC: it can't be reached from here */
};

/*
 * Of the rules of RFC 6724 §6 these are applied: 1 (what can't be reached comes last), 2 (same
 * scope as its source), 5 (same label as its source), 6 (higher precedence), 8 (smaller scope), 9
 * (longest common prefix with its source; for IPv6 alone, since among IPv4 addresses it would undo
 * the order in which the name's owner gives them out), 10 (else the order stays). The others need
 * what no source address tells. Then the family of the first and the other one in turn, for as long
 * as both have some that can be reached.
 */
void destinations_sort(struct destination *list, size_t count);

#endif
