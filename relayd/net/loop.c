/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/loop.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/log.h"
#include "common/xalloc.h"

enum {
	/* So many items deferred by deferred items run in one pass; then descriptors have their
	   turn. */
	DEFER_EXTRA = 256,
	DEFER_ROOM = 64 /* a power of two, as every later size of the ring */
};

struct deferred {
	void (*run)(void *ctx);
	void *ctx;
};

/* Apart from the loop, so that asking a const loop for the time may fill the cache. */
struct loop_clock {
	bool in_round; /* outside a round nothing is cached: start-up may take seconds */
	bool known;
	int64_t monotonic_ms;
	int64_t wall_ms;
};

struct loop_signal {
	struct event event;
	void (*caught)(void *ctx);
	void *ctx;
	struct loop_signal *next;
};

struct loop {
	struct event_base *base;
	struct loop_clock *clock;
	struct deferred *deferred; /* a ring */
	size_t deferred_first;
	size_t deferred_count;
	size_t deferred_room;
	struct event wake; /* ends the wait of loop_once */
	struct loop_signal *signals;
	struct loop_orphan *orphans;
	char *scratch;
	bool stop;
};

struct timer {
	struct event event;
	struct loop *loop;
	void (*fired)(void *ctx);
	void *ctx;
	int64_t target_ms; /* when to fire, if set */
	int64_t armed_ms;  /* when the event will wake us, if armed: never after the target */
	bool set;
	bool armed;
};

struct watch {
	struct event event;
	struct loop *loop;
	int fd;
	int what;
	void (*ready)(void *ctx, int what);
	void *ctx;
};

static void
loop_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

struct loop *
loop_new(struct error *why)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));

	loop->base = event_base_new();
	if (loop->base == NULL) {
		error_sys(why, ERROR_BUG, "can't make an event loop");
		free(loop);
		return NULL;
	}
	loop->clock = xcalloc(1, sizeof(*loop->clock));
	loop->deferred_room = DEFER_ROOM;
	loop->deferred = xreallocarray(NULL, DEFER_ROOM, sizeof(*loop->deferred));
	if (event_assign(&loop->wake, loop->base, -1, 0, loop_wake, loop) < 0)
		fatal("event_assign failed");
	return loop;
}

/* The oldest item leaves the ring before it runs: it may defer others, and the ring may move. */
static void
loop_run_first(struct loop *loop)
{
	struct deferred item = loop->deferred[loop->deferred_first];

	loop->deferred_first = (loop->deferred_first + 1) & (loop->deferred_room - 1);
	loop->deferred_count--;
	item.run(item.ctx);
}

static void
loop_run_deferred(struct loop *loop)
{
	size_t left = loop->deferred_count + DEFER_EXTRA;

	while (loop->deferred_count > 0 && left-- > 0)
		loop_run_first(loop);
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	while (loop->orphans != NULL) {
		struct loop_orphan *orphan = loop->orphans;

		loop_orphan_remove(orphan);
		orphan->discard(orphan->ctx);
	}
	while (loop->deferred_count > 0)
		loop_run_first(loop);
	while (loop->signals != NULL) {
		struct loop_signal *caught = loop->signals;

		loop->signals = caught->next;
		event_del(&caught->event);
		free(caught);
	}
	event_del(&loop->wake);
	event_base_free(loop->base);
	free(loop->deferred);
	free(loop->scratch);
	free(loop->clock);
	free(loop);
}

/* Wait (unless something is deferred), serve every descriptor and timer that is due, then run what
 * was deferred meanwhile. */
static int
loop_round(struct loop *loop, bool wait)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	int rc;

	if (!wait || loop->deferred_count > 0)
		flags |= EVLOOP_NONBLOCK;
	loop->clock->in_round = true;
	loop->clock->known = false;
	rc = event_base_loop(loop->base, flags);
	loop_run_deferred(loop);
	loop->clock->in_round = false;
	return rc < 0 ? -1 : 0;
}

int
loop_run(struct loop *loop, struct error *why)
{
	while (!loop->stop) {
		if (loop_round(loop, true) < 0)
			return error_sys(why, ERROR_BUG, "the kernel's event interface failed");
	}
	loop->stop = false;
	return 0;
}

void
loop_stop(struct loop *loop)
{
	loop->stop = true;
}

static struct timeval
timeval_of_ms(int64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	return tv;
}

int
loop_once(struct loop *loop, int64_t wait_ms)
{
	struct timeval tv = timeval_of_ms(wait_ms > 0 ? wait_ms : 0);
	int rc;

	if (wait_ms <= 0)
		return loop_round(loop, false);
	if (event_add(&loop->wake, &tv) < 0)
		return -1;
	rc = loop_round(loop, true);
	event_del(&loop->wake);
	return rc;
}

static int64_t
clock_ms(clockid_t which)
{
	struct timespec ts;

	if (clock_gettime(which, &ts) < 0)
		fatal("clock_gettime failed");
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The coarse monotonic clock is the one that libevent keeps its timers by. */
static const struct loop_clock *
loop_clock_read(const struct loop *loop)
{
	struct loop_clock *now = loop->clock;

	if (!now->in_round || !now->known) {
		now->monotonic_ms = clock_ms(CLOCK_MONOTONIC_COARSE);
		now->wall_ms = clock_ms(CLOCK_REALTIME_COARSE);
		now->known = true;
	}
	return now;
}

int64_t
loop_now_ms(const struct loop *loop)
{
	return loop_clock_read(loop)->monotonic_ms;
}

int64_t
loop_wall_ms(const struct loop *loop)
{
	return loop_clock_read(loop)->wall_ms;
}

static void
timer_arm(struct timer *timer, int64_t after_ms)
{
	struct timeval tv = timeval_of_ms(after_ms);

	if (event_add(&timer->event, &tv) < 0)
		fatal("event_add failed for a timer");
	timer->armed_ms = timer->target_ms;
	timer->armed = true;
}

/* A timer that was moved to a later time or cancelled keeps its old event: sessions move their
 * deadline with every command, and only those that are silent until the event pay for another. */
static void
timer_due(evutil_socket_t fd, short what, void *arg)
{
	struct timer *timer = arg;
	int64_t now;

	(void)fd;
	(void)what;
	timer->armed = false;
	if (!timer->set)
		return;
	now = loop_now_ms(timer->loop);
	if (now < timer->target_ms) {
		timer_arm(timer, timer->target_ms - now);
		return;
	}
	timer->set = false;
	timer->fired(timer->ctx); /* may free the timer */
}

struct timer *
timer_new(struct loop *loop, void (*fired)(void *ctx), void *ctx)
{
	struct timer *timer = xcalloc(1, sizeof(*timer));

	timer->loop = loop;
	timer->fired = fired;
	timer->ctx = ctx;
	if (event_assign(&timer->event, loop->base, -1, 0, timer_due, timer) < 0)
		fatal("event_assign failed");
	return timer;
}

void
timer_set(struct timer *timer, int64_t after_ms)
{
	if (after_ms < 0)
		after_ms = 0;
	timer->target_ms = loop_now_ms(timer->loop) + after_ms;
	timer->set = true;
	if (!timer->armed || timer->armed_ms > timer->target_ms)
		timer_arm(timer, after_ms);
}

void
timer_cancel(struct timer *timer)
{
	timer->set = false;
}

bool
timer_is_set(const struct timer *timer)
{
	return timer->set;
}

void
timer_free(struct timer *timer)
{
	if (timer == NULL)
		return;
	event_del(&timer->event);
	free(timer);
}

static void
loop_grow_deferred(struct loop *loop)
{
	size_t room = loop->deferred_room * 2;
	struct deferred *ring = xreallocarray(NULL, room, sizeof(*ring));

	for (size_t i = 0; i < loop->deferred_count; i++)
		ring[i] = loop->deferred[(loop->deferred_first + i) & (loop->deferred_room - 1)];
	free(loop->deferred);
	loop->deferred = ring;
	loop->deferred_first = 0;
	loop->deferred_room = room;
}

void
loop_defer(struct loop *loop, void (*run)(void *ctx), void *ctx)
{
	struct deferred item = {.run = run, .ctx = ctx};

	if (loop->deferred_count == loop->deferred_room)
		loop_grow_deferred(loop);
	loop->deferred[(loop->deferred_first + loop->deferred_count) & (loop->deferred_room - 1)] =
	    item;
	loop->deferred_count++;
}

static void
watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	int ready =
	    ((what & EV_READ) != 0 ? WATCH_READ : 0) | ((what & EV_WRITE) != 0 ? WATCH_WRITE : 0);

	(void)fd;
	watch->ready(watch->ctx, ready); /* may free the watch */
}

struct watch *
watch_new(struct loop *loop, int fd, void (*ready)(void *ctx, int what), void *ctx)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));

	watch->loop = loop;
	watch->fd = fd;
	watch->ready = ready;
	watch->ctx = ctx;
	return watch;
}

void
watch_set(struct watch *watch, int what)
{
	short events = EV_PERSIST;

	if (watch->what == what)
		return;
	if (watch->what != 0)
		event_del(&watch->event);
	watch->what = what;
	if (what == 0)
		return;
	if ((what & WATCH_READ) != 0)
		events = (short)(events | EV_READ);
	if ((what & WATCH_WRITE) != 0)
		events = (short)(events | EV_WRITE);
	if (event_assign(&watch->event, watch->loop->base, watch->fd, events, watch_ready, watch) <
		0 ||
	    event_add(&watch->event, NULL) < 0)
		fatal("can't watch descriptor %d", watch->fd);
}

void
watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	watch_set(watch, 0);
	free(watch);
}

static void
loop_caught(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *caught = arg;

	(void)signo;
	(void)what;
	caught->caught(caught->ctx);
}

int
loop_on_signal(struct loop *loop, int signo, void (*caught)(void *ctx), void *ctx)
{
	struct loop_signal *handler = xcalloc(1, sizeof(*handler));

	handler->caught = caught;
	handler->ctx = ctx;
	if (evsignal_assign(&handler->event, loop->base, signo, loop_caught, handler) < 0 ||
	    event_add(&handler->event, NULL) < 0) {
		free(handler);
		return -1;
	}
	handler->next = loop->signals;
	loop->signals = handler;
	return 0;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

char *
loop_scratch(struct loop *loop)
{
	if (loop->scratch == NULL)
		loop->scratch = xmalloc(LOOP_SCRATCH_BYTES);
	return loop->scratch;
}

void
loop_adopt(struct loop *loop, struct loop_orphan *orphan)
{
	orphan->next = loop->orphans;
	orphan->link = &loop->orphans;
	if (orphan->next != NULL)
		orphan->next->link = &orphan->next;
	loop->orphans = orphan;
}

void
loop_orphan_remove(struct loop_orphan *orphan)
{
	if (orphan->link == NULL)
		return;
	*orphan->link = orphan->next;
	if (orphan->next != NULL)
		orphan->next->link = orphan->link;
	orphan->link = NULL;
}
