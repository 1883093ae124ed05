/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which writing systems a word uses: a domain label that mixes them may be made to look like another
 * one (a Cyrillic "а" in "pаypal"). */
#ifndef COMMON_SCRIPT_H
#define COMMON_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

/* Letters of one script, or of Japanese (Han, kana), Chinese (Han, Bopomofo) or Korean (Han, Hangul),
 * the last three with Latin letters beside them; digits and hyphens anywhere. False for a mixture, for
 * what is not UTF-8 and for characters of scripts that are in no table here. */
bool script_is_single(const char *text, size_t len);

#endif
