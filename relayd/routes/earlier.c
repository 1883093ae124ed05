/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/earlier.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"

enum { SLOTS_LEAST = 16 }; /* a power of two, like every later size */

struct earlier {
	struct strbuf texts;
	struct earlier_entry *entries;
	size_t count;
	size_t room;
	size_t *slots; /* 1 + index in `entries`, a hash table; 0: free */
	size_t slot_count;
	bool sorted; /* since the last one was added */
};

struct earlier *
earlier_new(void)
{
	struct earlier *earlier = xcalloc(1, sizeof(*earlier));

	earlier->slot_count = SLOTS_LEAST;
	earlier->slots = xcalloc(earlier->slot_count, sizeof(earlier->slots[0]));
	return earlier;
}

void
earlier_free(struct earlier *earlier)
{
	if (earlier == NULL)
		return;
	if (earlier->texts.data != NULL)
		explicit_bzero(earlier->texts.data, earlier->texts.len);
	strbuf_clear(&earlier->texts);
	free(earlier->entries);
	free(earlier->slots);
	free(earlier);
}

/* The slot of `id`, or the free one where it would go. */
static size_t *
slot_of(const struct earlier *earlier, uint64_t id)
{
	size_t mask = earlier->slot_count - 1;
	size_t slot = (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & mask;

	while (earlier->slots[slot] != 0 && earlier->entries[earlier->slots[slot] - 1].id != id)
		slot = (slot + 1) & mask;
	return &earlier->slots[slot];
}

static void
fill_slots(struct earlier *earlier)
{
	free(earlier->slots);
	earlier->slots = xcalloc(earlier->slot_count, sizeof(earlier->slots[0]));
	for (size_t i = 0; i < earlier->count; i++)
		*slot_of(earlier, earlier->entries[i].id) = i + 1;
}

/* As strbuf_append, but what is moved is wiped where it was. */
static size_t
keep_text(struct earlier *earlier, const char *text, size_t len)
{
	struct strbuf *texts = &earlier->texts;
	struct strbuf larger = STRBUF_INIT;
	size_t at = texts->len;

	if (texts->room < at + len) {
		strbuf_reserve(&larger, (at + len) * 2);
		strbuf_append(&larger, at > 0 ? texts->data : "", at);
		if (at > 0)
			explicit_bzero(texts->data, at);
		strbuf_clear(texts);
		*texts = larger;
	}
	strbuf_append(texts, text, len);
	return at;
}

void
earlier_add(struct earlier *earlier, uint64_t id, const char *text, size_t len)
{
	size_t *slot = slot_of(earlier, id);

	if (*slot != 0)
		return;
	if (earlier->count == earlier->room) {
		earlier->room = earlier->room > 0 ? earlier->room * 2 : SLOTS_LEAST / 2;
		earlier->entries =
		    xreallocarray(earlier->entries, earlier->room, sizeof(earlier->entries[0]));
		earlier->slot_count = earlier->room * 2;
		fill_slots(earlier);
		slot = slot_of(earlier, id);
	}
	earlier->entries[earlier->count] = (struct earlier_entry){
	    .id = id, .at = len > 0 ? keep_text(earlier, text, len) : 0, .len = len};
	*slot = ++earlier->count;
	earlier->sorted = false;
}

size_t
earlier_count(const struct earlier *earlier)
{
	return earlier->count;
}

const struct earlier_entry *
earlier_find(const struct earlier *earlier, uint64_t id)
{
	size_t index = *slot_of(earlier, id);

	return index != 0 ? &earlier->entries[index - 1] : NULL;
}

static int
by_id(const void *left, const void *right)
{
	const struct earlier_entry *a = left, *b = right;

	return a->id < b->id ? -1 : a->id > b->id;
}

void
earlier_sort(struct earlier *earlier)
{
	if (earlier->sorted || earlier->count == 0)
		return;
	qsort(earlier->entries, earlier->count, sizeof(earlier->entries[0]), by_id);
	fill_slots(earlier);
	earlier->sorted = true;
}

const struct earlier_entry *
earlier_get(const struct earlier *earlier, size_t index)
{
	return &earlier->entries[index];
}

const struct earlier_entry *
earlier_next(const struct earlier *earlier, uint64_t after)
{
	size_t low = 0, high = earlier->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (earlier->entries[middle].id <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low < earlier->count ? &earlier->entries[low] : NULL;
}

struct route *
earlier_route(const struct earlier *earlier, const struct earlier_entry *entry, struct error *why)
{
	return route_decode(entry->id, earlier->texts.data + entry->at, entry->len, why);
}
