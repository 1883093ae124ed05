/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/error.h"

#include <errno.h>
#include <string.h>

#include "common/strbuf.h"

static const struct {
	enum error_code code;
	const char *name;
} names[] = {
    {ERROR_NONE, "none"},         {ERROR_DIFFERS, "differs"},
    {ERROR_USAGE, "usage"},       {ERROR_NOT_FOUND, "not_found"},
    {ERROR_CONFLICT, "conflict"}, {ERROR_REFUSED, "refused"},
    {ERROR_DENIED, "denied"},     {ERROR_NO_DAEMON, "no_daemon"},
    {ERROR_TIMEOUT, "timeout"},   {ERROR_STORAGE, "storage"},
    {ERROR_BUG, "bug"},
};

/* Keep `sentence`, made harmless, as far as it fits: never half a character. */
static void
keep_text(struct error *why, struct strbuf *sentence)
{
	struct strbuf clean = STRBUF_INIT;
	size_t len;

	strbuf_escaped(&clean, sentence->data, sentence->len);
	len = clean.len;
	if (len >= sizeof(why->text)) {
		len = sizeof(why->text) - 1;
		while (len > 0 && ((unsigned char)clean.data[len] & 0xc0) == 0x80)
			len--;
	}
	if (len > 0)
		memcpy(why->text, clean.data, len);
	why->text[len] = '\0';
	strbuf_clear(&clean);
	strbuf_clear(sentence);
}

int
error_set(struct error *why, enum error_code code, const char *format, ...)
{
	struct strbuf sentence = STRBUF_INIT;
	va_list args;

	if (why == NULL)
		return -1;
	va_start(args, format);
	strbuf_vprintf(&sentence, format, args);
	va_end(args);
	keep_text(why, &sentence);
	why->code = code;
	why->sys = 0;
	return -1;
}

int
error_sys(struct error *why, enum error_code code, const char *format, ...)
{
	struct strbuf sentence = STRBUF_INIT;
	int sys = errno;
	char reason[128];
	va_list args;

	if (why == NULL)
		return -1;
	va_start(args, format);
	strbuf_vprintf(&sentence, format, args);
	va_end(args);
	/* strerror_r: worker threads make errors too. */
	strbuf_printf(&sentence, ": %s", strerror_r(sys, reason, sizeof(reason)));
	keep_text(why, &sentence);
	why->code = code;
	why->sys = sys;
	errno = sys;
	return -1;
}

int
error_prefix(struct error *why, const char *format, ...)
{
	struct strbuf sentence = STRBUF_INIT;
	va_list args;

	if (why == NULL)
		return -1;
	va_start(args, format);
	strbuf_vprintf(&sentence, format, args);
	va_end(args);
	strbuf_printf(&sentence, ": %s", why->text);
	keep_text(why, &sentence);
	return -1;
}

const char *
error_name(enum error_code code)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].code == code)
			return names[i].name;
	}
	return "bug";
}

enum error_code
error_code_of(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i].name, name) == 0)
			return names[i].code;
	}
	return ERROR_BUG;
}
