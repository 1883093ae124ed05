/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "console/arguments.h"
#include "console/help.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

enum { EXIT_PIPE = 141 }; /* as a shell reports SIGPIPE */

const struct command_flag command_common_flags[COMMON_FLAGS] = {
    [COMMON_SOCKET] =
	{.names = "-s,--socket",
	 .value = "SOCKET",
	 .help = "the control socket of relayd (else TMAIL_SOCKET, else the built-in path)"},
    [COMMON_OUTPUT] = {.names = "-o,--output",
		       .value = "FORMAT",
		       .type = FLAG_WORD,
		       .choices = OUTPUT_FORMATS,
		       .help = "text (default), table, wide, json, jsonl, csv, tsv, id, "
			       "commands or template=TEXT"},
    [COMMON_QUIET] = {.names = "-q,--quiet", .help = "no words about what was done"},
    [COMMON_TIMEOUT] = {.names = "--timeout",
			.value = "SECONDS",
			.help = "how long to wait for an answer (10)"},
    [COMMON_COLOUR] = {.names = "--color,--colour",
		       .value = "WHEN",
		       .type = FLAG_WORD,
		       .choices = "auto|always|never",
		       .help = "colour of tables: auto (on a terminal), always, never"},
    [COMMON_HELP] = {.names = "-h,--help", .help = "this text"},
    [COMMON_VERSION] = {.names = "-V,--version", .help = "the version of tmail"},
};

void
command_name(const struct command_call *call, struct strbuf *out)
{
	if (call->noun == NULL)
		return;
	strbuf_puts(out, call->noun->word);
	if (call->command != NULL && call->command->verb != NULL)
		strbuf_printf(out, " %s", call->command->verb);
}

/* Seconds, with a decimal point if need be, as milliseconds. */
static int
parse_timeout(const char *value, int64_t *timeout_ms)
{
	double seconds;
	char *end;

	if (*value < '0' || *value > '9')
		return -1;
	seconds = strtod(value, &end);
	if (*end != '\0' || !(seconds >= 0.001 && seconds <= 86400))
		return -1;
	*timeout_ms = (int64_t)(seconds * 1000.0);
	return 0;
}

/* The values of words are known to be among their choices by now. */
static int
apply_common(struct session *session, const struct arguments *arguments, struct error *why)
{
	const char *const *values = arguments->common;

	if (values[COMMON_OUTPUT] != NULL)
		(void)output_style_set(&session->style, values[COMMON_OUTPUT]);
	if (values[COMMON_SOCKET] != NULL)
		session->socket = values[COMMON_SOCKET];
	if (values[COMMON_QUIET] != NULL)
		session->quiet = true;
	if (values[COMMON_COLOUR] != NULL)
		(void)session_set_colour(session, values[COMMON_COLOUR]);
	if (values[COMMON_TIMEOUT] != NULL &&
	    parse_timeout(values[COMMON_TIMEOUT], &session->timeout_ms) != 0)
		return error_set(why, ERROR_USAGE,
				 "--timeout %s: it is a number of seconds up to 86400",
				 values[COMMON_TIMEOUT]);
	return 0;
}

int
command_complete(const struct command_call *call, struct error *why)
{
	const struct command *command = call->command;
	struct strbuf flag = STRBUF_INIT, name = STRBUF_INIT;
	int rc = 0;

	command_name(call, &name);
	for (size_t i = 0; rc == 0 && i < command->flag_count; i++) {
		if (!command->flags[i].required || call->values[i] != NULL)
			continue;
		help_flag(&command->flags[i], &flag);
		rc = error_set(why, ERROR_USAGE, "%s: %s is missing", name.data, flag.data);
	}
	if (rc == 0 && call->operand_count > command->most)
		rc = error_set(why, ERROR_USAGE, "%s: unexpected argument '%s'", name.data,
			       call->operands[command->most]);
	if (rc == 0 && call->operand_count < command->least)
		rc = error_set(why, ERROR_USAGE, "%s: %.*s is missing", name.data,
			       (int)strcspn(command->operands, " "), command->operands);
	strbuf_clear(&flag);
	strbuf_clear(&name);
	return rc;
}

/* What is only known at the end: what is missing, what is too much. */
static int
check_call(const struct command_call *call, const struct session *session, const char *name,
	   struct error *why)
{
	const struct command *command = call->command;

	if (call->noun == NULL)
		return error_set(why, ERROR_USAGE, "a command is missing; see 'tmail --help'");
	if (command == NULL)
		return error_set(why, ERROR_USAGE, "%s: a verb is missing; see 'tmail %s --help'",
				 name, name);
	if (command->no_id && session->style.format == OUTPUT_ID)
		return error_set(why, ERROR_USAGE, "-o id: %s has no ids", name);
	if (output_style_check(&session->style, command->kind, why) != 0)
		return -1;
	return command_complete(call, why);
}

static int
print_help(const struct session *session, const struct command_set *set,
	   const struct command_call *call, struct error *why)
{
	struct strbuf text = STRBUF_INIT;
	int result;

	if (call->command != NULL)
		help_command(call->noun, call->command, &text);
	else if (call->noun != NULL)
		help_noun(call->noun, &text);
	else
		help_program(set, &text);
	result = output_write(session->out, text.data, text.len, why);
	strbuf_clear(&text);
	return result;
}

static int
dispatch(struct session *session, const struct command_set *set, const struct arguments *arguments,
	 const char *name, struct error *why)
{
	static const char version[] = "tmail " PACKAGE_VERSION "\n";
	int result = apply_common(session, arguments, why);

	if (arguments->common[COMMON_HELP] != NULL && !arguments->unknown_command)
		return print_help(session, set, &arguments->call, why);
	if (arguments->failed) {
		*why = arguments->why;
		return -1;
	}
	if (result != 0)
		return -1;
	if (arguments->common[COMMON_VERSION] != NULL)
		return output_write(session->out, version, sizeof(version) - 1, why);
	if (check_call(&arguments->call, session, name, why) != 0)
		return -1;
	return arguments->call.command->run(session, &arguments->call, why);
}

int
command_run(struct session *session, const struct command_set *set, int argc, char **argv)
{
	struct strbuf name = STRBUF_INIT;
	struct arguments arguments;
	struct error why = {0};
	int status = 0;

	arguments_read(&arguments, set, argc, argv);
	command_name(&arguments.call, &name);
	if (dispatch(session, set, &arguments, name.data, &why) != 0) {
		status = (int)why.code;
		/* "| head" has seen enough: no error to tell anybody. */
		if (why.sys == EPIPE)
			status = EXIT_PIPE;
		else if (why.text[0] != '\0')
			session_report(session, &why, name.len > 0 ? name.data : NULL);
	}
	strbuf_clear(&name);
	arguments_clear(&arguments);
	return status;
}
