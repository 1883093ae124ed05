/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `tmail routes explain`: which rule wins for a mail, why each earlier one does not, and the plan. */
#ifndef CONSOLE_CMD_EXPLAIN_H
#define CONSOLE_CMD_EXPLAIN_H

#include "console/command.h"

enum { EXPLAIN_USER, EXPLAIN_FROM, EXPLAIN_FLAGS };
extern const struct command_flag cmd_explain_flags[EXPLAIN_FLAGS];
extern const struct output_kind cmd_explain_kind; /* the tries of the plan */
int cmd_explain_run(struct session *session, const struct command_call *call, struct error *why);

#endif
