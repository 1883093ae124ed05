/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Words people type: which known word a mistyped one may have meant. Pure functions.
 */
#ifndef CONSOLE_WORDS_H
#define CONSOLE_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Edits between two words: a character put in, left out, changed, or two neighbours swapped. */
size_t words_distance(const char *a, const char *b);

/*
 * A search for the nearest of several candidates, offered one by one. A candidate counts only when
 * it is near enough to be what was meant, or begins with the word. The first of equals wins.
 */
struct words_search {
	const char *word;
	const char *best; /* NULL: none is near; borrowed from the caller */
	size_t distance;
};

void words_search_init(struct words_search *search, const char *word);
void words_offer(struct words_search *search, const char *candidate);

/* Decimal digits alone. -1 for anything else, and for what does not fit. */
int words_number(const char *text, uint64_t *number);

#endif
