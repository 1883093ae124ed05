/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `tmail routes stats` and `tmail routes health`: what became of mail by each route, and which remote
 * addresses are left out. */
#ifndef CONSOLE_CMD_STATS_H
#define CONSOLE_CMD_STATS_H

#include "console/command.h"

enum { STATS_ALL, STATS_FLAGS };
extern const struct command_flag cmd_stats_flags[STATS_FLAGS];
extern const struct output_kind cmd_stats_kind;
int cmd_stats_run(struct session *session, const struct command_call *call, struct error *why);

extern const struct output_kind cmd_health_kind;
int cmd_health_run(struct session *session, const struct command_call *call, struct error *why);

#endif
