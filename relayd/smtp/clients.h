/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many connections each client has: a client is an IPv4 address or an IPv6 /64, since one host
 * has all of that. Counts only; who has none takes no memory.
 */
#ifndef RELAYD_SMTP_CLIENTS_H
#define RELAYD_SMTP_CLIENTS_H

#include "common/netaddr.h"

struct clients;

struct clients *clients_new(void);
void clients_free(struct clients *clients);

unsigned clients_count(const struct clients *clients, const struct netaddr *address);
void clients_add(struct clients *clients, const struct netaddr *address);
void clients_remove(struct clients *clients,
		    const struct netaddr *address); /* one that was added */

#endif
