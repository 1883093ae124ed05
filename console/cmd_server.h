/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmail status, version, reload. */
#ifndef CONSOLE_CMD_SERVER_H
#define CONSOLE_CMD_SERVER_H

#include "console/command.h"

extern const struct command_noun cmd_status;
extern const struct command_noun cmd_version;
extern const struct command_noun cmd_reload;

#endif
