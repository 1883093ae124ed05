/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether an address is one of this host's, asked of the kernel by binding a socket to it that is
 * then closed. Nothing is sent. */
#ifndef RELAYD_NET_OWN_H
#define RELAYD_NET_OWN_H

#include <stdbool.h>

#include "common/netaddr.h"

/* True also where it can't be found out. */
bool own_address(const struct netaddr *address);

#endif
