/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A line taken apart into words, as a shell does it with quotes and comments and nothing else:
 *
 *   'any text'         as it is
 *   "any text"         \" and \\ stand for the second character
 *   \c                 c, outside of quotes
 *   # ...              where a word could begin: a comment up to the end of the line
 */
#ifndef CONSOLE_LINE_WORDS_H
#define CONSOLE_LINE_WORDS_H

#include <stddef.h>

#include "common/error.h"

struct line_words {
	char **words;    /* NULL behind the last one */
	size_t *columns; /* where each begins: from 1, in characters */
	size_t count;
};

/* -1, `why` and *column: quotes are not closed, or there is a NUL. line_words_clear in both cases. */
int line_words_split(const char *line, size_t len, struct line_words *out, size_t *column,
		     struct error *why);
void line_words_clear(struct line_words *words); /* overwritten: there may be secrets */

#endif
