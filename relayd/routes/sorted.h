/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes in another order than that of their ids: collected one by one, then sorted in slices, so
 * that a million of them hold up nobody for long. Keeps the routes (by reference) as they were when
 * they were added.
 */
#ifndef RELAYD_ROUTES_SORTED_H
#define RELAYD_ROUTES_SORTED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/route.h"
#include "relayd/routes/filter.h"

struct sorted;

/* `columns`: names of a route's members, or "state", "rate_1m", "deferred_1h", between commas; '-'
 * before one for descending. Equal routes stand in the order in which they were added; what is not
 * set comes first. `source` is asked on adding, and must live as long. NULL and `why`
 * (ERROR_USAGE). */
struct sorted *sorted_new(const char *columns, const struct filter_source *source,
    struct error *why);

void sorted_add(struct sorted *sorted, const struct route *route);

/* Sort for about as long as `budget` comparisons take. True: it is done. */
bool sorted_step(struct sorted *sorted, size_t budget);

size_t sorted_count(const struct sorted *sorted);
const struct route *sorted_at(const struct sorted *sorted, size_t i); /* once it is done */

/* Give back up to `budget` routes; true: all are gone, and so is the object. */
bool sorted_free_step(struct sorted *sorted, size_t budget);
void sorted_free(struct sorted *sorted); /* NULL is allowed */

#endif
