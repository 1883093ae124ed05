/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * --help, made from the command tables. Lines fit 80 columns.
 */
#ifndef CONSOLE_HELP_H
#define CONSOLE_HELP_H

#include "common/strbuf.h"
#include "console/command.h"

/* One flag as people write it: "-rp PORT". */
void help_flag(const struct command_flag *flag, struct strbuf *out);

void help_program(const struct command_set *set, struct strbuf *out);
void help_noun(const struct command_noun *noun, struct strbuf *out);
void help_command(const struct command_noun *noun, const struct command *command,
		  struct strbuf *out);

#endif
