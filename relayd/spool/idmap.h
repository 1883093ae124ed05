/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Envelopes by id, while the log is read: open addressing, at most three quarters full. */
#ifndef RELAYD_SPOOL_IDMAP_H
#define RELAYD_SPOOL_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "relayd/spool/envelope.h"

struct idmap {
	struct envelope **table; /* NULL: free */
	size_t room;             /* a power of two, or 0 */
	size_t used;
};

void idmap_clear(struct idmap *map);                              /* the envelopes stay */
struct envelope *idmap_get(const struct idmap *map, uint64_t id); /* NULL: none */
void idmap_put(struct idmap *map, struct envelope *env);          /* its id is not there yet */
struct envelope *idmap_take(struct idmap *map, uint64_t id);      /* NULL: none */

/* All of them, by id, oldest first; owned by the caller. The map is empty then. */
struct envelope **idmap_sorted(struct idmap *map, size_t *count);

#endif
