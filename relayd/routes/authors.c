/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/authors.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* Names stay once they were there: a daemon has few people who change its routes. */
struct authors {
	char **names;
	size_t name_count;
	size_t name_room;
	const char **made; /* [revision - first] */
	uint64_t first;
	size_t count;
	size_t room;
};

struct authors *
authors_new(void)
{
	return xcalloc(1, sizeof(struct authors));
}

void
authors_free(struct authors *authors)
{
	if (authors == NULL)
		return;
	for (size_t i = 0; i < authors->name_count; i++)
		free(authors->names[i]);
	free(authors->names);
	free(authors->made);
	free(authors);
}

/* The last one that was met comes first to mind. */
static const char *
name_of(struct authors *authors, const char *user)
{
	for (size_t i = authors->name_count; i > 0; i--) {
		if (strcmp(authors->names[i - 1], user) == 0)
			return authors->names[i - 1];
	}
	if (authors->name_count == authors->name_room) {
		authors->name_room = authors->name_room > 0 ? authors->name_room * 2 : 8;
		authors->names =
		    xreallocarray(authors->names, authors->name_room, sizeof(authors->names[0]));
	}
	authors->names[authors->name_count] = xstrdup(user);
	return authors->names[authors->name_count++];
}

/* Make room for `count` in all, `front` of them before the first. */
static void
grow(struct authors *authors, size_t front, size_t count)
{
	if (count > authors->room) {
		authors->room = count * 2;
		authors->made =
		    xreallocarray(authors->made, authors->room, sizeof(authors->made[0]));
	}
	memmove(authors->made + front, authors->made, authors->count * sizeof(authors->made[0]));
	for (size_t i = 0; i < front; i++)
		authors->made[i] = NULL;
	for (size_t i = front + authors->count; i < count; i++)
		authors->made[i] = NULL;
	authors->count = count;
}

void
authors_set(struct authors *authors, uint64_t revision, const char *user)
{
	if (authors->count == 0)
		authors->first = revision;
	if (revision < authors->first) {
		size_t front = (size_t)(authors->first - revision);

		grow(authors, front, authors->count + front);
		authors->first = revision;
	} else if (revision - authors->first >= authors->count) {
		grow(authors, 0, (size_t)(revision - authors->first) + 1);
	}
	authors->made[revision - authors->first] = name_of(authors, user);
}

const char *
authors_get(const struct authors *authors, uint64_t revision)
{
	if (revision < authors->first || revision - authors->first >= authors->count)
		return NULL;
	return authors->made[revision - authors->first];
}

void
authors_forget(struct authors *authors, uint64_t below)
{
	size_t gone;

	if (below <= authors->first)
		return;
	gone = (size_t)(below - authors->first);
	if (gone > authors->count)
		gone = authors->count;
	authors->count -= gone;
	memmove(authors->made, authors->made + gone, authors->count * sizeof(authors->made[0]));
	authors->first = below;
}
