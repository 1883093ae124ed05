/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/when.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

void
when_local(const char *utc, struct strbuf *out)
{
	struct tm broken = {0}, local;
	const char *end;
	char text[64];
	time_t at;

	if (utc == NULL)
		return;
	end = strptime(utc, "%Y-%m-%dT%H:%M:%SZ", &broken);
	if (end == NULL || *end != '\0') {
		strbuf_escaped(out, utc, strlen(utc));
		return;
	}
	at = timegm(&broken);
	if (localtime_r(&at, &local) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &local) == 0)
		strbuf_escaped(out, utc, strlen(utc));
	else
		strbuf_puts(out, text);
}

void
when_span(int64_t seconds, struct strbuf *out)
{
	if (seconds < 0)
		seconds = 0;
	if (seconds >= 86400)
		strbuf_printf(out, "%" PRId64 "d ", seconds / 86400);
	seconds %= 86400;
	strbuf_printf(out, "%02d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
		      (int)(seconds % 60));
}

int
when_parse_span(const char *text, int64_t *span_ms)
{
	static const char units[] = "smhd";
	static const int64_t unit_ms[] = {1000, 60 * 1000, 3600 * 1000, 86400 * 1000};
	int64_t number = 0, unit = 1000;
	const char *found;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9)
		return -1;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (text[i] - '0');
	if (text[digits] != '\0') {
		found = strchr(units, text[digits]);
		if (found == NULL || text[digits + 1] != '\0')
			return -1;
		unit = unit_ms[found - units];
	}
	*span_ms = number * unit;
	return number > 0 ? 0 : -1;
}
