/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/spool/store.h"

enum {
	DEFAULT_SEGMENT = 64 << 20,
	DEFAULT_INLINE = 256 << 10,
	DEFAULT_MEMORY = 32 << 20,
	/* An offset within a segment has 32 bits, and a batch may go beyond its end. */
	MOST_SEGMENT = 1 << 30,
	MOST_INLINE = 64 << 20,
	CLOSE_TRIES = 2
};

/* A number nobody can guess, another one for each segment (the finisher of SplitMix64). */
uint64_t
spool_mark(const struct spool *spool, uint64_t number)
{
	uint64_t mark = spool->seed + number * UINT64_C(0x9e3779b97f4a7c15);

	mark = (mark ^ mark >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	mark = (mark ^ mark >> 27) * UINT64_C(0x94d049bb133111eb);
	return mark ^ mark >> 31;
}

/* Make a directory if it is not there, durably. */
static int
make_dir(const char *path, struct error *why)
{
	char *copy = xstrdup(path);
	const char *parent;
	int fd = -1, rc = -1;

	if (mkdir(path, 0700) < 0) {
		if (errno == EEXIST)
			rc = 0;
		else
			error_sys(why, ERROR_STORAGE, "%s: can't make the directory", path);
		goto out;
	}
	parent = dirname(copy);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0) {
		error_sys(why, ERROR_STORAGE, "%s: can't sync the directory", parent);
		goto out;
	}
	rc = 0;
out:
	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "%s: can't close the directory", path);
	free(copy);
	return rc;
}

static int
open_dir(const char *path, struct error *why)
{
	int fd;

	if (make_dir(path, why) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "%s: can't open the directory", path);
	return fd;
}

/* One process at a time. The lock goes with the descriptor, so a killed process leaves none. */
static int
take_lock(struct spool *spool, struct error *why)
{
	char pid[32] = "";
	ssize_t len;
	int written;

	spool->lock_fd = openat(spool->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (spool->lock_fd < 0)
		return error_sys(why, ERROR_STORAGE, "%s/lock: can't open", spool->dir);
	if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_sys(why, ERROR_STORAGE, "%s/lock: can't lock", spool->dir);
		len = segment_read(spool->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[len > 0 ? len : 0] = '\0';
		pid[strspn(pid, "0123456789")] = '\0';
		return error_set(why, ERROR_CONFLICT, "%s: in use by process %s", spool->dir,
				 pid[0] == '\0' ? "(unknown)" : pid);
	}
	written = dprintf(spool->lock_fd, "%ld\n", (long)getpid());
	if (written < 0 || ftruncate(spool->lock_fd, written) < 0)
		return error_sys(why, ERROR_STORAGE, "%s/lock: can't write", spool->dir);
	return 0;
}

static void
close_fd(struct spool *spool, int fd, const char *what)
{
	if (fd >= 0 && close(fd) < 0)
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-close-failed", LOG_S("file", what),
			  LOG_S("why", strerror(errno)));
}

static void
spool_free(struct spool *spool)
{
	while (spool->kept.first != NULL)
		memory_forget(spool->kept.first);
	commit_clear(spool);
	segment_file_unref(spool, spool->head);
	chain_clear(&spool->chain);
	timer_free(spool->timer);
	timer_free(spool->cleaner.timer);
	close_fd(spool, spool->large_fd, "large");
	close_fd(spool, spool->dir_fd, spool->dir);
	close_fd(spool, spool->lock_fd, "lock");
	free(spool->dir);
	free(spool);
}

static uint64_t
within(uint64_t asked, uint64_t standard, uint64_t most)
{
	uint64_t value = asked == 0 ? standard : asked;

	return value < most ? value : most;
}

static int
open_all(struct spool *spool, struct error *why)
{
	char *large = xasprintf("%s/large", spool->dir);
	int rc = -1;

	if (getrandom(&spool->seed, sizeof(spool->seed), 0) != (ssize_t)sizeof(spool->seed)) {
		error_sys(why, ERROR_STORAGE, "no random numbers");
		goto out;
	}
	spool->dir_fd = open_dir(spool->dir, why);
	if (spool->dir_fd < 0 || take_lock(spool, why) < 0)
		goto out;
	spool->large_fd = open_dir(large, why);
	if (spool->large_fd < 0)
		goto out;
	rc = 0;
out:
	free(large);
	return rc;
}

struct spool *
spool_open(const struct spool_options *options, void (*found)(void *ctx, struct envelope *env),
	   void *ctx, struct error *why)
{
	struct spool *spool = xcalloc(1, sizeof(*spool));

	spool->dir = xstrdup(options->dir);
	spool->dir_fd = spool->large_fd = spool->lock_fd = -1;
	spool->segment_bytes = within(options->segment_bytes, DEFAULT_SEGMENT, MOST_SEGMENT);
	spool->inline_bytes = (size_t)within(options->inline_bytes, DEFAULT_INLINE, MOST_INLINE);
	spool->memory_bytes = options->memory_bytes == 0 ? DEFAULT_MEMORY : options->memory_bytes;
	spool->loop = options->loop;
	spool->offload = options->offload;
	spool->log = options->log;
	spool->timer = timer_new(spool->loop, commit_timer_fired, spool);
	spool->cleaner.timer = timer_new(spool->loop, cleaner_timer_fired, spool);
	if (open_all(spool, why) < 0 || recover_run(spool, found, ctx, why) < 0) {
		spool_free(spool);
		return NULL;
	}
	spool->sealed_id = spool->next_id;
	timer_set(spool->cleaner.timer, 0);
	return spool;
}

/* Everything that is pending goes to the disk, or has failed so often that it won't. */
static void
flush(struct spool *spool)
{
	int failures = 0;

	offload_finish(spool->offload);
	while ((spool->queue.first != NULL || spool->unsynced.first != NULL) &&
	       failures < CLOSE_TRIES) {
		spool->sync_due = true;
		commit_start(spool);
		offload_finish(spool->offload);
		failures += spool->failing;
	}
}

void
spool_close(struct spool *spool)
{
	struct spool_entry *seal;

	spool->closing = true;
	flush(spool);
	if (spool->queue.first != NULL) {
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-progress-lost",
			  LOG_S("dir", spool->dir),
			  LOG_S("why", "the disk fails; some recipients may get a second copy"));
	} else if (spool->head != NULL || spool->next_id != spool->sealed_id) {
		seal = entry_new(RECORD_SEAL, spool->next_id, NULL, 0);
		entry_list_add(&spool->queue, seal);
		flush(spool);
	}
	/* What was settled last may have given more to do. */
	offload_finish(spool->offload);
	spool_free(spool);
}

void
spool_progress(struct spool *spool, const struct envelope *env)
{
	/* The place is ours: see spool.h. */
	struct envelope *mine = env->place.segment->live[env->place.slot];
	struct strbuf progress = STRBUF_INIT;
	struct spool_entry *entry;

	if (mine->place.pending != NULL)
		commit_forget(mine->place.pending);
	envelope_encode_progress(env, &progress);
	entry = entry_new(RECORD_PROGRESS, env->id, progress.data, progress.len);
	strbuf_clear(&progress);
	entry->env = mine;
	mine->place.pending = entry;
	commit_queue(spool, entry);
}

void
spool_finish(struct spool *spool, const struct envelope *env)
{
	struct envelope *mine = env->place.segment->live[env->place.slot];
	struct spool_entry *entry = entry_new(RECORD_FINISH, env->id, NULL, 0);

	if (mine->place.pending != NULL)
		commit_forget(mine->place.pending);
	mine->place.pending = NULL;
	spool_forget_memory(spool, env);
	if (mine->place.large) {
		entry->record.flags = RECORD_LARGE;
		spool->large_bytes -= mine->size;
	}
	spool->counts.messages--;
	chain_detach(&spool->chain, mine);
	commit_queue(spool, entry);
	cleaner_look(spool);
}

bool
spool_is_in_memory(const struct spool *spool, const struct envelope *env)
{
	(void)spool;
	return env->place.memory != NULL;
}

void
spool_forget_memory(struct spool *spool, const struct envelope *env)
{
	struct envelope *mine = env->place.segment->live[env->place.slot];

	(void)spool;
	if (mine->place.memory == NULL)
		return;
	memory_forget(mine->place.memory);
	mine->place.memory = NULL;
}

void
spool_stats(const struct spool *spool, struct spool_stats *stats)
{
	*stats = spool->counts;
	stats->bytes_alive = spool->chain.alive_bytes + spool->large_bytes;
	stats->bytes_on_disk = spool->chain.bytes + spool->large_bytes;
	stats->segments = spool->chain.count;
}
