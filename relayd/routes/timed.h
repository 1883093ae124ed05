/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one change that waits to be confirmed: undoes it at its time, which is a time of day, so that
 * it holds across a restart. For changes.c alone.
 */
#ifndef RELAYD_ROUTES_TIMED_H
#define RELAYD_ROUTES_TIMED_H

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/journal.h"

struct timed;

struct timed *timed_new(struct changes *changes, struct loop *loop, struct log *log);
void timed_free(struct timed *timed);

/* Revision 0 ends it. */
void timed_set(struct timed *timed, const struct journal_timed *change);
struct journal_timed timed_get(const struct timed *timed);

/* Is its time over? Then ask for its undoing, by changes_apply(). */
void timed_look(struct timed *timed);

#endif
