/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmail queue list, count. */
#ifndef CONSOLE_CMD_QUEUE_H
#define CONSOLE_CMD_QUEUE_H

#include "console/command.h"

extern const struct command_noun cmd_queue;

#endif
