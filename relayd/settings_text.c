/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/settings_text.h"

#include <stdbool.h>
#include <string.h>

/* A character of a word without quotes. */
static bool
is_word(char c)
{
	return c != '\0' && strchr(" \t\r\n#\"'{}()=+,*", c) == NULL;
}

/* Behind the string that begins at `at`; `len` where it does not end. A backslash takes the next
 * character with it, in both kinds of string. */
static size_t
string_end(const char *text, size_t len, size_t at)
{
	char quote = text[at++];

	while (at < len && text[at] != quote)
		at += text[at] == '\\' ? 2 : 1;
	return at < len ? at + 1 : len;
}

/* Behind the comment that begins at `at`; `at` itself where there is none. "//" and a slash with an
 * asterisk begin one only where a word could begin: a word may hold slashes. */
static size_t
comment_end(const char *text, size_t len, size_t at)
{
	const char *end;
	bool inside = at > 0 && is_word(text[at - 1]);

	if (text[at] == '#' || (!inside && at + 1 < len && memcmp(text + at, "//", 2) == 0)) {
		end = memchr(text + at, '\n', len - at);
		return end != NULL ? (size_t)(end - text) : len;
	}
	if (!inside && at + 1 < len && memcmp(text + at, "/*", 2) == 0) {
		end = memmem(text + at + 2, len - at - 2, "*/", 2);
		return end != NULL ? (size_t)(end - text) + 2 : len;
	}
	return at;
}

static unsigned
count_lines(const char *text, size_t from, size_t to)
{
	unsigned lines = 0;

	for (size_t i = from; i < to; i++)
		lines += text[i] == '\n';
	return lines;
}

unsigned
settings_text_blank(char *text, size_t len)
{
	unsigned unclosed = 0;
	size_t at = 0;

	while (at < len) {
		size_t end = comment_end(text, len, at);

		if (end == at) {
			at = text[at] == '"' || text[at] == '\'' ? string_end(text, len, at)
								 : at + 1;
			continue;
		}
		if (end == len && text[at] == '/' && text[at + 1] == '*' &&
		    memcmp(text + end - 2, "*/", 2) != 0)
			unclosed = 1 + count_lines(text, 0, at);
		for (; at < end; at++) {
			if (text[at] != '\n')
				text[at] = ' ';
		}
	}
	return unclosed;
}

/* Behind the word, quoted or not, or the single character at `at`. */
static size_t
token_end(const char *text, size_t len, size_t at)
{
	if (text[at] == '"' || text[at] == '\'')
		return string_end(text, len, at);
	if (!is_word(text[at]))
		return at + 1;
	while (at < len && is_word(text[at]))
		at++;
	return at;
}

unsigned
settings_text_unclosed(const char *text)
{
	size_t len = strlen(text), end;
	unsigned line = 1, opened = 0, depth = 0;

	for (size_t at = 0; at < len; at = end) {
		end = token_end(text, len, at);
		line += count_lines(text, at, end);
		if (text[at] == '{' && depth++ == 0)
			opened = line;
		else if (text[at] == '}' && depth > 0)
			depth--;
	}
	return depth > 0 ? opened : 0;
}

unsigned
settings_text_line(const char *text, const char *name, size_t nth)
{
	size_t len = strlen(text), name_len = strlen(name), end;
	bool value = false; /* what comes next belongs to the name before it */
	unsigned line = 1, depth = 0;

	for (size_t at = 0; at < len; at = end) {
		char c = text[at];

		end = token_end(text, len, at);
		line += count_lines(text, at, end);
		if (c == '{') {
			depth++;
		} else if (c == '}') {
			depth -= depth > 0;
			value = false;
		} else if (depth == 0 && c == '=') {
			value = true;
		} else if (depth == 0 && (is_word(c) || c == '"' || c == '\'')) {
			bool quoted = !is_word(c);

			if (!value && end - at == name_len + (quoted ? 2 : 0) &&
			    memcmp(text + at + quoted, name, name_len) == 0 && nth-- == 0)
				return line;
			/* A name is followed by its value, its title or its brace. */
			value = !value;
		}
	}
	return 0;
}
