/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table as it was at an earlier revision: the present one, and over it what the routes were
 * that have been touched since. Nothing is copied but those.
 */
#ifndef RELAYD_ROUTES_TABLE_PAST_H
#define RELAYD_ROUTES_TABLE_PAST_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/route.h"
#include "relayd/routes/past.h"
#include "relayd/routes/table.h"

struct table_past;

/* Of no use before table_past_read(). */
struct table_past *table_past_new(uint64_t revision);
void table_past_free(struct table_past *past);

uint64_t table_past_revision(const struct table_past *past);

/* The revision of the present table that it stands over: what was read last. */
uint64_t table_past_over(const struct table_past *past);

/* Read what has been touched since it was read before. Blocks (relayd/routes/past.h).
 * ERROR_NOT_FOUND if that revision is not there yet, or not kept any more. */
int table_past_read(struct table_past *past, const struct past *changes, struct error *why);

/* `table` is the present one, at the revision that was read: how many routes there were. */
size_t table_past_count(const struct table_past *past, const struct table *table);

/* The next route with an id above `after`: 1 and one reference, 0 at the end, -1 and `why`. */
int table_past_next(const struct table_past *past, const struct table *table, uint64_t after,
    struct route **route, struct error *why);

#endif
