/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What verbs have under way that waits for something else than the disk: lookups, probes. They are
 * entered here so that they can be ended with the daemon, before what they wait for is.
 */
#ifndef RELAYD_CONTROL_TASKS_H
#define RELAYD_CONTROL_TASKS_H

struct tasks;

/* Embedded in the object. */
struct task {
	void (*end)(void *ctx); /* the daemon ends: stop waiting, drop the call, free the object */
	void *ctx;
	struct task *next;
	struct task **link;
};

struct tasks *tasks_new(void);
void tasks_free(struct tasks *tasks); /* ends them all; NULL is allowed */

void tasks_enter(struct tasks *tasks, struct task *task);
void tasks_leave(struct task *task);

#endif
