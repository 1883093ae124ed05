/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/grid.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/utf8.h"
#include "common/xalloc.h"

enum {
	KEPT_ROWS = 1000, /* as many rows decide on the widths */
	GAP = 2,          /* spaces between columns */
	LEAST_WIDTH = 4   /* a column is not cut below this */
};

struct grid {
	const struct grid_column *columns;
	size_t count;
	size_t width;
	bool bold;
	bool flowing;        /* the header is out: rows are written as they come */
	size_t *widths;      /* of each column */
	size_t kept;         /* rows in `cells` */
	struct strbuf cells; /* of the rows kept, each with its final NUL */
};

struct grid *
grid_new(const struct grid_column *columns, size_t count, size_t width, bool bold)
{
	struct grid *grid = xcalloc(1, sizeof(*grid));

	grid->columns = columns;
	grid->count = count;
	grid->width = width;
	grid->bold = bold;
	grid->widths = xcalloc(count, sizeof(*grid->widths));
	for (size_t i = 0; i < count; i++)
		grid->widths[i] = grid_width(columns[i].title);
	return grid;
}

/* The next character of a text that ends with NUL: its bytes, and the columns it takes. */
static size_t
next_character(const char *text, size_t *columns)
{
	uint32_t character = 0;
	size_t size = utf8_read(text, strnlen(text, 4), &character);
	int width;

	if (size == 0) {
		*columns = 1;
		return 1;
	}
	/* In a locale that knows no more than ASCII it is -1. */
	width = wcwidth((wchar_t)character);
	*columns = width < 0 ? 1 : (size_t)width;
	return size;
}

size_t
grid_width(const char *text)
{
	size_t width = 0, columns;

	while (*text != '\0') {
		text += next_character(text, &columns);
		width += columns;
	}
	return width;
}

/* Append as much of `text` as fits into `width` columns, with '~' in the last one if not all did.
 */
static size_t
append_cut(struct strbuf *out, const char *text, size_t width)
{
	size_t used = 0, columns, size;

	if (grid_width(text) <= width) {
		strbuf_puts(out, text);
		return grid_width(text);
	}
	if (width == 0)
		return 0;
	/* Marks of width 0 stay with the character before them. */
	for (;;) {
		size = next_character(text, &columns);
		if (used + columns > width - 1)
			break;
		strbuf_append(out, text, size);
		used += columns;
		text += size;
	}
	strbuf_putc(out, '~');
	return used + 1;
}

static void
append_spaces(struct strbuf *out, size_t count)
{
	while (count-- > 0)
		strbuf_putc(out, ' ');
}

static void
append_row(const struct grid *grid, const char *const *cells, struct strbuf *out)
{
	size_t pad, natural, last_used;

	for (size_t i = 0; i < grid->count; i++) {
		natural = grid_width(cells[i]);
		if (i > 0)
			append_spaces(out, GAP);
		if (grid->columns[i].right) {
			append_spaces(out,
				      natural < grid->widths[i] ? grid->widths[i] - natural : 0);
			strbuf_puts(out, cells[i]);
			continue;
		}
		if (grid->width == 0) {
			strbuf_puts(out, cells[i]);
			last_used = natural;
		} else {
			last_used = append_cut(out, cells[i], grid->widths[i]);
		}
		pad = last_used < grid->widths[i] ? grid->widths[i] - last_used : 0;
		append_spaces(out, pad);
	}
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		strbuf_truncate(out, out->len - 1);
}

static void
append_line(const struct grid *grid, const char *const *cells, struct strbuf *out)
{
	struct strbuf line = STRBUF_INIT;

	append_row(grid, cells, &line);
	/* So many columns that even the narrowest do not fit. */
	if (grid->width > 0)
		append_cut(out, line.data, grid->width);
	else
		strbuf_append(out, line.data, line.len);
	strbuf_putc(out, '\n');
	strbuf_clear(&line);
}

/* Take columns away from the widest, one at a time, until the row fits. */
static void
fit(struct grid *grid)
{
	size_t total = (grid->count - 1) * GAP, widest;

	for (size_t i = 0; i < grid->count; i++)
		total += grid->widths[i];
	while (grid->width > 0 && total > grid->width) {
		widest = grid->count;
		for (size_t i = 0; i < grid->count; i++) {
			if (grid->columns[i].right || grid->widths[i] <= LEAST_WIDTH)
				continue;
			if (widest == grid->count || grid->widths[i] > grid->widths[widest])
				widest = i;
		}
		if (widest == grid->count)
			return;
		grid->widths[widest]--;
		total--;
	}
}

/* The widths are decided: header and kept rows go out. */
static void
flow(struct grid *grid, struct strbuf *out)
{
	const char **cells = xcalloc(grid->count, sizeof(*cells));
	const char *cell = grid->cells.data;

	fit(grid);
	grid->flowing = true;
	for (size_t i = 0; i < grid->count; i++)
		cells[i] = grid->columns[i].title;
	if (grid->bold)
		strbuf_puts(out, "\033[1m");
	append_line(grid, cells, out);
	if (grid->bold) {
		strbuf_truncate(out, out->len - 1);
		strbuf_puts(out, "\033[0m\n");
	}
	for (size_t row = 0; row < grid->kept; row++) {
		for (size_t i = 0; i < grid->count; i++) {
			cells[i] = cell;
			cell += strlen(cell) + 1;
		}
		append_line(grid, cells, out);
	}
	strbuf_clear(&grid->cells);
	free(cells);
}

static void
keep(struct grid *grid, const char *const *cells)
{
	size_t width;

	for (size_t i = 0; i < grid->count; i++) {
		width = grid_width(cells[i]);
		if (width > grid->widths[i])
			grid->widths[i] = width;
		strbuf_append(&grid->cells, cells[i], strlen(cells[i]) + 1);
	}
	grid->kept++;
}

void
grid_row(struct grid *grid, const char *const *cells, struct strbuf *out)
{
	struct strbuf clean = STRBUF_INIT;
	const char **harmless = xcalloc(grid->count, sizeof(*harmless));
	size_t at = 0;

	for (size_t i = 0; i < grid->count; i++) {
		strbuf_escaped(&clean, cells[i], strlen(cells[i]));
		strbuf_putc(&clean, '\0');
	}
	for (size_t i = 0; i < grid->count; i++) {
		harmless[i] = clean.data + at;
		at += strlen(harmless[i]) + 1;
	}
	if (grid->flowing)
		append_line(grid, harmless, out);
	else
		keep(grid, harmless);
	if (!grid->flowing && grid->kept == KEPT_ROWS)
		flow(grid, out);
	free(harmless);
	strbuf_clear(&clean);
}

void
grid_end(struct grid *grid, struct strbuf *out)
{
	if (!grid->flowing)
		flow(grid, out);
	strbuf_clear(&grid->cells);
	free(grid->widths);
	free(grid);
}
