/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verbs of `tmail routes` that read or write files of routes. */
#ifndef CONSOLE_CMD_IMPORT_H
#define CONSOLE_CMD_IMPORT_H

#include "console/command.h"

enum { DIFF_FORMAT, DIFF_FLAGS };
extern const struct command_flag cmd_diff_flags[DIFF_FLAGS];

enum { IMPORT_FORMAT, IMPORT_PRUNE, IMPORT_FLAGS };
extern const struct command_flag cmd_import_flags[IMPORT_FLAGS];

int cmd_export_run(struct session *session, const struct command_call *call, struct error *why);
int cmd_import_run(struct session *session, const struct command_call *call, struct error *why);
int cmd_diff_run(struct session *session, const struct command_call *call, struct error *why);

#endif
