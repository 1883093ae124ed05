/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/line_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"

static size_t
column_of(const char *line, size_t at)
{
	size_t column = 1;

	for (size_t i = 0; i < at; i++)
		column += ((unsigned char)line[i] & 0xc0) != 0x80 ? 1 : 0;
	return column;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* What stands between quotes, the first of which is at *at; moves behind the last. */
static int
take_quoted(const char *line, size_t len, size_t *at, struct strbuf *word)
{
	char quote = line[(*at)++];

	for (; *at < len; (*at)++) {
		if (line[*at] == quote) {
			(*at)++;
			return 0;
		}
		if (quote == '"' && line[*at] == '\\' && *at + 1 < len &&
		    (line[*at + 1] == '"' || line[*at + 1] == '\\'))
			(*at)++;
		strbuf_putc(word, line[*at]);
	}
	return -1;
}

/* A word that begins at *at. -1: the quotes at *opened are not closed. */
static int
take_word(const char *line, size_t len, size_t *at, struct strbuf *word, size_t *opened)
{
	while (*at < len && !is_space(line[*at])) {
		*opened = *at;
		if (line[*at] == '\'' || line[*at] == '"') {
			if (take_quoted(line, len, at, word) != 0)
				return -1;
			continue;
		}
		if (line[*at] == '\\' && *at + 1 < len)
			(*at)++;
		strbuf_putc(word, line[(*at)++]);
	}
	return 0;
}

int
line_words_split(const char *line, size_t len, struct line_words *out, size_t *column,
		 struct error *why)
{
	struct strbuf word = STRBUF_INIT;
	size_t at = 0, start, opened = 0, room = 8;

	*out = (struct line_words){.words = xcalloc(room + 1, sizeof(char *)),
				   .columns = xcalloc(room, sizeof(size_t))};
	*column = 1;
	if (memchr(line, '\0', len) != NULL)
		return error_set(why, ERROR_USAGE, "the line is no text");
	for (;;) {
		while (at < len && is_space(line[at]))
			at++;
		if (at >= len || line[at] == '#')
			return 0;
		start = at;
		word = (struct strbuf)STRBUF_INIT;
		strbuf_reserve(&word, 0);
		if (take_word(line, len, &at, &word, &opened) != 0) {
			explicit_bzero(word.data, word.len);
			strbuf_clear(&word);
			*column = column_of(line, opened);
			return error_set(why, ERROR_USAGE, "the quotes are not closed");
		}
		if (out->count == room) {
			room *= 2;
			out->words = xreallocarray(out->words, room + 1, sizeof(char *));
			out->columns = xreallocarray(out->columns, room, sizeof(size_t));
		}
		out->columns[out->count] = column_of(line, start);
		out->words[out->count++] = strbuf_take(&word);
		out->words[out->count] = NULL;
	}
}

void
line_words_clear(struct line_words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free_secret(words->words[i]);
	free(words->words);
	free(words->columns);
	*words = (struct line_words){.words = NULL};
}
