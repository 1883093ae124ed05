/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The terms of a filter, asked of a route. */
#include "relayd/routes/filter.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "relayd/routes/filter_terms.h"

/* One look at what the source knows, for all terms. */
struct question {
	const struct route *route;
	const struct filter_source *source;
	struct filter_facts facts;
	bool looked;
};

static const struct filter_facts *
facts(struct question *question)
{
	if (!question->looked)
		question->source->look(question->source->ctx, question->route, &question->facts);
	question->looked = true;
	return &question->facts;
}

/* The whole field; no pattern: it is not set. */
static bool
field_is(const struct filter_text *pattern, const char *value)
{
	if (*pattern->typed == '\0')
		return value == NULL;
	return value != NULL && filter_text_is(pattern, value, strlen(value));
}

static bool
remote_is(const struct filter_text *pattern, const struct route *route)
{
	char text[300];
	int len;

	if (field_is(pattern, route->remote_host))
		return true;
	len = snprintf(text, sizeof(text),
		       strchr(route->remote_host, ':') != NULL ? "[%s]:%u" : "%s:%u",
		       route->remote_host, (unsigned)route->remote_port);
	return len > 0 && (size_t)len < sizeof(text) && filter_text_is(pattern, text, (size_t)len);
}

/* The field as written, or one address of it. */
static bool
local_is(const struct filter_text *pattern, const char *value)
{
	size_t len;

	if (value == NULL)
		return *pattern->typed == '\0' || strcasecmp(pattern->typed, "default") == 0;
	if (field_is(pattern, value))
		return true;
	for (;; value += len + 1) {
		len = strcspn(value, "|&");
		if (filter_text_is(pattern, value, len))
			return true;
		if (value[len] == '\0')
			return false;
	}
}

static bool
word_in(const struct filter_text *word, const struct route *route)
{
	return filter_text_in(word, route->destination) ||
	       filter_text_in(word, route->remote_host) || filter_text_in(word, route->user) ||
	       filter_text_in(word, route->mail_from) || filter_text_in(word, route->comment);
}

static bool
compare(const struct term *term, double value)
{
	switch (term->comparison) {
	case MORE:
		return value > term->number;
	case LESS:
		return value < term->number;
	case MORE_OR_EQUAL:
		return value >= term->number;
	case LESS_OR_EQUAL:
		return value <= term->number;
	case EQUAL:
		break;
	}
	return !(value < term->number) && !(value > term->number);
}

static bool
term_match(const struct term *term, struct question *question)
{
	const struct route *route = question->route;
	const char *tls;

	switch (term->kind) {
	case TERM_WORD:
		return word_in(&term->text, route);
	case TERM_TO:
		if (*term->text.typed == '\0')
			return strcmp(route->destination, "*") == 0;
		return field_is(&term->text, route->destination);
	case TERM_VIA:
		return remote_is(&term->text, route);
	case TERM_USER:
		return field_is(&term->text, route->user);
	case TERM_FROM:
		return field_is(&term->text, route->mail_from);
	case TERM_LOGIN:
		return field_is(&term->text, route->remote_login);
	case TERM_LOCAL:
		return local_is(&term->text, route->local_ips);
	case TERM_TLS:
		tls = route_tls_name(route_effective_tls(route));
		return filter_text_is(&term->text, tls, strlen(tls));
	case TERM_COMMENT:
		return field_is(&term->text, route->comment);
	case TERM_STATE:
		return (route->enabled ? facts(question)->state : STATS_OFF) == term->state;
	case TERM_ID:
		return compare(term, (double)route->id);
	case TERM_PRIO:
		return compare(term, route->priority);
	case TERM_WEIGHT:
		return compare(term, route->weight);
	case TERM_PORT:
		return compare(term, route->remote_port);
	case TERM_RATE:
		return compare(term, facts(question)->rate_1m);
	case TERM_DEFER:
		return facts(question)->deferred_1h >= 0 &&
		       compare(term, facts(question)->deferred_1h);
	}
	return false;
}

bool
filter_match(const struct filter *filter, const struct route *route,
	     const struct filter_source *source)
{
	struct question question = {.route = route, .source = source};
	bool clause = false, list = false, negated = false, starts = true;

	for (size_t i = 0; i < filter->count; i++) {
		const struct term *term = &filter->terms[i];

		if (starts) {
			negated = term->negated;
			list = false;
		}
		list = list || term_match(term, &question);
		starts = term->list_ends;
		if (!term->list_ends)
			continue;
		clause = clause || list != negated;
		if (!term->clause_ends)
			continue;
		if (!clause)
			return false;
		clause = false;
	}
	return true;
}
