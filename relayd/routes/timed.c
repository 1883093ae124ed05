/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/timed.h"

#include <stdio.h>
#include <stdlib.h>
#include <inttypes.h>

#include "common/xalloc.h"
#include "relayd/routes/undo.h"

enum {
	LOOK_MS = 1000,  /* the clock may be set meanwhile */
	RETRY_MS = 10000 /* after a disk that failed */
};

struct timed {
	struct changes *changes;
	struct loop *loop;
	struct log *log;
	struct timer *timer;
	struct journal_timed change;
	bool undoing;
};

static void
fired(void *ctx)
{
	timed_look(ctx);
}

struct timed *
timed_new(struct changes *changes, struct loop *loop, struct log *log)
{
	struct timed *timed = xcalloc(1, sizeof(*timed));

	timed->changes = changes;
	timed->loop = loop;
	timed->log = log;
	timed->timer = timer_new(loop, fired, timed);
	return timed;
}

void
timed_free(struct timed *timed)
{
	timer_free(timed->timer);
	free(timed);
}

void
timed_set(struct timed *timed, const struct journal_timed *change)
{
	timed->change = *change;
	timer_cancel(timed->timer);
	if (change->revision != 0)
		timer_set(timed->timer, 0);
}

struct journal_timed
timed_get(const struct timed *timed)
{
	return timed->change;
}

/* There was nothing left of it to undo: it is over all the same. */
static void
ended(void *ctx, uint64_t revision, const struct error *why)
{
	struct timed *timed = ctx;

	(void)revision;
	timed->undoing = false;
	if (why == NULL || why->code != ERROR_STORAGE)
		return;
	log_event(timed->log, LOG_LEVEL_ERROR, 0, "routes-timed-undo-failed",
		  LOG_S("why", why->text));
	timer_set(timed->timer, RETRY_MS);
}

static void
undone(void *ctx, const struct change_result *result, const struct error *why)
{
	struct timed *timed = ctx;

	if (why == NULL && result->count == 0) {
		changes_confirm(timed->changes, "relayd", ended, timed);
		return;
	}
	timed->undoing = false;
	if (why == NULL) {
		log_event(timed->log, LOG_LEVEL_NOTICE, 0, "routes-timed-undone",
			  LOG_U("revision", result->revision), LOG_U("routes", result->count));
		return;
	}
	/* Confirmed or undone in the last moment: all is well. */
	if (why->code == ERROR_CONFLICT)
		return;
	log_event(timed->log, LOG_LEVEL_ERROR, 0, "routes-timed-undo-failed",
		  LOG_S("why", why->text));
	timer_set(timed->timer, RETRY_MS);
}

void
timed_look(struct timed *timed)
{
	struct change change = {.user = "relayd", .expected_revision = -1};
	int64_t left_ms = timed->change.confirm_by_ms - loop_wall_ms(timed->loop);
	char note[80];

	if (timed->change.revision == 0 || timed->undoing)
		return;
	if (left_ms > 0) {
		timer_set(timed->timer, left_ms < LOOK_MS ? left_ms : LOOK_MS);
		return;
	}
	snprintf(note, sizeof(note), "undo of %" PRIu64 ", which was not confirmed in time",
		 timed->change.revision);
	change.note = note;
	timed->undoing = true;
	undo_timed(&change, timed->changes, timed->change.revision);
	changes_apply(timed->changes, &change, undone, timed);
}
