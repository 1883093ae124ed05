/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `tmail routes probe`: can the remotes be reached, with TLS and login; `tmail routes check`: what
 * looks wrong in the table. Both ask a question: exit code 1 is the answer "no". */
#ifndef CONSOLE_CMD_PROBE_H
#define CONSOLE_CMD_PROBE_H

#include "console/command.h"

enum { PROBE_ALL, PROBE_FLAGS };
extern const struct command_flag cmd_probe_flags[PROBE_FLAGS];
extern const struct output_kind cmd_probe_kind;
int cmd_probe_run(struct session *session, const struct command_call *call, struct error *why);

extern const struct output_kind cmd_check_kind;
int cmd_check_run(struct session *session, const struct command_call *call, struct error *why);

#endif
