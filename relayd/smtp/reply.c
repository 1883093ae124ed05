/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/reply.h"

#include <stdint.h>
#include <string.h>

enum { REPLY_LINE_SHOWN = 400 };

void
reply_clear(struct reply *reply)
{
	reply->code = 0;
	reply->status[0] = '\0';
	strbuf_clear(&reply->text);
}

void
reply_reader_clear(struct reply_reader *reader)
{
	reader->code = 0;
	strbuf_clear(&reader->text);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "2.1.5 ..." of the class the code has: copied without what follows. Returns its length, 0 for
 * none. */
static size_t
read_status(int code, const char *text, size_t len, char status[REPLY_STATUS_MAX])
{
	size_t at = 0;
	unsigned part;

	status[0] = '\0';
	if (len < 5 || text[0] != (char)('0' + code / 100) || text[1] != '.')
		return 0;
	at = 1;
	for (part = 0; part < 2; part++) {
		size_t digits = 0;
		if (at >= len || text[at] != '.')
			return 0;
		at++;
		while (at < len && is_digit(text[at]) && digits < 3) {
			at++;
			digits++;
		}
		if (digits == 0)
			return 0;
	}
	if (at < len && text[at] != ' ' && text[at] != '\n')
		return 0;
	memcpy(status, text, at);
	status[at] = '\0';
	return at;
}

/* One line without its line end. 1: the last of its reply, 0: more follow, -1: not a reply line. */
static int
read_line(struct reply_reader *reader, const char *line, size_t len)
{
	int code;

	if (len < 3 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]))
		return -1;
	code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	if (code < 200 || code > 599)
		return -1;
	if (len > 3 && line[3] != ' ' && line[3] != '-')
		return -1;
	if (reader->code != 0 && reader->code != code)
		return -1;
	if (reader->code != 0)
		strbuf_putc(&reader->text, '\n');
	reader->code = code;
	if (len > 4)
		strbuf_append(&reader->text, line + 4, len - 4);
	return len > 3 && line[3] == '-' ? 0 : 1;
}

int
reply_read(struct reply_reader *reader, const char *bytes, size_t len, size_t *taken,
	   struct reply *reply)
{
	size_t line_max = reader->line_max > 0 ? reader->line_max : REPLY_LINE_MAX;

	*taken = 0;
	while (*taken < len) {
		const char *line = bytes + *taken;
		const char *end = memchr(line, '\n', len - *taken);
		size_t line_len;
		int whole;

		if (end == NULL)
			return len - *taken > line_max ? -1 : 0;
		line_len = (size_t)(end - line);
		*taken += line_len + 1;
		/* A bare LF ends a line too: liberal in what is accepted, and nothing hangs on it
		 * here. */
		if (line_len > 0 && line[line_len - 1] == '\r')
			line_len--;
		if (line_len > line_max || reader->text.len + line_len > REPLY_TEXT_MAX)
			return -1;
		whole = read_line(reader, line, line_len);
		if (whole < 0)
			return -1;
		if (whole == 1) {
			struct strbuf old = reply->text;
			reply->code = reader->code;
			reply->text = reader->text;
			reader->text = old;
			strbuf_reset(&reader->text);
			reader->code = 0;
			(void)read_status(reply->code, reply->text.len ? reply->text.data : "",
					  reply->text.len, reply->status);
			return 1;
		}
	}
	return 0;
}

/* Cut to `most` octets, but not inside a character of several octets or an escape ("\x1b"). */
static void
cut_short(struct strbuf *text, size_t most)
{
	size_t at;

	if (text->len <= most)
		return;
	while (most > 0 && ((unsigned char)text->data[most] & 0xc0) == 0x80)
		most--;
	for (at = most > 3 ? most - 3 : 0; at < most; at++)
		if (text->data[at] == '\\')
			most = at;
	strbuf_truncate(text, most);
}

void
reply_line(const struct reply *reply, struct strbuf *out)
{
	struct strbuf flat = STRBUF_INIT, line = STRBUF_INIT;
	size_t at;

	strbuf_printf(&flat, "%d ", reply->code);
	if (reply->text.len > 0)
		strbuf_append(&flat, reply->text.data, reply->text.len);
	for (at = 0; at < flat.len; at++)
		if (flat.data[at] == '\n' || flat.data[at] == '\t')
			flat.data[at] = ' ';
	while (flat.len > 0 && flat.data[flat.len - 1] == ' ')
		strbuf_truncate(&flat, flat.len - 1);
	/* What is behind this would be cut off anyway. */
	if (flat.len > REPLY_LINE_SHOWN * 2)
		strbuf_truncate(&flat, REPLY_LINE_SHOWN * 2);
	strbuf_escaped(&line, flat.data, flat.len);
	cut_short(&line, REPLY_LINE_SHOWN);
	strbuf_append(out, line.data, line.len);
	strbuf_clear(&line);
	strbuf_clear(&flat);
}
