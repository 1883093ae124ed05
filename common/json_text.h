/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Long texts as JSON strings, many times faster than a JSON library that looks at each character:
 * for the lists of a million lines between relayd and tmail (common/protocol.c). The result is what
 * RFC 8259, section 7, says; whoever reads or writes the other end may use any library.
 */
#ifndef COMMON_JSON_TEXT_H
#define COMMON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/strbuf.h"

/* Append `text`, which is UTF-8, as the inside of a string: without the quotes around it. */
void json_text_write(struct strbuf *out, const char *text, size_t len);

/*
 * Read the inside of a string from `text`, which begins behind its first quote, and append what it
 * says to `out`. Returns how many bytes were read, without the closing quote; `len` if there is none
 * (the string has no end). *plain: it says nothing but printable ASCII, newlines and tabs; else it is for
 * the caller to check that it is UTF-8. Returns SIZE_MAX where a library has to look at it: an
 * escape for a character beyond ASCII, or a character that has to be escaped and is not.
 */
size_t json_text_read(const char *text, size_t len, struct strbuf *out, bool *plain);

#endif
