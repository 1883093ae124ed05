/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/template.h"

#include <stdbool.h>
#include <string.h>

#include "console/output.h"
#include "console/words.h"

/* What comes next in a template. */
enum piece { PIECE_END, PIECE_TEXT, PIECE_FIELD, PIECE_BAD_ESCAPE, PIECE_OPEN, PIECE_STRAY };

struct piece_text {
	const char *text; /* a character, or a name */
	size_t len;
};

static enum piece
next_piece(const char **at, struct piece_text *piece)
{
	static const char signs[] = "tn\\", meanings[] = "\t\n\\";
	const char *start = *at, *sign;
	size_t len;

	switch (*start) {
	case '\0':
		return PIECE_END;
	case '\\':
		sign = start[1] != '\0' ? strchr(signs, start[1]) : NULL;
		if (sign == NULL)
			return PIECE_BAD_ESCAPE;
		*piece = (struct piece_text){.text = meanings + (sign - signs), .len = 1};
		*at = start + 2;
		return PIECE_TEXT;
	case '{':
	case '}':
		*piece = (struct piece_text){.text = start, .len = 1};
		if (start[1] == *start) {
			*at = start + 2;
			return PIECE_TEXT;
		}
		if (*start == '}')
			return PIECE_STRAY;
		len = strcspn(start + 1, "{}");
		if (start[1 + len] != '}')
			return PIECE_OPEN;
		*piece = (struct piece_text){.text = start + 1, .len = len};
		*at = start + len + 2;
		return PIECE_FIELD;
	default:
		len = strcspn(start, "\\{}");
		*piece = (struct piece_text){.text = start, .len = len};
		*at = start + len;
		return PIECE_TEXT;
	}
}

static bool
is_member(const struct piece_text *name, const char *const *members)
{
	for (; *members != NULL; members++)
		if (strlen(*members) == name->len && memcmp(*members, name->text, name->len) == 0)
			return true;
	return false;
}

static int
refuse_field(const struct piece_text *name, const char *const *members, struct error *why)
{
	struct strbuf typed = STRBUF_INIT, list = STRBUF_INIT;
	struct words_search search;

	strbuf_append(&typed, name->text, name->len);
	words_search_init(&search, typed.data != NULL ? typed.data : "");
	for (; *members != NULL; members++) {
		words_offer(&search, *members);
		strbuf_printf(&list, "%s%s", list.len > 0 ? ", " : "", *members);
	}
	if (search.best != NULL)
		error_set(why, ERROR_USAGE,
			  "-o template: there is no field {%s}. Did you mean {%s}?", typed.data,
			  search.best);
	else
		error_set(why, ERROR_USAGE, "-o template: there is no field {%s}; there are %s",
			  typed.len > 0 ? typed.data : "", list.data);
	strbuf_clear(&typed);
	strbuf_clear(&list);
	return -1;
}

int
template_check(const char *text, const char *const *members, struct error *why)
{
	struct piece_text piece;
	const char *at = text;

	for (;;) {
		switch (next_piece(&at, &piece)) {
		case PIECE_END:
			return 0;
		case PIECE_TEXT:
			break;
		case PIECE_FIELD:
			if (!is_member(&piece, members))
				return refuse_field(&piece, members, why);
			break;
		case PIECE_BAD_ESCAPE:
			return error_set(why, ERROR_USAGE,
					 "-o template: behind a backslash stands t, n or another "
					 "backslash");
		case PIECE_OPEN:
			return error_set(why, ERROR_USAGE,
					 "-o template: a { that is not closed ({{ stands for one)");
		case PIECE_STRAY:
			return error_set(
			    why, ERROR_USAGE,
			    "-o template: a } that closes nothing (}} stands for one)");
		}
	}
}

void
template_row(const char *text, const json_t *row, struct strbuf *out)
{
	struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
	struct piece_text piece;
	enum piece kind;

	while ((kind = next_piece(&text, &piece)) == PIECE_TEXT || kind == PIECE_FIELD) {
		if (kind == PIECE_TEXT) {
			strbuf_append(out, piece.text, piece.len);
			continue;
		}
		strbuf_reset(&name);
		strbuf_reset(&value);
		strbuf_append(&name, piece.text, piece.len);
		output_value(json_object_get(row, name.data), &value);
		strbuf_escaped(out, value.len > 0 ? value.data : "", value.len);
	}
	strbuf_clear(&name);
	strbuf_clear(&value);
}
