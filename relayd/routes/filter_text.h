/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the filter compares texts: globs and searches without case. Pure; nothing is allocated but by
 * filter_text_new. */
#ifndef RELAYD_ROUTES_FILTER_TEXT_H
#define RELAYD_ROUTES_FILTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* What is looked for: as it was typed, and with its U-labels as A-labels where it has some. */
struct filter_text {
	char *typed;
	char *ascii; /* NULL: it has none */
};

void filter_text_init(struct filter_text *pattern, const char *text, size_t len);
void filter_text_clear(struct filter_text *pattern);

/* Is the whole of text[0 .. len) what the pattern says, '*' standing for anything? */
bool filter_text_is(const struct filter_text *pattern, const char *text, size_t len);

/* Does `text` (NULL: not set, which holds nothing) hold the pattern? With a '*': is it the whole? */
bool filter_text_in(const struct filter_text *pattern, const char *text);

#endif
