/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Some changes of the past as routes.log shows them, the newest first. Read in an offload thread,
 * made into objects on the loop.
 */
#ifndef RELAYD_CONTROL_HISTORY_LOG_H
#define RELAYD_CONTROL_HISTORY_LOG_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/past.h"

enum { HISTORY_LOG_STEPS = 20 }; /* steps of a change that are told one by one */

struct history_log;

/* At most `limit` changes before revision `before` (0: from the last one on); of these, with an id
 * other than 0, those that touched that route. */
struct history_log *history_log_new(uint64_t id, uint64_t before, size_t limit);
void history_log_free(struct history_log *log);

/* Blocks (relayd/routes/past.h). */
int history_log_read(struct history_log *log, const struct past *past, struct error *why);

/* An array of what was read, new reference. In *next the revision before which there may be more;
 * 0: there is no more. */
json_t *history_log_objects(const struct history_log *log, uint64_t *next);

#endif
