/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmail routes batch: lines of add, set, del, move, enable, disable as one change. */
#ifndef CONSOLE_CMD_BATCH_H
#define CONSOLE_CMD_BATCH_H

#include "console/command.h"

int cmd_batch_run(struct session *session, const struct command_call *call, struct error *why);

#endif
