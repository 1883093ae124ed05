/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * STATE_DIR/routes.history.N, mode 0600, where N is the revision before its first change. A file
 * begins with a line of text, in which N stands again:
 *
 *	relayd-routes-history 1 follows=5000
 *
 * and goes on with records as the journal has them (journal.c): changes, copied from it, and seals.
 * One thing is left out: in a change of more than 100 steps, of a route that is added only the id
 *is kept ("add=10 0"), which is all that is needed to take it away again. So a large import is a
 *small record here.
 *
 * Order: the records, their sync, a seal, the cut of the journal. So what is torn at the end of the
 * newest file is still in the journal. When a file has 5,000 changes or more, another one is begun:
 * its first line is written under another name, synced, renamed. The oldest one is removed when the
 * others have 10,000 changes.
 */
#include "relayd/routes/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/routes/durable.h"
#include "relayd/routes/history_files.h"

char *
history_path(const char *dir, uint64_t follows)
{
	return xasprintf("%s/" HISTORY_NAME ".%" PRIu64, dir, follows);
}

/* ---- what is known of a file ---- */

void
history_mark_init(struct history_mark *mark, uint64_t offset)
{
	*mark = (struct history_mark){.offset = offset, .least_id = 1};
}

void
history_mark_id(struct history_mark *mark, uint64_t id)
{
	if (mark->least_id > mark->most_id)
		mark->least_id = mark->most_id = id;
	else if (id < mark->least_id)
		mark->least_id = id;
	else if (id > mark->most_id)
		mark->most_id = id;
}

void
history_file_add(struct history_file *file, const struct history_mark *mark)
{
	if (file->count == file->room) {
		file->room = file->room > 0 ? file->room * 2 : 16;
		file->marks = xreallocarray(file->marks, file->room, sizeof(file->marks[0]));
	}
	file->marks[file->count++] = *mark;
}

static void
add_file(struct history *history, const struct history_file *file)
{
	if (history->count == history->room) {
		history->room = history->room > 0 ? history->room * 2 : 4;
		history->files =
		    xreallocarray(history->files, history->room, sizeof(history->files[0]));
	}
	history->files[history->count++] = *file;
	history->last = file->follows + file->count;
}

/* ---- reading at start-up ---- */

struct opening {
	struct history *history;
	struct log *log;
	const struct history_witness *witness;
};

/* The record that was read last, as a mark. */
static int
read_mark(const struct opening *opening, struct journal_reader *reader, uint64_t revision,
	  struct history_mark *mark, struct error *why)
{
	const struct history_witness *witness = opening->witness;
	struct journal_text step;
	int rc;

	history_mark_init(mark, journal_reader_begun(reader));
	while ((rc = journal_reader_step(reader, &step, why)) > 0) {
		history_mark_id(mark, step.id);
		witness->route(witness->ctx, revision, step.id);
	}
	return rc;
}

static int
read_marks(const struct opening *opening, struct journal_reader *reader, struct history_file *file,
	   struct error *why)
{
	struct journal_change change;
	struct history_mark mark;
	int rc;

	while ((rc = journal_reader_next(reader, &change, why)) > 0) {
		opening->witness->change(opening->witness->ctx, change.revision, change.user);
		if (read_mark(opening, reader, change.revision, &mark, why) < 0)
			return -1;
		history_file_add(file, &mark);
	}
	return rc;
}

/* The newest file may end in what a crash has torn; and what was read of it may not be synced yet,
 * but is taken for the truth from now on. */
static int
mend_tail(const struct opening *opening, const char *path, uint64_t end, uint64_t torn,
	  struct error *why)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "can't open %s", path);
	if (torn > 0 && ftruncate(fd, (off_t)end) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't cut %s", path);
	else if (fsync(fd) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't sync %s", path);
	if (close(fd) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "can't close %s", path);
	if (torn == 0 || rc < 0)
		return rc;
	log_event(opening->log, LOG_LEVEL_WARNING, 0, "routes-history-cut", LOG_S("file", path),
		  LOG_U("offset", end), LOG_U("bytes", torn),
		  LOG_S("why", "the last record is not whole; the journal has it"));
	return 0;
}

static int
read_file(const struct opening *opening, struct history_file *file, const char *path, bool newest,
	  struct error *why)
{
	struct journal_reader *reader = NULL;
	uint64_t torn;
	int rc = journal_reader_open_path(path, &journal_type_history, 0, &reader, why);

	if (rc == 0)
		return error_set(why, ERROR_STORAGE, "%s has gone", path);
	if (rc < 0)
		return -1;
	rc = -1;
	if (journal_reader_follows(reader) != file->follows) {
		error_set(why, ERROR_STORAGE, "%s is damaged at offset 0: it says follows=%" PRIu64,
			  path, journal_reader_follows(reader));
		goto out;
	}
	if (read_marks(opening, reader, file, why) < 0)
		goto out;
	file->end = journal_reader_end(reader);
	torn = journal_reader_torn(reader);
	if (torn > 0 && !newest) {
		error_set(why, ERROR_STORAGE,
			  "%s is damaged at offset %" PRIu64 ": the record does not check", path,
			  file->end);
		goto out;
	}
	rc = newest ? mend_tail(opening, path, file->end, torn, why) : 0;
out:
	journal_reader_free(reader);
	return rc;
}

/* Out of the way, but kept for whoever wants to look at it. */
static void
set_aside(const struct opening *opening, uint64_t follows, const struct error *reason)
{
	char *path = history_path(opening->history->dir, follows);
	char *aside = xasprintf("%s.aside", path);
	const char *failed = rename(path, aside) < 0 ? strerror(errno) : NULL;

	log_event(opening->log, LOG_LEVEL_ERROR, 0, "routes-history-set-aside", LOG_S("file", path),
		  LOG_S("why", reason->text), LOG_S("failed", failed));
	free(path);
	free(aside);
}

/* All that was read is of no use: without the changes behind them older ones can't be undone. */
static void
set_all_aside(const struct opening *opening, const struct error *reason)
{
	struct history *history = opening->history;

	for (size_t i = 0; i < history->count; i++) {
		set_aside(opening, history->files[i].follows, reason);
		free(history->files[i].marks);
	}
	history->count = 0;
}

/* Read the next file, which has to go on where the one before ends. -1: the disk fails, which says
 * nothing of the file. */
static int
take_file(const struct opening *opening, uint64_t follows, bool newest, struct error *failed)
{
	struct history *history = opening->history;
	struct history_file file = {.follows = follows};
	char *path = history_path(history->dir, follows);
	struct error why = {.sys = 0};
	int rc = 0;

	if (history->count > 0 && history->last != follows) {
		error_set(&why, ERROR_STORAGE,
			  "the changes from revision %" PRIu64 " to %" PRIu64 " are missing",
			  history->last + 1, follows);
		set_all_aside(opening, &why);
	}
	if (read_file(opening, &file, path, newest, &why) == 0) {
		add_file(history, &file);
	} else if (why.sys != 0) {
		free(file.marks);
		*failed = why;
		rc = -1;
	} else {
		free(file.marks);
		set_all_aside(opening, &why);
		set_aside(opening, follows, &why);
	}
	free(path);
	return rc;
}

/* "routes.history.N", and nothing else. */
static int
parse_name(const char *name, uint64_t *follows)
{
	char again[64];

	if (strncmp(name, HISTORY_NAME ".", sizeof(HISTORY_NAME)) != 0)
		return -1;
	*follows = strtoull(name + sizeof(HISTORY_NAME), NULL, 10);
	snprintf(again, sizeof(again), HISTORY_NAME ".%" PRIu64, *follows);
	return strcmp(name, again) == 0 ? 0 : -1;
}

static int
by_number(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static int
find_files(const char *path, uint64_t **numbers, size_t *count, struct error *why)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint64_t number;
	size_t room = 0;
	int rc = 0;

	if (dir == NULL)
		return error_sys(why, ERROR_STORAGE, "can't open %s", path);
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
		if (parse_name(entry->d_name, &number) < 0)
			continue;
		if (*count == room) {
			room = room > 0 ? room * 2 : 8;
			*numbers = xreallocarray(*numbers, room, sizeof((*numbers)[0]));
		}
		(*numbers)[(*count)++] = number;
	}
	if (errno != 0)
		rc = error_sys(why, ERROR_STORAGE, "can't read %s", path);
	if (closedir(dir) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "can't close %s", path);
	if (*count > 0)
		qsort(*numbers, *count, sizeof((*numbers)[0]), by_number);
	return rc;
}

/* Does it go together with the journal? */
static void
compare_journal(const struct opening *opening, uint64_t follows, uint64_t revision)
{
	struct history *history = opening->history;
	struct error why;

	if (history->count > 0 && history->last > revision) {
		error_set(&why, ERROR_STORAGE,
			  "it reaches to revision %" PRIu64
			  ", but the routes are at revision %" PRIu64,
			  history->last, revision);
		set_all_aside(opening, &why);
	} else if (history->count > 0 && history->last < follows) {
		error_set(&why, ERROR_STORAGE,
			  "the changes from revision %" PRIu64 " to %" PRIu64 " are missing",
			  history->last + 1, follows);
		set_all_aside(opening, &why);
	}
	if (history->count == 0)
		history->last = follows;
}

struct history *
history_open(const char *dir, uint64_t follows, uint64_t revision, struct log *log,
	     const struct history_witness *witness, struct error *why)
{
	struct history *history = xcalloc(1, sizeof(*history));
	struct opening opening = {.history = history, .log = log, .witness = witness};
	char *fresh = durable_path(dir, HISTORY_NAME ".new");
	uint64_t *numbers = NULL;
	size_t count = 0;
	int rc;

	history->dir = xstrdup(dir);
	rc = find_files(dir, &numbers, &count, why);
	if (rc == 0)
		rc = durable_remove(fresh, why);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = take_file(&opening, numbers[i], i + 1 == count, why);
	free(numbers);
	free(fresh);
	if (rc < 0) {
		history_free(history);
		return NULL;
	}
	compare_journal(&opening, follows, revision);
	return history;
}

void
history_free(struct history *history)
{
	if (history == NULL)
		return;
	for (size_t i = 0; i < history->count; i++)
		free(history->files[i].marks);
	free(history->files);
	free(history->dir);
	free(history);
}

/* ---- its extent ---- */

uint64_t
history_first(const struct history *history)
{
	return history->count > 0 ? history->files[0].follows + 1 : history->last + 1;
}

uint64_t
history_last(const struct history *history)
{
	return history->last;
}

void
history_take(struct history *history, struct history_growth *growth)
{
	if (growth->begun) {
		add_file(history, &growth->file);
	} else {
		struct history_file *file = &history->files[history->count - 1];

		for (size_t i = 0; i < growth->file.count; i++)
			history_file_add(file, &growth->file.marks[i]);
		file->end = growth->file.end;
		history->last = file->follows + file->count;
		free(growth->file.marks);
	}
	free(growth);
}

char *
history_trim(struct history *history)
{
	char *path;

	if (history->count < 2 ||
	    history->last - history->files[1].follows < (uint64_t)HISTORY_KEEP)
		return NULL;
	path = history_path(history->dir, history->files[0].follows);
	free(history->files[0].marks);
	history->count--;
	memmove(&history->files[0], &history->files[1], history->count * sizeof(history->files[0]));
	return path;
}
