/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A sorted list of the routes of an earlier revision, collected in slices between which mail goes
 * on; then it is one of relayd/control/lists.h. */
#ifndef RELAYD_CONTROL_PAST_SORT_H
#define RELAYD_CONTROL_PAST_SORT_H

#include <stdint.h>

#include "relayd/control/call.h"
#include "relayd/routes/filter.h"
#include "relayd/routes/sorted.h"

/* `filter` (NULL: all) and `sorted` are taken over. `ready` is called later with the number for
 * lists_find, or the call is answered with the failure. */
void past_sort(struct call *call, uint64_t revision, struct filter *filter, struct sorted *sorted,
    void (*ready)(void *ctx, int64_t cursor));

#endif
