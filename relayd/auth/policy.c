/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/auth/policy.h"

#include <string.h>

/* `domain` is `pattern`, or for a pattern with a leading dot ends in it. */
static bool
domain_matches(const char *pattern, const char *domain)
{
	size_t pattern_len = strlen(pattern), len = strlen(domain);

	if (pattern[0] != '.')
		return strcmp(pattern, domain) == 0;
	return len > pattern_len && strcmp(domain + len - pattern_len, pattern) == 0;
}

bool
policy_may_relay(const struct policy *policy, const struct netaddr *client, const char *login,
		 const char *domain)
{
	if (login != NULL)
		return true;
	for (size_t i = 0; i < policy->relay_from_count; i++) {
		if (netprefix_contains(&policy->relay_from[i], client))
			return true;
	}
	for (size_t i = 0; i < policy->relay_domains_count; i++) {
		if (domain_matches(policy->relay_domains[i], domain))
			return true;
	}
	return false;
}
