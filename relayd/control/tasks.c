/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/tasks.h"

#include <stdlib.h>

#include "common/xalloc.h"

struct tasks {
	struct task *first;
};

struct tasks *
tasks_new(void)
{
	return xcalloc(1, sizeof(struct tasks));
}

void
tasks_enter(struct tasks *tasks, struct task *task)
{
	task->next = tasks->first;
	task->link = &tasks->first;
	if (task->next != NULL)
		task->next->link = &task->next;
	tasks->first = task;
}

void
tasks_leave(struct task *task)
{
	*task->link = task->next;
	if (task->next != NULL)
		task->next->link = task->link;
}

void
tasks_free(struct tasks *tasks)
{
	struct task *task;

	if (tasks == NULL)
		return;
	while ((task = tasks->first) != NULL) {
		tasks_leave(task);
		task->end(task->ctx);
	}
	free(tasks);
}
