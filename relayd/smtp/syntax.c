/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/syntax.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/address.h"
#include "common/domain.h"
#include "common/xalloc.h"

/* ---- lines ---- */

enum syntax_line
syntax_line(const char *bytes, size_t len, size_t *used)
{
	size_t window = len < SYNTAX_LINE_MAX ? len : SYNTAX_LINE_MAX;
	const char *lf, *cr;

	*used = 0;
	lf = memchr(bytes, '\n', window);
	cr = memchr(bytes, '\r', lf != NULL ? (size_t)(lf - bytes) : window);
	if (cr != NULL && cr + 1 == lf) {
		*used = (size_t)(lf - bytes) + 1;
		return SYNTAX_LINE_WHOLE;
	}
	if (cr != NULL && cr + 1 < bytes + window) {
		*used = (size_t)(cr - bytes) + 1;
		return SYNTAX_LINE_BARE;
	}
	if (cr == NULL && lf != NULL) {
		*used = (size_t)(lf - bytes) + 1;
		return SYNTAX_LINE_BARE;
	}
	if (window < SYNTAX_LINE_MAX)
		return SYNTAX_LINE_PART;
	/* A CR at the very end stays: it may be half of the CRLF that ends the line. */
	*used = cr != NULL ? window - 1 : window;
	return SYNTAX_LINE_TOO_LONG;
}

size_t
syntax_skip_line(const char *bytes, size_t len, bool *ended)
{
	const char *end = bytes + len, *lf;

	*ended = false;
	for (const char *at = bytes; at < end; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		if (lf == NULL)
			break;
		if (lf > bytes && lf[-1] == '\r') {
			*ended = true;
			return (size_t)(lf - bytes) + 1;
		}
	}
	return len > 0 && end[-1] == '\r' ? len - 1 : len;
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

enum answer
syntax_split(const char *line, size_t len, struct syntax_command *command)
{
	const char *end = line + len, *at;

	/* §4.1.1: white space at the end is to be tolerated. */
	while (end > line && is_white(end[-1]))
		end--;
	for (at = line; at < end; at++) {
		if (is_control(*at))
			return ANSWER_CONTROLS;
	}
	for (at = line; at < end && *at != ' ';)
		at++;
	command->verb = line;
	command->verb_len = (size_t)(at - line);
	while (at < end && *at == ' ')
		at++;
	command->argument = at;
	command->argument_len = (size_t)(end - at);
	return ANSWER_NONE;
}

bool
syntax_is_verb(const struct syntax_command *command, const char *verb)
{
	return strlen(verb) == command->verb_len &&
	       strncasecmp(command->verb, verb, command->verb_len) == 0;
}

/* ---- paths ---- */

/* A place in the argument: what lies between `at` and `end` is still to be read. */
struct cursor {
	const char *at;
	const char *end;
};

/* "FROM:" or "TO:", and the space behind it that many clients put there. */
static bool
read_keyword(struct cursor *cursor, const char *keyword)
{
	size_t len = strlen(keyword);

	if ((size_t)(cursor->end - cursor->at) < len || strncasecmp(cursor->at, keyword, len) != 0)
		return false;
	cursor->at += len;
	while (cursor->at < cursor->end && *cursor->at == ' ')
		cursor->at++;
	return true;
}

/* "@a,@b:" before a mailbox: its place moves behind it. False where it is begun and malformed. */
static bool
skip_source_route(const char **path, const char *end)
{
	const char *at = *path, *start;

	if (at == end || *at != '@')
		return true;
	for (;;) {
		if (at == end || *at++ != '@')
			return false;
		for (start = at; at < end && *at != ',' && *at != ':';)
			at++;
		if (at == end || !domain_is_valid(start, (size_t)(at - start)))
			return false;
		if (*at++ == ':')
			break;
	}
	*path = at;
	return true;
}

/* The '>' that ends a path which begins at `at`: one inside a quoted string does not. */
static const char *
path_end(const char *at, const char *end)
{
	bool quoted = false;

	for (; at < end; at++) {
		if (*at == '"')
			quoted = !quoted;
		else if (quoted && *at == '\\')
			at++;
		else if (!quoted && *at == '>')
			return at;
	}
	return NULL;
}

/* "<...>": its inside, without a source route. What follows must be the end or a space. */
static bool
read_path(struct cursor *cursor, const char **mailbox, size_t *len)
{
	const char *start = cursor->at + 1, *end;

	if (cursor->at == cursor->end || *cursor->at != '<')
		return false;
	end = path_end(start, cursor->end);
	if (end == NULL || !skip_source_route(&start, end))
		return false;
	cursor->at = end + 1;
	if (cursor->at < cursor->end && *cursor->at != ' ')
		return false;
	*mailbox = start;
	*len = (size_t)(end - start);
	return true;
}

/* ---- parameters ---- */

/* One ESMTP parameter (§4.1.2): `read` takes its value (NULL: none was written) into the command.
 */
struct parameter {
	const char *keyword;
	bool (*read)(void *command, const char *value, size_t len);
};

static bool
read_size(void *command, const char *value, size_t len)
{
	struct syntax_mail *mail = command;
	uint64_t size = 0;
	unsigned digit;

	if (len == 0 || len > 20)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
		digit = (unsigned)(value[i] - '0');
		size = size > (UINT64_MAX - digit) / 10 ? UINT64_MAX : size * 10 + digit;
	}
	mail->has_size = true;
	mail->size = size;
	return true;
}

static bool
is_word(const char *value, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(value, word, len) == 0;
}

static bool
read_body(void *command, const char *value, size_t len)
{
	struct syntax_mail *mail = command;

	if (value == NULL)
		return false;
	mail->is_8bit = is_word(value, len, "8BITMIME");
	return mail->is_8bit || is_word(value, len, "7BIT");
}

static const struct parameter mail_parameters[] = {
    {"SIZE", read_size},
    {"BODY", read_body},
    {NULL, NULL},
};

static const struct parameter rcpt_parameters[] = {
    {NULL, NULL},
};

/* esmtp-value: printable ASCII without '='. */
static bool
is_value(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (value[i] <= ' ' || value[i] > '~' || value[i] == '=')
			return false;
	}
	return len > 0;
}

static bool
is_parameter_keyword(const char *keyword, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!(keyword[i] >= 'a' && keyword[i] <= 'z') &&
		    !(keyword[i] >= 'A' && keyword[i] <= 'Z') &&
		    !(keyword[i] >= '0' && keyword[i] <= '9') && (i == 0 || keyword[i] != '-'))
			return false;
	}
	return len > 0;
}

static enum answer
read_parameter(const char *word, size_t len, const struct parameter *known, void *command,
	       unsigned *seen)
{
	const char *equals = memchr(word, '=', len), *value = equals != NULL ? equals + 1 : NULL;
	size_t keyword_len = equals != NULL ? (size_t)(equals - word) : len;
	size_t value_len = equals != NULL ? len - keyword_len - 1 : 0;

	if (!is_parameter_keyword(word, keyword_len) ||
	    (value != NULL && !is_value(value, value_len)))
		return ANSWER_BAD_PARAMETER;
	for (size_t i = 0; known[i].keyword != NULL; i++) {
		if (!is_word(word, keyword_len, known[i].keyword))
			continue;
		if ((*seen & 1U << i) != 0 || !known[i].read(command, value, value_len))
			return ANSWER_BAD_PARAMETER;
		*seen |= 1U << i;
		return ANSWER_NONE;
	}
	return ANSWER_UNKNOWN_PARAMETER;
}

static enum answer
read_parameters(struct cursor *cursor, const struct parameter *known, void *command)
{
	enum answer refusal = ANSWER_NONE;
	const char *word;
	unsigned seen = 0;

	while (refusal == ANSWER_NONE) {
		while (cursor->at < cursor->end && *cursor->at == ' ')
			cursor->at++;
		if (cursor->at == cursor->end)
			break;
		for (word = cursor->at; cursor->at < cursor->end && *cursor->at != ' ';)
			cursor->at++;
		refusal = read_parameter(word, (size_t)(cursor->at - word), known, command, &seen);
	}
	return refusal;
}

/* ---- MAIL and RCPT ---- */

enum answer
syntax_mail(const char *argument, size_t len, struct syntax_mail *mail)
{
	struct cursor cursor = {argument, argument + len};
	const char *mailbox;
	size_t mailbox_len;
	enum answer refusal;

	memset(mail, 0, sizeof(*mail));
	if (!read_keyword(&cursor, "FROM:"))
		return ANSWER_NOT_A_FROM;
	if (!read_path(&cursor, &mailbox, &mailbox_len))
		return ANSWER_BAD_SENDER;
	refusal = read_parameters(&cursor, mail_parameters, mail);
	if (refusal != ANSWER_NONE)
		return refusal;
	/* "<@a:>" is no null reverse-path. */
	if (mailbox_len == 0 && mailbox[-1] == '<')
		mail->sender = xstrdup("");
	else
		mail->sender = address_parse(mailbox, mailbox_len, false, NULL);
	return mail->sender != NULL ? ANSWER_NONE : ANSWER_BAD_SENDER;
}

enum answer
syntax_rcpt(const char *argument, size_t len, struct syntax_rcpt *rcpt)
{
	struct cursor cursor = {argument, argument + len};
	const char *mailbox;
	size_t mailbox_len;
	enum answer refusal;

	memset(rcpt, 0, sizeof(*rcpt));
	if (!read_keyword(&cursor, "TO:"))
		return ANSWER_NOT_A_TO;
	if (!read_path(&cursor, &mailbox, &mailbox_len))
		return ANSWER_BAD_RECIPIENT;
	refusal = read_parameters(&cursor, rcpt_parameters, rcpt);
	if (refusal != ANSWER_NONE)
		return refusal;
	if (is_word(mailbox, mailbox_len, "postmaster") && mailbox[-1] == '<')
		rcpt->recipient = xstrdup("postmaster");
	else
		rcpt->recipient = address_parse(mailbox, mailbox_len, false, NULL);
	return rcpt->recipient != NULL ? ANSWER_NONE : ANSWER_BAD_RECIPIENT;
}
