/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Commands as data. A command is a const struct: its words, flags, help, examples, exit codes and
 * the function that runs it; usage text, --help, did-you-mean and the checks of arguments all come
 * from these tables (console/cmd_*.c), and there is one dispatcher.
 *
 * Flags are words: one dash or two, "-rp 25" or "-rp=25", never clusters, never abbreviated, in any
 * place after the noun. "--" ends them. A flag is given once.
 */
#ifndef CONSOLE_COMMAND_H
#define CONSOLE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "console/session.h"

enum flag_type {
	FLAG_TEXT,   /* anything: the command judges it */
	FLAG_NUMBER, /* digits */
	FLAG_WORD,   /* one of `choices` */
	FLAG_SECRET  /* a value that is overwritten in argv once it has been read */
};

struct command_flag {
	const char *names; /* as help shows them, the preferred one first: "-rp,--remote-port" */
	const char *value; /* what it takes: "PORT"; NULL: a switch */
	enum flag_type type;
	bool required;
	const char *choices; /* FLAG_WORD: "none|may|require" */
	const char *help;    /* a line, lower case, no full stop */
};

struct command_call;

struct command {
	const char *verb;     /* "add"; NULL where the noun is the whole command: "status" */
	const char *help;     /* a line, lower case, no full stop */
	const char *operands; /* "ID [ID ...]"; "": none */
	size_t least, most;   /* how many operands; SIZE_MAX: any number */
	const struct command_flag *flags;
	size_t flag_count;
	bool changes; /* it changes routes, and has the flags of console/change_flags.h too */
	bool no_id; /* it has nothing for -o id */
	bool filters; /* its operands are a filter: "-off", "-to:x" and the like are no flags */
	const struct output_kind *kind; /* of the rows that it prints; NULL: none */
	const char *examples[2];
	const int *exits; /* the exit codes that it has, -1 at the end */
	/* 0, or -1 and `why`, whose code becomes the exit code; without a text where the output has
	 * said it already. */
	int (*run)(struct session *session, const struct command_call *call, struct error *why);
};

struct command_noun {
	const char *word;
	const char *alias; /* NULL: none */
	const char *help;
	const struct command *commands;
	size_t command_count;
};

/* A command line, taken apart and checked. */
struct command_call {
	const struct command_noun *noun;
	const struct command *command;
	/* For each flag of the command, and behind them for those of all that change routes: its
	 * value, "" for a switch; NULL: not given. */
	char **values;
	char **spelled; /* for each: as it was written, "--remotePort", for errors */
	char **operands;
	size_t operand_count;
};

/* The commands of a program. */
struct command_set {
	const struct command_noun *const *nouns;
	size_t count;
};

/* The flags that every command has: -s, -o, -q ... */
enum command_common {
	COMMON_SOCKET,
	COMMON_OUTPUT,
	COMMON_QUIET,
	COMMON_TIMEOUT,
	COMMON_COLOUR,
	COMMON_HELP,
	COMMON_VERSION,
	COMMON_FLAGS /* how many */
};

extern const struct command_flag command_common_flags[COMMON_FLAGS];

/* "routes add", or as much of it as there is; empty without a noun. */
void command_name(const struct command_call *call, struct strbuf *out);

/* Is all there that the command needs, and nothing too much? */
int command_complete(const struct command_call *call, struct error *why);

/*
 * Run one command line (without the program's name). Reports the failure, if any, and returns the
 * exit code. Secrets in `argv` are overwritten.
 */
int command_run(struct session *session, const struct command_set *set, int argc, char **argv);

#endif
