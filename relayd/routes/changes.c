/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Changes wait in a queue. When the journal is free, all that wait become one group: each is
 * checked on the loop against the table and the changes before it, an offload thread writes and
 * syncs the group's records, and back on the loop they are applied and reported one after the
 * other. Meanwhile the next group gathers. A change that has to see the table as the ones before it
 * leave it is the first of its group.
 *
 * A checkpoint runs beside that, in a thread of its own (keeper.c): it reads what was synced of the
 * journal when it began, and has the history told of it. The cut of the journal that follows takes
 * its turn with the groups, as does whoever reads what was. At every moment the files hold all that
 * was reported:
 *
 *	routes.gdbm   routes.journal      after a crash
 *	A             A+1 .. C            A, then the journal
 *	B (renamed)   A+1 .. C            B, then the journal from B+1 on
 *	B             B+1 .. C (renamed)  B, then the journal
 *
 * The journal is not cut behind a change that waits to be confirmed: that it does, and that it was
 * confirmed, is known from there alone.
 */
#include "relayd/routes/changes.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/routes/authors.h"
#include "relayd/routes/history.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/keeper.h"
#include "relayd/routes/outlook.h"
#include "relayd/routes/pending.h"
#include "relayd/routes/restore.h"
#include "relayd/routes/timed.h"
#include "relayd/routes/turn.h"

enum {
	CHECKPOINT_AFTER_MS = 2000,
	/* Behind a checkpoint the journal is cut if it has no more than this to keep, or if that is
	 * the smaller part of it. Else the next checkpoint does it. */
	CUT_KEEP_BYTES = 1 << 20
};

struct queue {
	struct pending *first;
	struct pending **last;
};

struct changes {
	char *dir;
	struct loop *loop;
	struct offload *offload;
	struct log *log;
	struct table *table;
	struct journal *journal;
	struct history *history;
	struct keeper *keeper;
	struct timed *timed;
	struct authors *authors;
	uint64_t revision;
	uint64_t next_id;
	uint64_t journal_end; /* of the last turn that ended */
	struct queue queue;
	bool in_turn;
	struct timer *soon;        /* to begin a turn outside of changes_apply */
	struct keeper_result kept; /* by a checkpoint whose turn is to come ... */
	bool settle_due;           /* ... if this is set */
};

static void next_turn(struct changes *changes);

/* ---- what waits ---- */

static void
enqueue(struct changes *changes, struct pending *pending)
{
	*changes->queue.last = pending;
	changes->queue.last = &pending->next;
	if (!changes->in_turn)
		timer_set(changes->soon, 0);
}

void
changes_apply(struct changes *changes, const struct change *change,
	      void (*done)(void *ctx, const struct change_result *result, const struct error *why),
	      void *ctx)
{
	struct pending *pending = pending_new(change);

	pending->done = done;
	pending->ctx = ctx;
	enqueue(changes, pending);
}

void
changes_confirm(struct changes *changes, const char *user,
		void (*done)(void *ctx, uint64_t revision, const struct error *why), void *ctx)
{
	struct pending *pending = pending_new_other(PENDING_CONFIRMATION, user, ctx);

	pending->have_confirmed = done;
	enqueue(changes, pending);
}

void
changes_read(struct changes *changes,
	     int (*read)(void *ctx, const struct past *past, struct error *why),
	     void (*done)(void *ctx, const struct error *why), void *ctx)
{
	struct pending *pending = pending_new_other(PENDING_READING, "", ctx);

	pending->read = read;
	pending->have_read = done;
	enqueue(changes, pending);
}

/* What is written together: all that wait, up to one that has to find the others applied. */
static struct pending *
take_group(struct changes *changes)
{
	struct pending *group = changes->queue.first, *last = group;

	while (!pending_is_alone(group) && last->next != NULL && !pending_is_first(last->next))
		last = last->next;
	changes->queue.first = last->next;
	if (last->next == NULL)
		changes->queue.last = &changes->queue.first;
	last->next = NULL;
	return group;
}

/* ---- the end of a turn ---- */

/* The steps from `first` on that put a route. Returns how many they are. */
static size_t
put_run(struct changes *changes, const struct change_steps *steps, size_t first, uint64_t revision)
{
	struct route **routes;
	size_t count = 0, fresh = 0;

	while (first + count < steps->count && steps->items[first + count].route != NULL)
		count++;
	routes = xcalloc(count, sizeof(routes[0]));
	for (size_t i = 0; i < count; i++) {
		routes[i] = steps->items[first + i].route;
		route_set_revision(routes[i], revision);
		fresh += steps->items[first + i].what != CHANGE_SET ? 1 : 0;
	}
	table_put_all(changes->table, routes, count, fresh);
	free(routes);
	return count;
}

/* It is durable: make it live. */
static void
apply(struct changes *changes, const struct pending *pending)
{
	const struct journal_change *record = &pending->record;
	size_t at = 0, count;

	while (at < pending->steps.count) {
		count = put_run(changes, &pending->steps, at, record->revision);
		if (count == 0)
			table_remove(changes->table, pending->steps.items[at].id);
		at += count > 0 ? count : 1;
	}
	authors_set(changes->authors, record->revision, pending->user);
	changes->revision = record->revision;
	changes->next_id = record->next_id;
	if (record->confirm_by_ms != 0)
		timed_set(changes->timed,
			  &(struct journal_timed){.revision = record->revision,
						  .confirm_by_ms = record->confirm_by_ms});
	else if (record->undoes != 0 && record->undoes == timed_get(changes->timed).revision)
		timed_set(changes->timed, &(struct journal_timed){.revision = 0});
}

/* Report a group in its order. `failed`: nothing of it was kept; from the first change on that
 * would have been, nothing that was decided about the ones behind it holds. */
static void
report(struct changes *changes, struct pending *group, const struct error *failed)
{
	bool lost = false;

	while (group != NULL) {
		struct pending *pending = group;

		group = pending->next;
		lost = lost || (failed != NULL && (pending_is_kept(pending) ||
						   pending->kind == PENDING_CONFIRMATION));
		if (lost) {
			pending_fail(pending, failed);
		} else {
			if (pending_is_kept(pending))
				apply(changes, pending);
			else if (pending->kind == PENDING_CONFIRMATION && !pending->refused)
				timed_set(changes->timed, &(struct journal_timed){.revision = 0});
			pending_report(pending, changes->revision);
		}
		pending_free(pending);
	}
}

/* What a change had to know first was read: it is the first in the queue, and nobody comes before
 * it. */
static void
put_back(struct changes *changes, struct pending *pending)
{
	pending->prepared = true;
	pending->next = changes->queue.first;
	if (changes->queue.first == NULL)
		changes->queue.last = &pending->next;
	changes->queue.first = pending;
}

static void
turn_done(void *ctx)
{
	struct turn *turn = ctx;
	struct changes *changes = turn->changes;

	changes->journal_end = journal_end(changes->journal);
	changes->in_turn = false;
	if (turn->rc < 0)
		log_event(changes->log, LOG_LEVEL_ERROR, 0,
			  turn->group != NULL ? "routes-write-failed" : "routes-cut-failed",
			  LOG_S("why", turn->why.text));
	if (turn->group == NULL) {
		keeper_settled(changes->keeper);
	} else if (turn->group->kind == PENDING_CHANGE && pending_is_reading(turn->group)) {
		put_back(changes, turn->group);
	} else {
		changes->in_turn = true;
		report(changes, turn->group, turn->rc < 0 ? &turn->why : NULL);
		changes->in_turn = false;
	}
	free(turn->surplus);
	free(turn);
	keeper_wake(changes->keeper);
	next_turn(changes);
}

/* ---- the beginning of a turn ---- */

static struct turn *
turn_new(struct changes *changes)
{
	struct turn *turn = xcalloc(1, sizeof(*turn));

	turn->changes = changes;
	turn->journal = changes->journal;
	turn->past = (struct past){.dir = changes->dir,
				   .history = changes->history,
				   .journal_end = changes->journal_end,
				   .revision = changes->revision};
	changes->in_turn = true;
	return turn;
}

/* A checkpoint is there: take the history's growth, and cut the journal if it is worth while. */
static void
settle(struct changes *changes, struct turn *turn)
{
	const struct keeper_result *kept = &changes->kept;
	struct journal_timed timed = timed_get(changes->timed);
	uint64_t keep = changes->journal_end - kept->journal_end;

	changes->settle_due = false;
	if (kept->growth != NULL)
		history_take(changes->history, kept->growth);
	turn->surplus = history_trim(changes->history);
	authors_forget(changes->authors, history_first(changes->history));
	turn->cut = kept->kept && (keep <= CUT_KEEP_BYTES || keep <= kept->journal_end) &&
		    (timed.revision == 0 || kept->revision < timed.revision);
	turn->cut_revision = kept->revision;
	turn->cut_at = kept->journal_end;
}

/* Check all of a group. Returns whether there is anything to be done off the loop. */
static bool
check_group(struct changes *changes, struct pending *group)
{
	const struct pending_present present = {
	    .table = changes->table,
	    .outlook = outlook_new(changes->table, changes->revision, changes->next_id),
	    .timed = timed_get(changes->timed),
	    .now_ms = loop_wall_ms(changes->loop)};
	bool any = false;

	for (struct pending *pending = group; pending != NULL; pending = pending->next) {
		pending_check(pending, &present);
		any = any || pending_is_kept(pending) || pending_wants_explanation(pending);
	}
	outlook_free(present.outlook);
	return any;
}

static bool
check_confirmation(const struct changes *changes, struct pending *pending)
{
	pending->confirmed = timed_get(changes->timed);
	pending->now_ms = loop_wall_ms(changes->loop);
	if (pending->confirmed.revision != 0)
		return true;
	pending->refused = true;
	error_set(&pending->why, ERROR_NOT_FOUND, "no change waits to be confirmed");
	return false;
}

static bool
begin_group(struct changes *changes, struct turn *turn)
{
	turn->group = take_group(changes);
	if (pending_is_reading(turn->group))
		return true;
	if (turn->group->kind == PENDING_CONFIRMATION)
		return check_confirmation(changes, turn->group);
	return check_group(changes, turn->group);
}

/* Never called from changes_apply: it may report. */
static void
next_turn(struct changes *changes)
{
	struct turn *turn;
	bool any = true;

	if (changes->in_turn || (!changes->settle_due && changes->queue.first == NULL))
		return;
	turn = turn_new(changes);
	/* A change whose past was read has its turn now: the reading holds no longer than that. */
	if (changes->settle_due &&
	    (changes->queue.first == NULL || !changes->queue.first->prepared))
		settle(changes, turn);
	else
		any = begin_group(changes, turn);
	if (any) {
		offload_run(changes->offload, turn_work, turn_done, turn);
		return;
	}
	/* Nothing to write. Changes that the callbacks make have their turn in the next round. */
	report(changes, turn->group, NULL);
	free(turn);
	changes->in_turn = false;
	if (changes->queue.first != NULL || changes->settle_due)
		timer_set(changes->soon, 0);
}

static void
soon_fired(void *ctx)
{
	next_turn(ctx);
}

/* ---- checkpoints ---- */

static void
look(void *ctx, uint64_t *revision, uint64_t *end)
{
	const struct changes *changes = ctx;

	*revision = changes->revision;
	*end = changes->journal_end;
}

static void
checkpointed(void *ctx, const struct keeper_result *result)
{
	struct changes *changes = ctx;

	changes->kept = *result;
	changes->settle_due = true;
	next_turn(changes);
}

/* ---- the life of the whole ---- */

static void
report_restored(const struct changes *changes, const struct restored *restored)
{
	if (restored->torn > 0)
		log_event(changes->log, LOG_LEVEL_WARNING, 0, "routes-journal-cut",
			  LOG_S("dir", changes->dir), LOG_U("offset", restored->torn_at),
			  LOG_U("bytes", restored->torn),
			  LOG_S("why", "the last record is not whole; it was not acknowledged"));
	log_event(changes->log, LOG_LEVEL_INFO, 0, "routes-loaded",
		  LOG_U("routes", table_count(changes->table)),
		  LOG_U("revision", changes->revision),
		  LOG_U("checkpoint", restored->checkpoint_revision),
		  LOG_U("history", history_first(changes->history)));
}

/* Let everything have its turn that waits for one. */
static void
finish_turns(struct changes *changes)
{
	/* Callbacks may bring further changes. */
	do {
		next_turn(changes);
		offload_finish(changes->offload);
	} while (changes->queue.first != NULL || changes->settle_due);
}

static void
see_change(void *ctx, uint64_t revision, const char *user)
{
	const struct restored *restored = ctx;

	authors_set(restored->authors, revision, user);
}

/* The checkpoint does not know which change has made a route what it is. */
static void
see_route(void *ctx, uint64_t revision, uint64_t id)
{
	const struct restored *restored = ctx;
	const struct route *route = table_get(restored->table, id);

	if (route != NULL && route->revision < revision)
		route_set_revision(route, revision);
}

struct changes *
changes_open(const struct changes_options *options, struct error *why)
{
	struct changes *changes;
	struct restored restored;
	const struct history_witness witness = {
	    .change = see_change, .route = see_route, .ctx = &restored};
	struct history *history;

	if (restore(options->state_dir, &restored, why) < 0)
		return NULL;
	history = history_open(options->state_dir, journal_follows(restored.journal),
			       restored.revision, options->log, &witness, why);
	if (history == NULL) {
		journal_free(restored.journal);
		table_free(restored.table);
		authors_free(restored.authors);
		return NULL;
	}
	changes = xcalloc(1, sizeof(*changes));
	changes->dir = xstrdup(options->state_dir);
	changes->loop = options->loop;
	changes->offload = options->offload;
	changes->log = options->log;
	changes->table = restored.table;
	changes->journal = restored.journal;
	changes->history = history;
	changes->authors = restored.authors;
	changes->revision = restored.revision;
	changes->next_id = restored.next_id;
	changes->journal_end = journal_end(changes->journal);
	changes->queue.last = &changes->queue.first;
	changes->soon = timer_new(changes->loop, soon_fired, changes);
	changes->timed = timed_new(changes, changes->loop, changes->log);
	changes->keeper = keeper_new(&(struct keeper_options){
	    .dir = changes->dir,
	    .loop = changes->loop,
	    .offload = changes->offload,
	    .log = changes->log,
	    .after_ms = options->checkpoint_after_ms > 0 ? options->checkpoint_after_ms
							 : CHECKPOINT_AFTER_MS,
	    .history = changes->history,
	    .checkpoint_revision = restored.checkpoint_revision,
	    .look = look,
	    .done = checkpointed,
	    .ctx = changes});
	report_restored(changes, &restored);
	/* A change whose time ran out while nobody was there is undone before a mail follows it. */
	timed_set(changes->timed, &restored.timed);
	timed_look(changes->timed);
	if (changes->queue.first != NULL)
		finish_turns(changes);
	keeper_wake(changes->keeper);
	return changes;
}

void
changes_close(struct changes *changes)
{
	if (changes == NULL)
		return;
	finish_turns(changes);
	keeper_finish(changes->keeper);
	finish_turns(changes);
	timer_free(changes->soon);
	keeper_free(changes->keeper);
	timed_free(changes->timed);
	journal_free(changes->journal);
	history_free(changes->history);
	authors_free(changes->authors);
	table_free(changes->table);
	free(changes->dir);
	free(changes);
}

const struct table *
changes_table(const struct changes *changes)
{
	return changes->table;
}

const char *
changes_author(const struct changes *changes, uint64_t revision)
{
	return authors_get(changes->authors, revision);
}

uint64_t
changes_revision(const struct changes *changes)
{
	return changes->revision;
}

struct journal_timed
changes_timed(const struct changes *changes)
{
	return timed_get(changes->timed);
}
