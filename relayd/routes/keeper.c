/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/keeper.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/routes/checkpoint.h"

enum {
	/* A checkpoint of many routes keeps the disk busy: at most this part of the time. */
	REST = 9,
	/* After one that failed, wait so many times longer. */
	RETRY = 30
};

struct keeper {
	struct keeper_options options;
	char *dir;
	struct timer *timer;
	bool busy; /* until what was made is settled */
	bool finishing;
	uint64_t revision; /* of the last checkpoint */
	int64_t rest_ms;
};

/* A thread works on what is in here, and reads the history. */
struct job {
	struct keeper *keeper;
	const char *dir;
	const struct history *history;
	uint64_t revision;
	uint64_t journal_end;
	int64_t began_ms;
	int rc;
	struct error why;
	struct history_growth *growth;
	int history_rc;
	struct error history_why;
};

static uint64_t
present_revision(const struct keeper *keeper)
{
	uint64_t revision, end;

	keeper->options.look(keeper->options.ctx, &revision, &end);
	return revision;
}

/* The history has nothing to do with the checkpoint, but for the cut that has to wait for both. */
static void
work(void *ctx)
{
	struct job *job = ctx;

	if (history_last(job->history) < job->revision) {
		job->growth = history_grow(job->history, job->journal_end, &job->history_why);
		job->history_rc = job->growth != NULL ? 0 : -1;
	}
	job->rc = checkpoint_write(job->dir, job->revision, job->journal_end, &job->why);
}

static void
done(void *ctx)
{
	struct job *job = ctx;
	struct keeper *keeper = job->keeper;
	struct log *log = keeper->options.log;
	int64_t took_ms = loop_now_ms(keeper->options.loop) - job->began_ms;
	struct keeper_result result = {.kept = job->rc == 0 && job->history_rc == 0,
				       .revision = job->revision,
				       .journal_end = job->journal_end,
				       .growth = job->growth};

	keeper->rest_ms = took_ms * REST;
	if (job->rc < 0)
		log_event(log, LOG_LEVEL_ERROR, 0, "routes-checkpoint-failed",
			  LOG_S("why", job->why.text));
	if (job->history_rc < 0)
		log_event(log, LOG_LEVEL_ERROR, 0, "routes-history-failed",
			  LOG_S("why", job->history_why.text));
	if (!result.kept)
		keeper->rest_ms = keeper->options.after_ms * RETRY;
	/* What the history has not got is tried again with another checkpoint. */
	if (result.kept) {
		keeper->revision = job->revision;
		log_event(log, LOG_LEVEL_DEBUG, 0, "routes-checkpoint",
			  LOG_U("revision", job->revision), LOG_D("ms", took_ms));
	}
	free(job);
	keeper->options.done(keeper->options.ctx, &result);
}

static void
begin(struct keeper *keeper)
{
	struct job *job = xcalloc(1, sizeof(*job));

	timer_cancel(keeper->timer);
	keeper->busy = true;
	job->keeper = keeper;
	job->dir = keeper->dir;
	job->history = keeper->options.history;
	keeper->options.look(keeper->options.ctx, &job->revision, &job->journal_end);
	job->began_ms = loop_now_ms(keeper->options.loop);
	offload_run_slowly(keeper->options.offload, work, done, job);
}

static void
fired(void *ctx)
{
	struct keeper *keeper = ctx;

	if (!keeper->busy && present_revision(keeper) != keeper->revision)
		begin(keeper);
}

struct keeper *
keeper_new(const struct keeper_options *options)
{
	struct keeper *keeper = xcalloc(1, sizeof(*keeper));

	keeper->options = *options;
	keeper->dir = xstrdup(options->dir);
	keeper->revision = options->checkpoint_revision;
	keeper->timer = timer_new(options->loop, fired, keeper);
	return keeper;
}

void
keeper_free(struct keeper *keeper)
{
	timer_free(keeper->timer);
	free(keeper->dir);
	free(keeper);
}

void
keeper_wake(struct keeper *keeper)
{
	int64_t after_ms = keeper->options.after_ms;

	if (keeper->busy || keeper->finishing || timer_is_set(keeper->timer) ||
	    present_revision(keeper) == keeper->revision)
		return;
	if (after_ms < keeper->rest_ms)
		after_ms = keeper->rest_ms;
	timer_set(keeper->timer, after_ms);
}

void
keeper_settled(struct keeper *keeper)
{
	keeper->busy = false;
	keeper_wake(keeper);
}

void
keeper_finish(struct keeper *keeper)
{
	keeper->finishing = true;
	if (!keeper->busy && present_revision(keeper) != keeper->revision)
		begin(keeper);
}
