/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/bounce.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/address.h"

enum { QP_LINE = 72, PLAIN_LINE_MAX = 990 };

/* RFC 5322 §3.3, in UTC: a report is read far from here. Names are not the locale's. */
static void
put_date(struct strbuf *out, int64_t wall_ms)
{
	static const char days[] = "SunMonTueWedThuFriSat",
			  months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	strbuf_printf(out, "%.3s, %d %.3s %d %02d:%02d:%02d +0000", days + tm.tm_wday * 3,
		      tm.tm_mday, months + tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		      tm.tm_sec);
}

/* Text from outside, in ASCII without controls. */
static void
put_ascii(struct strbuf *out, const char *text)
{
	struct strbuf safe = STRBUF_INIT;
	size_t i;

	strbuf_escaped(&safe, text, strlen(text));
	for (i = 0; i < safe.len; i++)
		strbuf_putc(out, (unsigned char)safe.data[i] < 0x7f ? safe.data[i] : '?');
	strbuf_clear(&safe);
}

static void
put_mail_header(struct strbuf *out, const struct bounce_facts *facts, const char *boundary)
{
	strbuf_puts(out, "Date: ");
	put_date(out, facts->now_ms);
	strbuf_printf(out, "\r\nFrom: \"Mail relay %s\" <MAILER-DAEMON@%s>\r\n", facts->hostname,
		      facts->hostname);
	strbuf_puts(out, "To: <");
	put_ascii(out, facts->original->sender);
	strbuf_puts(out, ">\r\nSubject: Your message could not be delivered\r\n");
	strbuf_printf(out, "Message-ID: <report.%llu.%016llx@%s>\r\n",
		      (unsigned long long)facts->report_id, (unsigned long long)facts->nonce,
		      facts->hostname);
	strbuf_puts(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	strbuf_printf(out,
		      "Content-Type: multipart/report; "
		      "report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n",
		      boundary);
	strbuf_puts(out, "This is a report in MIME format.\r\n");
}

static void
put_text(struct strbuf *out, const struct bounce_facts *facts)
{
	size_t i;

	strbuf_puts(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
	strbuf_printf(
	    out, "This is the mail relay %s.\r\n\r\nYour message could not be delivered to:\r\n",
	    facts->hostname);
	for (i = 0; i < facts->failed_count; i++) {
		const struct bounce_recipient *one = &facts->failed[i];

		strbuf_puts(out, "\r\n  <");
		put_ascii(out, one->address);
		strbuf_puts(out, ">\r\n    ");
		if (one->fate->from_remote && one->fate->remote != NULL) {
			put_ascii(out, one->fate->remote);
			strbuf_puts(out, " said:\r\n    ");
		}
		put_ascii(out, one->fate->reply);
		strbuf_puts(out, "\r\n");
	}
	strbuf_puts(out, "\r\nIt arrived here at ");
	put_date(out, facts->original->arrived_ms);
	strbuf_printf(
	    out,
	    " under the queue id %llu.\r\nNo further attempt will be made for these recipients. "
	    "The header of\r\nyour message follows.\r\n",
	    (unsigned long long)facts->original->id);
}

static void
put_status(struct strbuf *out, const struct bounce_facts *facts)
{
	size_t i;

	strbuf_printf(out,
		      "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; %s\r\n",
		      facts->hostname);
	strbuf_printf(out, "X-Relayd-Queue-ID: %llu\r\nArrival-Date: ",
		      (unsigned long long)facts->original->id);
	put_date(out, facts->original->arrived_ms);
	strbuf_puts(out, "\r\n");
	for (i = 0; i < facts->failed_count; i++) {
		const struct bounce_recipient *one = &facts->failed[i];

		strbuf_puts(out, "\r\nFinal-Recipient: rfc822; ");
		put_ascii(out, one->address);
		strbuf_printf(out, "\r\nAction: failed\r\nStatus: %s\r\n", one->fate->status);
		if (one->fate->remote_name != NULL) {
			strbuf_puts(out, "Remote-MTA: dns; ");
			put_ascii(out, one->fate->remote_name);
			strbuf_puts(out, "\r\n");
		}
		strbuf_puts(out, one->fate->from_remote ? "Diagnostic-Code: smtp; "
							: "Diagnostic-Code: x-relayd; ");
		put_ascii(out, one->fate->reply);
		strbuf_puts(out, "\r\nLast-Attempt-Date: ");
		put_date(out, facts->now_ms);
		strbuf_puts(out, "\r\n");
	}
}

static bool
is_plain(const char *text, size_t len)
{
	size_t i, line = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x7f || (c < ' ' && c != '\t' && c != '\r' && c != '\n'))
			return false;
		line = c == '\n' ? 0 : line + 1;
		if (line > PLAIN_LINE_MAX)
			return false;
	}
	return true;
}

/* RFC 2045 §6.7. The line ends of `text` are kept as such. */
static void
put_quoted_printable(struct strbuf *out, const char *text, size_t len)
{
	size_t i, line = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool blank_at_end =
		    (c == ' ' || c == '\t') && (i + 1 == len || text[i + 1] == '\r');

		if (c == '\r' && i + 1 < len && text[i + 1] == '\n') {
			strbuf_puts(out, "\r\n");
			line = 0;
			i++;
			continue;
		}
		if (line >= QP_LINE) {
			strbuf_puts(out, "=\r\n");
			line = 0;
		}
		if ((c < ' ' && c != '\t') || c >= 0x7f || c == '=' || blank_at_end) {
			strbuf_printf(out, "=%02X", c);
			line += 3;
		} else {
			strbuf_putc(out, (char)c);
			line++;
		}
	}
}

static void
put_headers(struct strbuf *out, const struct bounce_facts *facts)
{
	strbuf_puts(out, "Content-Type: text/rfc822-headers\r\n");
	if (is_plain(facts->headers, facts->headers_len)) {
		strbuf_puts(out, "\r\n");
		strbuf_append(out, facts->headers, facts->headers_len);
	} else {
		strbuf_puts(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
		put_quoted_printable(out, facts->headers, facts->headers_len);
	}
}

void
bounce_compose(const struct bounce_facts *facts, struct strbuf *out)
{
	char boundary[64];

	(void)snprintf(boundary, sizeof boundary, "=_%016llx_%llu",
		       (unsigned long long)facts->nonce, (unsigned long long)facts->report_id);
	put_mail_header(out, facts, boundary);
	strbuf_printf(out, "\r\n--%s\r\n", boundary);
	put_text(out, facts);
	strbuf_printf(out, "\r\n--%s\r\n", boundary);
	put_status(out, facts);
	strbuf_printf(out, "\r\n--%s\r\n", boundary);
	put_headers(out, facts);
	strbuf_printf(out, "\r\n--%s--\r\n", boundary);
}
