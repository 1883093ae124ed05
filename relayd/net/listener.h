/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Listening sockets: TCP and UNIX. Accepts on the loop; when descriptors or memory run out
 * (EMFILE, ENFILE, ENOBUFS, ENOMEM) it pauses for a second instead of spinning, and says so once.
 */
#ifndef RELAYD_NET_LISTENER_H
#define RELAYD_NET_LISTENER_H

#include <sys/types.h>

#include "common/error.h"
#include "common/log.h"
#include "common/netaddr.h"
#include "relayd/net/loop.h"

struct listener;

/* `accepted` owns fd (non-blocking, close-on-exec). `remote` has family AF_UNSPEC for UNIX. */
typedef void listener_accepted(void *ctx, int fd, const struct netaddr *remote);

/* Bind now, so that it can be done before privileges are dropped; accept from listener_start on.
 * An IPv6 address is bound IPV6_V6ONLY. Port 0 takes a free one: see listener_address. */
struct listener *listener_tcp(struct loop *loop, const struct netaddr *addr, struct log *log,
    listener_accepted *accepted, void *ctx, struct error *why);

/* A stale socket that nobody listens on is replaced, a living one is refused by name. Mode `mode`,
 * group `gid` unless (gid_t)-1. The file is unlinked by listener_free, if it is still ours. */
struct listener *listener_unix(struct loop *loop, const char *path, mode_t mode, gid_t gid, struct log *log,
    listener_accepted *accepted, void *ctx, struct error *why);

void listener_start(struct listener *listener);
void listener_stop(struct listener *listener); /* stop accepting, keep the socket */
void listener_free(struct listener *listener);

const struct netaddr *listener_address(const struct listener *listener);

/* Who is on the other end of a UNIX connection (SO_PEERCRED). */
int listener_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, struct error *why);

#endif
