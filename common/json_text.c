/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/json_text.h"

#include <stdint.h>
#include <string.h>

/*
 * Eight bytes are looked at in one step: each of these expressions has the top bit of a byte set
 * where that byte is what is looked for, and perhaps of some bytes above it too. So zero is exact:
 * none of the eight is. Which one it was is then found byte by byte.
 */
#define EACH(byte) ((uint64_t)(byte)*0x0101010101010101u)
#define BELOW(word, byte) (((word)-EACH(byte)) & ~(word))
#define IS(word, byte) BELOW((word) ^ EACH(byte), 1)
#define TOP_BITS EACH(0x80)

/* Written as it is, and read as it is. 0x7f is, too, but only matters for *plain. */
static inline bool
is_verbatim(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes from `text` on are verbatim. */
static size_t
verbatim_run(const char *text, size_t len)
{
	size_t at = 0;
	uint64_t word;

	for (; len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, text + at, sizeof(word));
		if (((word | BELOW(word, 0x20) | IS(word, '"') | IS(word, '\\') | IS(word, 0x7f)) &
		     TOP_BITS) != 0)
			break;
	}
	while (at < len && is_verbatim((unsigned char)text[at]))
		at++;
	return at;
}

/* The letter behind the backslash where there is a short form, 0 where not. */
static char
short_form(char c)
{
	switch (c) {
	case '"':
	case '\\':
		return c;
	case '\n':
		return 'n';
	case '\t':
		return 't';
	case '\r':
		return 'r';
	default:
		return 0;
	}
}

void
json_text_write(struct strbuf *out, const char *text, size_t len)
{
	size_t at = 0, run;
	char *end, form;

	while (at < len) {
		run = verbatim_run(text + at, len - at);
		end = strbuf_reserve(out, run + 2);
		memcpy(end, text + at, run);
		at += run;
		if (at == len) {
			strbuf_grew(out, run);
			return;
		}
		form = short_form(text[at]);
		if (form != 0) {
			end[run] = '\\';
			end[run + 1] = form;
			strbuf_grew(out, run + 2);
		} else {
			strbuf_grew(out, run);
			if ((unsigned char)text[at] < 0x20)
				strbuf_printf(out, "\\u%04x", (unsigned char)text[at]);
			else
				strbuf_putc(out, text[at]);
		}
		at++;
	}
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The character of an escape, which stands behind the backslash; its length, or 0 for one that is
 * not read here. */
static size_t
read_escape(const char *text, size_t len, char *character)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *letter = len > 0 && text[0] != '\0' ? strchr(letters, text[0]) : NULL;
	int value = 0, digit;

	if (letter != NULL) {
		*character = meant[letter - letters];
		return 1;
	}
	if (len < 5 || text[0] != 'u')
		return 0;
	for (size_t i = 1; i < 5; i++) {
		digit = hex_value(text[i]);
		if (digit < 0)
			return 0;
		value = value * 16 + digit;
	}
	/* NUL too is left to the library, which has its own opinion of it. */
	if (value == 0 || value >= 0x80)
		return 0;
	*character = (char)value;
	return 5;
}

size_t
json_text_read(const char *text, size_t len, struct strbuf *out, bool *plain)
{
	size_t at = 0, run, size;
	char *end;

	*plain = true;
	strbuf_reserve(out, 0);
	while (at < len && text[at] != '"') {
		run = verbatim_run(text + at, len - at);
		end = strbuf_reserve(out, run + 1);
		memcpy(end, text + at, run);
		at += run;
		if (at == len || text[at] == '"') {
			strbuf_grew(out, run);
			break;
		}
		end[run] = text[at];
		if (text[at] == '\\') {
			size = read_escape(text + at + 1, len - at - 1, end + run);
			if (size == 0)
				return SIZE_MAX;
			at += size;
		} else if ((unsigned char)text[at] < 0x20) {
			return SIZE_MAX;
		}
		if (!is_verbatim((unsigned char)end[run]) && end[run] != '"' && end[run] != '\\' &&
		    end[run] != '\n' && end[run] != '\t')
			*plain = false;
		strbuf_grew(out, run + 1);
		at++;
	}
	return at;
}
