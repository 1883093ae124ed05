/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The event loop: one thread, which owns every session, the queue and the table. With conn,
 * listener, resolver and offload the only files that see libevent. Everything here is called from
 * the loop's own thread.
 *
 * Callbacks never run inside the call that arms them.
 */
#ifndef RELAYD_NET_LOOP_H
#define RELAYD_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct loop;
struct timer;
struct watch;

struct loop *loop_new(struct error *why);
void loop_free(struct loop *loop); /* runs what is still deferred; NULL is allowed */

/* Run until loop_stop. Returns -1 if the kernel's event interface fails. */
int loop_run(struct loop *loop, struct error *why);
void loop_stop(struct loop *loop);

/* One round: wait at most `wait_ms` for something to happen (0: do not wait). For tests. */
int loop_once(struct loop *loop, int64_t wait_ms);

/* Monotonic milliseconds, and wall time in milliseconds since 1970, both cached once a round (and
 * as coarse as the kernel's tick, 1 to 10 ms). */
int64_t loop_now_ms(const struct loop *loop);
int64_t loop_wall_ms(const struct loop *loop);

/* A timer that fires once each time it is set. Setting it again moves it. */
struct timer *timer_new(struct loop *loop, void (*fired)(void *ctx), void *ctx);
void timer_set(struct timer *timer, int64_t after_ms);
void timer_cancel(struct timer *timer);
bool timer_is_set(const struct timer *timer);
void timer_free(struct timer *timer); /* NULL is allowed; may be called from its own callback */

/* Call `run` soon, after the present callback has returned and before the loop waits again, in the
 * order of the calls. Nothing is freed inside its own callback: this is where it is done. */
void loop_defer(struct loop *loop, void (*run)(void *ctx), void *ctx);

/* Readiness of a descriptor, level-triggered, while enabled. */
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch *watch_new(struct loop *loop, int fd, void (*ready)(void *ctx, int what), void *ctx);
void watch_set(struct watch *watch, int what); /* 0: none */
void watch_free(struct watch *watch);          /* does not close fd; allowed in its own callback */

/* A signal, delivered on the loop. The handler stays until the loop is freed. */
int loop_on_signal(struct loop *loop, int signo, void (*caught)(void *ctx), void *ctx);

/* For the other files of this room alone. */
struct event_base;
struct event_base *loop_base(struct loop *loop);

/* One buffer for reading, shared by all connections: what is in it is gone when the callback that
 * filled it returns. */
enum { LOOP_SCRATCH_BYTES = 64 * 1024 };
char *loop_scratch(struct loop *loop);

/* An object without an owner, which would free itself later: loop_free calls `discard` for those
 * that are still there. Embedded in the object. */
struct loop_orphan {
	void (*discard)(void *ctx);
	void *ctx;
	struct loop_orphan *next;
	struct loop_orphan **link; /* NULL: not adopted */
};
void loop_adopt(struct loop *loop, struct loop_orphan *orphan);
void loop_orphan_remove(struct loop_orphan *orphan);

#endif
