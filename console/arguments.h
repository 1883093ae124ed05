/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A command line taken apart by the tables of console/command.h: which command, which flags, which
 * operands. What a flag or a word can't be is found here; whether something is missing is not.
 */
#ifndef CONSOLE_ARGUMENTS_H
#define CONSOLE_ARGUMENTS_H

#include <stdbool.h>

#include "common/error.h"
#include "console/command.h"

struct arguments {
	struct command_call call;
	const char *common[COMMON_FLAGS]; /* as call.values, of the flags that every command has;
					     borrowed from argv */
	bool failed;                      /* `why` has the first failure */
	bool unknown_command;             /* that was it */
	bool no_more_flags;
	struct error why;
};

/*
 * Read all of it. After a failure only the common flags are still looked at, so that it can be
 * reported in the format that -o asks for, and secrets are still overwritten in `argv`. Operands
 * are borrowed from `argv`.
 */
void arguments_read(struct arguments *arguments, const struct command_set *set, int argc,
		    char **argv);

void arguments_clear(struct arguments *arguments);

#endif
