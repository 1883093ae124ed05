/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes as they were: for some ids the text of route_encode(), or that there was no such route.
 * What is said first of an id counts. Holds passwords, and wipes them.
 */
#ifndef RELAYD_ROUTES_EARLIER_H
#define RELAYD_ROUTES_EARLIER_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/route.h"

struct earlier;

struct earlier_entry {
	uint64_t id;
	size_t at;  /* of the text among all texts */
	size_t len; /* 0: there was no such route */
};

struct earlier *earlier_new(void);
void earlier_free(struct earlier *earlier); /* NULL is allowed */

/* Unless that id is known already. */
void earlier_add(struct earlier *earlier, uint64_t id, const char *text, size_t len);

size_t earlier_count(const struct earlier *earlier);

/* NULL: nothing is known of that id. Valid until the next earlier_add(). */
const struct earlier_entry *earlier_find(const struct earlier *earlier, uint64_t id);

/* Put them in the order of their ids, for the two below. */
void earlier_sort(struct earlier *earlier);

/* The one at `index`, in that order. */
const struct earlier_entry *earlier_get(const struct earlier *earlier, size_t index);

/* The first one with an id above `after`; NULL at the end. */
const struct earlier_entry *earlier_next(const struct earlier *earlier, uint64_t after);

/* The route, one reference, or NULL and `why` where the text is none; `len` is not 0. */
struct route *earlier_route(const struct earlier *earlier, const struct earlier_entry *entry,
    struct error *why);

#endif
