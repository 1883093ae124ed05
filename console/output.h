/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What commands print on standard output, in the form that -o names: commands make rows (JSON
 * objects as the daemon sends them) or ready lines of text, this makes a table, JSON, CSV of them
 * and writes it as it comes, with flat memory.
 *
 *   text    ready lines, from output_text
 *   table   columns that fit the width (console/grid.h); wide: all columns, nothing cut
 *   json    one document {"schema":...,"revision":N,"LIST":[...]}, or {"schema":...,MEMBERS}
 *   jsonl   one row a line
 *   csv     RFC 4180, with a header; tsv: the same with tabs, lines end in LF
 *   id      the member "id" of each row
 *   commands  the commands that would make the rows, for kinds that have them
 *   template=TEXT  console/template.h
 *
 * In csv, tsv and tables a control character or a byte that is not UTF-8 is shown as \xNN; in JSON
 * it is escaped as \uNNNN, so that nothing that came by mail can drive a terminal.
 */
#ifndef CONSOLE_OUTPUT_H
#define CONSOLE_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"

enum output_format {
	OUTPUT_TEXT,
	OUTPUT_TABLE,
	OUTPUT_WIDE,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_CSV,
	OUTPUT_TSV,
	OUTPUT_ID,
	OUTPUT_COMMANDS,
	OUTPUT_TEMPLATE
};

/* "text|table|..." for usage; a choice that ends in '=' goes on as one likes. */
#define OUTPUT_FORMATS "text|table|wide|json|jsonl|csv|tsv|id|commands|template="

/* A column of a table. */
struct output_column {
	const char *title;
	const char *member;                                  /* of the row; NULL: see cell */
	void (*cell)(const json_t *row, struct strbuf *out); /* for what is not one member */
	bool right;                                          /* a number */
	bool wide;                                           /* in `wide` alone */
};

/* A kind of rows. */
struct output_kind {
	const char *schema; /* "tmail.routes/1" */
	const char *list;   /* the member of the document that holds the rows; NULL: one object */
	const char *const *members; /* csv and tsv: the columns, NULL at the end */
	const struct output_column *columns;
	size_t column_count;
	void (*command)(const json_t *row, struct strbuf *out); /* NULL: no command makes these */
};

struct output_style {
	enum output_format format;
	const char *template; /* OUTPUT_TEMPLATE; borrowed */
	size_t width; /* of a table */
	bool colour;
};

/* The format and its template by the word behind -o; -1 for a word that is none. */
int output_style_set(struct output_style *style, const char *word);

/* Can these rows (NULL: there are none) be printed so? -1 and `why` (ERROR_USAGE), which names
 * the format. */
int output_style_check(const struct output_style *style, const struct output_kind *kind,
		       struct error *why);

struct output;

/* To `fd`, which stays the caller's. `revision` < 0: the document has none. */
struct output *output_new(int fd, const struct output_style *style, const struct output_kind *kind,
			  json_int_t revision);

/* A row, borrowed; nothing in the format text. */
void output_row(struct output *output, const json_t *row);

/* Lines with their newlines; nothing in the other formats. */
void output_text(struct output *output, const char *text, size_t len);

/* Write what is ready, for lists that come slowly: a person wants to see how far they are. */
void output_flush(struct output *output);

/* Writing has failed: there is no use in going on. output_end says why. */
bool output_failed(const struct output *output);

/* Finish the document, write what is left, free. -1 if anything could not be written:
 * ERROR_STORAGE, with EPIPE in why->sys where the reader has gone. */
int output_end(struct output *output, struct error *why);

/* Free without finishing the document: the rows could not all be had. */
void output_abandon(struct output *output);

/* Write all of it; as output_end fails. */
int output_write(int fd, const char *bytes, size_t len, struct error *why);

/* The text of a value in a cell: strings as they are, null as nothing. */
void output_value(const json_t *value, struct strbuf *out);

/* One JSON value in one line without its newline, harmless for a terminal. */
void output_json(const json_t *value, struct strbuf *out);

#endif
