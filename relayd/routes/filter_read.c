/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the text of a filter to its terms. */
#include "relayd/routes/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/xalloc.h"
#include "relayd/routes/filter_terms.h"

static const struct {
	const char *name;
	enum term_kind kind;
} keys[] = {
    {"to", TERM_TO},         {"dest", TERM_TO},       {"destination", TERM_TO},
    {"via", TERM_VIA},       {"remote", TERM_VIA},    {"user", TERM_USER},
    {"from", TERM_FROM},     {"sender", TERM_FROM},   {"login", TERM_LOGIN},
    {"local", TERM_LOCAL},   {"tls", TERM_TLS},       {"comment", TERM_COMMENT},
    {"state", TERM_STATE},   {"id", TERM_ID},         {"prio", TERM_PRIO},
    {"priority", TERM_PRIO}, {"weight", TERM_WEIGHT}, {"port", TERM_PORT},
    {"rate", TERM_RATE},     {"defer", TERM_DEFER},   {"deferred", TERM_DEFER},
};

static const char key_names[] = "to, via, user, from, login, local, tls, comment, state, id, prio, "
				"weight, port, rate, defer";

struct reader {
	const char *text;
	size_t at;
	struct filter *filter;
	struct error *why;
};

/* Counted in characters, from 1. */
static int
refuse(const struct reader *reader, size_t at, const char *what, const char *word, size_t len)
{
	size_t character = 1;

	for (size_t i = 0; i < at; i++)
		character += ((unsigned char)reader->text[i] & 0xc0) != 0x80;
	if (word == NULL)
		return error_set(reader->why, ERROR_USAGE, "the filter, at character %zu: %s",
				 character, what);
	return error_set(reader->why, ERROR_USAGE, "the filter, at character %zu: %.*s: %s",
			 character, len < 64 ? (int)len : 64, word, what);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_spaces(struct reader *reader)
{
	while (is_space(reader->text[reader->at]))
		reader->at++;
}

static struct term *
term_add(struct reader *reader, enum term_kind kind)
{
	struct filter *filter = reader->filter;
	struct term *term;

	filter->terms = xreallocarray(filter->terms, filter->count + 1, sizeof(*filter->terms));
	term = &filter->terms[filter->count++];
	*term = (struct term){.kind = kind};
	return term;
}

/* Letters with a sign behind them, at the reader's place. 0: it is a word. */
static size_t
key_length(const char *text)
{
	size_t len = 0;

	while ((text[len] >= 'a' && text[len] <= 'z') || (text[len] >= 'A' && text[len] <= 'Z'))
		len++;
	return text[len] != '\0' && strchr(":<>=", text[len]) != NULL ? len : 0;
}

static int
read_key(const struct reader *reader, size_t len, enum term_kind *kind)
{
	const char *name = reader->text + reader->at;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strlen(keys[i].name) == len && strncasecmp(keys[i].name, name, len) == 0) {
			*kind = keys[i].kind;
			return 0;
		}
	}
	refuse(reader, reader->at, "no such key", name, len);
	if (reader->why != NULL)
		snprintf(reader->why->text + strlen(reader->why->text),
			 sizeof(reader->why->text) - strlen(reader->why->text),
			 " (there are %s; put a word that holds a colon in quotes)", key_names);
	return -1;
}

static int
read_comparison(struct reader *reader, enum term_kind kind, enum comparison *comparison)
{
	const char *sign = reader->text + reader->at;
	size_t len = sign[0] != ':' && sign[0] != '=' && sign[1] == '=' ? 2 : 1;

	*comparison = EQUAL;
	if (sign[0] == '>')
		*comparison = len == 2 ? MORE_OR_EQUAL : MORE;
	else if (sign[0] == '<')
		*comparison = len == 2 ? LESS_OR_EQUAL : LESS;
	if (kind < TERM_ID && *comparison != EQUAL)
		return refuse(reader, reader->at, "only numbers are compared so; a text has ':'",
			      NULL, 0);
	reader->at += len;
	return 0;
}

/* A value up to a space or '|', without its quotes; *quoted if it has some. */
static int
read_value(struct reader *reader, char **value, bool *quoted)
{
	size_t start = reader->at, len = 0;
	bool open = false;
	char c;

	*value = xmalloc(strlen(reader->text + start) + 1);
	*quoted = false;
	for (; (c = reader->text[reader->at]) != '\0'; reader->at++) {
		if (c == '"') {
			open = !open;
			*quoted = true;
		} else if (!open && (is_space(c) || c == '|')) {
			break;
		} else {
			(*value)[len++] = c;
		}
	}
	(*value)[len] = '\0';
	if (open) {
		free(*value);
		return refuse(reader, start, "a quote that is not closed", NULL, 0);
	}
	return 0;
}

static int
set_number(struct reader *reader, size_t at, struct term *term, const char *value)
{
	char *end;

	if (*value < '0' || *value > '9')
		return refuse(reader, at, "a number is needed here", NULL, 0);
	term->number = strtod(value, &end);
	if (term->kind == TERM_DEFER && *end == '%')
		end++;
	if (*end != '\0')
		return refuse(reader, at, "that is no number", value, strlen(value));
	if (term->kind == TERM_DEFER)
		term->number /= 100;
	return 0;
}

static int
set_value(struct reader *reader, size_t at, struct term *term, const char *value)
{
	if (term->kind >= TERM_ID)
		return set_number(reader, at, term, value);
	if (term->kind != TERM_STATE) {
		filter_text_init(&term->text, value, strlen(value));
		return 0;
	}
	for (enum stats_state state = STATS_OFF; state <= STATS_DOWN; state++) {
		if (strcasecmp(stats_state_name(state), value) == 0) {
			term->state = state;
			return 0;
		}
	}
	return refuse(reader, at, "a state is one of up, slow, down, unknown, off", value,
		      strlen(value));
}

/* One alternative. `previous` (NULL: none): the one before it in the same list, whose key it has if
 * it has none itself. */
static int
read_term(struct reader *reader, const struct term *previous, bool *is_key)
{
	size_t key = key_length(reader->text + reader->at), at;
	enum term_kind kind = TERM_WORD;
	enum comparison comparison = EQUAL;
	bool quoted;
	char *value;
	int result;

	if (key > 0) {
		if (read_key(reader, key, &kind) != 0)
			return -1;
		reader->at += key;
		if (read_comparison(reader, kind, &comparison) != 0)
			return -1;
	} else if (previous != NULL) {
		kind = previous->kind;
		comparison = previous->comparison;
	}
	at = reader->at;
	if (read_value(reader, &value, &quoted) != 0)
		return -1;
	if (kind == TERM_WORD && !quoted && strcasecmp(value, "off") == 0)
		kind = TERM_STATE;
	if (kind == TERM_WORD && *value == '\0')
		result = refuse(reader, at, "a word is missing here", NULL, 0);
	else {
		struct term *term = term_add(reader, kind);

		term->comparison = comparison;
		result = set_value(reader, at, term, value);
	}
	*is_key = key > 0;
	free(value);
	return result;
}

/* A list of alternatives without spaces. */
static int
read_list(struct reader *reader)
{
	size_t first = reader->filter->count;
	struct term previous;
	bool negated = reader->text[reader->at] == '-', keyed = false, has_key;

	if (negated)
		reader->at++;
	for (;;) {
		if (read_term(reader, keyed ? &previous : NULL, &has_key) != 0)
			return -1;
		keyed = keyed || has_key;
		previous = reader->filter->terms[reader->filter->count - 1];
		if (reader->text[reader->at] != '|')
			break;
		reader->at++;
		if (reader->text[reader->at] == '\0' || is_space(reader->text[reader->at]))
			return refuse(reader, reader->at - 1, "nothing follows the '|'", NULL, 0);
	}
	reader->filter->terms[first].negated = negated;
	reader->filter->terms[reader->filter->count - 1].list_ends = true;
	return 0;
}

/* Is the next thing a '|' with spaces around it? Then take it. */
static bool
take_bar(struct reader *reader)
{
	const char *next = reader->text + reader->at;

	if (next[0] != '|' || (next[1] != '\0' && !is_space(next[1])))
		return false;
	reader->at++;
	skip_spaces(reader);
	return true;
}

static int
read_filter(struct reader *reader)
{
	size_t bar;

	skip_spaces(reader);
	while (reader->text[reader->at] != '\0') {
		if (reader->text[reader->at] == '|')
			return refuse(reader, reader->at, "nothing stands before the '|'", NULL, 0);
		for (;;) {
			if (read_list(reader) != 0)
				return -1;
			skip_spaces(reader);
			bar = reader->at;
			if (!take_bar(reader))
				break;
			if (reader->text[reader->at] == '\0' || reader->text[reader->at] == '|')
				return refuse(reader, bar, "nothing follows the '|'", NULL, 0);
		}
		reader->filter->terms[reader->filter->count - 1].clause_ends = true;
	}
	return 0;
}

struct filter *
filter_new(const char *text, struct error *why)
{
	struct reader reader = {.text = text, .why = why};

	reader.filter = xcalloc(1, sizeof(*reader.filter));
	if (read_filter(&reader) == 0)
		return reader.filter;
	filter_free(reader.filter);
	return NULL;
}

void
filter_free(struct filter *filter)
{
	if (filter == NULL)
		return;
	for (size_t i = 0; i < filter->count; i++)
		filter_text_clear(&filter->terms[i].text);
	free(filter->terms);
	free(filter);
}

bool
filter_is_empty(const struct filter *filter)
{
	return filter->count == 0;
}
