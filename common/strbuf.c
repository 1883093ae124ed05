/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "common/xalloc.h"

enum { ROOM_LEAST = 64 };

void
strbuf_clear(struct strbuf *buf)
{
	if (buf->data != NULL)
		free(buf->data - buf->offset);
	*buf = (struct strbuf)STRBUF_INIT;
}

void
strbuf_reset(struct strbuf *buf)
{
	if (buf->data == NULL)
		return;
	buf->data -= buf->offset;
	buf->offset = 0;
	buf->len = 0;
	buf->data[0] = '\0';
}

/* Move the live bytes to the start of the memory. */
static void
close_gap(struct strbuf *buf)
{
	char *start = buf->data - buf->offset;

	memmove(start, buf->data, buf->len + 1);
	buf->data = start;
	buf->offset = 0;
}

char *
strbuf_reserve(struct strbuf *buf, size_t more)
{
	size_t need, room;

	if (buf->data != NULL && buf->room - buf->offset - buf->len >= more)
		return buf->data + buf->len;
	if (more > SIZE_MAX / 2 - buf->len - 1)
		fatal("a buffer of %zu and %zu bytes", buf->len, more);
	need = buf->len + more;
	/* The gap is closed only when it is at least as long as what has to be moved: each byte is
	 * then moved once for each byte consumed, however small the steps are. */
	if (buf->offset > 0 && need <= buf->room && buf->offset >= buf->len) {
		close_gap(buf);
		return buf->data + buf->len;
	}
	if (buf->offset > 0)
		close_gap(buf);
	if (buf->room < need) {
		room = buf->room < ROOM_LEAST / 2 ? ROOM_LEAST : buf->room * 2;
		if (room < need)
			room = need;
	} else {
		room = buf->room * 2;
	}
	buf->data = xreallocarray(buf->data, room + 1, 1);
	buf->data[buf->len] = '\0';
	buf->room = room;
	return buf->data + buf->len;
}

void
strbuf_grew(struct strbuf *buf, size_t len)
{
	if (buf->data == NULL || len > buf->room - buf->offset - buf->len)
		fatal("strbuf_grew: %zu bytes that were not reserved", len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void
strbuf_append(struct strbuf *buf, const void *bytes, size_t len)
{
	char *end = strbuf_reserve(buf, len);

	if (len > 0)
		memcpy(end, bytes, len);
	strbuf_grew(buf, len);
}

void
strbuf_puts(struct strbuf *buf, const char *text)
{
	strbuf_append(buf, text, strlen(text));
}

void
strbuf_putc(struct strbuf *buf, char c)
{
	*strbuf_reserve(buf, 1) = c;
	strbuf_grew(buf, 1);
}

void
strbuf_printf(struct strbuf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strbuf_vprintf(buf, format, args);
	va_end(args);
}

void
strbuf_vprintf(struct strbuf *buf, const char *format, va_list args)
{
	va_list again;
	size_t room;
	int len;

	va_copy(again, args);
	strbuf_reserve(buf, 1);
	room = buf->room - buf->offset - buf->len;
	/* The byte behind the room is the final NUL's: vsnprintf may write it. */
	len = vsnprintf(buf->data + buf->len, room + 1, format, args);
	if (len < 0)
		fatal("strbuf_vprintf: bad format or argument");
	if ((size_t)len > room) {
		strbuf_reserve(buf, (size_t)len);
		vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
	}
	va_end(again);
	strbuf_grew(buf, (size_t)len);
}

void
strbuf_decimal(struct strbuf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	strbuf_append(buf, digits + at, sizeof(digits) - at);
}

void
strbuf_consume(struct strbuf *buf, size_t len)
{
	if (len > buf->len)
		fatal("strbuf_consume: %zu of %zu bytes", len, buf->len);
	if (len == buf->len) {
		strbuf_reset(buf);
		return;
	}
	buf->data += len;
	buf->offset += len;
	buf->len -= len;
}

void
strbuf_truncate(struct strbuf *buf, size_t len)
{
	if (len > buf->len)
		fatal("strbuf_truncate: %zu of %zu bytes", len, buf->len);
	if (buf->data == NULL)
		return;
	buf->len = len;
	buf->data[len] = '\0';
}

char *
strbuf_take(struct strbuf *buf)
{
	char *text;

	strbuf_reserve(buf, 0);
	close_gap(buf);
	text = buf->data;
	*buf = (struct strbuf)STRBUF_INIT;
	return text;
}

void
strbuf_escaped(struct strbuf *buf, const char *text, size_t len)
{
	uint32_t character;
	size_t size;

	for (size_t at = 0; at < len; at += size) {
		/* Nearly every text is printable ASCII, to its end. */
		for (size = 0;
		     at + size < len && text[at + size] >= 0x20 && text[at + size] < 0x7f;)
			size++;
		if (size > 0) {
			strbuf_append(buf, text + at, size);
			continue;
		}
		size = utf8_read(text + at, len - at, &character);
		if (size > 0 && !utf8_is_control(character)) {
			strbuf_append(buf, text + at, size);
			continue;
		}
		if (size == 0)
			size = 1;
		for (size_t i = 0; i < size; i++)
			strbuf_printf(buf, "\\x%02x", (unsigned char)text[at + i]);
	}
}
