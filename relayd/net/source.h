/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From which address the kernel would reach another one: asked of its routing table by way of a
 * datagram socket that is connected and never written to. Nothing is sent, nothing waits.
 */
#ifndef RELAYD_NET_SOURCE_H
#define RELAYD_NET_SOURCE_H

#include <stddef.h>

#include "common/netaddr.h"

/* One source for each of `remotes`; AF_UNSPEC where there is no way to it. */
void sources_find(const struct netaddr *remotes, size_t count, struct netaddr *sources);

#endif
