/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The character at the start of `len` bytes. Returns how many bytes it has (1 to 4), 0 where there is
 * none. */
size_t utf8_read(const char *text, size_t len, uint32_t *character);

/* Controls (C0, DEL, C1), line and paragraph separators, and the overrides that turn the direction
 * of text: what can forge a line or drive a terminal. */
bool utf8_is_control(uint32_t character);

/* Whole characters, none of them a control. */
bool utf8_is_plain(const char *text, size_t len);

#endif
