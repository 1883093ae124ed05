/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Changes wait in a queue. When the journal is free, all that wait become one group: each is
 * checked on the loop against the table and the changes before it, an offload thread writes and
 * syncs the group's records, and back on the loop they are applied and reported one after the
 * other. Meanwhile the next group gathers.
 *
 * A checkpoint runs beside that, in a thread of its own: it reads what was synced of the journal
 * when it began. The cut of the journal that follows takes its turn with the groups. At every
 * moment the files hold all that was reported:
 *
 *	routes.gdbm   routes.journal      after a crash
 *	A             A+1 .. C            A, then the journal
 *	B (renamed)   A+1 .. C            B, then the journal from B+1 on
 *	B             B+1 .. C (renamed)  B, then the journal
 */
#include "relayd/routes/changes.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/routes/checkpoint.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/outlook.h"
#include "relayd/routes/restore.h"

enum {
	CHECKPOINT_AFTER_MS = 2000,
	/* A checkpoint of many routes keeps the disk busy: at most this part of the time. */
	CHECKPOINT_REST = 9,
	/* After one that failed, wait so many times longer. */
	CHECKPOINT_RETRY = 30,
	/* Behind a checkpoint the journal is cut if it has no more than this to keep, or if that is
	 * the smaller part of it. Else the next checkpoint does it. */
	CUT_KEEP_BYTES = 1 << 20
};

/* A copy of a change, and what became of it. */
struct queued {
	struct queued *next;
	size_t count;
	struct change_step *steps;
	struct journal_step *records;
	char *user;
	char *note;
	int64_t expected_revision;
	struct journal_change record;
	bool refused;
	struct error why;
	void (*done)(void *ctx, const struct change_result *result, const struct error *why);
	void *ctx;
};

struct queue {
	struct queued *first;
	struct queued **last;
};

/* The turn of the journal: a group, or a cut. A thread works on what is in here and nothing else.
 */
struct turn {
	struct changes *changes;
	struct journal *journal;
	struct queued *group;
	uint64_t cut_revision;
	uint64_t cut_at;
	int rc;
	struct error why;
};

struct checkpoint_job {
	struct changes *changes;
	char *dir;
	uint64_t revision;
	uint64_t journal_end;
	int64_t began_ms;
	int rc;
	struct error why;
};

struct changes {
	char *dir;
	struct loop *loop;
	struct offload *offload;
	struct log *log;
	int64_t checkpoint_after_ms;
	struct table *table;
	struct journal *journal;
	uint64_t revision;
	uint64_t next_id;
	uint64_t journal_end; /* of the last turn that ended */
	struct queue queue;
	bool in_turn;
	struct timer *soon; /* to begin a turn outside of changes_apply */
	struct timer *checkpoint;
	bool checkpointing; /* until the cut that follows is done or left out */
	bool closing;
	uint64_t checkpoint_revision;
	int64_t checkpoint_rest_ms;
	bool cut_due;
	uint64_t cut_at;
};

static void next_turn(struct changes *changes);

/* ---- a change and its copy ---- */

static struct queued *
queued_new(const struct change *change)
{
	struct queued *queued = xcalloc(1, sizeof(*queued));

	queued->count = change->step_count;
	queued->steps = xcalloc(queued->count, sizeof(queued->steps[0]));
	queued->records = xcalloc(queued->count, sizeof(queued->records[0]));
	for (size_t i = 0; i < queued->count; i++) {
		queued->steps[i] = change->steps[i];
		if (queued->steps[i].what != CHANGE_DELETE)
			queued->steps[i].route = route_copy(change->steps[i].route);
		else
			queued->steps[i].route = NULL;
	}
	queued->user = xstrdup(change->user != NULL ? change->user : "");
	queued->note = xstrdup(change->note);
	queued->expected_revision = change->expected_revision;
	return queued;
}

static void
queued_free(struct queued *queued)
{
	for (size_t i = 0; i < queued->count; i++)
		route_unref(queued->steps[i].route);
	free(queued->steps);
	free(queued->records);
	free(queued->user);
	free(queued->note);
	free(queued);
}

void
changes_apply(struct changes *changes, const struct change *change,
	      void (*done)(void *ctx, const struct change_result *result, const struct error *why),
	      void *ctx)
{
	struct queued *queued = queued_new(change);

	queued->done = done;
	queued->ctx = ctx;
	*changes->queue.last = queued;
	changes->queue.last = &queued->next;
	if (!changes->in_turn)
		timer_set(changes->soon, 0);
}

/* ---- a group ---- */

/* Check a change as it will find the table, and fill in what the journal writes of it. */
static void
check(struct queued *queued, struct outlook *outlook, int64_t now_ms)
{
	if (outlook_change(outlook, queued->steps, queued->count, queued->expected_revision,
			   &queued->why) < 0) {
		queued->refused = true;
		return;
	}
	queued->record = (struct journal_change){.revision = outlook_revision(outlook),
						 .time_ms = now_ms,
						 .user = queued->user,
						 .note = queued->note,
						 .next_id = outlook_next_id(outlook),
						 .step_count = queued->count};
	for (size_t i = 0; i < queued->count; i++) {
		const struct change_step *step = &queued->steps[i];

		queued->records[i].route = step->route;
		queued->records[i].id = step->route != NULL ? step->route->id : step->id;
	}
}

static void
turn_work(void *ctx)
{
	struct turn *turn = ctx;

	if (turn->group == NULL) {
		turn->rc = journal_cut(turn->journal, turn->cut_revision, turn->cut_at, &turn->why);
		return;
	}
	for (struct queued *queued = turn->group; queued != NULL && turn->rc == 0;
	     queued = queued->next) {
		if (!queued->refused)
			turn->rc = journal_append(turn->journal, &queued->record, queued->records,
						  &turn->why);
	}
	if (turn->rc == 0)
		turn->rc = journal_commit(turn->journal, &turn->why);
}

/* It is durable: make it live, and say so. */
static void
apply(struct changes *changes, struct queued *queued)
{
	const struct route **routes = xcalloc(queued->count, sizeof(routes[0]));
	struct change_result result = {
	    .revision = queued->record.revision, .count = queued->count, .routes = routes};

	for (size_t i = 0; i < queued->count; i++) {
		const struct change_step *step = &queued->steps[i];

		routes[i] = step->route;
		if (step->route != NULL)
			table_put(changes->table, step->route);
		else
			table_remove(changes->table, step->id);
	}
	changes->revision = queued->record.revision;
	changes->next_id = queued->record.next_id;
	queued->done(queued->ctx, &result, NULL);
	free(routes);
}

/* Report a group in its order. `failed`: nothing of it was kept; from the first change on that
 * would have been, nothing that was decided about the ones behind it holds. */
static void
report(struct changes *changes, struct queued *group, const struct error *failed)
{
	bool lost = false;

	while (group != NULL) {
		struct queued *queued = group;

		group = queued->next;
		lost = lost || (failed != NULL && !queued->refused);
		if (lost)
			queued->done(queued->ctx, NULL, failed);
		else if (queued->refused)
			queued->done(queued->ctx, NULL, &queued->why);
		else
			apply(changes, queued);
		queued_free(queued);
	}
}

static void
schedule_checkpoint(struct changes *changes)
{
	int64_t after_ms = changes->checkpoint_after_ms;

	if (changes->checkpointing || changes->revision == changes->checkpoint_revision ||
	    timer_is_set(changes->checkpoint))
		return;
	if (after_ms < changes->checkpoint_rest_ms)
		after_ms = changes->checkpoint_rest_ms;
	timer_set(changes->checkpoint, after_ms);
}

static void
turn_done(void *ctx)
{
	struct turn *turn = ctx;
	struct changes *changes = turn->changes;

	changes->journal_end = journal_end(changes->journal);
	if (turn->group != NULL) {
		if (turn->rc < 0)
			log_event(changes->log, LOG_LEVEL_ERROR, 0, "routes-write-failed",
				  LOG_S("why", turn->why.text));
		report(changes, turn->group, turn->rc < 0 ? &turn->why : NULL);
	} else {
		if (turn->rc < 0)
			log_event(changes->log, LOG_LEVEL_ERROR, 0, "routes-cut-failed",
				  LOG_S("why", turn->why.text));
		changes->checkpointing = false;
	}
	free(turn);
	changes->in_turn = false;
	schedule_checkpoint(changes);
	next_turn(changes);
}

static struct turn *
turn_new(struct changes *changes)
{
	struct turn *turn = xcalloc(1, sizeof(*turn));

	turn->changes = changes;
	turn->journal = changes->journal;
	changes->in_turn = true;
	return turn;
}

/* Check all that wait. Returns whether any of them has to be written. */
static bool
check_group(struct changes *changes, struct queued *group)
{
	struct outlook *outlook = outlook_new(changes->table, changes->revision, changes->next_id);
	bool any = false;

	for (struct queued *queued = group; queued != NULL; queued = queued->next) {
		check(queued, outlook, loop_wall_ms(changes->loop));
		any = any || !queued->refused;
	}
	outlook_free(outlook);
	return any;
}

/* Never called from changes_apply: it may report. */
static void
next_turn(struct changes *changes)
{
	struct turn *turn;

	if (changes->in_turn || (!changes->cut_due && changes->queue.first == NULL))
		return;
	turn = turn_new(changes);
	if (changes->cut_due) {
		changes->cut_due = false;
		turn->cut_revision = changes->checkpoint_revision;
		turn->cut_at = changes->cut_at;
	} else {
		turn->group = changes->queue.first;
		changes->queue = (struct queue){.last = &changes->queue.first};
	}
	if (turn->group == NULL || check_group(changes, turn->group)) {
		offload_run(changes->offload, turn_work, turn_done, turn);
		return;
	}
	/* All refused. Changes that the callbacks make have their turn in the next round. */
	report(changes, turn->group, NULL);
	free(turn);
	changes->in_turn = false;
	if (changes->queue.first != NULL)
		timer_set(changes->soon, 0);
}

static void
soon_fired(void *ctx)
{
	next_turn(ctx);
}

/* ---- checkpoints ---- */

static void
checkpoint_work(void *ctx)
{
	struct checkpoint_job *job = ctx;

	job->rc = checkpoint_write(job->dir, job->revision, job->journal_end, &job->why);
}

static void
checkpoint_done(void *ctx)
{
	struct checkpoint_job *job = ctx;
	struct changes *changes = job->changes;
	int64_t took_ms = loop_now_ms(changes->loop) - job->began_ms;
	uint64_t keep = changes->journal_end - job->journal_end;

	if (job->rc < 0) {
		log_event(changes->log, LOG_LEVEL_ERROR, 0, "routes-checkpoint-failed",
			  LOG_S("why", job->why.text));
		changes->checkpoint_rest_ms = changes->checkpoint_after_ms * CHECKPOINT_RETRY;
	} else {
		changes->checkpoint_revision = job->revision;
		changes->checkpoint_rest_ms = took_ms * CHECKPOINT_REST;
		changes->cut_due = keep <= CUT_KEEP_BYTES || keep <= job->journal_end;
		changes->cut_at = job->journal_end;
		log_event(changes->log, LOG_LEVEL_DEBUG, 0, "routes-checkpoint",
			  LOG_U("revision", job->revision), LOG_D("ms", took_ms));
	}
	changes->checkpointing = changes->cut_due;
	free(job->dir);
	free(job);
	if (!changes->closing)
		schedule_checkpoint(changes);
	next_turn(changes);
}

static void
begin_checkpoint(struct changes *changes)
{
	struct checkpoint_job *job = xcalloc(1, sizeof(*job));

	timer_cancel(changes->checkpoint);
	changes->checkpointing = true;
	job->changes = changes;
	job->dir = xstrdup(changes->dir);
	job->revision = changes->revision;
	job->journal_end = changes->journal_end;
	job->began_ms = loop_now_ms(changes->loop);
	offload_run(changes->offload, checkpoint_work, checkpoint_done, job);
}

static void
checkpoint_fired(void *ctx)
{
	struct changes *changes = ctx;

	if (!changes->checkpointing && changes->revision != changes->checkpoint_revision)
		begin_checkpoint(changes);
}

/* ---- the life of the whole ---- */

struct changes *
changes_open(const struct changes_options *options, struct error *why)
{
	struct changes *changes;
	struct restored restored;

	if (restore(options->state_dir, &restored, why) < 0)
		return NULL;
	changes = xcalloc(1, sizeof(*changes));
	changes->dir = xstrdup(options->state_dir);
	changes->loop = options->loop;
	changes->offload = options->offload;
	changes->log = options->log;
	changes->checkpoint_after_ms =
	    options->checkpoint_after_ms > 0 ? options->checkpoint_after_ms : CHECKPOINT_AFTER_MS;
	changes->table = restored.table;
	changes->journal = restored.journal;
	changes->revision = restored.revision;
	changes->next_id = restored.next_id;
	changes->journal_end = journal_end(restored.journal);
	changes->checkpoint_revision = restored.checkpoint_revision;
	changes->queue.last = &changes->queue.first;
	changes->soon = timer_new(changes->loop, soon_fired, changes);
	changes->checkpoint = timer_new(changes->loop, checkpoint_fired, changes);
	if (restored.torn > 0)
		log_event(changes->log, LOG_LEVEL_WARNING, 0, "routes-journal-cut",
			  LOG_S("dir", changes->dir), LOG_U("offset", restored.torn_at),
			  LOG_U("bytes", restored.torn),
			  LOG_S("why", "the last record is not whole; it was not acknowledged"));
	log_event(changes->log, LOG_LEVEL_INFO, 0, "routes-loaded",
		  LOG_U("routes", table_count(changes->table)),
		  LOG_U("revision", changes->revision),
		  LOG_U("checkpoint", changes->checkpoint_revision));
	schedule_checkpoint(changes);
	return changes;
}

void
changes_close(struct changes *changes)
{
	if (changes == NULL)
		return;
	changes->closing = true;
	/* Callbacks may bring further changes. */
	do {
		next_turn(changes);
		offload_finish(changes->offload);
	} while (changes->queue.first != NULL);
	if (changes->revision != changes->checkpoint_revision) {
		begin_checkpoint(changes);
		offload_finish(changes->offload);
	}
	timer_free(changes->soon);
	timer_free(changes->checkpoint);
	journal_free(changes->journal);
	table_free(changes->table);
	free(changes->dir);
	free(changes);
}

const struct table *
changes_table(const struct changes *changes)
{
	return changes->table;
}

uint64_t
changes_revision(const struct changes *changes)
{
	return changes->revision;
}
