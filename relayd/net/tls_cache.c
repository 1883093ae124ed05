/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A hash table of chains, and one list through all entries, the most recently used first. */
#include "relayd/net/tls_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct entry {
	char *key;
	unsigned char *bytes;
	size_t len;
	int64_t expires_s;
	struct entry *next_in_slot;
	struct entry *newer;
	struct entry *older;
};

struct tls_cache {
	struct entry **slots;
	size_t slot_count; /* a power of two */
	struct entry *newest;
	struct entry *oldest;
	size_t count;
	size_t max_entries;
};

/* FNV-1a: the keys come from routes and DNS, and a chain can't be longer than max_entries. */
static struct entry **
slot_of(const struct tls_cache *cache, const char *key)
{
	uint64_t hash = 14695981039346656037U;

	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 1099511628211U;
	return &cache->slots[hash & (cache->slot_count - 1)];
}

/* The link that leads to the entry; *link is NULL if there is none. */
static struct entry **
link_of(const struct tls_cache *cache, const char *key)
{
	struct entry **link = slot_of(cache, key);

	while (*link != NULL && strcmp((*link)->key, key) != 0)
		link = &(*link)->next_in_slot;
	return link;
}

static void
list_remove(struct tls_cache *cache, struct entry *entry)
{
	*(entry->newer != NULL ? &entry->newer->older : &cache->newest) = entry->older;
	*(entry->older != NULL ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void
list_prepend(struct tls_cache *cache, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = cache->newest;
	*(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = entry;
	cache->newest = entry;
}

static void
entry_wipe(struct entry *entry)
{
	explicit_bzero(entry->bytes, entry->len);
	free(entry->bytes);
}

struct tls_cache *
tls_cache_new(size_t max_entries)
{
	struct tls_cache *cache = xcalloc(1, sizeof(*cache));

	cache->max_entries = max_entries;
	cache->slot_count = 16;
	while (cache->slot_count < max_entries)
		cache->slot_count *= 2;
	cache->slots = xcalloc(cache->slot_count, sizeof(*cache->slots));
	return cache;
}

void
tls_cache_free(struct tls_cache *cache)
{
	if (cache == NULL)
		return;
	while (cache->newest != NULL)
		tls_cache_drop(cache, cache->newest->key);
	free(cache->slots);
	free(cache);
}

void
tls_cache_drop(struct tls_cache *cache, const char *key)
{
	struct entry **link = link_of(cache, key);
	struct entry *entry = *link;

	if (entry == NULL)
		return;
	*link = entry->next_in_slot;
	list_remove(cache, entry);
	cache->count--;
	entry_wipe(entry);
	free(entry->key);
	free(entry);
}

void
tls_cache_put(struct tls_cache *cache, const char *key, const unsigned char *bytes, size_t len,
	      int64_t expires_s)
{
	struct entry **link = link_of(cache, key);
	struct entry *entry = *link;

	if (entry != NULL) {
		entry_wipe(entry);
		list_remove(cache, entry);
	} else {
		entry = xcalloc(1, sizeof(*entry));
		entry->key = xstrdup(key);
		*link = entry;
		cache->count++;
	}
	entry->bytes = xmalloc(len > 0 ? len : 1);
	memcpy(entry->bytes, bytes, len);
	entry->len = len;
	entry->expires_s = expires_s;
	list_prepend(cache, entry);
	if (cache->count > cache->max_entries)
		tls_cache_drop(cache, cache->oldest->key);
}

const unsigned char *
tls_cache_get(struct tls_cache *cache, const char *key, int64_t now_s, size_t *len)
{
	struct entry *entry = *link_of(cache, key);

	if (entry == NULL)
		return NULL;
	if (entry->expires_s <= now_s) {
		tls_cache_drop(cache, key);
		return NULL;
	}
	list_remove(cache, entry);
	list_prepend(cache, entry);
	*len = entry->len;
	return entry->bytes;
}

size_t
tls_cache_count(const struct tls_cache *cache)
{
	return cache->count;
}
