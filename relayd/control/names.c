/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/names.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct names {
	struct loop *loop;
	struct resolver *resolver;
	int64_t timeout_ms;
	void (*done)(void *ctx);
	void *ctx;
	struct name **list;
	size_t count;
	size_t pending;
	struct timer *timer; /* the bound of time; then, at once, the end */
};

static void
time_is_up(void *ctx)
{
	struct names *names = ctx;

	for (size_t i = 0; i < names->count; i++) {
		struct name *name = names->list[i];

		if (name->lookup == NULL)
			continue;
		lookup_cancel(name->lookup);
		name->lookup = NULL;
		name->why =
		    xasprintf("no answer within %g seconds", (double)names->timeout_ms / 1000);
	}
	names->done(names->ctx);
}

struct names *
names_new(struct loop *loop, struct resolver *resolver, int64_t timeout_ms, void (*done)(void *ctx),
	  void *ctx)
{
	struct names *names = xcalloc(1, sizeof(*names));

	names->loop = loop;
	names->resolver = resolver;
	names->timeout_ms = timeout_ms;
	names->done = done;
	names->ctx = ctx;
	names->timer = timer_new(loop, time_is_up, names);
	return names;
}

void
names_free(struct names *names)
{
	if (names == NULL)
		return;
	for (size_t i = 0; i < names->count; i++) {
		struct name *name = names->list[i];

		if (name->lookup != NULL)
			lookup_cancel(name->lookup);
		free(name->host);
		free(name->addresses);
		free(name->why);
		free(name);
	}
	free(names->list);
	timer_free(names->timer);
	free(names);
}

void
names_add(struct names *names, const char *host)
{
	struct netaddr address;
	struct name *name;

	if (netaddr_parse(host, &address) == 0 || names_find(names, host) != NULL)
		return;
	name = xcalloc(1, sizeof(*name));
	name->host = xstrdup(host);
	name->status = LOOKUP_FAILED;
	name->names = names;
	names->list = xreallocarray(names->list, names->count + 1, sizeof(struct name *));
	names->list[names->count++] = name;
}

size_t
names_count(const struct names *names)
{
	return names->count;
}

static void
found(void *ctx, const struct lookup_hosts *answer)
{
	struct name *name = ctx;

	name->lookup = NULL;
	name->status = answer->status;
	if (answer->status == LOOKUP_OK) {
		name->count = answer->count;
		name->addresses = xreallocarray(NULL, answer->count, sizeof(*name->addresses));
		memcpy(name->addresses, answer->addresses,
		       answer->count * sizeof(*name->addresses));
	} else if (answer->status == LOOKUP_FAILED) {
		name->why = xstrdup(answer->why);
	}
	/* Not from here: `done` may free what the resolver still has in its hands. */
	if (--name->names->pending == 0)
		timer_set(name->names->timer, 0);
}

void
names_start(struct names *names)
{
	names->pending = names->count;
	for (size_t i = 0; i < names->count; i++)
		names->list[i]->lookup =
		    resolver_hosts(names->resolver, names->list[i]->host, found, names->list[i]);
	timer_set(names->timer, names->count > 0 ? names->timeout_ms : 0);
}

const struct name *
names_find(const struct names *names, const char *host)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->list[i]->host, host) == 0)
			return names->list[i];
	}
	return NULL;
}
