/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A hash table with open addressing: `tags` has 32 bits of each key's hash, `places` the group in
 * the same slot. A probe that fails touches one cache line of the tags and, nearly always, nothing
 * else. A group's key is that of its first route; its destination is borrowed for the slot, so that
 * where it is the whole key neither group nor route have to come from memory to be sure of a hit.
 *
 * Texts are hashed from their end to their beginning: one pass over "a.example.com" gives the
 * hashes of ".com" and ".example.com" on its way, one over a login that of its domain.
 */
#include "relayd/routes/groups.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "relayd/routes/table.h"

enum {
	SLOTS_LEAST = 64, /* a power of two, like every later size */
	TAG_FREE = 0,
	LARGE_PAGE = 2 * 1024 * 1024
};

/* Set in the tags of keys with a user or a sender, in no other tag. */
#define TAG_RICH 0x80000000u

struct place {
	struct route_group *group;
	const char *destination;
};

struct groups {
	uint32_t *tags;
	struct place *places;
	size_t slots;
	size_t count;
	size_t kinds[2][FROM_KINDS][TO_KINDS]; /* how many of each; first: has a user */
};

struct key {
	struct key_part user;
	struct key_part from;
	struct key_part destination;
	enum from_kind from_kind;
	enum destination_kind destination_kind;
};

/* ---- keys ---- */

static inline char
fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* FNV-1a, 64 bits. */
#define HASH_START 0xcbf29ce484222325u
#define HASH_PRIME 0x100000001b3u

static inline uint64_t
hash_step(uint64_t hash, char c)
{
	return (hash ^ (unsigned char)c) * HASH_PRIME;
}

static struct key_part
key_part_mailbox(const char *text, bool keep_case, struct key_part *domain)
{
	size_t len = strlen(text);
	struct key_part whole = {.text = text, .len = len, .hash = HASH_START};
	bool in_domain = true;

	*domain = (struct key_part){.text = NULL};
	for (size_t i = len; i > 0; i--) {
		char c = text[i - 1];

		if (in_domain && c == '@') {
			*domain =
			    (struct key_part){.text = text + i, .len = len - i, .hash = whole.hash};
			in_domain = false;
		}
		whole.hash = hash_step(whole.hash, in_domain || !keep_case ? fold(c) : c);
	}
	return whole;
}

struct key_part
key_part_login(const char *login, struct key_part *domain)
{
	return key_part_mailbox(login, false, domain);
}

/* A mail from that is a domain has no '@', and is hashed as the domain of a sender is. */
struct key_part
key_part_sender(const char *sender, struct key_part *domain)
{
	return key_part_mailbox(sender, true, domain);
}

size_t
key_part_destinations(const char *domain, struct key_part parts[KEY_DESTINATIONS_MAX])
{
	size_t len = strlen(domain), at = KEY_DESTINATIONS_MAX, count;
	uint64_t hash = HASH_START;

	/* The suffixes are met from the shortest on: fill the array from its end. */
	for (size_t i = len; i > 0; i--) {
		hash = hash_step(hash, fold(domain[i - 1]));
		if (domain[i - 1] == '.' && i > 1 && at > 1 && domain[0] != '[')
			parts[--at] = (struct key_part){
			    .text = domain + i - 1, .len = len - i + 1, .hash = hash};
	}
	parts[--at] = (struct key_part){.text = domain, .len = len, .hash = hash};
	count = KEY_DESTINATIONS_MAX - at;
	memmove(parts, parts + at, count * sizeof(parts[0]));
	return count;
}

static struct key_part
key_part_plain(const char *text)
{
	struct key_part part = {.text = text, .len = strlen(text), .hash = HASH_START};

	for (size_t i = part.len; i > 0; i--)
		part.hash = hash_step(part.hash, fold(text[i - 1]));
	return part;
}

struct key_part
key_part_everywhere(void)
{
	return key_part_plain("*");
}

static struct key
key_of_route(const struct route *route)
{
	struct key key = {.user = {.text = NULL}, .from = {.text = NULL}};
	struct key_part domain;

	if (route->user != NULL)
		key.user = key_part_login(route->user, &domain);
	if (route->mail_from != NULL) {
		key.from = key_part_sender(route->mail_from, &domain);
		key.from_kind = domain.text != NULL ? FROM_ADDRESS : FROM_DOMAIN;
	}
	key.destination = key_part_plain(route->destination);
	if (strcmp(route->destination, "*") == 0)
		key.destination_kind = TO_ANY;
	else
		key.destination_kind = route->destination[0] == '.' ? TO_SUFFIX : TO_DOMAIN;
	return key;
}

static uint32_t
key_tag(const struct key_part *user, const struct key_part *from,
	const struct key_part *destination)
{
	bool rich = user->text != NULL || from->text != NULL;
	uint64_t hash = destination->hash;
	uint32_t tag;

	/* The odd numbers tell the parts from each other; the rest mixes high bits into low ones.
	 */
	if (user->text != NULL)
		hash += user->hash * 0x9e3779b97f4a7c15u;
	if (from->text != NULL)
		hash ^= from->hash * 0xc2b2ae3d27d4eb4fu;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdu;
	hash ^= hash >> 33;
	tag = (uint32_t)hash & ~TAG_RICH;
	if (rich)
		return tag | TAG_RICH;
	return tag != TAG_FREE ? tag : 1;
}

static bool
same_folded(const struct key_part *part, const char *text)
{
	size_t i;

	if (part->text == NULL || text == NULL)
		return part->text == NULL && text == NULL;
	/* Most clients write it as it is kept. */
	if (strncmp(part->text, text, part->len) == 0)
		return text[part->len] == '\0';
	for (i = 0; i < part->len; i++) {
		if (fold(part->text[i]) != fold(text[i]))
			return false; /* also at the end of `text` */
	}
	return text[i] == '\0';
}

/* Same address or domain: the local part with its case. */
static bool
same_from(const struct key_part *part, const char *text)
{
	const char *at;

	if (!same_folded(part, text))
		return false;
	at = text != NULL ? strrchr(text, '@') : NULL;
	return at == NULL || memcmp(part->text, text, (size_t)(at - text)) == 0;
}

/* Is this the key of `place`, whose tag is the same? */
static bool
place_has_key(const struct place *place, uint32_t tag, const struct key_part *user,
	      const struct key_part *from, const struct key_part *destination)
{
	const struct route *route;

	if (!same_folded(destination, place->destination))
		return false;
	if ((tag & TAG_RICH) == 0)
		return true;
	route = place->group->routes[0];
	return same_folded(user, route->user) && same_from(from, route->mail_from);
}

/* ---- one group ---- */

struct route_group *
route_group_ref(const struct route_group *group)
{
	/* The count is no part of what a group says: whoever may read one may keep it. */
	struct route_group *kept = (struct route_group *)(uintptr_t)group;

	kept->references++;
	return kept;
}

void
route_group_unref(struct route_group *group)
{
	if (group == NULL || --group->references > 0)
		return;
	for (size_t i = 0; i < group->count; i++)
		route_unref(group->routes[i]);
	free(group);
}

static struct route_group *
group_new(size_t room)
{
	struct route_group *group = xmalloc(sizeof(*group) + room * sizeof(group->routes[0]));

	*group = (struct route_group){.count = 0, .references = 1};
	return group;
}

/*
 * `group` as one that may be changed and has room for `count` routes: itself if nobody else keeps
 * it, else a copy. There is always room up to the next power of two, so that adding many routes to
 * one group moves each of them a few times only.
 */
static struct route_group *
group_open(struct route_group *group, size_t count)
{
	struct route_group *copy;
	size_t room = 1;

	while (room < count)
		room *= 2;
	if (group->references == 1) {
		if (count > group->count && (group->count & (group->count - 1)) == 0)
			group = xreallocarray(group, 1,
					      sizeof(*group) + room * sizeof(group->routes[0]));
		return group;
	}
	copy = group_new(room);
	copy->count = group->count;
	for (size_t i = 0; i < group->count; i++)
		copy->routes[i] = route_ref(group->routes[i]);
	group->references--;
	return copy;
}

static bool
comes_before(const struct route *a, const struct route *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->id < b->id;
}

/* The first place in `group` that does not come before `route`. */
static size_t
group_place(const struct route_group *group, const struct route *route)
{
	size_t low = 0, high = group->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (comes_before(group->routes[middle], route))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct route_group *
group_with(struct route_group *group, struct route *route)
{
	size_t place;

	group = group != NULL ? group_open(group, group->count + 1) : group_new(1);
	place = group_place(group, route);
	memmove(group->routes + place + 1, group->routes + place,
		(group->count - place) * sizeof(group->routes[0]));
	group->routes[place] = route_ref(route);
	group->count++;
	return group;
}

/* NULL when `route` was the last one. */
static struct route_group *
group_without(struct route_group *group, const struct route *route)
{
	size_t place;

	if (group->count == 1) {
		route_group_unref(group);
		return NULL;
	}
	group = group_open(group, group->count);
	place = group_place(group, route);
	if (place == group->count || group->routes[place] != route)
		fatal("route table: a route is not in its group");
	group->count--;
	memmove(group->routes + place, group->routes + place + 1,
		(group->count - place) * sizeof(group->routes[0]));
	route_unref((struct route *)(uintptr_t)route);
	return group;
}

/* ---- the hash table ---- */

/* Zeroed memory for so many slots, to be freed. A large table is looked at in random places: in
 * large pages, where the system has them, this takes half as long. */
static void *
slots_memory(size_t slots, size_t size)
{
	size_t bytes = slots * size;
	void *memory;

	if (bytes < 2 * LARGE_PAGE)
		return xcalloc(slots, size);
	memory = aligned_alloc(LARGE_PAGE, bytes);
	if (memory == NULL)
		fatal("out of memory (%zu bytes)", bytes);
	/* It works without, too. */
	(void)madvise(memory, bytes, MADV_HUGEPAGE);
	return memset(memory, 0, bytes);
}

static void
resize(struct groups *groups, size_t slots)
{
	uint32_t *tags = slots_memory(slots, sizeof(*tags));
	struct place *places = slots_memory(slots, sizeof(*places));
	size_t mask = slots - 1;

	for (size_t i = 0; i < groups->slots; i++) {
		size_t slot = groups->tags[i] & mask;

		if (groups->tags[i] == TAG_FREE)
			continue;
		while (tags[slot] != TAG_FREE)
			slot = (slot + 1) & mask;
		tags[slot] = groups->tags[i];
		places[slot] = groups->places[i];
	}
	free(groups->tags);
	free(groups->places);
	groups->tags = tags;
	groups->places = places;
	groups->slots = slots;
}

struct groups *
groups_new(void)
{
	struct groups *groups = xcalloc(1, sizeof(*groups));

	resize(groups, SLOTS_LEAST);
	return groups;
}

void
groups_free(struct groups *groups)
{
	if (groups == NULL)
		return;
	for (size_t i = 0; i < groups->slots; i++)
		route_group_unref(groups->places[i].group);
	free(groups->tags);
	free(groups->places);
	free(groups);
}

/* The slot of the key's group, or the free slot where it would go. */
static size_t
slot_of(const struct groups *groups, uint32_t tag, const struct key_part *user,
	const struct key_part *from, const struct key_part *destination)
{
	size_t mask = groups->slots - 1;
	size_t slot = tag & mask;

	while (groups->tags[slot] != TAG_FREE) {
		if (groups->tags[slot] == tag &&
		    place_has_key(&groups->places[slot], tag, user, from, destination))
			break;
		slot = (slot + 1) & mask;
	}
	return slot;
}

/* Free a slot, and move up what was pushed behind it by the ones before. */
static void
slot_clear(struct groups *groups, size_t hole)
{
	size_t mask = groups->slots - 1;

	for (size_t next = (hole + 1) & mask; groups->tags[next] != TAG_FREE;
	     next = (next + 1) & mask) {
		size_t home = groups->tags[next] & mask;

		/* It stays if its home lies behind the hole. */
		if (((next - home) & mask) < ((next - hole) & mask))
			continue;
		groups->tags[hole] = groups->tags[next];
		groups->places[hole] = groups->places[next];
		hole = next;
	}
	groups->tags[hole] = TAG_FREE;
	groups->places[hole] = (struct place){.group = NULL};
}

static void
place_set(struct place *place, struct route_group *group)
{
	place->group = group;
	place->destination = group != NULL ? group->routes[0]->destination : NULL;
}

static size_t *
kind_count(struct groups *groups, const struct key *key)
{
	return &groups->kinds[key->user.text != NULL][key->from_kind][key->destination_kind];
}

void
groups_enter(struct groups *groups, struct route *route)
{
	struct key key = key_of_route(route);
	uint32_t tag = key_tag(&key.user, &key.from, &key.destination);
	size_t slot;

	/* At most two thirds full: a probe that fails looks at five tags on average then. */
	if ((groups->count + 1) * 3 > groups->slots * 2)
		resize(groups, groups->slots * 2);
	slot = slot_of(groups, tag, &key.user, &key.from, &key.destination);
	if (groups->tags[slot] == TAG_FREE) {
		groups->tags[slot] = tag;
		groups->count++;
		(*kind_count(groups, &key))++;
	}
	place_set(&groups->places[slot], group_with(groups->places[slot].group, route));
}

void
groups_expect(struct groups *groups, size_t more)
{
	size_t slots = groups->slots;

	while ((groups->count + more) * 3 > slots * 2)
		slots *= 2;
	if (slots > groups->slots)
		resize(groups, slots);
}

void
groups_prefetch(const struct groups *groups, const struct route *route)
{
	struct key key = key_of_route(route);
	size_t slot = key_tag(&key.user, &key.from, &key.destination) & (groups->slots - 1);

	__builtin_prefetch(groups->tags + slot, 1);
	__builtin_prefetch(groups->places + slot, 1);
}

void
groups_leave(struct groups *groups, const struct route *route)
{
	struct key key = key_of_route(route);
	uint32_t tag = key_tag(&key.user, &key.from, &key.destination);
	size_t slot = slot_of(groups, tag, &key.user, &key.from, &key.destination);

	if (groups->tags[slot] == TAG_FREE)
		fatal("route table: a route has no group");
	place_set(&groups->places[slot], group_without(groups->places[slot].group, route));
	if (groups->places[slot].group != NULL)
		return;
	slot_clear(groups, slot);
	groups->count--;
	(*kind_count(groups, &key))--;
	if (groups->slots > SLOTS_LEAST && groups->count < groups->slots / 8)
		resize(groups, groups->slots / 2);
}

const struct route_group *
groups_of(const struct groups *groups, const struct route *key_route)
{
	struct key key = key_of_route(key_route);
	uint32_t tag = key_tag(&key.user, &key.from, &key.destination);

	return groups->places[slot_of(groups, tag, &key.user, &key.from, &key.destination)].group;
}

bool
groups_any(const struct groups *groups, bool user, enum from_kind from,
	   enum destination_kind destination)
{
	return groups->kinds[user][from][destination] > 0;
}

void
groups_ask(const struct groups *groups, struct group_probe *probe)
{
	size_t slot;

	probe->tag = key_tag(probe->user, probe->from, probe->destination);
	slot = probe->tag & (groups->slots - 1);
	__builtin_prefetch(groups->tags + slot);
	__builtin_prefetch(groups->places + slot);
}

const struct route_group *
groups_answer(const struct groups *groups, const struct group_probe *probe,
	      const char **destination)
{
	const struct place *place = &groups->places[slot_of(groups, probe->tag, probe->user,
							    probe->from, probe->destination)];

	*destination = place->destination;
	return place->group;
}
