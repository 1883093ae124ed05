/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "console/words.h"

#ifndef RUNSTATEDIR
#define RUNSTATEDIR "/run"
#endif

enum { WIDTH_DEFAULT = 80, WIDTH_LEAST = 20, WIDTH_MOST = 10000 };

static size_t
terminal_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t width = 0;

	if (columns != NULL && words_number(columns, &width) == 0 && width >= WIDTH_LEAST &&
	    width <= WIDTH_MOST)
		return (size_t)width;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= WIDTH_LEAST)
		return size.ws_col;
	return WIDTH_DEFAULT;
}

void
session_init(struct session *session)
{
	const char *socket = getenv("TMAIL_SOCKET");

	*session = (struct session){
	    .in = STDIN_FILENO,
	    .out = STDOUT_FILENO,
	    .err = STDERR_FILENO,
	    .socket =
		socket != NULL && *socket != '\0' ? socket : RUNSTATEDIR "/relayd/control.sock",
	    .timeout_ms = SESSION_TIMEOUT_MS,
	    .style = {.format = OUTPUT_TEXT},
	};
	session->style.width = terminal_width(session->out);
	(void)session_set_colour(session, "auto");
}

void
session_clear(struct session *session)
{
	client_free(session->client);
	json_decref(session->failures);
	free(session->hint);
	session->client = NULL;
	session->failures = NULL;
	session->hint = NULL;
}

int
session_set_colour(struct session *session, const char *when)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (strcmp(when, "always") == 0)
		session->style.colour = true;
	else if (strcmp(when, "never") == 0)
		session->style.colour = false;
	else if (strcmp(when, "auto") == 0)
		session->style.colour = isatty(session->out) &&
					(no_color == NULL || *no_color == '\0') && term != NULL &&
					strcmp(term, "dumb") != 0;
	else
		return -1;
	return 0;
}

struct client *
session_client(struct session *session, struct error *why)
{
	if (session->client == NULL)
		session->client = client_connect(session->socket, session->timeout_ms, why);
	return session->client;
}

json_t *
session_receive(struct session *session, struct error *why)
{
	free(session->hint);
	return client_receive(session->client, why, &session->hint);
}

json_t *
session_call(struct session *session, const char *method, json_t *params, bool writes,
	     struct error *why)
{
	struct client *client = session_client(session, why);

	if (client == NULL) {
		json_decref(params);
		return NULL;
	}
	if (client_send(client, method, params, writes, why) != 0)
		return NULL;
	return session_receive(session, why);
}

/* Standard error is the last resort: if it fails there is nobody to tell. */
static void
write_line(int fd, struct strbuf *line)
{
	strbuf_putc(line, '\n');
	(void)output_write(fd, line->data, line->len, NULL);
}

void
session_say(const struct session *session, const char *format, ...)
{
	struct strbuf line = STRBUF_INIT;
	va_list args;

	if (session->quiet || !isatty(session->err))
		return;
	va_start(args, format);
	strbuf_vprintf(&line, format, args);
	va_end(args);
	write_line(session->err, &line);
	strbuf_clear(&line);
}

void
session_warn(const struct session *session, const char *text)
{
	struct strbuf line = STRBUF_INIT;

	if (!isatty(session->err))
		return;
	strbuf_puts(&line, text);
	write_line(session->err, &line);
	strbuf_clear(&line);
}

bool
session_can_ask(const struct session *session)
{
	return isatty(session->in) && isatty(session->err);
}

bool
session_ask(const struct session *session, const char *question)
{
	char answer[16];
	size_t len = 0;
	ssize_t n;
	char c;

	if (output_write(session->err, question, strlen(question), NULL) != 0)
		return false;
	/* Byte by byte: what follows the line belongs to whoever reads next. */
	for (;;) {
		n = read(session->in, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || c == '\n')
			break;
		if (len < sizeof(answer) - 1)
			answer[len++] = c;
	}
	answer[len] = '\0';
	return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

static void
append_json_error(const struct session *session, const struct error *why, const char *command,
		  struct strbuf *line)
{
	json_t *object, *hint = NULL;

	if (session->hint != NULL)
		hint = json_string(session->hint);
	else if (why->code == ERROR_USAGE && command != NULL)
		hint = json_sprintf("tmail %s --help", command);
	else if (why->code == ERROR_USAGE)
		hint = json_string("tmail --help");
	else if (why->code == ERROR_NO_DAEMON)
		hint = json_string("start relayd or name its socket with -s");
	if (hint == NULL)
		hint = json_null();
	object = json_pack("{s:s, s:i, s:s, s:o}", "error", error_name(why->code), "code",
			   (int)why->code, "message", why->text, "hint", hint);
	if (session->failures != NULL)
		json_object_set(object, "failures", session->failures);
	output_json(object, line);
	json_decref(object);
}

/* FILE:LINE:COLUMN: message */
static void
append_failures(const json_t *failures, struct strbuf *lines)
{
	const json_t *failure;
	const char *message;
	size_t i;

	json_array_foreach(failures, i, failure)
	{
		strbuf_printf(lines, "%s:%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT ": ",
			      json_string_value(json_object_get(failure, "file")),
			      json_integer_value(json_object_get(failure, "line")),
			      json_integer_value(json_object_get(failure, "column")));
		message = json_string_value(json_object_get(failure, "message"));
		strbuf_escaped(lines, message, strlen(message));
		strbuf_putc(lines, '\n');
	}
}

void
session_report(const struct session *session, const struct error *why, const char *command)
{
	struct strbuf line = STRBUF_INIT;

	if (session->style.format == OUTPUT_JSON || session->style.format == OUTPUT_JSONL)
		append_json_error(session, why, command, &line);
	else {
		append_failures(session->failures, &line);
		strbuf_printf(&line, "tmail: %s", why->text);
	}
	write_line(session->err, &line);
	strbuf_clear(&line);
}
