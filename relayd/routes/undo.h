/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The reverse of a change, as a change of its own. Routes that were added are deleted, those that
 * were deleted come back under their ids, those that were changed get back the fields that the
 * change touched; what later changes did to other fields stays.
 */
#ifndef RELAYD_ROUTES_UNDO_H
#define RELAYD_ROUTES_UNDO_H

#include <stdint.h>

#include "relayd/routes/changes.h"

/*
 * Fill in the `prepare`, `make` and context of `change`. `revision` 0: the last change. It is
 * refused with ERROR_CONFLICT, naming routes and fields, unless every field that the change touched
 * is still as it left it; with ERROR_NOT_FOUND if the change is not known (any more).
 */
void undo_change(struct change *change, uint64_t revision);

/* The same for the timed change of that revision, at its end: what is not as it left it stays as it
 * is now. Refused with ERROR_CONFLICT if that change does not wait to be confirmed any more. */
void undo_timed(struct change *change, const struct changes *changes, uint64_t revision);

#endif
