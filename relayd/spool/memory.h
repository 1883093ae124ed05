/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A small message's body in memory: shared by the batch that writes it, the envelope it is kept for
 * and the readers, and gone with the last of them. For the loop's thread alone. */
#ifndef RELAYD_SPOOL_MEMORY_H
#define RELAYD_SPOOL_MEMORY_H

#include <stddef.h>

#include "common/strbuf.h"

struct spool_memory {
	unsigned refs;
	char *bytes;
	size_t len;
	struct spool_memory *next;
	struct spool_memory **back; /* what points to it */
	size_t *counted;            /* its octets count in here while it lives; NULL: nowhere */
};

/* The bodies that envelopes hold on to; `bytes` counts them until they are gone from memory. */
struct memory_list {
	struct spool_memory *first;
	size_t bytes;
};

/* Takes the bytes out of `bytes`, without the room they had to grow; one reference. */
struct spool_memory *memory_new(struct strbuf *bytes);
struct spool_memory *memory_ref(struct spool_memory *memory);
void memory_unref(struct spool_memory *memory); /* NULL is allowed */

/* The list holds a reference from now on, until memory_forget. */
void memory_keep(struct spool_memory *memory, struct memory_list *list);
void memory_forget(struct spool_memory *memory);

#endif
