/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who may relay to whom. A pure question of the
 * client's address, its login and the recipient's domain.
 */
#ifndef RELAYD_AUTH_POLICY_H
#define RELAYD_AUTH_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/netaddr.h"

struct policy {
	const struct netprefix *relay_from;
	size_t relay_from_count;
	const char *const *relay_domains; /* lower case; ".example.com" means every subdomain */
	size_t relay_domains_count;
};

/* May this client send to that domain? `login` is NULL for one that did not authenticate; `domain`
 * is in its stored form (common/domain.h). */
bool policy_may_relay(const struct policy *policy, const struct netaddr *client, const char *login,
    const char *domain);

#endif
