/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/past.h"

#include <inttypes.h>
#include <stdlib.h>

#include "relayd/routes/history_files.h"
#include "relayd/routes/journal_format.h"

uint64_t
past_first(const struct past *past)
{
	return history_first(past->history);
}

int
past_has(const struct past *past, uint64_t revision, struct error *why)
{
	uint64_t first = past_first(past);

	if (revision > past->revision)
		return error_set(why, ERROR_NOT_FOUND,
				 "there is no revision %" PRIu64 " yet: the routes are at %" PRIu64,
				 revision, past->revision);
	if (first > past->revision)
		return error_set(why, ERROR_NOT_FOUND, "no change is kept");
	if (revision < first)
		return error_set(why, ERROR_NOT_FOUND,
				 "revision %" PRIu64
				 " is not kept any more: the oldest is %" PRIu64,
				 revision, first);
	return 0;
}

int
past_reaches(const struct past *past, uint64_t revision, struct error *why)
{
	if (revision + 1 == past_first(past) || revision == past->revision)
		return 0;
	return past_has(past, revision, why);
}

/* ---- the walk ---- */

struct walk {
	const struct past *past;
	uint64_t from;
	uint64_t to;
	uint64_t id;
	const struct past_visitor *visitor;
};

static int
visit(const struct walk *walk, const struct journal_change *change, struct journal_reader *reader,
      struct error *why)
{
	return walk->visitor->visit(walk->visitor->ctx, change, reader, why);
}

/* What there is of the walk in one file of the history. */
static int
walk_file(const struct walk *walk, const struct history_file *file, struct error *why)
{
	uint64_t from = walk->from > file->follows ? walk->from : file->follows + 1;
	uint64_t last = file->follows + file->count, to = walk->to < last ? walk->to : last;
	char *path = history_path(walk->past->dir, file->follows);
	struct journal_reader *reader = NULL;
	struct journal_change change;
	int rc = 0;

	for (uint64_t revision = from; rc == 0 && revision <= to; revision++) {
		const struct history_mark *mark = &file->marks[revision - file->follows - 1];

		if (walk->id != 0 && (walk->id < mark->least_id || walk->id > mark->most_id))
			continue;
		if (reader == NULL)
			rc = journal_reader_open_path(path, &journal_type_history, file->end,
						      &reader, why);
		if (reader == NULL) {
			if (rc == 0)
				rc = error_set(why, ERROR_STORAGE, "%s is missing", path);
			break;
		}
		journal_reader_seek(reader, mark->offset, revision - 1);
		rc = journal_reader_next(reader, &change, why);
		if (rc == 0)
			rc = error_set(why, ERROR_STORAGE, "%s ends before revision %" PRIu64, path,
				       revision);
		if (rc > 0)
			rc = visit(walk, &change, reader, why);
	}
	journal_reader_free(reader);
	free(path);
	return rc < 0 ? -1 : 0;
}

/* What the history does not have yet. */
static int
walk_journal(const struct walk *walk, struct error *why)
{
	uint64_t last = history_last(walk->past->history);
	uint64_t from = walk->from > last ? walk->from : last + 1;
	struct journal_reader *reader = NULL;
	struct journal_change change;
	int rc;

	if (walk->to < from)
		return 0;
	rc = journal_reader_open(walk->past->dir, walk->past->journal_end, &reader, why);
	if (rc == 0)
		rc = error_set(why, ERROR_STORAGE, "%s/" JOURNAL_NAME " is missing",
			       walk->past->dir);
	while (rc > 0 && (rc = journal_reader_next(reader, &change, why)) > 0) {
		if (change.revision > walk->to)
			break;
		if (change.revision >= from && visit(walk, &change, reader, why) < 0)
			rc = -1;
	}
	journal_reader_free(reader);
	return rc < 0 ? -1 : 0;
}

int
past_walk(const struct past *past, uint64_t from, uint64_t to, uint64_t id,
	  const struct past_visitor *visitor, struct error *why)
{
	const struct walk walk = {
	    .past = past, .from = from, .to = to, .id = id, .visitor = visitor};
	const struct history *history = past->history;

	for (size_t i = 0; i < history->count; i++) {
		const struct history_file *file = &history->files[i];

		if (from <= file->follows + file->count && to > file->follows &&
		    walk_file(&walk, file, why) < 0)
			return -1;
	}
	return walk_journal(&walk, why);
}
