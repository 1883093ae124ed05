/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table as it will be once the changes that were let through are applied: a change is checked
 * against this, since the ones before it may still be on their way to the disk.
 */
#ifndef RELAYD_ROUTES_OUTLOOK_H
#define RELAYD_ROUTES_OUTLOOK_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/change_steps.h"
#include "relayd/routes/table.h"

struct outlook;

/* As `table` (borrowed, unchanged until outlook_free) is at this revision. */
struct outlook *outlook_new(const struct table *table, uint64_t revision, uint64_t next_id);
void outlook_free(struct outlook *outlook);

/*
 * Let a change through, all of its steps or none: gives the routes of ADD steps their ids, and
 * puts into before[] the route as each step finds it (NULL for ADD and RESTORE). These are borrowed
 * from the table and from the steps that were let through before, whose routes must stay until
 * outlook_free. Where a route is not there, its id goes to steps->missing.
 */
int outlook_change(struct outlook *outlook, struct change_steps *steps,
    const struct route **before, struct error *why);

/* After the changes that were let through. */
uint64_t outlook_revision(const struct outlook *outlook);
uint64_t outlook_next_id(const struct outlook *outlook);

#endif
