/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmail routes log, undo, confirm. */
#ifndef CONSOLE_CMD_HISTORY_H
#define CONSOLE_CMD_HISTORY_H

#include "console/command.h"

enum { LOG_LIMIT, LOG_FLAGS };
extern const struct command_flag cmd_log_flags[LOG_FLAGS];

/* The changes of routes as rows. */
extern const struct output_kind cmd_log_kind;

int cmd_log_run(struct session *session, const struct command_call *call, struct error *why);
int cmd_undo_run(struct session *session, const struct command_call *call, struct error *why);
int cmd_confirm_run(struct session *session, const struct command_call *call, struct error *why);

#endif
