/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What one step of a change does to a route, field by field, as answers have it. */
#ifndef RELAYD_CONTROL_DIFFERENCE_H
#define RELAYD_CONTROL_DIFFERENCE_H

#include <jansson.h>

#include "common/route.h"

/*
 * {"what":"add|set|delete","id":7,"fields":[{"field":"priority","from":3,"to":2}]}, new reference.
 * `before` NULL: the route is new or comes back; `after` NULL: it goes; one of them is given. Of a
 * route that comes or goes those fields are listed that are not at their default, against null. A
 * password is "********".
 */
json_t *difference_of(const struct route *before, const struct route *after);

#endif
