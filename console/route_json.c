/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes in JSON (RFC 8259), read where they stand: a file of a million of them is not made into
 * objects first, and each value is known by its place. One document {"routes":[...]}, an array, or
 * objects one behind the other, as in JSON lines.
 */
#include "console/route_file.h"

#include <stdint.h>
#include <string.h>

enum { DEPTH_MOST = 64, KEY_MOST = 64 };

static void
skip_space(struct route_file *file)
{
	while (file->at < file->len && strchr(" \t\r\n", file->text[file->at]) != NULL &&
	       file->text[file->at] != '\0')
		file->at++;
}

/* The next character that is no space; NUL at the end. */
static char
look(struct route_file *file)
{
	skip_space(file);
	return file->at < file->len ? file->text[file->at] : '\0';
}

static int
expect(struct route_file *file, char c, struct error *why)
{
	if (look(file) != c)
		return route_file_fail(file, file->at, why, "not JSON: '%c' is missing here", c);
	file->at++;
	return 0;
}

/* ---- strings ---- */

static int
hex4(const char *text, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < 4; i++) {
		char c = text[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return -1;
		*value = *value * 16 + (uint32_t)digit;
	}
	return 0;
}

static void
append_character(struct strbuf *out, uint32_t c)
{
	if (c < 0x80) {
		strbuf_putc(out, (char)c);
		return;
	}
	if (c < 0x800) {
		strbuf_putc(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			strbuf_putc(out, (char)(0xe0 | c >> 12));
		} else {
			strbuf_putc(out, (char)(0xf0 | c >> 18));
			strbuf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		strbuf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	strbuf_putc(out, (char)(0x80 | (c & 0x3f)));
}

/* Behind a backslash at file->at; moves behind the escape. */
static int
read_escape(struct route_file *file, struct strbuf *out, struct error *why)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *text = file->text + file->at, *letter;
	uint32_t c, low;

	letter = *text != '\0' ? strchr(letters, *text) : NULL;
	if (letter != NULL) {
		strbuf_putc(out, meant[letter - letters]);
		file->at++;
		return 0;
	}
	/* The text ends in a NUL, which is no digit. */
	if (*text != 'u' || hex4(text + 1, &c) != 0)
		return route_file_fail(file, file->at - 1, why, "not JSON: an unknown escape");
	file->at += 5;
	if (c >= 0xd800 && c < 0xdc00 && text[5] == '\\' && text[6] == 'u' &&
	    hex4(text + 7, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		file->at += 6;
	}
	if (c >= 0xd800 && c < 0xe000)
		return route_file_fail(file, file->at - 6, why, "not JSON: half a character");
	append_character(out, c);
	return 0;
}

/* A string that begins at file->at. With escapes in it it is put together in the scratch memory:
 * `text` is NULL then. */
static int
read_string(struct route_file *file, struct route_cell *cell, struct error *why)
{
	size_t opened = file->at, start = ++file->at, kept = file->scratch.len;
	bool moved = false;
	const char *text = file->text;

	for (;;) {
		while (file->at < file->len && text[file->at] != '"' && text[file->at] != '\\' &&
		       (unsigned char)text[file->at] >= 0x20)
			file->at++;
		if (file->at >= file->len || (unsigned char)text[file->at] < 0x20)
			return route_file_fail(file, opened, why,
					       "not JSON: the string is not closed on its line");
		if (text[file->at] == '"')
			break;
		strbuf_append(&file->scratch, text + start, file->at - start);
		moved = true;
		file->at++;
		if (read_escape(file, &file->scratch, why) != 0)
			return -1;
		start = file->at;
	}
	cell->at = opened;
	cell->text = text + start;
	cell->len = file->at - start;
	if (moved) {
		strbuf_append(&file->scratch, text + start, file->at - start);
		cell->text = NULL;
		cell->len = file->scratch.len - kept;
	}
	file->at++;
	return 0;
}

/* ---- values ---- */

/* Numbers, true, false, null: up to what can't be part of them. */
static int
read_word(struct route_file *file, struct route_cell *cell, struct error *why)
{
	size_t start = file->at;

	while (file->at < file->len && strchr(" \t\r\n,:]}[{\"", file->text[file->at]) == NULL)
		file->at++;
	if (file->at == start)
		return route_file_fail(file, start, why, "not JSON: a value is missing here");
	*cell = (struct route_cell){
	    .text = file->text + start, .len = file->at - start, .at = start, .given = true};
	return 0;
}

static bool
is_word(const struct route_cell *cell, const char *word)
{
	return cell->len == strlen(word) && memcmp(cell->text, word, cell->len) == 0;
}

static bool
is_number(const struct route_cell *cell)
{
	for (size_t i = 0; i < cell->len; i++) {
		if (strchr("0123456789+-.eE", cell->text[i]) == NULL)
			return false;
	}
	return cell->len > 0 &&
	       (cell->text[0] == '-' || (cell->text[0] >= '0' && cell->text[0] <= '9'));
}

/* Any value, which nobody wants. */
static int
skip_value(struct route_file *file, struct error *why)
{
	char closing[DEPTH_MOST], c;
	size_t depth = 0, kept = file->scratch.len;
	struct route_cell cell;

	do {
		c = look(file);
		if (c == '{' || c == '[') {
			if (depth == DEPTH_MOST)
				return route_file_fail(file, file->at, why,
						       "values lie too deep in each other");
			closing[depth++] = c == '{' ? '}' : ']';
			file->at++;
		} else if (depth > 0 && c == closing[depth - 1]) {
			depth--;
			file->at++;
		} else if (depth > 0 && (c == ',' || c == ':')) {
			file->at++;
		} else if (c == '"') {
			if (read_string(file, &cell, why) != 0)
				return -1;
		} else if (read_word(file, &cell, why) != 0) {
			return -1;
		} else if (!is_number(&cell) && !is_word(&cell, "true") &&
			   !is_word(&cell, "false") && !is_word(&cell, "null")) {
			return route_file_fail(file, cell.at, why, "not JSON: an unknown word");
		}
	} while (depth > 0);
	strbuf_truncate(&file->scratch, kept);
	return 0;
}

/* What a member may be besides a string. */
static bool
fits(unsigned column, const struct route_cell *cell)
{
	if (is_word(cell, "true") || is_word(cell, "false"))
		return column == ROUTE_ENABLED;
	if (!is_number(cell))
		return false;
	return column == ROUTE_REMOTE_PORT || column == ROUTE_PRIORITY || column == ROUTE_WEIGHT ||
	       column == FILE_ID || column == FILE_PASSWORD_FROM;
}

static int
read_value(struct route_file *file, unsigned column, struct route_cell *cell, struct error *why)
{
	char c = look(file);

	if (c == '"') {
		if (read_string(file, cell, why) != 0)
			return -1;
		cell->given = true;
		return 0;
	}
	if (c == '{' || c == '[')
		return route_file_fail(file, file->at, why, "%s: a value of the wrong type",
				       route_file_column(column));
	if (read_word(file, cell, why) != 0)
		return -1;
	if (is_word(cell, "null"))
		cell->len = 0;
	else if (!fits(column, cell))
		return route_file_fail(file, cell->at, why, "%s: a value of the wrong type",
				       route_file_column(column));
	return 0;
}

/* ---- objects ---- */

/* The name of a member, in `name`; moves behind the colon. */
static int
read_name(struct route_file *file, char name[KEY_MOST], size_t *len, size_t *at, struct error *why)
{
	size_t kept = file->scratch.len;
	struct route_cell cell;

	if (look(file) != '"')
		return route_file_fail(file, file->at, why, "not JSON: a name is missing here");
	*at = file->at;
	if (read_string(file, &cell, why) != 0)
		return -1;
	*len = cell.len < KEY_MOST ? cell.len : KEY_MOST - 1;
	memcpy(name, cell.text != NULL ? cell.text : file->scratch.data + kept, *len);
	strbuf_truncate(&file->scratch, kept);
	return expect(file, ':', why);
}

/* Behind a member or element: 1 when another one follows, 0 at `closing`. */
static int
goes_on(struct route_file *file, char closing, struct error *why)
{
	char c = look(file);

	if (c != ',' && c != closing)
		return route_file_fail(file, file->at, why, "not JSON: ',' or '%c' is missing here",
				       closing);
	file->at++;
	return c == ',';
}

static int
read_member(struct route_file *file, struct route_cell *cells, size_t *starts, struct error *why)
{
	char name[KEY_MOST];
	unsigned column;
	size_t len, at;

	if (read_name(file, name, &len, &at, why) != 0)
		return -1;
	if (route_file_column_of(name, len, &column, why) != 0) {
		file->failed_at = at;
		return -1;
	}
	if (column == FILE_COLUMNS)
		return skip_value(file, why);
	if (cells[column].given)
		return route_file_fail(file, at, why, "%s comes twice", route_file_column(column));
	starts[column] = file->scratch.len;
	return read_value(file, column, &cells[column], why);
}

static int
read_route(struct route_file *file, struct route_cell *cells, struct error *why)
{
	size_t starts[FILE_COLUMNS] = {0};
	int more = 1;

	if (expect(file, '{', why) != 0)
		return -1;
	if (look(file) == '}') {
		file->at++;
		more = 0;
	}
	while (more > 0) {
		if (read_member(file, cells, starts, why) != 0)
			return -1;
		more = goes_on(file, '}', why);
	}
	for (size_t i = 0; i < FILE_COLUMNS; i++) {
		if (cells[i].given && cells[i].text == NULL)
			cells[i].text = file->scratch.data + starts[i];
	}
	return more < 0 ? -1 : 1;
}

/* Is the object at file->at a document with a member "routes"? Moves to that, or stays. */
static int
find_routes(struct route_file *file, struct error *why)
{
	size_t start = file->at, at, len;
	char name[KEY_MOST];
	int more;

	file->at++;
	more = look(file) != '}';
	while (more > 0) {
		if (read_name(file, name, &len, &at, why) != 0)
			return -1;
		if (len == 6 && memcmp(name, "routes", 6) == 0 && look(file) == '[')
			return 1;
		if (skip_value(file, why) != 0)
			return -1;
		more = goes_on(file, '}', why);
	}
	file->at = start;
	return more;
}

/* Behind the array of routes: what else the document says, and that it ends there. */
static int
finish(struct route_file *file, struct error *why)
{
	char name[KEY_MOST];
	size_t at, len;
	int more = 0;

	if (file->in_document)
		more = goes_on(file, '}', why);
	while (more > 0) {
		if (read_name(file, name, &len, &at, why) != 0 || skip_value(file, why) != 0)
			return -1;
		more = goes_on(file, '}', why);
	}
	if (more < 0)
		return -1;
	skip_space(file);
	if (file->at < file->len)
		return route_file_fail(file, file->at, why, "something follows the document");
	return 0;
}

int
route_json_begin(struct route_file *file, struct error *why)
{
	char c = look(file);
	int found = 0;

	file->in_array = file->in_document = false;
	if (c == '{' && file->format == FILE_JSON)
		found = find_routes(file, why);
	if (found < 0)
		return -1;
	if (found > 0 || (c == '[' && file->format == FILE_JSON)) {
		file->in_array = true;
		file->in_document = found > 0;
		file->at++;
		if (look(file) != ']')
			return 0;
		file->at++;
		return finish(file, why);
	}
	if (c == '\0' && file->format == FILE_JSON)
		return route_file_fail(file, file->at, why, "not JSON: there is nothing");
	return 0;
}

int
route_json_next(struct route_file *file, struct route_cell *cells, struct error *why)
{
	int more;

	if (look(file) == '\0' && file->at >= file->len)
		return 0;
	if (read_route(file, cells, why) < 0)
		return -1;
	if (!file->in_array)
		return 1;
	more = goes_on(file, ']', why);
	if (more < 0)
		return -1;
	if (more == 0 && finish(file, why) != 0)
		return -1;
	return 1;
}
