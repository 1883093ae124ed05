/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/hosts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/xalloc.h"

enum { CHECK_MS = 1000 };

struct entry {
	char *name;
	struct netaddr address;
	size_t order;
};

struct hosts {
	struct loop *loop;
	char *file;
	struct stat seen; /* zeroes: not there */
	int64_t checked_ms;
	char **names; /* sorted; addresses[i] is names[i]'s */
	struct netaddr *addresses;
	size_t count;
};

struct entries {
	struct entry *list;
	size_t count;
	size_t room;
};

static void
entries_add(struct entries *entries, const char *name, const struct netaddr *address)
{
	struct entry *entry;

	if (entries->count == entries->room) {
		entries->room = entries->room == 0 ? 16 : entries->room * 2;
		entries->list = xreallocarray(entries->list, entries->room, sizeof(*entries->list));
	}
	entry = &entries->list[entries->count];
	entry->name = xstrdup(name);
	entry->address = *address;
	entry->order = entries->count++;
}

static void
entries_read_line(struct entries *entries, char *line)
{
	static const char blanks[] = " \t\r\n";
	struct netaddr address;
	char *rest = NULL;
	char *word;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, blanks, &rest);
	if (word == NULL || netaddr_parse(word, &address) < 0)
		return;
	while ((word = strtok_r(NULL, blanks, &rest)) != NULL)
		entries_add(entries, word, &address);
}

static int
entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcasecmp(x->name, y->name);

	if (order != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void
hosts_clear(struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		free(hosts->names[i]);
	free(hosts->names);
	free(hosts->addresses);
	hosts->names = NULL;
	hosts->addresses = NULL;
	hosts->count = 0;
}

static void
hosts_take(struct hosts *hosts, struct entries *entries)
{
	hosts_clear(hosts);
	if (entries->count == 0)
		return;
	qsort(entries->list, entries->count, sizeof(*entries->list), entry_compare);
	hosts->names = xreallocarray(NULL, entries->count, sizeof(*hosts->names));
	hosts->addresses = xreallocarray(NULL, entries->count, sizeof(*hosts->addresses));
	for (size_t i = 0; i < entries->count; i++) {
		hosts->names[i] = entries->list[i].name;
		hosts->addresses[i] = entries->list[i].address;
	}
	hosts->count = entries->count;
}

static void
hosts_read(struct hosts *hosts)
{
	struct entries entries = {0};
	char *line = NULL;
	size_t room = 0;
	FILE *file = fopen(hosts->file, "re");

	while (file != NULL && getline(&line, &room, file) >= 0)
		entries_read_line(&entries, line);
	hosts_take(hosts, &entries);
	free(entries.list);
	free(line);
	if (file != NULL && fclose(file) != 0)
		hosts->seen.st_ino = 0; /* read it again next time */
}

static void
hosts_refresh(struct hosts *hosts)
{
	int64_t now = loop_now_ms(hosts->loop);
	struct stat st = {0};

	if (now - hosts->checked_ms < CHECK_MS)
		return;
	hosts->checked_ms = now;
	if (stat(hosts->file, &st) < 0)
		st = (struct stat){0};
	if (st.st_dev == hosts->seen.st_dev && st.st_ino == hosts->seen.st_ino &&
	    st.st_size == hosts->seen.st_size && st.st_mtim.tv_sec == hosts->seen.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == hosts->seen.st_mtim.tv_nsec)
		return;
	hosts->seen = st;
	hosts_read(hosts);
}

struct hosts *
hosts_new(struct loop *loop, const char *file)
{
	struct hosts *hosts = xcalloc(1, sizeof(*hosts));

	hosts->loop = loop;
	hosts->file = xstrdup(file);
	hosts->checked_ms = loop_now_ms(loop) - CHECK_MS;
	return hosts;
}

void
hosts_free(struct hosts *hosts)
{
	if (hosts == NULL)
		return;
	hosts_clear(hosts);
	free(hosts->file);
	free(hosts);
}

size_t
hosts_find(struct hosts *hosts, const char *name, const struct netaddr **addresses)
{
	size_t low = 0, high, end;

	hosts_refresh(hosts);
	high = hosts->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcasecmp(hosts->names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < hosts->count && strcasecmp(hosts->names[end], name) == 0;)
		end++;
	*addresses = end > low ? &hosts->addresses[low] : NULL;
	return end - low;
}
