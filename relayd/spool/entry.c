/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A record on its way to the disk, and lists of such. */
#include "relayd/spool/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/spool/crc32c.h"

struct spool_entry *
entry_new(enum record_type type, uint64_t id, const char *meta, size_t meta_len)
{
	struct spool_entry *entry = xmalloc(sizeof(*entry) + meta_len);

	*entry = (struct spool_entry){.record = {.type = type, .id = id}};
	entry->record.meta_len = (uint32_t)meta_len;
	entry->record.meta_crc = crc32c(0, meta, meta_len);
	if (meta_len > 0)
		memcpy(entry->meta, meta, meta_len);
	return entry;
}

void
entry_free(struct spool_entry *entry)
{
	memory_unref(entry->body);
	free(entry);
}

void
entry_list_add(struct entry_list *list, struct spool_entry *entry)
{
	entry->next = NULL;
	if (list->first == NULL)
		list->first = entry;
	else
		list->last->next = entry;
	list->last = entry;
}

struct spool_entry *
entry_list_take(struct entry_list *list)
{
	struct spool_entry *entry = list->first;

	if (entry != NULL)
		list->first = entry->next;
	return entry;
}

void
entry_list_clear(struct entry_list *list)
{
	struct spool_entry *entry;

	while ((entry = entry_list_take(list)) != NULL)
		entry_free(entry);
}

bool
entry_is_urgent(const struct spool_entry *entry)
{
	return entry->record.type == RECORD_MESSAGE || entry->record.type == RECORD_MOVED ||
	       entry->record.type == RECORD_SEAL;
}
