/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The addresses of /etc/hosts, in memory, read again when the file has changed (looked at once a
 * second at most). Apart from libunbound's own reading of that file, which would hide the MX
 * records of a name that stands there, and refuse every lookup for one malformed line: lines that
 * are not "ADDRESS NAME..." are passed over here.
 */
#ifndef RELAYD_NET_HOSTS_H
#define RELAYD_NET_HOSTS_H

#include <stddef.h>

#include "common/netaddr.h"
#include "relayd/net/loop.h"

struct hosts;

/* A file that is not there is empty. */
struct hosts *hosts_new(struct loop *loop, const char *file);
void hosts_free(struct hosts *hosts); /* NULL is allowed */

/* How many addresses `name` (any case) has, in the order of the file; they stand at *addresses
 * until the next call. */
size_t hosts_find(struct hosts *hosts, const char *name, const struct netaddr **addresses);

#endif
