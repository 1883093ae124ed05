/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who made each change that is kept: a pointer a change, and each name once. */
#ifndef RELAYD_ROUTES_AUTHORS_H
#define RELAYD_ROUTES_AUTHORS_H

#include <stdint.h>

struct authors;

struct authors *authors_new(void);
void authors_free(struct authors *authors); /* NULL is allowed */

void authors_set(struct authors *authors, uint64_t revision, const char *user);

/* NULL: not known. Valid until authors_free(). */
const char *authors_get(const struct authors *authors, uint64_t revision);

/* Forget who made the changes below that revision. */
void authors_forget(struct authors *authors, uint64_t below);

#endif
