/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/pasts.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"

/* A table and those who wait for it to be read. It is freed when it is dropped and nobody waits. */
struct entry {
	struct entry *next;
	struct pasts *pasts;
	struct table_past *past;
	size_t waiting;
	bool dropped;
	int64_t used_ms;
};

struct pasts {
	struct loop *loop;
	struct changes *changes;
	struct timer *timer;
	struct entry *first; /* the one that was used last */
	size_t questions;
	bool closed; /* freed, but for those who wait */
};

struct question {
	struct entry *entry;
	void (*found)(void *ctx, const struct table_past *past, const struct error *why);
	void *ctx;
};

static void
entry_free(struct entry *entry)
{
	table_past_free(entry->past);
	free(entry);
}

/* *link is dropped. */
static void
drop(struct entry **link)
{
	struct entry *entry = *link;

	*link = entry->next;
	entry->dropped = true;
	if (entry->waiting == 0)
		entry_free(entry);
}

/* Drop what was not used for long. */
static void
fired(void *ctx)
{
	struct pasts *pasts = ctx;
	int64_t now_ms = loop_now_ms(pasts->loop);
	struct entry **link = &pasts->first;

	while (*link != NULL) {
		if (now_ms - (*link)->used_ms >= PASTS_KEPT_MS)
			drop(link);
		else
			link = &(*link)->next;
	}
	if (pasts->first != NULL)
		timer_set(pasts->timer, PASTS_KEPT_MS);
}

struct pasts *
pasts_new(struct loop *loop, struct changes *changes)
{
	struct pasts *pasts = xcalloc(1, sizeof(*pasts));

	pasts->loop = loop;
	pasts->changes = changes;
	pasts->timer = timer_new(loop, fired, pasts);
	return pasts;
}

void
pasts_free(struct pasts *pasts)
{
	if (pasts == NULL)
		return;
	while (pasts->first != NULL)
		drop(&pasts->first);
	timer_free(pasts->timer);
	pasts->closed = true;
	if (pasts->questions == 0)
		free(pasts);
}

/* The entry of that revision, the first of the list from now on. */
static struct entry *
entry_of(struct pasts *pasts, uint64_t revision)
{
	struct entry **link = &pasts->first, *entry;
	size_t count = 0;

	while (*link != NULL && table_past_revision((*link)->past) != revision)
		link = &(*link)->next;
	entry = *link;
	if (entry != NULL) {
		*link = entry->next;
	} else {
		entry = xcalloc(1, sizeof(*entry));
		entry->pasts = pasts;
		entry->past = table_past_new(revision);
	}
	entry->next = pasts->first;
	pasts->first = entry;
	entry->used_ms = loop_now_ms(pasts->loop);
	for (link = &pasts->first; *link != NULL; link = &(*link)->next) {
		if (++count > PASTS_MOST) {
			drop(link);
			break;
		}
	}
	if (!timer_is_set(pasts->timer))
		timer_set(pasts->timer, PASTS_KEPT_MS);
	return entry;
}

static int
read_past(void *ctx, const struct past *past, struct error *why)
{
	const struct question *question = ctx;

	return table_past_read(question->entry->past, past, why);
}

/* What could not be read, or not to its end, is no table. */
static void
drop_entry(struct pasts *pasts, const struct entry *entry)
{
	for (struct entry **link = &pasts->first; *link != NULL; link = &(*link)->next) {
		if (*link == entry) {
			drop(link);
			return;
		}
	}
}

static void
have_read(void *ctx, const struct error *why)
{
	struct question *question = ctx;
	struct entry *entry = question->entry;
	struct pasts *pasts = entry->pasts;
	struct error closed;

	/* Whoever asked may have lost what the answer needs. */
	if (pasts->closed) {
		error_set(&closed, ERROR_NO_DAEMON, "relayd is ending");
		why = &closed;
	}
	question->found(question->ctx, why == NULL ? entry->past : NULL, why);
	if (why != NULL)
		drop_entry(pasts, entry);
	entry->waiting--;
	if (entry->dropped && entry->waiting == 0)
		entry_free(entry);
	pasts->questions--;
	if (pasts->closed && pasts->questions == 0)
		free(pasts);
	free(question);
}

void
pasts_look(struct pasts *pasts, uint64_t revision,
	   void (*found)(void *ctx, const struct table_past *past, const struct error *why),
	   void *ctx)
{
	struct entry *entry = entry_of(pasts, revision);
	struct question *question;

	/* While it is being read nobody else may look at it; and one that was only made now has
	 * never been read. */
	if (entry->waiting == 0 && revision < changes_revision(pasts->changes) &&
	    table_past_over(entry->past) == changes_revision(pasts->changes)) {
		found(ctx, entry->past, NULL);
		return;
	}
	question = xcalloc(1, sizeof(*question));
	*question = (struct question){.entry = entry, .found = found, .ctx = ctx};
	entry->waiting++;
	pasts->questions++;
	changes_read(pasts->changes, read_past, have_read, question);
}
