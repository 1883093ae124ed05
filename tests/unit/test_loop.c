/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/net/loop: timers (order, moving, cancelling, freeing in their own callback, never early),
 * deferred calls (first in first out, in the same pass, bounded so that descriptors get their
 * turn), watches, signals, the cached clock, orphans, and loop_run with loop_stop.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "relayd/net/loop.h"

struct trace {
	struct loop *loop;
	struct timer *timer;
	struct watch *watch;
	int fd;
	int calls;
	int limit;
	int seen[16];
	int64_t at_ms;
};

struct step {
	struct trace *trace;
	int number;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
until(struct loop *loop, const int *count, int wanted)
{
	int64_t end = now_ms() + 10000;

	while (*count < wanted && now_ms() < end)
		assert_int_equal(loop_once(loop, 100), 0);
	assert_int_equal(*count, wanted);
}

static int
setup(void **state)
{
	struct trace *t = calloc(1, sizeof(*t));

	t->loop = loop_new(NULL);
	*state = t;
	return t->loop == NULL;
}

static int
teardown(void **state)
{
	struct trace *t = *state;

	loop_free(t->loop);
	free(t);
	return 0;
}

static void
note(void *ctx)
{
	struct step *step = ctx;

	step->trace->seen[step->trace->calls++] = step->number;
}

static void
stamp(void *ctx)
{
	struct trace *t = ctx;

	t->calls++;
	t->at_ms = loop_now_ms(t->loop);
}

static void
timers_fire_in_order(void **state)
{
	struct trace *t = *state;
	struct step steps[3] = {{t, 1}, {t, 2}, {t, 3}};
	struct timer *timers[3];

	for (int i = 0; i < 3; i++)
		timers[i] = timer_new(t->loop, note, &steps[i]);
	timer_set(timers[0], 60);
	timer_set(timers[1], 0);
	timer_set(timers[2], 30);
	assert_int_equal(t->calls, 0); /* never inside the call that arms */
	until(t->loop, &t->calls, 3);
	assert_int_equal(t->seen[0], 2);
	assert_int_equal(t->seen[1], 3);
	assert_int_equal(t->seen[2], 1);
	for (int i = 0; i < 3; i++) {
		assert_false(timer_is_set(timers[i]));
		timer_free(timers[i]);
	}
}

static void
timer_moves_both_ways(void **state)
{
	struct trace *t = *state;
	int64_t begin = loop_now_ms(t->loop);

	t->timer = timer_new(t->loop, stamp, t);
	timer_set(t->timer, 20);
	timer_set(t->timer, 90); /* later: keeps the old event */
	until(t->loop, &t->calls, 1);
	assert_true(t->at_ms - begin >= 90);
	timer_set(t->timer, 60000);
	timer_set(t->timer, 10); /* earlier */
	begin = now_ms();
	until(t->loop, &t->calls, 2);
	assert_true(now_ms() - begin < 5000);
	timer_free(t->timer);
	timer_free(NULL);
}

static void
cancelled_timer_is_silent(void **state)
{
	struct trace *t = *state;
	struct trace other = {.loop = t->loop};
	struct timer *later = timer_new(t->loop, stamp, &other);

	t->timer = timer_new(t->loop, stamp, t);
	timer_set(t->timer, 10);
	assert_true(timer_is_set(t->timer));
	timer_cancel(t->timer);
	assert_false(timer_is_set(t->timer));
	timer_set(later, 60);
	until(t->loop, &other.calls, 1);
	assert_int_equal(t->calls, 0);
	/* cancelled and set again while the old event is still armed */
	timer_set(t->timer, 40);
	timer_cancel(t->timer);
	timer_set(t->timer, 20);
	until(t->loop, &t->calls, 1);
	timer_set(later, 60);
	until(t->loop, &other.calls, 2);
	assert_int_equal(t->calls, 1);
	timer_free(t->timer);
	timer_free(later);
}

static void
free_own_timer(void *ctx)
{
	struct trace *t = ctx;

	t->calls++;
	timer_free(t->timer);
}

static void
set_own_timer(void *ctx)
{
	struct trace *t = ctx;

	if (++t->calls < t->limit)
		timer_set(t->timer, 0);
}

static void
timer_frees_and_sets_itself(void **state)
{
	struct trace *t = *state;

	t->timer = timer_new(t->loop, free_own_timer, t);
	timer_set(t->timer, 1);
	until(t->loop, &t->calls, 1);
	t->calls = 0;
	t->limit = 5;
	t->timer = timer_new(t->loop, set_own_timer, t);
	timer_set(t->timer, 0);
	until(t->loop, &t->calls, 5);
	timer_free(t->timer);
}

static void
defer_more(void *ctx)
{
	struct step *step = ctx;

	note(step);
	if (step->number == 1) {
		static struct step added[2];

		added[0] = (struct step){step->trace, 10};
		added[1] = (struct step){step->trace, 11};
		loop_defer(step->trace->loop, note, &added[0]);
		loop_defer(step->trace->loop, note, &added[1]);
	}
}

static void
deferred_run_in_order_in_one_pass(void **state)
{
	struct trace *t = *state;
	struct step steps[3] = {{t, 1}, {t, 2}, {t, 3}};
	const int wanted[5] = {1, 2, 3, 10, 11};

	for (int i = 0; i < 3; i++)
		loop_defer(t->loop, defer_more, &steps[i]);
	assert_int_equal(t->calls, 0);
	assert_int_equal(loop_once(t->loop, 60000), 0); /* does not wait */
	assert_int_equal(t->calls, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(t->seen[i], wanted[i]);
}

struct count {
	struct loop *loop;
	size_t next;
	bool ordered;
};

struct counted {
	struct count *count;
	size_t number;
};

static void
count_up(void *ctx)
{
	struct counted *item = ctx;

	if (item->number != item->count->next)
		item->count->ordered = false;
	item->count->next++;
}

static void
many_deferred_keep_their_order(void **state)
{
	struct trace *t = *state;
	struct count count = {.loop = t->loop, .ordered = true};
	struct counted *items = calloc(5000, sizeof(*items));

	/* in two parts, so that the ring wraps before it grows */
	for (size_t i = 0; i < 5000; i++) {
		items[i] = (struct counted){&count, i};
		loop_defer(t->loop, count_up, &items[i]);
		if (i == 40)
			loop_once(t->loop, 0);
	}
	assert_int_equal(loop_once(t->loop, 0), 0);
	assert_int_equal(count.next, 5000);
	assert_true(count.ordered);
	free(items);
}

static void
defer_forever(void *ctx)
{
	struct trace *t = ctx;

	if (t->limit != 0)
		loop_defer(t->loop, defer_forever, t);
}

static void
read_byte(void *ctx, int what)
{
	struct trace *t = ctx;
	char byte;

	assert_int_equal(what, WATCH_READ);
	assert_int_equal(read(t->fd, &byte, 1), 1);
	t->calls++;
}

static void
endless_deferral_starves_nobody(void **state)
{
	struct trace *t = *state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	t->fd = fds[0];
	t->limit = 1;
	t->watch = watch_new(t->loop, fds[0], read_byte, t);
	watch_set(t->watch, WATCH_READ);
	loop_defer(t->loop, defer_forever, t);
	assert_int_equal(write(fds[1], "x", 1), 1);
	until(t->loop, &t->calls, 1);
	t->limit = 0;
	watch_free(t->watch);
	close(fds[0]);
	close(fds[1]);
}

static void
free_own_watch(void *ctx, int what)
{
	struct trace *t = ctx;

	assert_int_equal(what, WATCH_WRITE);
	t->calls++;
	watch_free(t->watch);
}

static void
watch_is_level_triggered(void **state)
{
	struct trace *t = *state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	t->fd = fds[0];
	t->watch = watch_new(t->loop, fds[0], read_byte, t);
	assert_int_equal(write(fds[1], "xyz", 3), 3);
	assert_int_equal(loop_once(t->loop, 20), 0);
	assert_int_equal(t->calls, 0); /* not enabled yet */
	watch_set(t->watch, WATCH_READ);
	until(t->loop, &t->calls, 2);
	watch_set(t->watch, 0);
	assert_int_equal(loop_once(t->loop, 20), 0);
	assert_int_equal(t->calls, 2);
	watch_set(t->watch, WATCH_READ | WATCH_WRITE);
	watch_set(t->watch, WATCH_READ);
	until(t->loop, &t->calls, 3);
	watch_free(t->watch);

	t->calls = 0;
	t->watch = watch_new(t->loop, fds[1], free_own_watch, t);
	watch_set(t->watch, WATCH_WRITE);
	until(t->loop, &t->calls, 1);
	close(fds[0]);
	close(fds[1]);
}

static void
signals_arrive_on_the_loop(void **state)
{
	struct trace *t = *state;

	assert_int_equal(loop_on_signal(t->loop, SIGUSR1, stamp, t), 0);
	raise(SIGUSR1);
	assert_int_equal(t->calls, 0);
	until(t->loop, &t->calls, 1);
	raise(SIGUSR1);
	until(t->loop, &t->calls, 2);
}

static void
compare_clock(void *ctx)
{
	struct trace *t = ctx;
	int64_t first = loop_now_ms(t->loop), wall = loop_wall_ms(t->loop);
	int64_t end = now_ms() + 30;

	while (now_ms() < end)
		;
	assert_int_equal(loop_now_ms(t->loop), first);
	assert_int_equal(loop_wall_ms(t->loop), wall);
	t->at_ms = first;
	t->calls++;
}

static void
clock_is_cached_for_a_round(void **state)
{
	struct trace *t = *state;
	int64_t first, end;

	loop_defer(t->loop, compare_clock, t);
	until(t->loop, &t->calls, 1);
	loop_defer(t->loop, compare_clock, t);
	first = t->at_ms;
	until(t->loop, &t->calls, 2);
	assert_true(t->at_ms >= first + 20);
	/* outside a round it is always fresh */
	first = loop_now_ms(t->loop);
	end = now_ms() + 30;
	while (now_ms() < end)
		;
	assert_true(loop_now_ms(t->loop) >= first + 20);
	assert_true(llabs(loop_wall_ms(t->loop) - (int64_t)time(NULL) * 1000) < 5000);
}

static void
stop_loop(void *ctx)
{
	struct trace *t = ctx;

	t->calls++;
	loop_stop(t->loop);
}

static void
runs_until_stopped(void **state)
{
	struct trace *t = *state;
	struct error why;

	t->timer = timer_new(t->loop, stop_loop, t);
	timer_set(t->timer, 5);
	assert_int_equal(loop_run(t->loop, &why), 0);
	assert_int_equal(t->calls, 1);
	/* again, from a deferred call; and before it runs */
	loop_defer(t->loop, stop_loop, t);
	assert_int_equal(loop_run(t->loop, &why), 0);
	assert_int_equal(t->calls, 2);
	loop_stop(t->loop);
	assert_int_equal(loop_run(t->loop, &why), 0);
	timer_free(t->timer);
}

static void
waits_no_longer_than_told(void **state)
{
	struct trace *t = *state;
	int64_t begin = now_ms();

	assert_int_equal(loop_once(t->loop, 50), 0);
	assert_true(now_ms() - begin >= 40);
	begin = now_ms();
	assert_int_equal(loop_once(t->loop, 0), 0);
	assert_true(now_ms() - begin < 5000);
}

static void
discard(void *ctx)
{
	((struct trace *)ctx)->calls++;
}

static void
free_runs_what_is_left(void **state)
{
	struct trace t = {0};
	struct loop_orphan orphans[3] = {
	    {discard, &t, NULL, NULL}, {discard, &t, NULL, NULL}, {discard, &t, NULL, NULL}};

	(void)state;
	t.loop = loop_new(NULL);
	for (int i = 0; i < 3; i++)
		loop_adopt(t.loop, &orphans[i]);
	loop_orphan_remove(&orphans[1]);
	loop_orphan_remove(&orphans[1]);
	loop_defer(t.loop, discard, &t);
	loop_free(t.loop);
	loop_free(NULL);
	assert_int_equal(t.calls, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(timers_fire_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(timer_moves_both_ways, setup, teardown),
	    cmocka_unit_test_setup_teardown(cancelled_timer_is_silent, setup, teardown),
	    cmocka_unit_test_setup_teardown(timer_frees_and_sets_itself, setup, teardown),
	    cmocka_unit_test_setup_teardown(deferred_run_in_order_in_one_pass, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_deferred_keep_their_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(endless_deferral_starves_nobody, setup, teardown),
	    cmocka_unit_test_setup_teardown(watch_is_level_triggered, setup, teardown),
	    cmocka_unit_test_setup_teardown(signals_arrive_on_the_loop, setup, teardown),
	    cmocka_unit_test_setup_teardown(clock_is_cached_for_a_round, setup, teardown),
	    cmocka_unit_test_setup_teardown(runs_until_stopped, setup, teardown),
	    cmocka_unit_test_setup_teardown(waits_no_longer_than_told, setup, teardown),
	    cmocka_unit_test(free_runs_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
