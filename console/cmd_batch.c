/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "console/arguments.h"
#include "console/change_flags.h"
#include "console/cmd_routes.h"
#include "console/edit_words.h"
#include "console/failures.h"
#include "console/line_words.h"
#include "console/route_file.h"
#include "console/route_rows.h"

enum {
	SAID_MOST = 20, /* changes that are told one by one */
	COMMANDS_MOST = 100000
};

struct batch {
	struct session *session;
	struct route_file file;
	json_t *commands;
	size_t *lines; /* of each command, its number */
	size_t room;
	struct failures failures;
};

static const struct command_noun *const nouns[] = {&cmd_routes};
static const struct command_set set = {nouns, 1};

/* ---- places ---- */

/* Does `text` hold the word, with no letter or digit beside it? */
static bool
mentions(const char *text, const char *word)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(word);

	for (const char *at = text; len > 0 && (at = strstr(at, word)) != NULL; at++) {
		if ((at == text || strchr(letters, at[-1]) == NULL) &&
		    (at[len] == '\0' || strchr(letters, at[len]) == NULL))
			return true;
	}
	return false;
}

/* The column of the word that a message is about: the last one of those that it begins with ("-rp
 * 70000: ..."), else the first that it mentions, else the verb. */
static size_t
column_of(const struct line_words *words, size_t first, const char *message)
{
	size_t len;

	for (size_t i = first; i < words->count; i++) {
		len = strlen(words->words[i]);
		if (strncmp(message, words->words[i], len) != 0 || len == 0)
			continue;
		if (message[len] == ' ' && i + 1 < words->count &&
		    strncmp(message + len + 1, words->words[i + 1], strlen(words->words[i + 1])) ==
			0)
			return words->columns[i + 1];
		if (message[len] == ':' || message[len] == ' ' || message[len] == '\0')
			return words->columns[i];
	}
	for (size_t i = first + 1; i < words->count; i++) {
		if (mentions(message, words->words[i]))
			return words->columns[i];
	}
	return first < words->count ? words->columns[first] : 1;
}

/* "tmail routes add": where the verb stands. */
static size_t
verb_at(const struct line_words *words)
{
	size_t at = 0;

	if (at < words->count && strcmp(words->words[at], "tmail") == 0)
		at++;
	if (at < words->count &&
	    (strcmp(words->words[at], "routes") == 0 || strcmp(words->words[at], "route") == 0))
		at++;
	return at;
}

/* ---- one line ---- */

/* What makes no sense in a line of a batch. */
static int
check_line(const struct arguments *arguments, struct error *why)
{
	static const char *const verbs[] = {"add", "set", "del", "move", "enable", "disable"};
	const struct command_call *call = &arguments->call;
	bool known = false;

	if (arguments->failed) {
		*why = arguments->why;
		return -1;
	}
	for (size_t i = 0; call->command != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		known = known || strcmp(call->command->verb, verbs[i]) == 0;
	if (!known)
		return error_set(why, ERROR_USAGE,
				 "a batch has lines of add, set, del, move, enable and disable");
	for (size_t i = 0; i < COMMON_FLAGS; i++) {
		if (arguments->common[i] != NULL && i != COMMON_QUIET)
			return error_set(why, ERROR_USAGE,
					 "%.*s: it belongs to 'tmail routes batch', not to a line",
					 (int)strcspn(command_common_flags[i].names, ","),
					 command_common_flags[i].names);
	}
	for (size_t i = 0; i < CHANGE_FLAGS; i++) {
		if (call->spelled[call->command->flag_count + i] != NULL)
			return error_set(why, ERROR_USAGE,
					 "%s: it belongs to 'tmail routes batch', not to a line",
					 call->spelled[call->command->flag_count + i]);
	}
	return command_complete(call, why);
}

/* The command of the words behind `first`; NULL and `why`. */
static json_t *
read_command(struct batch *batch, const struct line_words *words, size_t first, struct error *why)
{
	char noun[] = "routes", **argv = xcalloc(words->count + 2, sizeof(char *));
	struct arguments arguments;
	json_t *command = NULL;
	int argc = 0;

	argv[argc++] = noun;
	/* Copies: the places of secrets are written over, and the words are still asked for. */
	for (size_t i = first; i < words->count; i++)
		argv[argc++] = xstrdup(words->words[i]);
	arguments_read(&arguments, &set, argc, argv);
	if (check_line(&arguments, why) == 0)
		command = edit_words_params(batch->session, &arguments.call, true, why);
	if (command != NULL)
		json_object_set_new(command, "verb", json_string(arguments.call.command->verb));
	arguments_clear(&arguments);
	for (int i = 1; i < argc; i++)
		free_secret(argv[i]);
	free(argv);
	return command;
}

static void
read_line(struct batch *batch, const char *line, size_t len, size_t number)
{
	struct line_words words;
	struct error why;
	json_t *command;
	size_t column, first;

	if (line_words_split(line, len, &words, &column, &why) != 0) {
		failures_add(&batch->failures, number, column, &why);
		line_words_clear(&words);
		return;
	}
	first = verb_at(&words);
	if (words.count > 0) {
		command = read_command(batch, &words, first, &why);
		if (command == NULL) {
			failures_add(&batch->failures, number, column_of(&words, first, why.text),
				     &why);
		} else {
			size_t count = json_array_size(batch->commands);

			if (count == batch->room) {
				batch->room = batch->room > 0 ? batch->room * 2 : 64;
				batch->lines = xreallocarray(batch->lines, batch->room,
							     sizeof(batch->lines[0]));
			}
			batch->lines[count] = number;
			json_array_append_new(batch->commands, command);
		}
	}
	line_words_clear(&words);
}

static void
read_lines(struct batch *batch)
{
	const char *text = batch->file.text, *end = text + batch->file.len, *newline;
	size_t number = 1;

	for (; text < end; text = newline + 1, number++) {
		newline = memchr(text, '\n', (size_t)(end - text));
		if (newline == NULL)
			newline = end;
		read_line(batch, text, (size_t)(newline - text), number);
	}
}

/* ---- what the daemon says ---- */

/* A failure of one command: to its line and word. */
static void
fail_command(struct batch *batch, const json_t *failure)
{
	size_t at = (size_t)json_integer_value(json_object_get(failure, "at"));
	const char *message = json_string_value(json_object_get(failure, "message"));
	const char *text = batch->file.text;
	struct line_words words;
	struct error why, ignored;
	size_t column;

	if (at >= json_array_size(batch->commands) || message == NULL)
		return;
	for (size_t line = 1; line < batch->lines[at]; line++)
		text = strchr(text, '\n') + 1;
	error_set(&why, (enum error_code)json_integer_value(json_object_get(failure, "code")), "%s",
		  message);
	if (line_words_split(text, strcspn(text, "\n"), &words, &column, &ignored) == 0)
		column = column_of(&words, verb_at(&words), message);
	failures_add(&batch->failures, batch->lines[at], column, &why);
	line_words_clear(&words);
}

static int
refused(struct batch *batch, struct error *why)
{
	const json_t *data =
	    batch->session->client != NULL ? client_error_data(batch->session->client) : NULL;
	const json_t *failures = json_object_get(data, "failures"), *failure;
	json_int_t all = json_integer_value(json_object_get(data, "failure_count"));
	size_t i;

	json_array_foreach(failures, i, failure)
	{
		fail_command(batch, failure);
	}
	if (all > (json_int_t)json_array_size(failures))
		batch->failures.count += (size_t)all - json_array_size(failures);
	(void)failures_end(&batch->failures, batch->session, "line", why);
	return -1;
}

/* As text the lines of what was added, as add has it; else all changes. */
static int
print(const struct session *session, const json_t *reply, struct error *why)
{
	const char *line = json_string_value(json_object_get(reply, "lines"));
	json_int_t first = json_integer_value(json_object_get(reply, "first_added")), id;
	const json_t *route;
	struct output *output;
	size_t i, len;

	if (session->style.format != OUTPUT_TEXT || session->quiet)
		return change_flags_print(session, reply, why);
	output = output_new(session->out, &session->style, &route_rows, -1);
	json_array_foreach(json_object_get(reply, "routes"), i, route)
	{
		if (line == NULL || *line == '\0')
			break;
		len = strcspn(line, "\n") + 1;
		id = json_integer_value(json_object_get(route, "id"));
		if (id >= first)
			output_text(output, line, len);
		line += len;
	}
	return output_end(output, why);
}

static void
say(const struct session *session, const json_t *reply)
{
	json_int_t added = json_integer_value(json_object_get(reply, "added"));
	json_int_t changed = json_integer_value(json_object_get(reply, "changed"));
	json_int_t deleted = json_integer_value(json_object_get(reply, "deleted"));

	if (added + changed + deleted > 0 && added + changed + deleted <= SAID_MOST)
		change_flags_say(session, reply);
	else
		change_flags_say_counts(session, reply);
}

static int
run(struct batch *batch, const struct command_call *call, struct error *why)
{
	struct session *session = batch->session;
	json_t *reply;
	int rc = 0;

	read_lines(batch);
	if (failures_end(&batch->failures, session, "line", why) != 0)
		return -1;
	if (json_array_size(batch->commands) == 0)
		return 0;
	if (json_array_size(batch->commands) > COMMANDS_MOST)
		return error_set(why, ERROR_USAGE,
				 "%s: a batch has at most %d commands; for more there is 'tmail "
				 "routes import'",
				 batch->file.name, COMMANDS_MOST);
	reply = change_flags_call(session, call, "routes.batch",
				  json_pack("{s:O}", "commands", batch->commands), why);
	if (reply == NULL)
		return refused(batch, why);
	if (!change_flags_dry_run(call)) {
		rc = print(session, reply, why);
		say(session, reply);
	}
	json_decref(reply);
	return rc;
}

int
cmd_batch_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct batch batch = {.session = session, .commands = json_array()};
	int rc = route_file_open(&batch.file, session, call->operands[0], FILE_CSV, why);
	json_t *command;
	size_t i;

	batch.failures.file = batch.file.name;
	if (rc == 0)
		rc = run(&batch, call, why);
	json_array_foreach(batch.commands, i, command)
	{
		edit_words_wipe(json_incref(command));
	}
	json_decref(batch.commands);
	failures_clear(&batch.failures);
	route_file_close(&batch.file);
	free(batch.lines);
	return rc;
}
