/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Aligned columns for people: a header, cells padded to one width, made to fit a number of terminal
 * columns by cutting the widest ones, each cut marked with '~'. The widths come from the first
 * thousand rows, so that a table of any length is written as it comes; a later cell that is wider
 * is cut, or, where nothing bounds the width, sticks out.
 *
 * Width is counted as the terminal does (wcwidth(3), hence the caller's locale); a cut never parts
 * a character from the marks that belong to it. Cells are UTF-8; what could drive the terminal is
 * shown as \xNN.
 */
#ifndef CONSOLE_GRID_H
#define CONSOLE_GRID_H

#include <stdbool.h>
#include <stddef.h>

#include "common/strbuf.h"

struct grid;

struct grid_column {
	const char *title;
	bool right; /* numbers: aligned to the right, and never cut */
};

/* `width` 0: no bound. `bold`: the header in bold. The columns must outlive the grid. */
struct grid *grid_new(const struct grid_column *columns, size_t count, size_t width, bool bold);

/* One row of `count` cells; lines that are ready are appended to `out`. */
void grid_row(struct grid *grid, const char *const *cells, struct strbuf *out);

/* What has been kept, then free. */
void grid_end(struct grid *grid, struct strbuf *out);

/* Terminal columns that harmless text takes. */
size_t grid_width(const char *text);

#endif
