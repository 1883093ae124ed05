/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/domain.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/address.h"
#include "common/netaddr.h"
#include "common/script.h"
#include "common/strbuf.h"
#include "common/utf8.h"
#include "common/xalloc.h"

enum {
	LABEL_MAX = 63,
	NAME_MAX_DNS = 253 /* what 255 octets on the wire hold (RFC 1035 §2.3.4) */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

static bool
is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] >= 0x80)
			return false;
	}
	return true;
}

static bool
is_xn_label(const char *label, size_t len)
{
	return len >= 4 && label[2] == '-' && strncasecmp(label, "xn--", 4) == 0;
}

/* Like every reason in this room that is about one value, it does not repeat the value. */
static int
refuse(struct error *why, const char *reason)
{
	return error_set(why, ERROR_REFUSED, "not a domain name: %s", reason);
}

/* Copy an ASCII name into `out` (NAME_MAX_DNS + 1 bytes) in lower case, checking every label. Sets
 * *has_xn where one of them is an A-label. `text` is what the error shows. */
static int
copy_ascii(const char *name, size_t len, char *out, bool *has_xn, struct error *why)
{
	bool numeric = true;
	size_t start = 0;
	char c;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0)
		return refuse(why, "it is empty");
	if (len > NAME_MAX_DNS)
		return refuse(why, "it is longer than 253 octets");
	*has_xn = false;
	for (size_t i = 0; i <= len; i++) {
		c = i < len ? name[i] : '.';
		if (c == '.') {
			if (i == start)
				return refuse(why, "a label is empty");
			if (i - start > LABEL_MAX)
				return refuse(why, "a label is longer than 63 octets");
			if (name[start] == '-' || name[i - 1] == '-')
				return refuse(why, "a label begins or ends with '-'");
			*has_xn = *has_xn || is_xn_label(name + start, i - start);
			if (i < len)
				numeric = true;
			start = i + 1;
		} else if (!is_digit(c)) {
			numeric = false;
			if (!is_letter_digit(c) && c != '-' && c != '_')
				return refuse(why,
					      "only letters, digits, '-' and '_' may stand there");
		}
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	out[len] = '\0';
	/* No top-level domain is a number: "192.0.2" is a mistyped address. */
	if (numeric)
		return refuse(why, "its last label is a number");
	return 0;
}

/*
 * One label to its A-label, at the end of `out`. Two passes: the first maps as UTS 46 does (case,
 * width, composed forms), since people type so; the second is IDNA2008 without any mapping, since
 * the first lets symbols of ASCII through.
 */
static int
put_a_label(const char *label, size_t len, struct strbuf *out, struct error *why)
{
	char *source = xstrndup(label, len), *mapped = NULL, *checked = NULL;
	int rc;

	rc = idn2_lookup_u8((const uint8_t *)source, (uint8_t **)&mapped,
			    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc == IDN2_OK)
		rc = idn2_lookup_u8((const uint8_t *)mapped, (uint8_t **)&checked, IDN2_NO_TR46);
	if (rc == IDN2_OK)
		strbuf_puts(out, checked);
	idn2_free(mapped);
	idn2_free(checked);
	free(source);
	return rc == IDN2_OK ? 0 : refuse(why, idn2_strerror(rc));
}

/* A name in which at least one label is a U-label or claims to be an A-label. */
static int
to_a_labels(const char *name, struct strbuf *out, struct error *why)
{
	size_t len;

	for (;; name += len + 1) {
		len = strcspn(name, ".");
		if (!is_ascii(name, len) || is_xn_label(name, len)) {
			if (put_a_label(name, len, out, why) == -1)
				return -1;
		} else {
			strbuf_append(out, name, len);
		}
		if (name[len] == '\0')
			return 0;
		strbuf_putc(out, '.');
	}
}

char *
domain_normalise(const char *text, struct error *why)
{
	char name[NAME_MAX_DNS + 1], literal[NETADDR_TEXT_MAX], *result = NULL;
	struct strbuf converted = STRBUF_INIT;
	size_t len = strlen(text);
	struct netaddr address;
	bool has_xn = false;

	if (text[0] == '[') {
		if (netaddr_parse_literal(text, len, &address) == 0)
			return xstrdup(netaddr_literal(&address, literal));
		error_set(why, ERROR_REFUSED,
			  "not an address literal: write [192.0.2.1] or [IPv6:2001:db8::1]");
		return NULL;
	}
	if (is_ascii(text, len)) {
		if (copy_ascii(text, len, name, &has_xn, why) == -1)
			return NULL;
		if (!has_xn)
			return xstrdup(name);
		text = name;
	} else if (len > 4 * NAME_MAX_DNS) {
		/* No more than 253 characters of four bytes could become a name. */
		refuse(why, "it is longer than 253 octets");
		return NULL;
	}
	if (to_a_labels(text, &converted, why) == 0 &&
	    copy_ascii(converted.data, converted.len, name, &has_xn, why) == 0)
		result = xstrdup(name);
	strbuf_clear(&converted);
	return result;
}

/* The U-label of an A-label; NULL where it should not be shown as one. */
static char *
u_label(const char *label, size_t len)
{
	char *source = xstrndup(label, len), *text = NULL, *back = NULL, *shown = NULL;

	if (idn2_to_unicode_8z8z(source, &text, 0) == IDN2_OK &&
	    idn2_lookup_u8((const uint8_t *)text, (uint8_t **)&back, IDN2_NO_TR46) == IDN2_OK &&
	    strcmp(back, source) == 0 && utf8_is_plain(text, strlen(text)) &&
	    script_is_single(text, strlen(text)))
		shown = xstrdup(text);
	idn2_free(text);
	idn2_free(back);
	free(source);
	return shown;
}

char *
domain_display(const char *domain)
{
	struct strbuf shown = STRBUF_INIT;
	const char *label = domain;
	char *unicode;
	size_t len;

	for (;; label += len + 1) {
		len = strcspn(label, ".");
		if (is_xn_label(label, len)) {
			unicode = u_label(label, len);
			if (unicode == NULL) {
				strbuf_clear(&shown);
				return xstrdup(domain);
			}
			strbuf_puts(&shown, unicode);
			free(unicode);
		} else {
			strbuf_append(&shown, label, len);
		}
		if (label[len] == '\0')
			return strbuf_take(&shown);
		strbuf_putc(&shown, '.');
	}
}

/* RFC 5321 §4.1.3: Standardized-tag ":" 1*dcontent. The one tag in use, IPv6, has a syntax of its
 * own, and an IPv6 address without it is a mistake rather than a tag "2001". */
static bool
is_general_literal(const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	char whole[NETADDR_TEXT_MAX];
	struct netaddr address;
	size_t tag;

	if (len < 4 || text[0] != '[' || text[len - 1] != ']' || colon == NULL)
		return false;
	tag = (size_t)(colon - text) - 1;
	if (tag == 0 || colon[1] == ']' || !is_letter_digit(colon[-1]))
		return false;
	if (tag == 4 && strncasecmp(text + 1, "IPv6", 4) == 0)
		return false;
	for (const char *at = text + 1; at < colon; at++) {
		if (!is_letter_digit(*at) && *at != '-')
			return false;
	}
	for (const char *at = colon + 1; at < text + len - 1; at++) {
		if (*at < 33 || *at > 126 || (*at >= '[' && *at <= ']'))
			return false;
	}
	if (len >= sizeof(whole))
		return true;
	memcpy(whole, text, len);
	whole[len] = '\0';
	return netaddr_parse(whole, &address) == -1;
}

bool
domain_is_valid(const char *text, size_t len)
{
	struct netaddr address;
	size_t start = 0;

	if (len == 0 || len > ADDRESS_DOMAIN_MAX)
		return false;
	if (text[0] == '[')
		return netaddr_parse_literal(text, len, &address) == 0 ||
		       is_general_literal(text, len);
	for (size_t i = 0; i <= len; i++) {
		if (i == len || text[i] == '.') {
			if (i == start || i - start > LABEL_MAX || text[start] == '-' ||
			    text[i - 1] == '-')
				return false;
			start = i + 1;
		} else if (!is_letter_digit(text[i]) && text[i] != '-' && text[i] != '_') {
			return false;
		}
	}
	return true;
}
