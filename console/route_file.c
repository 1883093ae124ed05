/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/route_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/protocol.h"
#include "common/xalloc.h"
#include "console/words.h"

enum { READ_BYTES = 1 << 20, NAME_MAX_BYTES = 64 };

const char *
route_file_column(unsigned column)
{
	if (column < ROUTE_FIELDS)
		return route_field_name((enum route_field)column);
	return column == FILE_ID ? "id" : "remote_password_from";
}

int
route_file_fail(struct route_file *file, size_t at, struct error *why, const char *format, ...)
{
	struct strbuf text = STRBUF_INIT;
	va_list args;

	file->failed_at = at;
	va_start(args, format);
	strbuf_vprintf(&text, format, args);
	va_end(args);
	error_set(why, ERROR_USAGE, "%s", text.data);
	strbuf_clear(&text);
	return -1;
}

int
route_file_column_of(const char *name, size_t len, unsigned *column, struct error *why)
{
	char word[NAME_MAX_BYTES];
	struct strbuf shown = STRBUF_INIT;
	struct words_search search;
	enum route_field field;

	memcpy(word, name, len < sizeof(word) ? len : 0);
	word[len < sizeof(word) ? len : 0] = '\0';
	if (route_field_of(word, &field) == 0) {
		*column = field;
		return 0;
	}
	if (strcmp(word, "id") == 0 || strcmp(word, "remote_password_from") == 0) {
		*column = word[0] == 'i' ? FILE_ID : FILE_PASSWORD_FROM;
		return 0;
	}
	*column = FILE_COLUMNS;
	if (protocol_route_describes(word))
		return 0;
	strbuf_escaped(&shown, name, len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES);
	words_search_init(&search, word);
	for (unsigned i = 0; i < FILE_COLUMNS; i++)
		words_offer(&search, route_file_column(i));
	if (search.best != NULL)
		error_set(why, ERROR_USAGE, "a route has no member '%s'. Did you mean '%s'?",
			  shown.len > 0 ? shown.data : "", search.best);
	else
		error_set(why, ERROR_USAGE, "a route has no member '%s'",
			  shown.len > 0 ? shown.data : "");
	strbuf_clear(&shown);
	return -1;
}

void
route_file_place(const struct route_file *file, size_t at, size_t *line, size_t *column)
{
	size_t start = 0;
	const char *newline;

	*line = 1;
	*column = 1;
	if (at > file->len)
		at = file->len;
	while ((newline = memchr(file->text + start, '\n', at - start)) != NULL) {
		start = (size_t)(newline - file->text) + 1;
		(*line)++;
	}
	/* Continuation bytes of UTF-8 are no characters of their own. */
	for (; start < at; start++)
		*column += ((unsigned char)file->text[start] & 0xc0) != 0x80 ? 1 : 0;
}

/* All of a descriptor. */
static int
read_all(struct route_file *file, int fd, struct error *why)
{
	struct strbuf text = STRBUF_INIT;
	struct stat status;
	size_t room = READ_BYTES;
	ssize_t n;

	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
		room = (size_t)status.st_size + 1;
	do {
		n = read(fd, strbuf_reserve(&text, room), room);
		if (n > 0)
			strbuf_grew(&text, (size_t)n);
		room = READ_BYTES;
	} while (n > 0 || (n < 0 && errno == EINTR));
	file->len = text.len;
	file->text = strbuf_take(&text);
	if (n < 0)
		return error_sys(why, ERROR_USAGE, "%s", file->name);
	return 0;
}

static enum route_file_format
guess(const struct route_file *file)
{
	size_t start = strspn(file->text, " \t\r\n"), end = strcspn(file->text, "\r\n");

	if (file->text[start] == '{' || file->text[start] == '[')
		return FILE_JSON;
	return memchr(file->text, '\t', end) != NULL && memchr(file->text, ',', end) == NULL
		   ? FILE_TSV
		   : FILE_CSV;
}

int
route_file_begin(struct route_file *file, struct error *why)
{
	static const char mark[] = "\xef\xbb\xbf";

	file->at = 0;
	if (file->len >= 3 && memcmp(file->text, mark, 3) == 0)
		file->at = 3;
	if (file->format == FILE_JSON || file->format == FILE_JSONL)
		return route_json_begin(file, why);
	return route_csv_header(file, why);
}

int
route_file_open(struct route_file *file, const struct session *session, const char *path,
		enum route_file_format format, struct error *why)
{
	bool input = strcmp(path, "-") == 0;
	int fd = input ? session->in : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc;
	struct strbuf name = STRBUF_INIT;

	*file = (struct route_file){.format = format};
	strbuf_escaped(&name, input ? "standard input" : path,
		       strlen(input ? "standard input" : path));
	file->name = strbuf_take(&name);
	if (fd < 0)
		return error_sys(why, ERROR_USAGE, "%s", path);
	rc = read_all(file, fd, why);
	if (!input)
		(void)close(fd); /* it was only read */
	if (rc != 0)
		return -1;
	if (file->format == FILE_ANY)
		file->format = guess(file);
	return 0;
}

void
route_file_close(struct route_file *file)
{
	if (file->text != NULL)
		explicit_bzero(file->text, file->len);
	free(file->text);
	if (file->scratch.data != NULL)
		explicit_bzero(file->scratch.data, file->scratch.len);
	strbuf_clear(&file->scratch);
	free(file->name);
	*file = (struct route_file){.name = NULL};
}

int
route_file_next(struct route_file *file, struct route_cell cells[FILE_COLUMNS], struct error *why)
{
	memset(cells, 0, FILE_COLUMNS * sizeof(cells[0]));
	strbuf_reset(&file->scratch);
	if (file->format == FILE_JSON || file->format == FILE_JSONL)
		return route_json_next(file, cells, why);
	return route_csv_next(file, cells, why);
}
