/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The params of the methods that edit routes (relayd-control(7)) as edits: those of one method, or
 * of one command of a batch.
 */
#ifndef RELAYD_CONTROL_EDIT_PARAMS_H
#define RELAYD_CONTROL_EDIT_PARAMS_H

#include <jansson.h>
#include <stddef.h>

#include "common/error.h"
#include "relayd/routes/edits.h"

/* For the table in verbs.c. */
#define EDIT_ADD_PARAMS "route|routes|if_absent|to|other"
#define EDIT_SET_PARAMS "id|route"
#define EDIT_IDS_PARAMS "ids"
#define EDIT_MOVE_PARAMS "id|to|other"

enum { EDIT_PARAMS_MOST = 10000 }; /* routes that one of them may name */

/*
 * Append the edits of "add", "set", "del", "move", "enable" or "disable". `at`: see struct edit.
 * Passwords in `params` are overwritten. -1 and `why`: ERROR_USAGE where the params are not as they
 * should be, ERROR_REFUSED where a value is none that a route can have.
 */
int edit_params_read(const char *verb, json_t *params, size_t at, struct edits *edits,
    struct error *why);

/* As that, for an object {"verb":"add",...} with no other members than the verb knows. */
int edit_params_read_command(json_t *command, size_t at, struct edits *edits, struct error *why);

#endif
