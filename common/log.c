/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "common/utf8.h"
#include "common/xalloc.h"

struct log {
	int fd;
	enum log_level least;
	enum log_format format;
	bool journal; /* the descriptor is journald's stream */
};

static const struct {
	const char *name;
	int syslog; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_DEBUG] = {"debug", 7},   [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_NOTICE] = {"notice", 5}, [LOG_LEVEL_WARNING] = {"warning", 4},
    [LOG_LEVEL_ERROR] = {"error", 3},
};

/* JOURNAL_STREAM is inherited: it holds for `fd` only where it names the very stream that `fd` is
 * ("DEVICE:INODE"), not after a redirection. */
static bool
is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	if (stream == NULL || sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

struct log *
log_new(int fd, enum log_level least, enum log_format format)
{
	struct log *log = xcalloc(1, sizeof(*log));

	log->fd = fd;
	log->least = least;
	log->format = format;
	log->journal = is_journal(fd);
	return log;
}

void
log_free(struct log *log)
{
	free(log);
}

void
log_configure(struct log *log, enum log_level least, enum log_format format)
{
	log->least = least;
	log->format = format;
}

bool
log_wants(const struct log *log, enum log_level level)
{
	return log != NULL && level >= log->least;
}

static void
put_time(struct strbuf *line)
{
	struct timespec now;
	char text[32];
	struct tm tm;

	if (clock_gettime(CLOCK_REALTIME, &now) == -1 || gmtime_r(&now.tv_sec, &tm) == NULL)
		fatal("no clock");
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	strbuf_printf(line, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* Does a value need quotes? What is quoted begins with '"', so that '"' and '\' need them too. */
static bool
is_bare(const char *value, size_t len)
{
	if (len == 0 || !utf8_is_plain(value, len))
		return false;
	return strpbrk(value, " \"=\\") == NULL;
}

static void
put_text_value(struct strbuf *line, const char *value)
{
	size_t len = strlen(value), part;

	if (is_bare(value, len)) {
		strbuf_append(line, value, len);
		return;
	}
	strbuf_putc(line, '"');
	while (len > 0) {
		part = strcspn(value, "\"\\");
		strbuf_escaped(line, value, part);
		if (part < len) {
			strbuf_putc(line, '\\');
			strbuf_putc(line, value[part++]);
		}
		value += part;
		len -= part;
	}
	strbuf_putc(line, '"');
}

/* JSON needs valid UTF-8: a byte that is none becomes the four characters \xNN, as in text lines.
 * Controls above U+007F are written as \uNNNN, so that a person may look at the line. */
static void
put_json_string(struct strbuf *line, const char *value)
{
	size_t len = strlen(value), size;
	uint32_t character;

	strbuf_putc(line, '"');
	for (size_t at = 0; at < len; at += size) {
		size = utf8_read(value + at, len - at, &character);
		if (size == 0) {
			strbuf_printf(line, "\\\\x%02x", (unsigned char)value[at]);
			size = 1;
		} else if (utf8_is_control(character)) {
			strbuf_printf(line, "\\u%04" PRIx32, character);
		} else {
			if (character == '"' || character == '\\')
				strbuf_putc(line, '\\');
			strbuf_append(line, value + at, size);
		}
	}
	strbuf_putc(line, '"');
}

static void
put_text(struct strbuf *line, uint64_t id, const char *event, const struct log_field *fields)
{
	if (id != 0)
		strbuf_printf(line, "%" PRIu64 " %s", id, event);
	else
		strbuf_printf(line, "- %s", event);
	for (const struct log_field *field = fields; field->key != NULL; field++) {
		if (field->type == LOG_FIELD_STRING && field->string == NULL)
			continue;
		strbuf_printf(line, " %s=", field->key);
		switch (field->type) {
		case LOG_FIELD_STRING:
			put_text_value(line, field->string);
			break;
		case LOG_FIELD_SIGNED:
			strbuf_printf(line, "%" PRId64, field->sign);
			break;
		case LOG_FIELD_UNSIGNED:
			strbuf_printf(line, "%" PRIu64, field->number);
			break;
		}
	}
}

static void
put_json(struct strbuf *line, enum log_level level, uint64_t id, const char *event,
	 const struct log_field *fields)
{
	strbuf_puts(line, "{\"time\":\"");
	put_time(line);
	strbuf_printf(line, "\",\"level\":\"%s\",\"id\":", levels[level].name);
	if (id != 0)
		strbuf_printf(line, "%" PRIu64, id);
	else
		strbuf_puts(line, "null");
	strbuf_puts(line, ",\"event\":");
	put_json_string(line, event);
	for (const struct log_field *field = fields; field->key != NULL; field++) {
		if (field->type == LOG_FIELD_STRING && field->string == NULL)
			continue;
		strbuf_putc(line, ',');
		put_json_string(line, field->key);
		strbuf_putc(line, ':');
		switch (field->type) {
		case LOG_FIELD_STRING:
			put_json_string(line, field->string);
			break;
		case LOG_FIELD_SIGNED:
			strbuf_printf(line, "%" PRId64, field->sign);
			break;
		case LOG_FIELD_UNSIGNED:
			strbuf_printf(line, "%" PRIu64, field->number);
			break;
		}
	}
	strbuf_putc(line, '}');
}

void
log_fields(struct log *log, enum log_level level, uint64_t id, const char *event,
	   const struct log_field *fields)
{
	struct strbuf line = STRBUF_INIT;
	ssize_t written;
	int sys = errno;

	if (!log_wants(log, level))
		return;
	if (log->journal)
		strbuf_printf(&line, "<%d>", levels[level].syslog);
	if (log->format == LOG_FORMAT_JSON) {
		put_json(&line, level, id, event, fields);
	} else {
		if (!log->journal) {
			put_time(&line);
			strbuf_printf(&line, " %s ", levels[level].name);
		}
		put_text(&line, id, event, fields);
	}
	strbuf_putc(&line, '\n');
	/* The result changes nothing: a line that can't be written is dropped, and a rest is not
	 * written later, where it would stand in the middle of another line. */
	do {
		written = write(log->fd, line.data, line.len);
	} while (written == -1 && errno == EINTR);
	strbuf_clear(&line);
	errno = sys;
}

int
log_level_of(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(levels[i].name, name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

void
fatal(const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	/* No allocation here: memory may be what was lost. */
	va_start(args, format);
	len = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	if (len >= 0) {
		len = (int)strlen(text);
		for (int i = 0; i < len; i++) {
			if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
				text[i] = '?';
		}
		text[len++] = '\n';
		if (write(STDERR_FILENO, text, (size_t)len) != len)
			abort();
	}
	abort();
}
