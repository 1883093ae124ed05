/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/filter_text.h"

#include <stdlib.h>
#include <string.h>

#include "common/domain.h"
#include "common/xalloc.h"

static char
fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* U-labels are stored as A-labels. What stands before them ("*.", "user@") stays. NULL: there are
 * none, or they can't be a name. */
static char *
ascii_form(const char *text)
{
	const char *name = text, *c;
	char *domain, *form;

	for (c = text; *c != '\0' && (unsigned char)*c < 0x80; c++)
		if (*c == '@' || (*c == '*' && c[1] == '.'))
			name = *c == '@' ? c + 1 : c + 2;
	if (*c == '\0')
		return NULL;
	domain = domain_normalise(name, NULL);
	if (domain == NULL)
		return NULL;
	form = xasprintf("%.*s%s", (int)(name - text), text, domain);
	free(domain);
	return form;
}

void
filter_text_init(struct filter_text *pattern, const char *text, size_t len)
{
	pattern->typed = xstrndup(text, len);
	pattern->ascii = ascii_form(pattern->typed);
}

void
filter_text_clear(struct filter_text *pattern)
{
	free(pattern->typed);
	free(pattern->ascii);
}

/* After a mismatch the last '*' takes one character more: no recursion, no more than len * pattern
 * steps. */
static bool
glob(const char *pattern, const char *text, size_t len)
{
	const char *star = NULL;
	size_t at = 0, retry = 0;

	while (at < len) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = at;
		} else if (*pattern != '\0' && fold(*pattern) == fold(text[at])) {
			pattern++;
			at++;
		} else if (star != NULL) {
			pattern = star;
			at = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool
holds(const char *text, const char *word)
{
	size_t i;

	for (; *text != '\0'; text++) {
		for (i = 0; word[i] != '\0' && fold(text[i]) == fold(word[i]); i++)
			;
		if (word[i] == '\0')
			return true;
	}
	return *word == '\0';
}

bool
filter_text_is(const struct filter_text *pattern, const char *text, size_t len)
{
	return glob(pattern->typed, text, len) ||
	       (pattern->ascii != NULL && glob(pattern->ascii, text, len));
}

bool
filter_text_in(const struct filter_text *pattern, const char *text)
{
	if (text == NULL)
		return false;
	if (strchr(pattern->typed, '*') != NULL)
		return filter_text_is(pattern, text, strlen(text));
	return holds(text, pattern->typed) ||
	       (pattern->ascii != NULL && holds(text, pattern->ascii));
}
