/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "HOST:PORT", "[IPv6]:PORT", "HOST" as people write them. */
#ifndef COMMON_HOSTPORT_H
#define COMMON_HOSTPORT_H

#include <stdint.h>

#include "common/error.h"

struct hostport {
	char *host;    /* without brackets; owned */
	uint16_t port; /* 0 where none was written */
};

/* `separator` is ':' or, for name servers, '@' ("127.0.0.1@53"). */
int hostport_parse(const char *text, char separator, struct hostport *out, struct error *why);
void hostport_clear(struct hostport *hp);

/* A port by itself: 1-65535, digits alone. -1 otherwise. */
int port_parse(const char *text, uint16_t *port);

#endif
