/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/net/offload: work runs elsewhere and done on the loop, jobs start in order, signals stay
 * out of the threads, finish waits for jobs that jobs gave, also from inside a `done`, slow jobs
 * are in nobody's way.
 */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "relayd/net/loop.h"
#include "relayd/net/offload.h"

struct fixture {
	struct loop *loop;
	struct offload *offload;
	pthread_t owner;
	int done;
	int started; /* by a single thread: no lock needed */
	sem_t gate;
};

struct job_ctx {
	struct fixture *f;
	int number;
	int result;
	int children;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
until(struct fixture *f, int wanted)
{
	int64_t end = now_ms() + 20000;

	while (f->done < wanted && now_ms() < end)
		assert_int_equal(loop_once(f->loop, 100), 0);
	assert_int_equal(f->done, wanted);
}

static struct fixture *
fixture_new(unsigned threads)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error why;

	f->loop = loop_new(&why);
	f->owner = pthread_self();
	sem_init(&f->gate, 0, 0);
	f->offload = offload_new(f->loop, threads, &why);
	assert_non_null(f->offload);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	assert_int_equal(offload_pending(f->offload), 0);
	offload_free(f->offload);
	loop_free(f->loop);
	sem_destroy(&f->gate);
	free(f);
}

static void
work_square(void *ctx)
{
	struct job_ctx *job = ctx;

	if (!pthread_equal(pthread_self(), job->f->owner))
		job->result = job->number * job->number;
}

static void
done_count(void *ctx)
{
	struct job_ctx *job = ctx;

	assert_true(pthread_equal(pthread_self(), job->f->owner));
	assert_int_equal(job->result, job->number * job->number);
	job->f->done++;
}

static void
many_jobs_come_back(void **state)
{
	enum { JOBS = 20000 };
	struct fixture *f = fixture_new(4);
	struct job_ctx *jobs = calloc(JOBS, sizeof(*jobs));

	(void)state;
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job_ctx){.f = f, .number = i + 1};
		offload_run(f->offload, work_square, done_count, &jobs[i]);
		if (i % 1000 == 0)
			loop_once(f->loop, 0);
	}
	assert_int_equal(offload_pending(f->offload) + (size_t)f->done, JOBS);
	until(f, JOBS);
	fixture_free(f);
	free(jobs);
}

static void
work_in_order(void *ctx)
{
	struct job_ctx *job = ctx;

	job->result = job->f->started++ == job->number;
}

static void
done_in_order(void *ctx)
{
	struct job_ctx *job = ctx;

	assert_true(job->result);
	assert_int_equal(job->f->done, job->number);
	job->f->done++;
}

static void
one_thread_keeps_the_order(void **state)
{
	struct fixture *f = fixture_new(1);
	struct job_ctx jobs[100];

	(void)state;
	for (int i = 0; i < 100; i++) {
		jobs[i] = (struct job_ctx){.f = f, .number = i};
		offload_run(f->offload, work_in_order, done_in_order, &jobs[i]);
	}
	until(f, 100);
	fixture_free(f);
}

static void
work_wait(void *ctx)
{
	struct job_ctx *job = ctx;

	while (sem_wait(&job->f->gate) != 0)
		;
	job->result = job->number * job->number;
}

static void
loop_goes_on_meanwhile(void **state)
{
	struct fixture *f = fixture_new(2);
	struct job_ctx slow[2] = {{.f = f, .number = 1}, {.f = f, .number = 2}};

	(void)state;
	/* both threads are busy at once, the loop is not */
	offload_run(f->offload, work_wait, done_count, &slow[0]);
	offload_run(f->offload, work_wait, done_count, &slow[1]);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_once(f->loop, 1), 0);
	assert_int_equal(offload_pending(f->offload), 2);
	assert_int_equal(f->done, 0);
	sem_post(&f->gate);
	until(f, 1);
	sem_post(&f->gate);
	until(f, 2);
	fixture_free(f);
}

static void
done_with_children(void *ctx)
{
	struct job_ctx *job = ctx;

	done_count(job);
	if (job->children-- > 0)
		offload_run(job->f->offload, work_square, done_with_children, job);
}

static void
finish_waits_for_children(void **state)
{
	struct fixture *f = fixture_new(3);
	struct job_ctx jobs[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		jobs[i] = (struct job_ctx){.f = f, .number = i + 2, .children = 5};
		offload_run(f->offload, work_square, done_with_children, &jobs[i]);
	}
	offload_finish(f->offload);
	assert_int_equal(f->done, 8 * 6);
	offload_finish(f->offload);                  /* nothing left */
	assert_int_equal(loop_once(f->loop, 10), 0); /* the wake-up that is left over is harmless */
	assert_int_equal(f->done, 8 * 6);
	fixture_free(f);
}

static void
done_finishes_all(void *ctx)
{
	struct job_ctx *job = ctx;

	done_count(job);
	offload_finish(job->f->offload);
	assert_int_equal(job->f->done, 50);
}

static void
finish_from_inside_done(void **state)
{
	struct fixture *f = fixture_new(2);
	struct job_ctx jobs[50];

	(void)state;
	for (int i = 0; i < 50; i++) {
		jobs[i] = (struct job_ctx){.f = f, .number = i + 1};
		offload_run(f->offload, work_square, i == 0 ? done_finishes_all : done_count,
			    &jobs[i]);
	}
	until(f, 50);
	fixture_free(f);
}

static void
work_signals(void *ctx)
{
	struct job_ctx *job = ctx;
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	job->result = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1;
}

static void
done_signals(void *ctx)
{
	struct job_ctx *job = ctx;
	sigset_t mask;

	assert_true(job->result);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGTERM), 0);
	job->f->done++;
}

static void
signals_are_blocked_in_threads(void **state)
{
	struct fixture *f = fixture_new(1);
	struct job_ctx job = {.f = f};

	(void)state;
	offload_run(f->offload, work_signals, done_signals, &job);
	until(f, 1);
	fixture_free(f);
}

static void
work_slowly(void *ctx)
{
	struct job_ctx *job = ctx;

	job->result = getpriority(PRIO_PROCESS, 0);
	sem_wait(&job->f->gate);
}

static void
done_slowly(void *ctx)
{
	struct job_ctx *job = ctx;

	job->f->done++;
}

/* With the only thread for others free: they pass by, and the slow ones keep their order. */
static void
slow_jobs_hold_nobody_up(void **state)
{
	struct fixture *f = fixture_new(1);
	struct job_ctx slow[2] = {{.f = f}, {.f = f}}, quick[10];

	(void)state;
	offload_run_slowly(f->offload, work_slowly, done_slowly, &slow[0]);
	offload_run_slowly(f->offload, work_slowly, done_slowly, &slow[1]);
	for (int i = 0; i < 10; i++) {
		quick[i] = (struct job_ctx){.f = f, .number = i + 1};
		offload_run(f->offload, work_square, done_count, &quick[i]);
	}
	until(f, 10);
	assert_int_equal(offload_pending(f->offload), 2);
	assert_int_equal(slow[1].result, 0);
	sem_post(&f->gate);
	until(f, 11);
	sem_post(&f->gate);
	offload_finish(f->offload);
	assert_int_equal(f->done, 12);
	assert_true(slow[0].result > getpriority(PRIO_PROCESS, 0));
	assert_int_equal(slow[0].result, slow[1].result);
	fixture_free(f);
}

static void
free_without_work(void **state)
{
	(void)state;
	fixture_free(fixture_new(4));
	offload_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_jobs_come_back),
	    cmocka_unit_test(one_thread_keeps_the_order),
	    cmocka_unit_test(loop_goes_on_meanwhile),
	    cmocka_unit_test(finish_waits_for_children),
	    cmocka_unit_test(finish_from_inside_done),
	    cmocka_unit_test(signals_are_blocked_in_threads),
	    cmocka_unit_test(slow_jobs_hold_nobody_up),
	    cmocka_unit_test(free_without_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
