/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/memory.h"

#include <stdlib.h>

#include "common/xalloc.h"

struct spool_memory *
memory_new(struct strbuf *bytes)
{
	struct spool_memory *memory = xcalloc(1, sizeof(*memory));

	memory->refs = 1;
	memory->len = bytes->len;
	memory->bytes = xreallocarray(strbuf_take(bytes), memory->len + 1, 1);
	return memory;
}

struct spool_memory *
memory_ref(struct spool_memory *memory)
{
	memory->refs++;
	return memory;
}

void
memory_unref(struct spool_memory *memory)
{
	if (memory == NULL || --memory->refs > 0)
		return;
	if (memory->counted != NULL)
		*memory->counted -= memory->len;
	free(memory->bytes);
	free(memory);
}

void
memory_keep(struct spool_memory *memory, struct memory_list *list)
{
	memory->refs++;
	memory->counted = &list->bytes;
	list->bytes += memory->len;
	memory->next = list->first;
	if (memory->next != NULL)
		memory->next->back = &memory->next;
	memory->back = &list->first;
	list->first = memory;
}

void
memory_forget(struct spool_memory *memory)
{
	*memory->back = memory->next;
	if (memory->next != NULL)
		memory->next->back = memory->back;
	memory_unref(memory);
}
