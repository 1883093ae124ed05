/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A message while it arrives. A small body stays in memory until the commit. One that outgrows
 * inline_bytes goes to large/ID, by jobs that run one after the other: what comes in while one
 * writes is collected for the next. At the commit the file is synced, closed, and its directory
 * synced; only then is the record queued: a record on disk never names a body that may be lost.
 *
 * Every end of a draft that has a file is a job, so that nobody is called back from inside his own
 * call.
 */
#include "relayd/spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/spool/crc32c.h"

enum {
	PIECE = 128 << 10,  /* worth a job */
	BEHIND = 1 << 20,   /* more than this waits for the disk: the draft is behind */
	RELIEF = BEHIND / 2 /* and so little is relief */
};

enum draft_job {
	JOB_WRITE,  /* what was collected */
	JOB_COMMIT, /* the same, then sync and close */
	JOB_DISCARD /* close and unlink */
};

struct spool_draft {
	struct spool *spool;
	uint64_t id;
	struct strbuf bytes; /* the body; once spilled: what waits for the next job */
	uint64_t size;
	uint32_t crc;
	bool spilled; /* it has a file, or will have */
	bool aborted;
	struct error failed; /* code ERROR_NONE: not yet */
	void (*relieved)(void *ctx);
	void *relieved_ctx;

	struct envelope *env; /* committed; NULL: not yet */
	void (*done)(void *ctx, const struct error *why);
	void *ctx;

	/* the job's, while it runs */
	bool running;
	enum draft_job job;
	int large_fd;
	int fd; /* -1: not open */
	struct strbuf writing;
	uint64_t written;
	int sys;
};

struct spool_draft *
spool_begin(struct spool *spool)
{
	struct spool_draft *draft = xcalloc(1, sizeof(*draft));

	draft->spool = spool;
	draft->id = spool->next_id++;
	draft->large_fd = spool->large_fd;
	draft->fd = -1;
	return draft;
}

uint64_t
spool_draft_id(const struct spool_draft *draft)
{
	return draft->id;
}

static void
draft_free(struct spool_draft *draft)
{
	strbuf_clear(&draft->bytes);
	strbuf_clear(&draft->writing);
	free(draft);
}

/* ---- the job ---- */

static int
job_write(struct spool_draft *draft)
{
	char name[LARGE_NAME];
	struct iovec iov = {.iov_base = draft->writing.data, .iov_len = draft->writing.len};

	if (draft->fd < 0) {
		large_name(name, draft->id);
		draft->fd =
		    openat(draft->large_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (draft->fd < 0)
			return -1;
	}
	if (segment_write(draft->fd, &iov, 1, draft->written) < 0)
		return -1;
	draft->written += draft->writing.len;
	return 0;
}

static int
job_sync(struct spool_draft *draft)
{
	int fd = draft->fd;

	if (fdatasync(fd) < 0)
		return -1;
	draft->fd = -1;
	if (close(fd) < 0)
		return -1;
	return fsync(draft->large_fd);
}

static int
job_discard(struct spool_draft *draft)
{
	char name[LARGE_NAME];

	if (draft->fd >= 0)
		(void)close(draft->fd); /* nobody wants what was in it */
	draft->fd = -1;
	large_name(name, draft->id);
	if (unlinkat(draft->large_fd, name, 0) < 0 && errno != ENOENT)
		return -1;
	return 0;
}

static void
draft_work(void *ctx)
{
	struct spool_draft *draft = ctx;
	int rc;

	if (draft->job == JOB_DISCARD)
		rc = job_discard(draft);
	else
		rc = job_write(draft);
	if (rc == 0 && draft->job == JOB_COMMIT)
		rc = job_sync(draft);
	draft->sys = rc < 0 ? errno : 0;
}

/* ---- on the loop ---- */

static void
queue_message(struct spool_draft *draft)
{
	struct strbuf fixed = STRBUF_INIT;
	struct spool_entry *entry;

	envelope_encode_fixed(draft->env, &fixed);
	entry = entry_new(RECORD_MESSAGE, draft->id, fixed.data, fixed.len);
	strbuf_clear(&fixed);
	entry->record.body_len = draft->size;
	entry->record.body_crc = draft->crc;
	if (draft->spilled)
		entry->record.flags = RECORD_LARGE;
	else
		entry->body = memory_new(&draft->bytes);
	entry->env = draft->env;
	entry->done = draft->done;
	entry->ctx = draft->ctx;
	commit_queue(draft->spool, entry);
	draft_free(draft);
}

static void draft_done(void *ctx);

static void
draft_run(struct spool_draft *draft, enum draft_job job)
{
	struct strbuf empty = draft->writing;

	if (job != JOB_DISCARD) {
		strbuf_reset(&empty);
		draft->writing = draft->bytes;
		draft->bytes = empty;
	}
	draft->job = job;
	draft->running = true;
	offload_run(draft->spool->offload, draft_work, draft_done, draft);
}

/* The file is gone: say so to whom it concerns. */
static void
discarded(struct spool_draft *draft)
{
	void (*done)(void *, const struct error *) = draft->done;
	void *done_ctx = draft->ctx;
	struct error why = draft->failed;

	if (draft->sys != 0) /* an orphan: goes at the next start */
		log_event(draft->spool->log, LOG_LEVEL_ERROR, draft->id, "spool-unlink-failed",
			  LOG_S("why", strerror(draft->sys)));
	if (draft->env != NULL)
		draft->spool->counts.failures++;
	draft_free(draft);
	if (done != NULL)
		done(done_ctx, &why);
}

static void
relieve(struct spool_draft *draft)
{
	void (*relieved)(void *) = draft->relieved;

	if (relieved == NULL || (draft->bytes.len > RELIEF && draft->failed.code == ERROR_NONE))
		return;
	draft->relieved = NULL;
	relieved(draft->relieved_ctx); /* may write, commit or abort */
}

static void
draft_done(void *ctx)
{
	struct spool_draft *draft = ctx;

	draft->running = false;
	if (draft->job == JOB_DISCARD) {
		discarded(draft);
		return;
	}
	if (draft->sys != 0) {
		errno = draft->sys;
		error_sys(&draft->failed, ERROR_STORAGE, "%s/large: can't write a body",
			  draft->spool->dir);
		log_event(draft->spool->log, LOG_LEVEL_ERROR, draft->id, "spool-body-failed",
			  LOG_S("why", strerror(draft->sys)));
	}
	if (draft->aborted || (draft->failed.code != ERROR_NONE && draft->env != NULL)) {
		draft_run(draft, JOB_DISCARD);
	} else if (draft->job == JOB_COMMIT) {
		queue_message(draft);
	} else if (draft->env != NULL) {
		draft_run(draft, JOB_COMMIT);
	} else {
		if (draft->bytes.len >= PIECE && draft->failed.code == ERROR_NONE)
			draft_run(draft, JOB_WRITE);
		relieve(draft);
	}
}

int
spool_write(struct spool_draft *draft, const void *bytes, size_t len, struct error *why)
{
	if (draft->failed.code != ERROR_NONE) {
		if (why != NULL)
			*why = draft->failed;
		return -1;
	}
	strbuf_append(&draft->bytes, bytes, len);
	draft->crc = crc32c(draft->crc, bytes, len);
	draft->size += len;
	if (!draft->spilled && draft->size > draft->spool->inline_bytes)
		draft->spilled = true;
	if (draft->spilled && !draft->running && draft->bytes.len >= PIECE)
		draft_run(draft, JOB_WRITE);
	return 0;
}

bool
spool_draft_is_behind(const struct spool_draft *draft)
{
	return draft->spilled && draft->running && draft->bytes.len > BEHIND;
}

void
spool_draft_on_relief(struct spool_draft *draft, void (*relieved)(void *ctx), void *ctx)
{
	draft->relieved = relieved;
	draft->relieved_ctx = ctx;
}

void
spool_abort(struct spool_draft *draft)
{
	draft->aborted = true;
	draft->relieved = NULL;
	if (draft->running)
		return;
	if (draft->spilled)
		draft_run(draft, JOB_DISCARD);
	else
		draft_free(draft);
}

void
spool_commit(struct spool_draft *draft, struct envelope *env,
	     void (*done)(void *ctx, const struct error *why), void *ctx)
{
	/* Such a record would be damage at the next start. */
	if (env->sender == NULL || env->recipient_count == 0)
		fatal("spool_commit: an envelope without sender or recipient");
	draft->env = env;
	draft->done = done;
	draft->ctx = ctx;
	draft->relieved = NULL;
	env->id = draft->id;
	env->size = draft->size;
	env->place = (struct spool_place){0};
	if (!draft->spilled)
		queue_message(draft);
	else if (!draft->running)
		draft_run(draft, draft->failed.code != ERROR_NONE ? JOB_DISCARD : JOB_COMMIT);
}
