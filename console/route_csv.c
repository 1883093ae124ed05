/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RFC 4180, with lines that may end in LF alone; TSV is the same with tabs. */
#include "console/route_file.h"

#include <string.h>

static char
separator_of(const struct route_file *file)
{
	return file->format == FILE_TSV ? '\t' : ',';
}

/* A cell in quotes, which begins at file->at. Quotes inside are doubled: then it is put together in
 * the scratch memory, whose pieces may still move: `text` is an offset there until the row is
 * whole. */
static int
read_quoted(struct route_file *file, struct route_cell *cell, bool *moved, struct error *why)
{
	size_t start = file->at + 1, at = start, kept = file->scratch.len;
	const char *quote;

	*moved = false;
	for (;;) {
		quote = memchr(file->text + at, '"', file->len - at);
		if (quote == NULL)
			return route_file_fail(file, file->at, why,
					       "the quotes are not closed anywhere");
		at = (size_t)(quote - file->text);
		if (file->text[at + 1] != '"')
			break;
		strbuf_append(&file->scratch, file->text + start, at + 1 - start);
		*moved = true;
		start = at = at + 2;
	}
	cell->text = file->text + start;
	cell->len = at - start;
	if (*moved) {
		strbuf_append(&file->scratch, file->text + start, at - start);
		cell->text = NULL;
		cell->len = file->scratch.len - kept;
	}
	file->at = at + 1;
	return 0;
}

/* The cell at file->at; moves behind it. */
static int
read_cell(struct route_file *file, struct route_cell *cell, bool *moved, struct error *why)
{
	const char *text = file->text + file->at, *end = text;
	char separator = separator_of(file);

	*moved = false;
	cell->at = file->at;
	cell->given = true;
	if (*text == '"') {
		if (read_quoted(file, cell, moved, why) != 0)
			return -1;
		text = file->text + file->at;
		if (*text != separator && *text != '\n' && *text != '\r' && file->at < file->len)
			return route_file_fail(file, file->at, why,
					       "something follows the quotes that close a value");
		return 0;
	}
	/* The text ends in a NUL; one inside of it is found to be no character later. */
	while (*end != separator && *end != '\n' && (*end != '\0' || end < file->text + file->len))
		end++;
	if (end > text && *end != separator && end[-1] == '\r')
		end--;
	cell->text = text;
	cell->len = (size_t)(end - text);
	file->at += cell->len;
	return 0;
}

/* Behind a cell: 1 when the row goes on. */
static int
next_cell(struct route_file *file)
{
	if (file->at >= file->len)
		return 0;
	if (file->text[file->at] == separator_of(file)) {
		file->at++;
		return 1;
	}
	if (file->text[file->at] == '\r')
		file->at++;
	if (file->at < file->len && file->text[file->at] == '\n')
		file->at++;
	return 0;
}

int
route_csv_header(struct route_file *file, struct error *why)
{
	const size_t most = sizeof(file->columns) / sizeof(file->columns[0]);
	unsigned seen = 0, column;
	struct route_cell cell;
	bool moved;

	file->column_count = 0;
	if (file->at >= file->len)
		return route_file_fail(file, file->at, why,
				       "there is no header that names the columns");
	do {
		if (read_cell(file, &cell, &moved, why) != 0)
			return -1;
		if (file->column_count == most)
			return route_file_fail(file, cell.at, why, "more than %zu columns", most);
		if (moved || route_file_column_of(cell.text, cell.len, &column, why) != 0) {
			file->failed_at = cell.at;
			return moved ? error_set(why, ERROR_USAGE, "a column has no such name")
				     : -1;
		}
		if (column != FILE_COLUMNS && (seen & 1u << column) != 0)
			return route_file_fail(file, cell.at, why, "the column %s comes twice",
					       route_file_column(column));
		if (column != FILE_COLUMNS)
			seen |= 1u << column;
		file->columns[file->column_count++] = column;
	} while (next_cell(file));
	if ((seen & 1u << ROUTE_REMOTE_HOST) == 0)
		return route_file_fail(file, 0, why, "there is no column remote_host");
	return 0;
}

/* Texts that were put together get their addresses once nothing is added any more. */
static void
settle(const struct route_file *file, struct route_cell *cells, unsigned moved)
{
	size_t at = 0;

	for (size_t i = 0; moved != 0 && i < file->column_count; i++) {
		unsigned column = file->columns[i];

		if (column == FILE_COLUMNS || (moved & 1u << column) == 0)
			continue;
		cells[column].text = file->scratch.data + at;
		at += cells[column].len;
	}
}

int
route_csv_next(struct route_file *file, struct route_cell *cells, struct error *why)
{
	size_t start, count = 0, kept;
	struct route_cell cell;
	unsigned moved = 0;
	bool was_moved;

	while (file->at < file->len &&
	       (file->text[file->at] == '\n' || file->text[file->at] == '\r'))
		file->at++;
	if (file->at >= file->len)
		return 0;
	start = file->at;
	do {
		kept = file->scratch.len;
		if (read_cell(file, &cell, &was_moved, why) != 0)
			return -1;
		if (count == file->column_count)
			return route_file_fail(file, cell.at, why, "more values than columns");
		if (file->columns[count] == FILE_COLUMNS) {
			strbuf_truncate(&file->scratch, kept);
		} else {
			cells[file->columns[count]] = cell;
			moved |= was_moved ? 1u << file->columns[count] : 0;
		}
		count++;
	} while (next_cell(file));
	if (count < file->column_count)
		return route_file_fail(file, start, why, "%zu values for %zu columns", count,
				       file->column_count);
	settle(file, cells, moved);
	return 1;
}
