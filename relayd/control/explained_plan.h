/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The plan as routes.explain shows it: its hops in order of priority, with shares in place of the
 * draw, and the tries of each. */
#ifndef RELAYD_CONTROL_EXPLAINED_PLAN_H
#define RELAYD_CONTROL_EXPLAINED_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "relayd/control/explained.h"

/* New reference to an array. *left_out: hops beyond EXPLAINED_HOPS_MAX (and routes that may be
 * hops). *way_out: there is something to try. */
json_t *explained_plan(const struct explained *explained, size_t *left_out, bool *way_out);

#endif
