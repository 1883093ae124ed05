/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/hostport.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"
#include "common/utf8.h"
#include "common/xalloc.h"

int
port_parse(const char *text, uint16_t *port)
{
	unsigned value = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > UINT16_MAX)
			return -1;
	}
	if (value == 0)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

/* A name by its look alone: what it may hold is domain.h's business. */
static bool
is_host(const char *host)
{
	return host[0] != '\0' && utf8_is_plain(host, strlen(host)) &&
	       strpbrk(host, " []:/@|&,\"") == NULL;
}

int
hostport_parse(const char *text, char separator, struct hostport *out, struct error *why)
{
	const char *end, *port = NULL;
	struct netaddr address;
	uint16_t number = 0;
	char *host;

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != separator))
			return error_set(why, ERROR_REFUSED, "%s is not [IPv6]%cPORT", text,
					 separator);
		port = end[1] != '\0' ? end + 2 : NULL;
		host = xstrndup(text + 1, (size_t)(end - text) - 1);
	} else {
		end = strrchr(text, separator);
		/* An IPv6 address without brackets is one only when it is all there is: what
		 * "::1:25" means is anyone's guess, and it is read as the address it is. */
		if (end != NULL && netaddr_parse(text, &address) == 0)
			end = NULL;
		port = end != NULL ? end + 1 : NULL;
		host = end != NULL ? xstrndup(text, (size_t)(end - text)) : xstrdup(text);
	}
	if (text[0] == '[' ? strchr(host, ':') == NULL || netaddr_parse(host, &address) == -1
			   : !is_host(host) && netaddr_parse(host, &address) == -1) {
		error_set(why, ERROR_REFUSED, "%s: '%s' is no host name or address", text, host);
		goto refused;
	}
	if (port != NULL && port_parse(port, &number) == -1) {
		error_set(why, ERROR_REFUSED, "%s: the port must be 1-65535", text);
		goto refused;
	}
	out->host = host;
	out->port = number;
	return 0;

refused:
	free(host);
	return -1;
}

void
hostport_clear(struct hostport *hp)
{
	free(hp->host);
	hp->host = NULL;
	hp->port = 0;
}
