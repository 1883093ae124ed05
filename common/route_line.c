/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The line of `tmail routes list`. Scripts parse it: nothing in it may change. */
#include "common/route.h"

#include <string.h>

/* What is stored holds no control characters; the line would be the place where they do harm. */
static void
put(struct strbuf *out, const char *before, const char *value)
{
	strbuf_puts(out, before);
	strbuf_escaped(out, value, strlen(value));
}

static void
put_remote(struct strbuf *out, const struct route *route)
{
	const char *host = route->remote_host != NULL ? route->remote_host : "";

	strbuf_puts(out, " - Remote host: ");
	if (route->remote_login != NULL) {
		put(out, "", route->remote_login);
		/* Eight stars for every password: its length is told to nobody. */
		strbuf_puts(out, route->remote_password != NULL ? ":********@" : "@");
	}
	put(out, strchr(host, ':') != NULL ? "[" : "", host);
	strbuf_puts(out, strchr(host, ':') != NULL ? "]:" : ":");
	strbuf_decimal(out, route->remote_port);
}

void
route_line(const struct route *route, struct strbuf *out)
{
	struct route standard = *route;

	/* Enough for nearly every line: no moving about in between. */
	strbuf_reserve(out, 256);
	strbuf_decimal(out, route->id);
	put(out, " - Destination host: ", route->destination);
	if (route->user != NULL)
		put(out, " - if user: ", route->user);
	if (route->mail_from != NULL)
		put(out, " - if mail from: ", route->mail_from);
	strbuf_puts(out, " - Prority: ");
	strbuf_decimal(out, route->priority);
	put(out, " - Local IPs: ", route->local_ips != NULL ? route->local_ips : "default");
	put_remote(out, route);
	standard.tls = ROUTE_TLS_DEFAULT;
	if (route_effective_tls(route) != route_effective_tls(&standard))
		put(out, " - TLS: ", route_tls_name(route->tls));
	if (route->weight != 1)
		strbuf_printf(out, " - Weight: %u", (unsigned)route->weight);
	if (!route->enabled)
		strbuf_puts(out, " - disabled");
	if (route->comment != NULL)
		put(out, " - Comment: ", route->comment);
}
