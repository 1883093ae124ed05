/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rows (relayd/routes/rows.h) beside the table: what would have to be done to make the table say
 * what they say. In slices, so that a million of them need not be looked at in one go.
 *
 *   - A row with the id of a route sets the fields that it gives; the others stay as they are, the
 *     password among them. One that says what the route says already is no step.
 *   - A row with an id that no route has brings a route back under this id.
 *   - A row without an id is a new route.
 *   - With `prune`, routes whose id no row has are deleted.
 */
#ifndef RELAYD_ROUTES_MATCHING_H
#define RELAYD_ROUTES_MATCHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/change_steps.h"
#include "relayd/routes/rows.h"
#include "relayd/routes/table.h"

struct matching;

/* `rows`, sealed and without failures, become the matching's; *rows is empty afterwards. */
struct matching *matching_new(struct rows *rows, bool prune);
void matching_free(struct matching *matching);

/* Look at up to `most` more rows or routes of the table as it is at `revision`; true: at all of
 * them. When the revision is another one than last time, it begins anew. */
bool matching_slice(struct matching *matching, const struct table *table, uint64_t revision,
    size_t most);

/* Rows that can't be done, after the last slice. */
const struct rows *matching_rows(const struct matching *matching);

/* The steps, after the last slice: they are the matching's until they are taken. */
const struct change_steps *matching_steps(const struct matching *matching);
void matching_take(struct matching *matching, struct change_steps *out);

#endif
