/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What may be found, and what it means:
 *
 *	routes.gdbm   routes.journal
 *	-             -                 the first start: an empty table, a journal is begun
 *	-             follows 0         no checkpoint was made yet: the journal has it all
 *	-             follows N > 0     refused: the checkpoint is missing
 *	revision N    -                 refused: what came after the checkpoint is missing
 *	revision N    follows <= N,     N, and the changes from N + 1 on
 *	              ends at >= N
 *	              of version 1      the same; the journal is replaced by a checkpoint
 *	revision N    follows > N, or   refused: the two do not belong together
 *	              ends at < N
 *
 * A crash leaves none of the refused ones behind: a checkpoint takes its place before the journal
 * is cut, and holds only what was synced in the journal.
 */
#include "relayd/routes/restore.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "relayd/routes/checkpoint.h"
#include "relayd/routes/durable.h"
#include "relayd/routes/store.h"

static int
put_record(struct table *table, uint64_t revision, const struct journal_text *step,
	   struct error *why)
{
	struct route *route = route_decode(step->id, step->after, step->after_len, why);

	if (route == NULL)
		return -1;
	route_set_revision(route, revision);
	table_put(table, route);
	route_unref(route);
	return 0;
}

/* The routes of the checkpoint, which come in no order. The id stands beside its route: to sort so
 * many by what stands somewhere in memory takes several times as long. */
struct loading {
	struct loaded {
		uint64_t id;
		struct route *route;
	} * routes;
	size_t count;
	size_t room;
};

static int
store_found(void *ctx, uint64_t id, const char *record, size_t len, struct error *why)
{
	struct loading *loading = ctx;
	struct route *route = route_decode(id, record, len, why);

	if (route == NULL)
		return -1;
	if (loading->count == loading->room) {
		loading->room = loading->room > 0 ? loading->room * 2 : 1024;
		loading->routes =
		    xreallocarray(loading->routes, loading->room, sizeof(loading->routes[0]));
	}
	loading->routes[loading->count++] = (struct loaded){.id = id, .route = route};
	return 0;
}

static int
by_id(const void *left, const void *right)
{
	const struct loaded *a = left, *b = right;

	return a->id < b->id ? -1 : a->id > b->id;
}

/* In the order of their ids, which is that of the list. */
static void
put_loaded(struct table *table, const struct loading *loading)
{
	struct route **routes = xcalloc(loading->count, sizeof(routes[0]));

	qsort(loading->routes, loading->count, sizeof(loading->routes[0]), by_id);
	for (size_t i = 0; i < loading->count; i++)
		routes[i] = loading->routes[i].route;
	table_put_all(table, routes, loading->count, loading->count);
	free(routes);
}

static int
load_store(struct table *table, const char *dir, struct store_meta *meta, struct error *why)
{
	struct loading loading = {.routes = NULL};
	int rc = store_load(dir, meta, store_found, &loading, why);

	if (rc > 0 && loading.count > 0)
		put_loaded(table, &loading);
	for (size_t i = 0; i < loading.count; i++)
		route_unref(loading.routes[i].route);
	free(loading.routes);
	return rc;
}

/* Apply the steps of one change. */
static int
add_change(struct restored *restored, struct journal_reader *reader,
	   const struct journal_change *change, struct error *why)
{
	struct journal_text step;
	int rc;

	while ((rc = journal_reader_step(reader, &step, why)) > 0) {
		if (step.id == 0 || step.id >= change->next_id)
			return error_set(why, ERROR_STORAGE,
					 "route %" PRIu64 " is not below the next id", step.id);
		if (step.what != JOURNAL_DELETE)
			rc = put_record(restored->table, change->revision, &step, why);
		else if (table_remove(restored->table, step.id) < 0)
			rc = error_set(why, ERROR_STORAGE, "route %" PRIu64 " is not there",
				       step.id);
		if (rc < 0)
			return -1;
	}
	if (rc < 0)
		return -1;
	authors_set(restored->authors, change->revision, change->user);
	restored->revision = change->revision;
	restored->next_id = change->next_id;
	return 0;
}

/* The checkpoint has it already, but does not know that. */
static int
note_change(struct restored *restored, struct journal_reader *reader,
	    const struct journal_change *change, struct error *why)
{
	const struct route *route;
	struct journal_text step;
	int rc;

	while ((rc = journal_reader_step(reader, &step, why)) > 0) {
		route = table_get(restored->table, step.id);
		if (route != NULL)
			route_set_revision(route, change->revision);
	}
	authors_set(restored->authors, change->revision, change->user);
	return rc;
}

static int
add_changes(struct restored *restored, struct journal_reader *reader, const char *dir,
	    struct error *why)
{
	uint64_t last = journal_reader_follows(reader);
	struct journal_change change;
	int rc;

	while ((rc = journal_reader_next(reader, &change, why)) > 0) {
		last = change.revision;
		if (change.revision <= restored->checkpoint_revision) {
			if (note_change(restored, reader, &change, why) < 0)
				return -1;
			continue;
		}
		if (add_change(restored, reader, &change, why) < 0)
			return error_prefix(why,
					    "%s/" JOURNAL_NAME " does not fit " STORE_NAME
					    " at revision %" PRIu64,
					    dir, change.revision);
	}
	if (rc == 0 && last < restored->checkpoint_revision)
		return error_set(why, ERROR_STORAGE,
				 "%s/" JOURNAL_NAME " ends with revision %" PRIu64
				 ", but " STORE_NAME " is of revision %" PRIu64 " already",
				 dir, last, restored->checkpoint_revision);
	return rc;
}

/* A journal of version 1 can't be gone on with, nor its changes be undone: make a checkpoint of
 * them, and begin a journal behind that. */
static int
replace_journal(struct restored *restored, const char *dir, struct error *why)
{
	if (restored->revision > restored->checkpoint_revision &&
	    checkpoint_write(dir, restored->revision, restored->torn_at, why) < 0)
		return -1;
	restored->checkpoint_revision = restored->revision;
	restored->journal = journal_create(dir, restored->revision, why);
	return restored->journal != NULL ? 0 : -1;
}

/* There is a journal: does it follow what was loaded? */
static int
read_journal(struct restored *restored, struct journal_reader *reader, const char *dir,
	     struct error *why)
{
	uint64_t follows = journal_reader_follows(reader);

	if (follows > 0 && restored->checkpoint_revision == 0)
		return error_set(why, ERROR_STORAGE,
				 "%s/" STORE_NAME " is missing: " JOURNAL_NAME
				 " follows its revision %" PRIu64,
				 dir, follows);
	if (follows > restored->checkpoint_revision)
		return error_set(why, ERROR_STORAGE,
				 "%s/" STORE_NAME " is of revision %" PRIu64 ", but " JOURNAL_NAME
				 " follows revision %" PRIu64,
				 dir, restored->checkpoint_revision, follows);
	if (add_changes(restored, reader, dir, why) < 0)
		return -1;
	restored->torn = journal_reader_torn(reader);
	restored->torn_at = journal_reader_end(reader);
	restored->timed = journal_reader_timed(reader);
	if (journal_reader_version(reader) == 1)
		return replace_journal(restored, dir, why);
	restored->journal = journal_open(dir, follows, restored->revision, restored->torn_at, why);
	return restored->journal != NULL ? 0 : -1;
}

/* What a crash left half written beside the files themselves. */
static int
remove_leftovers(const char *dir, struct error *why)
{
	char *store = durable_path(dir, STORE_NAME ".new");
	char *journal = durable_path(dir, JOURNAL_NAME ".new");
	int rc = 0;

	if (durable_remove(store, why) < 0 || durable_remove(journal, why) < 0)
		rc = -1;
	free(store);
	free(journal);
	return rc;
}

int
restore(const char *dir, struct restored *restored, struct error *why)
{
	struct journal_reader *reader = NULL;
	struct store_meta meta;
	int loaded, opened, rc = -1;

	*restored = (struct restored){.table = table_new(), .authors = authors_new(), .next_id = 1};
	loaded = load_store(restored->table, dir, &meta, why);
	if (loaded < 0)
		goto out;
	restored->revision = restored->checkpoint_revision = meta.revision;
	restored->next_id = meta.next_id;
	opened = journal_reader_open(dir, 0, &reader, why);
	if (opened < 0)
		goto out;
	if (opened > 0) {
		rc = read_journal(restored, reader, dir, why);
	} else if (loaded > 0) {
		error_set(why, ERROR_STORAGE,
			  "%s/" JOURNAL_NAME
			  " is missing, and with it the changes after revision %" PRIu64
			  " of " STORE_NAME "; relayd-files(5) says how to go on without them",
			  dir, meta.revision);
	} else {
		restored->journal = journal_create(dir, 0, why);
		rc = restored->journal != NULL ? 0 : -1;
	}
	if (rc == 0)
		rc = remove_leftovers(dir, why);
out:
	journal_reader_free(reader);
	if (rc < 0) {
		table_free(restored->table);
		journal_free(restored->journal);
		authors_free(restored->authors);
		*restored = (struct restored){.table = NULL};
	}
	return rc;
}
