/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What every method that changes routes has in common: the params that say how, and the answer.
 */
#ifndef RELAYD_CONTROL_CHANGE_PARAMS_H
#define RELAYD_CONTROL_CHANGE_PARAMS_H

#include <stddef.h>

#include "relayd/control/call.h"
#include "relayd/routes/changes.h"

/* For the table in verbs.c. */
#define CHANGE_PARAMS "note|expected_revision|dry_run|confirm_within_ms"

/*
 * Make a change, whose steps or whose `make` and context are given, for whoever calls, as the
 * params say; and answer:
 *
 *	{"revision":413,"dry_run":false,"added":1,"changed":1,"deleted":0,"confirm_by":null,
 *	 "routes":[...],"lines":"...","changes":[{"what":...,"id":...,"fields":[...]}],"left_out":0}
 *
 * `routes` (objects) and `lines` (those of the list) are of the first `most` steps, `changes`
 * (relayd/control/difference.h) of the first thousand; `left_out` says how many more these would
 * be.
 * The call is used up; where the params are not right, no change is made and its context is freed.
 */
void call_change(struct call *call, struct change *change, size_t most);

#endif
