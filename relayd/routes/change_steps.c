/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/change_steps.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/xalloc.h"

static void
append(struct change_steps *steps, const struct change_step *step)
{
	if (steps->count == steps->room) {
		steps->room = steps->room > 0 ? steps->room * 2 : 1;
		steps->items = xreallocarray(steps->items, steps->room, sizeof(steps->items[0]));
	}
	steps->items[steps->count++] = *step;
}

void
change_steps_add(struct change_steps *steps, struct route *route)
{
	append(steps, &(struct change_step){.what = CHANGE_ADD, .route = route});
}

void
change_steps_set(struct change_steps *steps, struct route *route)
{
	append(steps, &(struct change_step){.what = CHANGE_SET, .route = route});
}

void
change_steps_restore(struct change_steps *steps, struct route *route)
{
	append(steps, &(struct change_step){.what = CHANGE_RESTORE, .route = route});
}

void
change_steps_delete(struct change_steps *steps, uint64_t id)
{
	append(steps, &(struct change_step){.what = CHANGE_DELETE, .id = id});
}

int
change_steps_missing(struct change_steps *steps, uint64_t id, struct error *why)
{
	steps->missing = id;
	return error_set(why, ERROR_NOT_FOUND, "no route %" PRIu64, id);
}

void
change_steps_clear(struct change_steps *steps)
{
	for (size_t i = 0; i < steps->count; i++)
		route_unref(steps->items[i].route);
	free(steps->items);
	*steps = (struct change_steps){.items = NULL};
}
