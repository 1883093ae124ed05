/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sorted lists of routes, made in slices between which mail goes on, and kept while a console reads
 * them page by page. A list that nobody asks for within a minute is dropped, as is the oldest one
 * when there are too many.
 */
#ifndef RELAYD_CONTROL_LISTS_H
#define RELAYD_CONTROL_LISTS_H

#include <stdint.h>

#include "relayd/net/loop.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/filter.h"
#include "relayd/routes/sorted.h"

enum { LISTS_MOST = 16, LISTS_KEPT_MS = 60 * 1000 };

struct lists;

struct lists *lists_new(struct loop *loop, const struct changes *changes);
void lists_free(struct lists *lists); /* NULL is allowed; `ready` is called for those that are being made */

/*
 * Make one of the routes that `filter` (NULL: all) lets through. Both are taken over. `ready` is
 * called later, with its number for lists_find; -1: it was dropped before it was ready.
 */
void lists_make(struct lists *lists, struct filter *filter, const struct filter_source *source,
    struct sorted *sorted, void (*ready)(void *ctx, int64_t cursor), void *ctx);

/* The same with routes that are there already, those of an earlier revision. */
void lists_keep(struct lists *lists, int64_t revision, struct sorted *sorted,
    void (*ready)(void *ctx, int64_t cursor), void *ctx);

/* NULL: there is none of that number any more. Valid until the loop goes on. *revision: the earlier
 * one, -1 for a list of the present. */
const struct sorted *lists_find(struct lists *lists, int64_t cursor, int64_t *revision);

/* It has been read to its end. */
void lists_drop(struct lists *lists, int64_t cursor);

#endif
