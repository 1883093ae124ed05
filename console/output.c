/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/output.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/utf8.h"
#include "common/xalloc.h"
#include "console/grid.h"
#include "console/template.h"

enum { ENOUGH = 64 * 1024 }; /* bytes that are worth a write */

struct output {
	int fd;
	enum output_format format;
	const char *template;
	const struct output_kind *kind;
	struct strbuf pending;
	struct strbuf cells; /* scratch: the cells of one row */
	struct grid *grid;   /* table, wide */
	struct grid_column *grid_columns;
	const struct output_column **columns; /* those of the grid */
	size_t column_count;
	size_t rows;
	bool failed;
	struct error why;
};

int
output_style_set(struct output_style *style, const char *word)
{
	static const char template[] = "template=";
	static const struct {
		const char *name;
		enum output_format format;
	} formats[] = {
	    {"text", OUTPUT_TEXT}, {"table", OUTPUT_TABLE}, {"wide", OUTPUT_WIDE},
	    {"json", OUTPUT_JSON}, {"jsonl", OUTPUT_JSONL}, {"csv", OUTPUT_CSV},
	    {"tsv", OUTPUT_TSV},   {"id", OUTPUT_ID},       {"commands", OUTPUT_COMMANDS},
	};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(formats[i].name, word) == 0) {
			style->format = formats[i].format;
			return 0;
		}
	}
	if (strncmp(word, template, sizeof(template) - 1) != 0)
		return -1;
	style->format = OUTPUT_TEMPLATE;
	style->template = word + sizeof(template) - 1;
	return 0;
}

int
output_style_check(const struct output_style *style, const struct output_kind *kind,
		   struct error *why)
{
	if (style->format == OUTPUT_COMMANDS && (kind == NULL || kind->command == NULL))
		return error_set(why, ERROR_USAGE,
				 "-o commands: no command makes what this prints");
	if (style->format != OUTPUT_TEMPLATE)
		return 0;
	if (kind == NULL)
		return error_set(why, ERROR_USAGE, "-o template: this prints no rows");
	return template_check(style->template, kind->members, why);
}

int
output_write(int fd, const char *bytes, size_t len, struct error *why)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(why, ERROR_STORAGE, "standard output");
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static void
flush(struct output *output)
{
	if (!output->failed &&
	    output_write(output->fd, output->pending.data, output->pending.len, &output->why) != 0)
		output->failed = true;
	strbuf_reset(&output->pending);
}

void
output_value(const json_t *value, struct strbuf *out)
{
	switch (value == NULL ? JSON_NULL : json_typeof(value)) {
	case JSON_STRING:
		strbuf_append(out, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		strbuf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		strbuf_printf(out, "%g", json_real_value(value));
		break;
	case JSON_TRUE:
		strbuf_puts(out, "true");
		break;
	case JSON_FALSE:
		strbuf_puts(out, "false");
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		output_json(value, out);
		break;
	case JSON_NULL:
		break;
	}
}

static int
append_piece(const char *bytes, size_t len, void *out)
{
	strbuf_append(out, bytes, len);
	return 0;
}

void
output_json(const json_t *value, struct strbuf *out)
{
	size_t start = out->len, size;
	uint32_t character;
	char *text;
	size_t len;

	(void)json_dump_callback(value, append_piece, out,
				 JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	/* jansson escapes what JSON wants escaped. The other controls are not ASCII, but for DEL,
	 * and can stand inside strings alone. */
	len = out->len - start;
	if (utf8_is_plain(out->data + start, len))
		return;
	text = xstrndup(out->data + start, len);
	strbuf_truncate(out, start);
	for (size_t at = 0; at < len; at += size) {
		size = utf8_read(text + at, len - at, &character);
		if (size > 0 && utf8_is_control(character)) {
			strbuf_printf(out, "\\u%04x", (unsigned)character);
			continue;
		}
		size = size == 0 ? 1 : size;
		strbuf_append(out, text + at, size);
	}
	free(text);
}

static void
begin_grid(struct output *output, const struct output_style *style)
{
	const struct output_kind *kind = output->kind;
	bool wide = style->format == OUTPUT_WIDE;
	size_t count = 0;

	output->grid_columns = xcalloc(kind->column_count, sizeof(*output->grid_columns));
	output->columns = xcalloc(kind->column_count, sizeof(*output->columns));
	for (size_t i = 0; i < kind->column_count; i++) {
		if (kind->columns[i].wide && !wide)
			continue;
		output->columns[count] = &kind->columns[i];
		output->grid_columns[count].title = kind->columns[i].title;
		output->grid_columns[count].right = kind->columns[i].right;
		count++;
	}
	output->column_count = count;
	output->grid =
	    grid_new(output->grid_columns, count, wide ? 0 : style->width, style->colour);
}

static void
begin_json(struct output *output, json_int_t revision)
{
	strbuf_printf(&output->pending, "{\"schema\":\"%s\"", output->kind->schema);
	if (revision >= 0)
		strbuf_printf(&output->pending, ",\"revision\":%" JSON_INTEGER_FORMAT, revision);
	if (output->kind->list != NULL)
		strbuf_printf(&output->pending, ",\"%s\":[", output->kind->list);
}

static void
begin_separated(struct output *output)
{
	const char *const *member = output->kind->members;

	for (; *member != NULL; member++) {
		if (member != output->kind->members)
			strbuf_putc(&output->pending, output->format == OUTPUT_CSV ? ',' : '\t');
		strbuf_puts(&output->pending, *member);
	}
	strbuf_puts(&output->pending, output->format == OUTPUT_CSV ? "\r\n" : "\n");
}

struct output *
output_new(int fd, const struct output_style *style, const struct output_kind *kind,
	   json_int_t revision)
{
	struct output *output = xcalloc(1, sizeof(*output));

	output->fd = fd;
	output->format = style->format;
	output->template = style->template;
	output->kind = kind;
	if (style->format == OUTPUT_TABLE || style->format == OUTPUT_WIDE)
		begin_grid(output, style);
	else if (style->format == OUTPUT_JSON)
		begin_json(output, revision);
	else if (style->format == OUTPUT_CSV || style->format == OUTPUT_TSV)
		begin_separated(output);
	return output;
}

static void
grid_line(struct output *output, const json_t *row)
{
	const char **cells = xcalloc(output->column_count, sizeof(*cells));
	size_t *at = xcalloc(output->column_count, sizeof(*at));

	strbuf_reset(&output->cells);
	for (size_t i = 0; i < output->column_count; i++) {
		at[i] = output->cells.len;
		if (output->columns[i]->cell != NULL)
			output->columns[i]->cell(row, &output->cells);
		else
			output_value(json_object_get(row, output->columns[i]->member),
				     &output->cells);
		strbuf_putc(&output->cells, '\0');
	}
	for (size_t i = 0; i < output->column_count; i++)
		cells[i] = output->cells.data + at[i];
	grid_row(output->grid, cells, &output->pending);
	free(at);
	free(cells);
}

/* The document of a kind with no list has the members of its one row. */
static void
json_row(struct output *output, const json_t *row)
{
	struct strbuf *out = &output->pending;
	struct strbuf object = STRBUF_INIT;

	if (output->kind->list != NULL) {
		if (output->rows > 0)
			strbuf_putc(out, ',');
		strbuf_putc(out, '\n');
		output_json(row, out);
		return;
	}
	output_json(row, &object);
	if (object.len > 2) {
		strbuf_putc(out, ',');
		strbuf_append(out, object.data + 1, object.len - 2);
	}
	strbuf_clear(&object);
}

static void
separated_row(struct output *output, const json_t *row)
{
	struct strbuf *out = &output->pending, *cell = &output->cells;
	char separator = output->format == OUTPUT_CSV ? ',' : '\t';
	const char *const *member = output->kind->members;
	struct strbuf raw = STRBUF_INIT;

	for (; *member != NULL; member++) {
		if (member != output->kind->members)
			strbuf_putc(out, separator);
		strbuf_reset(&raw);
		strbuf_reset(cell);
		output_value(json_object_get(row, *member), &raw);
		strbuf_escaped(cell, raw.len > 0 ? raw.data : "", raw.len);
		/* Controls are gone: a separator or a quote is all that needs quoting. */
		if (cell->len == 0 || (memchr(cell->data, separator, cell->len) == NULL &&
				       memchr(cell->data, '"', cell->len) == NULL)) {
			strbuf_append(out, cell->len > 0 ? cell->data : "", cell->len);
			continue;
		}
		strbuf_putc(out, '"');
		for (size_t i = 0; i < cell->len; i++) {
			if (cell->data[i] == '"')
				strbuf_putc(out, '"');
			strbuf_putc(out, cell->data[i]);
		}
		strbuf_putc(out, '"');
	}
	strbuf_puts(out, output->format == OUTPUT_CSV ? "\r\n" : "\n");
	strbuf_clear(&raw);
}

void
output_row(struct output *output, const json_t *row)
{
	switch (output->format) {
	case OUTPUT_TEXT:
		return;
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		grid_line(output, row);
		break;
	case OUTPUT_JSON:
		json_row(output, row);
		break;
	case OUTPUT_JSONL:
		output_json(row, &output->pending);
		strbuf_putc(&output->pending, '\n');
		break;
	case OUTPUT_CSV:
	case OUTPUT_TSV:
		separated_row(output, row);
		break;
	case OUTPUT_ID:
		output_value(json_object_get(row, "id"), &output->pending);
		strbuf_putc(&output->pending, '\n');
		break;
	case OUTPUT_COMMANDS:
		if (output->kind->command != NULL)
			output->kind->command(row, &output->pending);
		break;
	case OUTPUT_TEMPLATE:
		template_row(output->template, row, &output->pending);
		break;
	}
	output->rows++;
	if (output->pending.len >= ENOUGH)
		flush(output);
}

void
output_text(struct output *output, const char *text, size_t len)
{
	if (output->format != OUTPUT_TEXT)
		return;
	strbuf_append(&output->pending, text, len);
	if (output->pending.len >= ENOUGH)
		flush(output);
}

void
output_flush(struct output *output)
{
	flush(output);
}

bool
output_failed(const struct output *output)
{
	return output->failed;
}

int
output_end(struct output *output, struct error *why)
{
	int result = 0;

	if (output->grid != NULL) {
		grid_end(output->grid, &output->pending);
		output->grid = NULL;
	}
	if (output->format == OUTPUT_JSON && output->kind->list != NULL)
		strbuf_puts(&output->pending, output->rows > 0 ? "\n]" : "]");
	if (output->format == OUTPUT_JSON)
		strbuf_puts(&output->pending, "}\n");
	flush(output);
	if (output->failed) {
		if (why != NULL)
			*why = output->why;
		result = -1;
	}
	output_abandon(output);
	return result;
}

void
output_abandon(struct output *output)
{
	struct strbuf unseen = STRBUF_INIT;

	if (output->grid != NULL)
		grid_end(output->grid, &unseen);
	strbuf_clear(&unseen);
	strbuf_clear(&output->pending);
	strbuf_clear(&output->cells);
	free(output->grid_columns);
	free(output->columns);
	free(output);
}
