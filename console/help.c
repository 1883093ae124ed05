/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/help.h"

#include <stdint.h>
#include <string.h>

#include "console/change_flags.h"

enum { WIDTH = 80, INDENT = 2, TEXT_COLUMN = 26 };

static const struct {
	int code;
	const char *text;
} exits[] = {
    {0, "done"},
    {1, "the answer is no"},
    {2, "the words are wrong, nothing was sent"},
    {3, "there is no such thing"},
    {4, "the table has changed meanwhile"},
    {5, "refused: a value is not right"},
    {6, "not allowed on the socket"},
    {7, "no daemon"},
    {8, "no answer in time; a change may have been made"},
    {10, "storage failed, nothing was changed"},
    {70, "internal error"},
};

static void
pad(struct strbuf *out, size_t line_start, size_t column)
{
	while (out->len - line_start < column)
		strbuf_putc(out, ' ');
}

/* Append words, broken at spaces so that no line passes WIDTH; further lines begin at `column`. */
static void
append_wrapped(struct strbuf *out, size_t line_start, size_t column, const char *text)
{
	size_t len;
	bool first = true;

	while (*text != '\0') {
		len = strcspn(text, " ");
		if (!first && out->len - line_start + 1 + len > WIDTH) {
			strbuf_putc(out, '\n');
			line_start = out->len;
			pad(out, line_start, column);
		} else if (!first) {
			strbuf_putc(out, ' ');
		}
		/* A no-break space inside what belongs together. */
		for (size_t i = 0; i < len; i++)
			strbuf_putc(out, text[i] == '\001' ? ' ' : text[i]);
		first = false;
		text += len;
		while (*text == ' ')
			text++;
	}
	strbuf_putc(out, '\n');
}

/* A name with its dashes; the words of one that has a space in it are quoted as for a shell. */
static void
append_name(struct strbuf *out, const char *name, size_t len)
{
	size_t dashes = strspn(name, "-");

	if (memchr(name, ' ', len) == NULL) {
		strbuf_append(out, name, len);
		return;
	}
	strbuf_append(out, name, dashes);
	strbuf_putc(out, '"');
	strbuf_append(out, name + dashes, len - dashes);
	strbuf_putc(out, '"');
}

void
help_flag(const struct command_flag *flag, struct strbuf *out)
{
	append_name(out, flag->names, strcspn(flag->names, ","));
	if (flag->value != NULL)
		strbuf_printf(out, " %s", flag->value);
}

/* "[-rp PORT]", with spaces that do not break. */
static void
append_usage_flag(const struct command_flag *flag, struct strbuf *out)
{
	size_t start;

	strbuf_puts(out, flag->required ? " " : " [");
	start = out->len;
	help_flag(flag, out);
	for (size_t i = start; i < out->len; i++) {
		if (out->data[i] == ' ')
			out->data[i] = '\001';
	}
	if (!flag->required)
		strbuf_putc(out, ']');
}

static void
append_flags(const struct command_flag *flags, size_t count, struct strbuf *out)
{
	const char *name;
	size_t start, len;

	for (size_t i = 0; i < count; i++) {
		start = out->len;
		pad(out, start, INDENT);
		for (name = flags[i].names;; name += len + 1) {
			len = strcspn(name, ",");
			append_name(out, name, len);
			if (name[len] == '\0')
				break;
			strbuf_puts(out, ", ");
		}
		if (flags[i].value != NULL)
			strbuf_printf(out, " %s", flags[i].value);
		/* Many names push the text to a line of its own. */
		if (out->len - start > TEXT_COLUMN - 2) {
			strbuf_putc(out, '\n');
			start = out->len;
		}
		pad(out, start, TEXT_COLUMN);
		append_wrapped(out, start, TEXT_COLUMN, flags[i].help);
	}
}

static void
append_common(struct strbuf *out)
{
	strbuf_puts(out, "\nFlags of every command:\n");
	append_flags(command_common_flags, COMMON_FLAGS, out);
}

void
help_command(const struct command_noun *noun, const struct command *command, struct strbuf *out)
{
	struct strbuf usage = STRBUF_INIT;
	size_t start, column;

	strbuf_printf(out, "tmail %s%s%s - %s\n\n", noun->word, command->verb != NULL ? " " : "",
		      command->verb != NULL ? command->verb : "", command->help);
	start = out->len;
	strbuf_printf(out, "Usage: tmail %s%s%s", noun->word, command->verb != NULL ? " " : "",
		      command->verb != NULL ? command->verb : "");
	column = out->len - start + 1;
	for (size_t i = 0; i < command->flag_count; i++)
		append_usage_flag(&command->flags[i], &usage);
	for (size_t i = 0; command->changes && i < CHANGE_FLAGS; i++)
		append_usage_flag(&change_flags[i], &usage);
	if (command->operands[0] != '\0')
		strbuf_printf(&usage, " %s", command->operands);
	if (usage.len > 0) {
		strbuf_putc(out, ' ');
		append_wrapped(out, start, column, usage.data + 1);
	} else {
		strbuf_putc(out, '\n');
	}
	strbuf_clear(&usage);
	if (command->flag_count > 0) {
		strbuf_puts(out, "\nFlags (one dash or two; -x VALUE or -x=VALUE):\n");
		append_flags(command->flags, command->flag_count, out);
	}
	if (command->changes) {
		strbuf_puts(out, "\nFlags of every command that changes routes:\n");
		append_flags(change_flags, CHANGE_FLAGS, out);
	}
	append_common(out);
	strbuf_puts(out, "\nExamples:\n");
	for (size_t i = 0; i < 2; i++)
		strbuf_printf(out, "  %s\n", command->examples[i]);
	strbuf_puts(out, "\nExit codes:\n");
	for (const int *code = command->exits; *code >= 0; code++) {
		for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
			if (exits[i].code == *code)
				strbuf_printf(out, "  %-3d %s\n", *code, exits[i].text);
		}
	}
}

static void
append_commands(const struct command_noun *noun, struct strbuf *out)
{
	const struct command *command;
	size_t start;

	for (size_t i = 0; i < noun->command_count; i++) {
		command = &noun->commands[i];
		start = out->len;
		strbuf_printf(out, "  %s%s%s", noun->word, command->verb != NULL ? " " : "",
			      command->verb != NULL ? command->verb : "");
		pad(out, start, TEXT_COLUMN);
		append_wrapped(out, start, TEXT_COLUMN, command->help);
	}
}

void
help_noun(const struct command_noun *noun, struct strbuf *out)
{
	strbuf_printf(out, "tmail %s - %s\n\nUsage: tmail %s VERB ...\n\nCommands:\n", noun->word,
		      noun->help, noun->word);
	append_commands(noun, out);
	if (noun->alias != NULL)
		strbuf_printf(out, "\n'tmail %s' is the same as 'tmail %s'.\n", noun->alias,
			      noun->word);
	strbuf_printf(out, "'tmail %s VERB --help' has the flags, examples and exit codes.\n",
		      noun->word);
}

void
help_program(const struct command_set *set, struct strbuf *out)
{
	strbuf_puts(out, "tmail - routes, queue and state of relayd\n\n"
			 "Usage: tmail [-s SOCKET] [-o FORMAT] [-q] COMMAND ...\n\nCommands:\n");
	for (size_t i = 0; i < set->count; i++)
		append_commands(set->nouns[i], out);
	append_common(out);
	strbuf_puts(out,
		    "\n'tmail COMMAND --help' has its flags, two examples and the exit codes.\n");
}
