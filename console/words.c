/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/words.h"

#include <limits.h>
#include <string.h>

enum { WORD_MAX = 40 }; /* longer ones are nobody's typing error */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: the usual table of distances, of which three rows are kept. */
size_t
words_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2], *swap;
	size_t a_len = strlen(a), b_len = strlen(b), cost;

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			cost = a[i - 1] == b[j - 1] ? 0 : 1;
			row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		swap = before;
		before = last;
		last = row;
		row = swap;
	}
	return last[b_len];
}

void
words_search_init(struct words_search *search, const char *word)
{
	*search = (struct words_search){.word = word, .best = NULL, .distance = SIZE_MAX};
}

void
words_offer(struct words_search *search, const char *candidate)
{
	size_t len = strlen(search->word), distance, limit;

	limit = len <= 3 ? 1 : len <= 7 ? 2 : 3;
	distance = words_distance(search->word, candidate);
	/* "c" for "count" is as good a guess as one wrong letter. */
	if (len > 0 && strncmp(search->word, candidate, len) == 0)
		distance = least(distance, 1);
	/* A word of which nothing would be left is another word. */
	if (distance > limit || distance >= strlen(candidate) || distance >= search->distance)
		return;
	search->best = candidate;
	search->distance = distance;
}

int
words_number(const char *text, uint64_t *number)
{
	uint64_t value = 0;
	unsigned digit;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		digit = (unsigned)(*text - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return -1;
		value = value * 10 + digit;
	}
	*number = value;
	return 0;
}
