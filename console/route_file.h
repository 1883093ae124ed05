/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A file of routes, row by row: a JSON document as `tmail routes export` writes it, an array, JSON
 * lines, CSV or TSV with a header. What the values mean is not judged here, but each has its place
 * in the file.
 */
#ifndef CONSOLE_ROUTE_FILE_H
#define CONSOLE_ROUTE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/route.h"
#include "common/strbuf.h"
#include "console/session.h"

/* The columns: an enum route_field, or one of these. */
enum { FILE_ID = ROUTE_FIELDS, FILE_PASSWORD_FROM, FILE_COLUMNS };
const char *route_file_column(unsigned column);

struct route_cell {
	const char *text; /* borrowed until the next row, not terminated */
	size_t len;
	size_t at; /* where it begins in the file */
	bool given;
};

enum route_file_format { FILE_ANY, FILE_JSON, FILE_JSONL, FILE_CSV, FILE_TSV };

struct route_file {
	char *name; /* for messages: the path, or "standard input" */
	char *text; /* all of it */
	size_t len;
	enum route_file_format format;
	size_t at; /* where reading goes on */
	bool in_array;
	bool in_document; /* that array is a member of an object */
	unsigned columns[64]; /* csv: of each cell; FILE_COLUMNS: it only describes */
	size_t column_count;
	struct strbuf scratch; /* values that do not stand in the file as they are */
	size_t failed_at;      /* where the last failure lies */
};

/* "-" is standard input. The format is found by what the file begins with if it is FILE_ANY. -1 and
 * `why` if it can't be read at all, or its header can't (then *failed_at is its place). */
int route_file_open(struct route_file *file, const struct session *session, const char *path,
		    enum route_file_format format, struct error *why);
void route_file_close(struct route_file *file); /* secrets and all */

/* Go back to the first row. */
int route_file_begin(struct route_file *file, struct error *why);

/* The next row: 1, 0 behind the last one, -1: from file->failed_at on it can't be read. */
int route_file_next(struct route_file *file, struct route_cell cells[FILE_COLUMNS],
		    struct error *why);

/* Line and column, both from 1; columns in characters. */
void route_file_place(const struct route_file *file, size_t at, size_t *line, size_t *column);

/* ---- between the files of this reader ---- */

int route_csv_header(struct route_file *file, struct error *why);
int route_csv_next(struct route_file *file, struct route_cell *cells, struct error *why);
int route_json_begin(struct route_file *file, struct error *why);
int route_json_next(struct route_file *file, struct route_cell *cells, struct error *why);

/* The column of that name; FILE_COLUMNS for a member that only describes a route. -1: unknown, with
 * a sentence that has what may have been meant. */
int route_file_column_of(const char *name, size_t len, unsigned *column, struct error *why);

/* Fail at a place. Returns -1. */
int route_file_fail(struct route_file *file, size_t at, struct error *why, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
