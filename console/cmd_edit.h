/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verbs of `tmail routes` that change single routes. */
#ifndef CONSOLE_CMD_EDIT_H
#define CONSOLE_CMD_EDIT_H

#include "console/command.h"
#include "console/edit_words.h"
#include "console/route_flags.h"

int cmd_add_run(struct session *session, const struct command_call *call, struct error *why);
int cmd_del_run(struct session *session, const struct command_call *call, struct error *why);

/* set, move, enable, disable */
int cmd_edit_run(struct session *session, const struct command_call *call, struct error *why);

#endif
