/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmail routes: its verbs. */
#ifndef CONSOLE_CMD_ROUTES_H
#define CONSOLE_CMD_ROUTES_H

#include "console/command.h"

extern const struct command_noun cmd_routes;

#endif
