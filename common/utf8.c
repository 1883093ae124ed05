/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/utf8.h"

size_t
utf8_read(const char *text, size_t len, uint32_t *character)
{
	const unsigned char *byte = (const unsigned char *)text;
	uint32_t value, least;
	size_t size;

	if (len == 0)
		return 0;
	if (byte[0] < 0x80) {
		*character = byte[0];
		return 1;
	}
	if ((byte[0] & 0xe0) == 0xc0) {
		size = 2;
		value = byte[0] & 0x1fu;
		least = 0x80;
	} else if ((byte[0] & 0xf0) == 0xe0) {
		size = 3;
		value = byte[0] & 0x0fu;
		least = 0x800;
	} else if ((byte[0] & 0xf8) == 0xf0) {
		size = 4;
		value = byte[0] & 0x07u;
		least = 0x10000;
	} else {
		return 0;
	}
	if (len < size)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (byte[i] & 0x3fu);
	}
	if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*character = value;
	return size;
}

bool
utf8_is_control(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
		return true;
	return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

bool
utf8_is_plain(const char *text, size_t len)
{
	uint32_t character;
	size_t size;

	for (size_t at = 0; at < len; at += size) {
		if (text[at] >= 0x20 && text[at] < 0x7f) {
			size = 1;
			continue;
		}
		size = utf8_read(text + at, len - at, &character);
		if (size == 0 || utf8_is_control(character))
			return false;
	}
	return true;
}
