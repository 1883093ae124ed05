/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Single calls on a non-blocking stream socket, for the other files of this room. */
#ifndef RELAYD_NET_SOCKET_H
#define RELAYD_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/netaddr.h"

/* As recv(2) and send(2), never interrupted, never a SIGPIPE. */
ssize_t socket_receive(int fd, char *bytes, size_t len);
ssize_t socket_send(int fd, const char *bytes, size_t len);

/* Is this errno "not now"? */
bool socket_is_again(int sys);

/* Output is gathered here; the kernel need not wait for more. */
void socket_no_delay(int fd);

/* What has come is acknowledged at once. */
void socket_ack_now(int fd);

/* The next connection goes out from `local`. -1 and `why`. */
int socket_bind(int fd, const struct netaddr *local, struct error *why);

/* The addresses of both ends; family AF_UNSPEC where it is no TCP socket. */
void socket_local(int fd, struct netaddr *local);
void socket_remote(int fd, struct netaddr *remote);

#endif
