/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/arguments.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "console/change_flags.h"
#include "console/words.h"

/* The first failure is the one that is told. */
static bool
may_fail(struct arguments *arguments)
{
	bool first = !arguments->failed;

	arguments->failed = true;
	return first;
}

/* Is `name` (of `len` bytes) one of a list with `separator` between the words? Dashes before a word
 * of the list do not count. */
static bool
is_listed(const char *list, char separator, const char *name, size_t len)
{
	const char ends[2] = {separator, '\0'};
	size_t item;

	for (;;) {
		list += strspn(list, "-");
		item = strcspn(list, ends);
		if (item == len && memcmp(list, name, len) == 0)
			return true;
		if (list[item] == '\0')
			return false;
		list += item + 1;
	}
}

static const struct command_flag *
find_flag(const struct command_flag *flags, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		if (is_listed(flags[i].names, ',', name, len))
			return &flags[i];
	}
	return NULL;
}

/* Offer all names; those that are offered must outlive the search: they are kept in `names`. */
static void
offer_flags(struct words_search *search, const struct command_flag *flags, size_t count,
	    struct strbuf *names, size_t *at)
{
	size_t len;

	for (size_t i = 0; i < count; i++) {
		for (const char *name = flags[i].names;; name += len + 1) {
			name += strspn(name, "-");
			len = strcspn(name, ",");
			memcpy(names->data + *at, name, len);
			names->data[*at + len] = '\0';
			words_offer(search, names->data + *at);
			*at += len + 1;
			if (name[len] == '\0')
				break;
		}
	}
}

static void
unknown_flag(struct arguments *arguments, const char *word, const char *name, size_t len)
{
	const struct command *command = arguments->call.command;
	struct strbuf names = STRBUF_INIT, where = STRBUF_INIT;
	char *typed = xstrndup(name, len);
	struct words_search search;
	size_t room = 0, at = 0;

	if (!may_fail(arguments))
		goto out;
	for (size_t i = 0; command != NULL && i < command->flag_count; i++)
		room += strlen(command->flags[i].names) + 1;
	for (size_t i = 0; i < CHANGE_FLAGS; i++)
		room += strlen(change_flags[i].names) + 1;
	for (size_t i = 0; i < COMMON_FLAGS; i++)
		room += strlen(command_common_flags[i].names) + 1;
	strbuf_reserve(&names, room);
	words_search_init(&search, typed);
	if (command != NULL)
		offer_flags(&search, command->flags, command->flag_count, &names, &at);
	if (command != NULL && command->changes)
		offer_flags(&search, change_flags, CHANGE_FLAGS, &names, &at);
	offer_flags(&search, command_common_flags, COMMON_FLAGS, &names, &at);
	command_name(&arguments->call, &where);
	if (where.len > 0)
		strbuf_puts(&where, ": ");
	strbuf_reserve(&where, 0);
	if (search.best != NULL)
		error_set(&arguments->why, ERROR_USAGE,
			  "%sunknown flag '%.*s'. Did you mean '%s%s'?", where.data,
			  (int)strcspn(word, "="), word, word[1] == '-' ? "--" : "-", search.best);
	else
		error_set(&arguments->why, ERROR_USAGE,
			  "%sunknown flag '%.*s'; see 'tmail %.*s%s--help'", where.data,
			  (int)strcspn(word, "="), word, where.len > 2 ? (int)where.len - 2 : 0,
			  where.data, where.len > 2 ? " " : "");
out:
	free(typed);
	strbuf_clear(&names);
	strbuf_clear(&where);
}

/* "none, may, require or verify" */
static void
append_choices(struct strbuf *out, const char *choices)
{
	size_t len;

	for (;; choices += len + 1) {
		len = strcspn(choices, "|");
		strbuf_append(out, choices, len);
		if (choices[len] == '\0')
			return;
		strbuf_puts(out, strchr(choices + len + 1, '|') != NULL ? ", " : " or ");
	}
}

/* One of the choices, or what begins as one does that ends in '='. */
static bool
is_choice(const char *choices, const char *value)
{
	size_t len = strcspn(value, "=");

	return is_listed(choices, '|', value, strlen(value)) ||
	       (value[len] == '=' && is_listed(choices, '|', value, len + 1));
}

/* What can be said of a value without knowing the command. */
static int
check_value(const struct command_flag *flag, const char *spelled, const char *value,
	    struct error *why)
{
	struct strbuf choices = STRBUF_INIT;

	if (flag->type == FLAG_NUMBER &&
	    (*value == '\0' || value[strspn(value, "0123456789")] != '\0'))
		return error_set(why, ERROR_USAGE, "%s %s: that is not a number", spelled, value);
	if (flag->type == FLAG_WORD && !is_choice(flag->choices, value)) {
		append_choices(&choices, flag->choices);
		error_set(why, ERROR_USAGE, "%s %s: it is one of %s", spelled, value, choices.data);
		strbuf_clear(&choices);
		return -1;
	}
	return 0;
}

/* A flag of the command, of those that change routes, or of all; where its value goes: an index
 * among the values, or -1 for the last kind. */
static const struct command_flag *
flag_of(const struct command *command, const char *name, size_t len, ptrdiff_t *index)
{
	const struct command_flag *flag = NULL;

	if (command != NULL) {
		flag = find_flag(command->flags, command->flag_count, name, len);
		*index = flag - command->flags;
	}
	if (flag == NULL && command != NULL && command->changes) {
		flag = find_flag(change_flags, CHANGE_FLAGS, name, len);
		*index = (ptrdiff_t)command->flag_count + (flag - change_flags);
	}
	if (flag != NULL)
		return flag;
	*index = -1;
	return find_flag(command_common_flags, COMMON_FLAGS, name, len);
}

/* Keep the value of a flag; NULL for a switch. */
static void
take_flag(struct arguments *arguments, const struct command_flag *flag, ptrdiff_t index,
	  const char *spelled, char *value)
{
	struct command_call *call = &arguments->call;
	struct error why;

	if (value != NULL && check_value(flag, spelled, value, &why) != 0) {
		if (may_fail(arguments))
			arguments->why = why;
		return;
	}
	if (index < 0) {
		/* The last one counts: a shell alias may have given the first. */
		arguments->common[flag - command_common_flags] = value != NULL ? value : "";
		return;
	}
	if (call->values[index] != NULL) {
		if (may_fail(arguments))
			error_set(&arguments->why, ERROR_USAGE, "%s is given twice", spelled);
		return;
	}
	call->spelled[index] = xstrdup(spelled);
	call->values[index] = xstrdup(value != NULL ? value : "");
}

/* Nobody else's eyes: ps shows argv as it is in memory. Where a secret is to be read from is no
 * secret. */
static void
hide(char *value)
{
	if (strcmp(value, "-") != 0 && value[0] != '@')
		explicit_bzero(value, strlen(value));
}

/* "-off", "-to:*.fr", "-prio>2": what can be no flag, where there is a filter. */
static bool
is_negated_term(const struct command *command, const char *word)
{
	size_t len;

	if (command == NULL || !command->filters || word[1] == '-')
		return false;
	len = strspn(word + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	return strcmp(word, "-off") == 0 ||
	       (len > 0 && word[1 + len] != '\0' && strchr(":<>=", word[1 + len]) != NULL);
}

/* argv[*at] begins with a dash. Moves *at to the last word taken. */
static void
read_flag(struct arguments *arguments, int argc, char **argv, int *at)
{
	const struct command_flag *flag;
	char *word = argv[*at], *name = word + (word[1] == '-' ? 2 : 1), *value = NULL, *spelled;
	size_t len = strcspn(name, "=");
	ptrdiff_t index;

	flag = flag_of(arguments->call.command, name, len, &index);
	if (flag == NULL && is_negated_term(arguments->call.command, word)) {
		arguments->call.operands[arguments->call.operand_count++] = word;
		return;
	}
	if (flag == NULL) {
		unknown_flag(arguments, word, name, len);
		return;
	}
	spelled = xstrndup(word, (size_t)(name - word) + len);
	if (name[len] == '=')
		value = name + len + 1;
	if (flag->value == NULL && value != NULL) {
		if (may_fail(arguments))
			error_set(&arguments->why, ERROR_USAGE, "%s takes no value", spelled);
	} else if (flag->value != NULL && value == NULL && *at + 1 == argc) {
		if (may_fail(arguments))
			error_set(&arguments->why, ERROR_USAGE, "%s: its value %s is missing",
				  spelled, flag->value);
	} else {
		if (flag->value != NULL && value == NULL)
			value = argv[++*at];
		take_flag(arguments, flag, index, spelled, value);
		if (flag->type == FLAG_SECRET)
			hide(value);
	}
	free(spelled);
}

static const struct command *
find_verb(const struct command_noun *noun, const char *word)
{
	for (size_t i = 0; i < noun->command_count; i++) {
		if (noun->commands[i].verb != NULL && strcmp(noun->commands[i].verb, word) == 0)
			return &noun->commands[i];
	}
	return NULL;
}

static const char *
nearest_verb(const struct command_noun *noun, const char *word)
{
	struct words_search search;

	words_search_init(&search, word);
	for (size_t i = 0; i < noun->command_count; i++) {
		if (noun->commands[i].verb != NULL)
			words_offer(&search, noun->commands[i].verb);
	}
	return search.best;
}

/* What may have been meant by `word`, which is no noun, and the word after it (NULL: none). */
static void
suggest(const struct command_set *set, const char *word, const char *next, struct strbuf *out)
{
	const struct command_noun *noun = NULL;
	struct words_search search;
	const char *verb;

	words_search_init(&search, word);
	for (size_t i = 0; i < set->count; i++)
		words_offer(&search, set->nouns[i]->word);
	for (size_t i = 0; search.best != NULL && i < set->count; i++) {
		if (set->nouns[i]->word == search.best)
			noun = set->nouns[i];
	}
	if (noun != NULL) {
		verb = next != NULL ? nearest_verb(noun, next) : NULL;
		strbuf_printf(out, "%s%s%s", noun->word, verb != NULL ? " " : "",
			      verb != NULL ? verb : "");
		return;
	}
	/* "tmail list": the noun was left out. */
	for (size_t i = 0; i < set->count; i++) {
		if (find_verb(set->nouns[i], word) != NULL) {
			strbuf_printf(out, "%s %s", set->nouns[i]->word, word);
			return;
		}
	}
}

static void
unknown_command(struct arguments *arguments, const struct command_set *set, const char *first,
		const char *second)
{
	const struct command_noun *noun = arguments->call.noun;
	struct strbuf meant = STRBUF_INIT;
	const char *verb;

	if (!may_fail(arguments))
		return;
	arguments->unknown_command = true;
	if (noun != NULL) {
		verb = nearest_verb(noun, second);
		if (verb != NULL)
			strbuf_printf(&meant, "%s %s", noun->word, verb);
	} else {
		suggest(set, first, second, &meant);
	}
	if (meant.len > 0)
		error_set(&arguments->why, ERROR_USAGE,
			  "unknown command '%s%s%s'. Did you mean '%s'?", first,
			  second != NULL ? " " : "", second != NULL ? second : "", meant.data);
	else
		error_set(&arguments->why, ERROR_USAGE,
			  "unknown command '%s%s%s'; see 'tmail --help'", first,
			  second != NULL ? " " : "", second != NULL ? second : "");
	strbuf_clear(&meant);
}

static size_t
value_count(const struct command *command)
{
	return command->flag_count + (command->changes ? CHANGE_FLAGS : 0);
}

static void
begin_command(struct command_call *call, const struct command *command)
{
	call->command = command;
	call->values = xcalloc(value_count(command), sizeof(char *));
	call->spelled = xcalloc(value_count(command), sizeof(char *));
}

static void
read_noun(struct arguments *arguments, const struct command_set *set, char *word, char *next)
{
	const struct command_noun *noun;

	if (strcmp(word, "help") == 0) {
		arguments->common[COMMON_HELP] = word;
		return;
	}
	for (size_t i = 0; i < set->count; i++) {
		noun = set->nouns[i];
		if (strcmp(noun->word, word) != 0 &&
		    (noun->alias == NULL || strcmp(noun->alias, word) != 0))
			continue;
		arguments->call.noun = noun;
		if (noun->commands[0].verb == NULL)
			begin_command(&arguments->call, &noun->commands[0]);
		return;
	}
	unknown_command(arguments, set, word, next != NULL && next[0] != '-' ? next : NULL);
}

/* `noun_typed`: the noun as it was written. */
static void
read_verb(struct arguments *arguments, const struct command_set *set, char *word,
	  const char *noun_typed)
{
	const struct command *command = find_verb(arguments->call.noun, word);

	if (command != NULL)
		begin_command(&arguments->call, command);
	else
		unknown_command(arguments, set, noun_typed, word);
}

void
arguments_read(struct arguments *arguments, const struct command_set *set, int argc, char **argv)
{
	struct command_call *call = &arguments->call;
	const char *noun_typed = NULL;

	*arguments = (struct arguments){0};
	call->operands = xcalloc((size_t)argc + 1, sizeof(char *));
	for (int i = 0; i < argc; i++) {
		if (!arguments->no_more_flags && strcmp(argv[i], "--") == 0) {
			arguments->no_more_flags = true;
		} else if (!arguments->no_more_flags && argv[i][0] == '-' && argv[i][1] != '\0') {
			read_flag(arguments, argc, argv, &i);
		} else if (arguments->unknown_command) {
			continue;
		} else if (call->noun == NULL) {
			read_noun(arguments, set, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
			noun_typed = argv[i];
		} else if (call->command == NULL) {
			read_verb(arguments, set, argv[i], noun_typed);
		} else {
			call->operands[call->operand_count++] = argv[i];
		}
	}
}

void
arguments_clear(struct arguments *arguments)
{
	struct command_call *call = &arguments->call;
	size_t count = call->command != NULL ? value_count(call->command) : 0;

	for (size_t i = 0; i < count; i++) {
		free(call->spelled[i]);
		if (i < call->command->flag_count && call->command->flags[i].type == FLAG_SECRET)
			free_secret(call->values[i]);
		else
			free(call->values[i]);
	}
	free(call->values);
	free(call->spelled);
	free(call->operands);
	*arguments = (struct arguments){0};
}
