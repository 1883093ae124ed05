/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verbs of `tmail routes` that read the table: list, get, stats, health. */
#ifndef CONSOLE_CMD_LIST_H
#define CONSOLE_CMD_LIST_H

#include "console/command.h"

enum { LIST_SORT, LIST_LIMIT, LIST_AT, LIST_FLAGS };
extern const struct command_flag cmd_list_flags[LIST_FLAGS];
/* The operands as params with a "filter"; NULL and `why`. */
json_t *cmd_list_filter(const struct command_call *call, struct error *why);

int cmd_list_run(struct session *session, const struct command_call *call, struct error *why);

enum { GET_EXISTS, GET_FLAGS };
extern const struct command_flag cmd_get_flags[GET_FLAGS];
int cmd_get_run(struct session *session, const struct command_call *call, struct error *why);

#endif
