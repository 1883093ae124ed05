/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/turn.h"

#include <stddef.h>

#include "relayd/routes/durable.h"

static int
write_group(const struct turn *turn, struct error *why)
{
	for (struct pending *pending = turn->group; pending != NULL; pending = pending->next) {
		if (pending_wants_explanation(pending))
			pending_explain(pending, &turn->past);
		else if (pending_is_kept(pending) &&
			 journal_append(turn->journal, &pending->record, pending->records, why) < 0)
			return -1;
	}
	return journal_commit(turn->journal, why);
}

static int
write_confirmation(const struct turn *turn, struct error *why)
{
	const struct pending *pending = turn->group;

	if (journal_confirm(turn->journal, pending->confirmed.revision, pending->now_ms,
			    pending->user, why) < 0)
		return -1;
	return journal_commit(turn->journal, why);
}

/* A failure of these is their own. */
static void
read_past(const struct turn *turn)
{
	struct pending *pending = turn->group;
	int rc;

	if (pending->kind == PENDING_READING)
		rc = pending->read(pending->ctx, &turn->past, &pending->why);
	else
		rc = pending->change.prepare(pending->change.make_ctx, &turn->past, &pending->why);
	pending->refused = rc < 0;
}

void
turn_work(void *ctx)
{
	struct turn *turn = ctx;

	if (turn->group == NULL) {
		if (turn->cut)
			turn->rc = journal_cut(turn->journal, turn->cut_revision, turn->cut_at,
					       &turn->why);
		if (turn->surplus != NULL && durable_remove(turn->surplus, &turn->why) < 0)
			turn->rc = -1;
	} else if (pending_is_reading(turn->group)) {
		read_past(turn);
	} else if (turn->group->kind == PENDING_CONFIRMATION) {
		turn->rc = write_confirmation(turn, &turn->why);
	} else {
		turn->rc = write_group(turn, &turn->why);
	}
}
