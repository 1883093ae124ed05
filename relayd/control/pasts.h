/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tables of the past that consoles are reading page by page. One that nobody asks for within half a
 * minute is dropped, as is the oldest one when there are too many.
 */
#ifndef RELAYD_CONTROL_PASTS_H
#define RELAYD_CONTROL_PASTS_H

#include <stdint.h>

#include "relayd/net/loop.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/table_past.h"

enum { PASTS_MOST = 4, PASTS_KEPT_MS = 30 * 1000 };

struct pasts;

struct pasts *pasts_new(struct loop *loop, struct changes *changes);
/* NULL is allowed. Those who still wait are answered with a failure, as their turn comes. */
void pasts_free(struct pasts *pasts);

/* The table at that revision. `found` is called now or later: with the table, which stands over the
 * present one until it returns; or with the reason why there is none. */
void pasts_look(struct pasts *pasts, uint64_t revision,
    void (*found)(void *ctx, const struct table_past *past, const struct error *why), void *ctx);

#endif
