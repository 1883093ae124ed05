/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/trace.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/domain.h"
#include "common/log.h"

enum { ODD_HELO_MAX = 128 };

void
trace_put_date(int64_t wall_ms, struct strbuf *out)
{
	/* Not strftime's names: those follow the locale. */
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL)
		fatal("no date for %" PRId64 " ms", wall_ms);
	strbuf_printf(out, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
		      months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* What a client called itself that is no domain: shown for whoever looks for it, but inert. */
static void
put_odd_helo(const char *helo, struct strbuf *out)
{
	size_t len = strlen(helo);

	if (len > ODD_HELO_MAX)
		len = ODD_HELO_MAX;
	for (size_t i = 0; i < len; i++) {
		if ((helo[i] >= 'a' && helo[i] <= 'z') || (helo[i] >= 'A' && helo[i] <= 'Z') ||
		    (helo[i] >= '0' && helo[i] <= '9') || strchr("-._:[]@", helo[i]) != NULL)
			strbuf_putc(out, helo[i]);
		else
			strbuf_putc(out, '?');
	}
}

void
trace_put_received(const struct trace *trace, struct strbuf *out)
{
	char literal[NETADDR_TEXT_MAX];

	netaddr_literal(trace->client, literal);
	if (domain_is_valid(trace->helo, strlen(trace->helo))) {
		strbuf_printf(out, "Received: from %s (%s)\r\n", trace->helo, literal);
	} else {
		strbuf_printf(out, "Received: from %s (HELO ", literal);
		put_odd_helo(trace->helo, out);
		strbuf_puts(out, ")\r\n");
	}
	strbuf_printf(out, "\tby %s with %s id %" PRIu64, trace->hostname, trace->protocol,
		      trace->id);
	if (trace->recipient != NULL)
		strbuf_printf(out, "\r\n\tfor <%s>", trace->recipient);
	strbuf_puts(out, ";\r\n\t");
	trace_put_date(trace->wall_ms, out);
	strbuf_puts(out, "\r\n");
}
