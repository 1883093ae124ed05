/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"

struct job {
	void (*work)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
	struct job *next;
};

struct job_list {
	struct job *first;
	struct job *last;
};

struct offload {
	/* The loop's own. */
	struct watch *watch;
	pthread_t *threads;
	unsigned thread_count;
	size_t pending;
	struct job_list ready; /* worked, taken from `worked`, `done` not yet run */

	int wake; /* eventfd: `worked` has become non-empty */

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t given;
	pthread_cond_t given_slow; /* for the one slow thread */
	pthread_cond_t finished;
	struct job_list waiting;
	struct job_list waiting_slow;
	struct job_list worked;
	bool ending;
};

enum { SLOW_NICE = 10 };

static void
job_list_add(struct job_list *list, struct job *job)
{
	job->next = NULL;
	if (list->first == NULL)
		list->first = job;
	else
		list->last->next = job;
	list->last = job;
}

static struct job *
job_list_take(struct job_list *list)
{
	struct job *job = list->first;

	if (job != NULL)
		list->first = job->next;
	return job;
}

static void
offload_lock(struct offload *offload)
{
	if (pthread_mutex_lock(&offload->lock) != 0)
		fatal("offload: pthread_mutex_lock failed");
}

static void
offload_unlock(struct offload *offload)
{
	if (pthread_mutex_unlock(&offload->lock) != 0)
		fatal("offload: pthread_mutex_unlock failed");
}

/* A full counter (EAGAIN) wakes the loop as well. */
static void
offload_wake(struct offload *offload)
{
	uint64_t one = 1;

	while (write(offload->wake, &one, sizeof(one)) < 0) {
		if (errno == EAGAIN)
			return;
		if (errno != EINTR)
			fatal("offload: can't wake the loop");
	}
}

/* Work off the jobs of one list until the end. */
static void
offload_serve(struct offload *offload, struct job_list *waiting, pthread_cond_t *given)
{
	offload_lock(offload);
	for (;;) {
		struct job *job = job_list_take(waiting);
		bool first;

		if (job == NULL) {
			if (offload->ending)
				break;
			if (pthread_cond_wait(given, &offload->lock) != 0)
				fatal("offload: pthread_cond_wait failed");
			continue;
		}
		offload_unlock(offload);
		job->work(job->ctx);
		offload_lock(offload);
		first = offload->worked.first == NULL;
		job_list_add(&offload->worked, job);
		/* Later jobs of a batch are found by the wake-up of its first. Under the lock: the
		 * owner may free everything as soon as it has seen the last job. */
		if (first) {
			pthread_cond_signal(&offload->finished);
			offload_wake(offload);
		}
	}
	offload_unlock(offload);
}

static void *
offload_thread(void *arg)
{
	struct offload *offload = arg;

	offload_serve(offload, &offload->waiting, &offload->given);
	return NULL;
}

static void *
offload_slow_thread(void *arg)
{
	struct offload *offload = arg;

	/* Of this thread alone, on Linux. Without it the thread is only less polite. */
	(void)setpriority(PRIO_PROCESS, 0, SLOW_NICE);
	offload_serve(offload, &offload->waiting_slow, &offload->given_slow);
	return NULL;
}

/* Move what the threads have done behind what is ready. With `wait`, not empty-handed. */
static void
offload_collect(struct offload *offload, bool wait)
{
	struct job *job;

	offload_lock(offload);
	while (wait && offload->worked.first == NULL) {
		if (pthread_cond_wait(&offload->finished, &offload->lock) != 0)
			fatal("offload: pthread_cond_wait failed");
	}
	while ((job = job_list_take(&offload->worked)) != NULL)
		job_list_add(&offload->ready, job);
	offload_unlock(offload);
}

static void
offload_run_done(struct offload *offload)
{
	struct job *job = job_list_take(&offload->ready);

	offload->pending--;
	job->done(job->ctx);
	free(job);
}

static void
offload_woken(void *ctx, int what)
{
	struct offload *offload = ctx;
	uint64_t count;

	(void)what;
	/* EAGAIN: offload_finish took what this wake-up was for. */
	if (read(offload->wake, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		fatal("offload: can't read the wake-up");
	offload_collect(offload, false);
	/* `ready` is the object's, not this function's: a `done` may call offload_finish. */
	while (offload->ready.first != NULL)
		offload_run_done(offload);
}

static int
offload_start(struct offload *offload, unsigned threads, struct error *why)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return error_set(why, ERROR_BUG, "can't block signals for a thread");
	/* The slow one is the first. */
	while (rc == 0 && offload->thread_count < threads + 1) {
		rc = pthread_create(
		    &offload->threads[offload->thread_count], NULL,
		    offload->thread_count == 0 ? offload_slow_thread : offload_thread, offload);
		if (rc == 0)
			offload->thread_count++;
	}
	if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
		fatal("offload: can't restore the signal mask");
	if (rc != 0) {
		errno = rc;
		return error_sys(why, ERROR_BUG, "can't start a thread");
	}
	return 0;
}

struct offload *
offload_new(struct loop *loop, unsigned threads, struct error *why)
{
	struct offload *offload = xcalloc(1, sizeof(*offload));

	offload->threads = xcalloc(threads + 1, sizeof(*offload->threads));
	if (pthread_mutex_init(&offload->lock, NULL) != 0 ||
	    pthread_cond_init(&offload->given, NULL) != 0 ||
	    pthread_cond_init(&offload->given_slow, NULL) != 0 ||
	    pthread_cond_init(&offload->finished, NULL) != 0)
		fatal("offload: can't make a lock");
	offload->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (offload->wake < 0) {
		error_sys(why, ERROR_BUG, "can't make an eventfd");
		goto fail;
	}
	if (offload_start(offload, threads, why) < 0)
		goto fail;
	offload->watch = watch_new(loop, offload->wake, offload_woken, offload);
	watch_set(offload->watch, WATCH_READ);
	return offload;
fail:
	offload_free(offload);
	return NULL;
}

static void
offload_give(struct offload *offload, struct job_list *list, pthread_cond_t *given,
	     const struct job *model)
{
	struct job *job = xmalloc(sizeof(*job));

	*job = *model;
	offload->pending++;
	offload_lock(offload);
	job_list_add(list, job);
	pthread_cond_signal(given);
	offload_unlock(offload);
}

void
offload_run(struct offload *offload, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	offload_give(offload, &offload->waiting, &offload->given,
		     &(struct job){.work = work, .done = done, .ctx = ctx});
}

void
offload_run_slowly(struct offload *offload, void (*work)(void *ctx), void (*done)(void *ctx),
		   void *ctx)
{
	offload_give(offload, &offload->waiting_slow, &offload->given_slow,
		     &(struct job){.work = work, .done = done, .ctx = ctx});
}

size_t
offload_pending(const struct offload *offload)
{
	return offload->pending;
}

void
offload_finish(struct offload *offload)
{
	while (offload->pending > 0) {
		if (offload->ready.first == NULL)
			offload_collect(offload, true);
		offload_run_done(offload);
	}
}

void
offload_free(struct offload *offload)
{
	if (offload == NULL)
		return;
	offload_lock(offload);
	offload->ending = true;
	pthread_cond_broadcast(&offload->given);
	pthread_cond_signal(&offload->given_slow);
	offload_unlock(offload);
	for (unsigned i = 0; i < offload->thread_count; i++) {
		if (pthread_join(offload->threads[i], NULL) != 0)
			fatal("offload: can't join a thread");
	}
	watch_free(offload->watch);
	if (offload->wake >= 0 && close(offload->wake) < 0)
		fatal("offload: can't close the eventfd");
	pthread_cond_destroy(&offload->finished);
	pthread_cond_destroy(&offload->given);
	pthread_cond_destroy(&offload->given_slow);
	pthread_mutex_destroy(&offload->lock);
	free(offload->threads);
	free(offload);
}
