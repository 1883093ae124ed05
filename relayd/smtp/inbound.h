/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All inbound SMTP connections: joins a conn (bytes, time) to a server (the session), keeps the limits on
 * connections in total and per client (421 4.7.0, said and closed), and ends them in order.
 */
#ifndef RELAYD_SMTP_INBOUND_H
#define RELAYD_SMTP_INBOUND_H

#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "relayd/net/loop.h"
#include "relayd/smtp/server.h"

struct inbound;

struct inbound_limits {
	unsigned connections;
	unsigned connections_per_client; /* per IPv4 address or IPv6 /64 */
};

/* `shared` must outlive it. */
struct inbound *inbound_new(struct loop *loop, const struct server_shared *shared,
    const struct inbound_limits *limits);
void inbound_configure(struct inbound *inbound, const struct inbound_limits *limits);

/* Take over an accepted descriptor. */
void inbound_accept(struct inbound *inbound, int fd, const struct netaddr *remote);

size_t inbound_count(const struct inbound *inbound);

/* Stop every session in order (server_shut_down); `done` once none is left. */
void inbound_shut_down(struct inbound *inbound, void (*done)(void *ctx), void *ctx);

void inbound_free(struct inbound *inbound); /* cuts what is left */

#endif
