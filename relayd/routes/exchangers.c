/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/exchangers.h"

#include <stdint.h>
#include <strings.h>

/* The best preference that names us; one behind the greatest where none does. */
static unsigned
own_preference(const struct lookup_mx *answer, const char *hostname)
{
	unsigned own = UINT16_MAX + 1U;

	for (size_t i = 0; i < answer->count; i++) {
		if (strcasecmp(answer->hosts[i].host, hostname) == 0 &&
		    answer->hosts[i].preference < own)
			own = answer->hosts[i].preference;
	}
	return own;
}

enum exchangers
exchangers_of(const struct lookup_mx *answer, const char *domain, const char *hostname,
	      struct plan_host *hosts, size_t *count)
{
	unsigned own;

	*count = 0;
	switch (answer->status) {
	case LOOKUP_NXDOMAIN:
		return EXCHANGERS_NO_DOMAIN;
	case LOOKUP_FAILED:
		return EXCHANGERS_UNKNOWN;
	case LOOKUP_NONE:
		hosts[(*count)++] = (struct plan_host){.name = domain};
		return EXCHANGERS_IMPLICIT;
	case LOOKUP_OK:
		break;
	}
	if (answer->count == 1 && answer->hosts[0].host[0] == '\0')
		return EXCHANGERS_NULL;
	own = own_preference(answer, hostname);
	for (size_t i = 0; i < answer->count; i++) {
		if (answer->hosts[i].preference < own && answer->hosts[i].host[0] != '\0')
			hosts[(*count)++] = (struct plan_host){
			    .name = answer->hosts[i].host,
			    .preference = answer->hosts[i].preference,
			};
	}
	return *count > 0 ? EXCHANGERS_FOUND : EXCHANGERS_LOOP;
}
