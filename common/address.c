/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/address.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/domain.h"
#include "common/strbuf.h"
#include "common/utf8.h"
#include "common/xalloc.h"

/* RFC 5322 §3.2.3. */
static bool
is_atext(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

/* The character above 127 at the start of `len` bytes: its size, 0 where there is none that may
 * stand in an address. */
static size_t
wide_size(const char *text, size_t len, bool utf8)
{
	uint32_t character;
	size_t size;

	if (!utf8 || len == 0 || (unsigned char)text[0] < 0x80)
		return 0;
	size = utf8_read(text, len, &character);
	return size > 0 && !utf8_is_control(character) ? size : 0;
}

/* How many bytes at the start of `text` are a Dot-string, as many as can be; 0: none. A final or
 * doubled dot is left over, and the caller finds no '@' there. */
static size_t
dot_string(const char *text, size_t len, bool utf8)
{
	size_t at = 0, end = 0, size;

	while (at < len) {
		size = is_atext(text[at]) ? 1 : wide_size(text + at, len - at, utf8);
		if (size > 0) {
			at += size;
			end = at;
		} else if (text[at] == '.' && at == end && at > 0) {
			at++;
		} else {
			break;
		}
	}
	return end;
}

/* A Quoted-string (RFC 5321 §4.1.2) at the start of `text`: its content without quotes and
 * backslashes goes to `content`. Returns its size with the quotes, 0 where it is none. */
static size_t
quoted_string(const char *text, size_t len, bool utf8, struct strbuf *content)
{
	size_t at = 1, size;

	while (at < len && text[at] != '"') {
		if (text[at] == '\\') {
			at++;
			if (at == len || text[at] < 32 || text[at] > 126)
				return 0;
			size = 1;
		} else if (text[at] >= 32 && text[at] <= 126) {
			size = 1;
		} else {
			size = wide_size(text + at, len - at, utf8);
		}
		if (size == 0)
			return 0;
		strbuf_append(content, text + at, size);
		at += size;
	}
	return at < len ? at + 1 : 0;
}

/* The content of a quoted string as a local part: bare where it can be, else with no more
 * backslashes than it needs. */
static void
put_local(struct strbuf *out, const char *content, size_t len, bool utf8)
{
	if (len > 0 && dot_string(content, len, utf8) == len) {
		strbuf_append(out, content, len);
		return;
	}
	strbuf_putc(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (content[i] == '"' || content[i] == '\\')
			strbuf_putc(out, '\\');
		strbuf_putc(out, content[i]);
	}
	strbuf_putc(out, '"');
}

/* The domain in its canonical form. U-labels become A-labels: they name the same host to every
 * server, also to one without SMTPUTF8. */
static int
put_domain(struct strbuf *out, const char *text, size_t len, bool utf8, struct error *why)
{
	size_t start = out->len;
	char *normal;
	bool wide = false;

	for (size_t i = 0; i < len; i++)
		wide = wide || (unsigned char)text[i] >= 0x80;
	if (wide ? !utf8 || !utf8_is_plain(text, len) : !domain_is_valid(text, len))
		return error_set(why, ERROR_REFUSED, "the domain of the address is not valid");
	/* What domain_normalise() forgives in a name that a person types. */
	if (wide && text[len - 1] == '.')
		return error_set(why, ERROR_REFUSED, "the domain of the address is not valid");
	strbuf_append(out, text, len);
	if (wide || text[0] == '[') {
		normal = domain_normalise(out->data + start, wide ? why : NULL);
		if (normal != NULL) {
			strbuf_truncate(out, start);
			strbuf_puts(out, normal);
			free(normal);
			return 0;
		}
		if (wide)
			return -1;
		/* A general address literal: it has no other form than lower case. */
	}
	for (char *at = out->data + start; *at != '\0'; at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at | 0x20);
	}
	return 0;
}

char *
address_parse(const char *text, size_t len, bool utf8, struct error *why)
{
	struct strbuf out = STRBUF_INIT, content = STRBUF_INIT;
	char *address = NULL;
	size_t local;

	if (len > 0 && text[0] == '"') {
		local = quoted_string(text, len, utf8, &content);
		put_local(&out, content.data != NULL ? content.data : "", content.len, utf8);
	} else {
		local = dot_string(text, len, utf8);
		strbuf_append(&out, text, local);
	}
	if (local == 0 || (local < len && text[local] != '@')) {
		error_set(why, ERROR_REFUSED, "the local part of the address is not valid");
	} else if (local == len) {
		error_set(why, ERROR_REFUSED, "the address has no domain");
	} else if (local > ADDRESS_LOCAL_MAX) {
		error_set(why, ERROR_REFUSED,
			  "the local part of the address is longer than 64 octets");
	} else if (len - local - 1 > ADDRESS_DOMAIN_MAX) {
		error_set(why, ERROR_REFUSED,
			  "the domain of the address is longer than 255 octets");
	} else {
		strbuf_putc(&out, '@');
		if (put_domain(&out, text + local + 1, len - local - 1, utf8, why) == 0)
			address = strbuf_take(&out);
	}
	strbuf_clear(&content);
	strbuf_clear(&out);
	return address;
}

const char *
address_domain(const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL ? at + 1 : address + strlen(address);
}

bool
address_equal(const char *a, const char *b)
{
	const char *domain_a = address_domain(a), *domain_b = address_domain(b);
	size_t local = (size_t)(domain_a - a);

	return local == (size_t)(domain_b - b) && memcmp(a, b, local) == 0 &&
	       strcasecmp(domain_a, domain_b) == 0;
}
