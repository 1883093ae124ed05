/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text of relayd.conf before libconfuse reads it. libconfuse 3.3 counts the line of a comment
 * two or three times, and its errors then name lines that do not exist; without comments it counts
 * right.
 */
#ifndef RELAYD_SETTINGS_TEXT_H
#define RELAYD_SETTINGS_TEXT_H

#include <stddef.h>

/* Overwrite comments (#, //, and / * ... * /) with blanks, newlines apart; strings are left alone.
 * Returns the line of a comment that has no end, 0 if all have one. */
unsigned settings_text_blank(char *text, size_t len);

/* The line of the outermost brace that is not closed (which libconfuse takes for closed), 0 if there
 * is none. A text without comments, as below. */
unsigned settings_text_unclosed(const char *text);

/* The line on which the key or section `name` stands outside of all sections for the `nth` time
 * (from 0), in a text without comments that libconfuse has accepted. 0: nowhere. */
unsigned settings_text_line(const char *text, const char *name, size_t nth);

#endif
