/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Growing bytes, consumed from the front. A value: `struct strbuf b = STRBUF_INIT;`, given back
 * with strbuf_clear. The live bytes are data[0 .. len); data is never NULL after strbuf_init or an
 * append, and data[len] is always '\0' there.
 */
#ifndef COMMON_STRBUF_H
#define COMMON_STRBUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
	char *data;    /* first live byte */
	size_t len;    /* live bytes */
	size_t offset; /* bytes consumed before data */
	size_t room;   /* bytes allocated from data - offset, without the final NUL */
};

#define STRBUF_INIT {0}

void strbuf_clear(struct strbuf *buf);              /* frees; the value may be used again */
void strbuf_reset(struct strbuf *buf);              /* len = 0, keeps the memory */
void strbuf_append(struct strbuf *buf, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *buf, const char *text);
void strbuf_putc(struct strbuf *buf, char c);
void strbuf_printf(struct strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void strbuf_decimal(struct strbuf *buf, uint64_t value); /* as "%" PRIu64, for what is done often */
void strbuf_consume(struct strbuf *buf, size_t len); /* drop from the front; len <= buf->len */
void strbuf_truncate(struct strbuf *buf, size_t len);
char *strbuf_reserve(struct strbuf *buf, size_t more); /* at least `more` writable bytes at data+len */
void strbuf_grew(struct strbuf *buf, size_t len);      /* after writing into strbuf_reserve's room */
char *strbuf_take(struct strbuf *buf);                 /* the text, owned by the caller; buf is empty */

/* Append `text` with control characters and bytes that are not UTF-8 as \xNN: for anything that
 * came from outside and is shown to a person. */
void strbuf_escaped(struct strbuf *buf, const char *text, size_t len);

#endif
