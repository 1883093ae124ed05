/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes in id order: found by id, walked from one id to the next, in a time that hardly grows with
 * their number. Borrows the routes; counts no references.
 */
#ifndef RELAYD_ROUTES_IDLIST_H
#define RELAYD_ROUTES_IDLIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/route.h"

struct idlist;

struct idlist *idlist_new(void);
void idlist_free(struct idlist *list);

/* Put a route under its id. Returns the one that was there, or NULL. */
struct route *idlist_put(struct idlist *list, struct route *route);

/* Returns what was removed, or NULL. */
struct route *idlist_remove(struct idlist *list, uint64_t id);

struct route *idlist_get(const struct idlist *list, uint64_t id);
struct route *idlist_next(const struct idlist *list, uint64_t after); /* the least id > after */
/* The next ones, at most `most`; returns how many there were. */
size_t idlist_some(const struct idlist *list, uint64_t after, struct route **routes, size_t most);
size_t idlist_count(const struct idlist *list);

#endif
