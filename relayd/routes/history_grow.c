/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copying changes from the journal to the history. The format stands in history.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/routes/durable.h"
#include "relayd/routes/history.h"
#include "relayd/routes/history_files.h"
#include "relayd/routes/journal.h"

/* A file that is being written to. */
struct growing {
	const struct history *history;
	struct history_growth *growth;
	char *path;
	int fd;
	uint64_t at; /* where the next record goes */
};

/* Begin a file: it is there with its first line, or not at all. */
static int
begin_file(struct growing *growing, struct error *why)
{
	uint64_t follows = growing->history->last;
	char *fresh = durable_path(growing->history->dir, HISTORY_NAME ".new");
	char line[JOURNAL_LINE_MAX];
	size_t len =
	    journal_line(&journal_type_history, journal_type_history.version, follows, line);
	int rc = 0;

	growing->growth->begun = true;
	growing->growth->file.follows = follows;
	growing->path = history_path(growing->history->dir, follows);
	growing->fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (growing->fd < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't make %s", fresh);
	else if (durable_write(growing->fd, line, len, 0) < 0 || fsync(growing->fd) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't write %s", fresh);
	else if (durable_replace(growing->history->dir, fresh, growing->path, why) < 0)
		rc = -1;
	growing->at = growing->growth->file.end = len;
	free(fresh);
	return rc;
}

/* Go on with the newest file, or begin another one. */
static int
open_file(struct growing *growing, struct error *why)
{
	const struct history *history = growing->history;
	const struct history_file *file;

	if (history->count == 0)
		return begin_file(growing, why);
	file = &history->files[history->count - 1];
	if (file->count >= HISTORY_FILE_CHANGES)
		return begin_file(growing, why);
	growing->growth->file.follows = file->follows;
	growing->path = history_path(history->dir, file->follows);
	growing->at = growing->growth->file.end = file->end;
	growing->fd = open(growing->path, O_RDWR | O_CLOEXEC);
	if (growing->fd < 0)
		return error_sys(why, ERROR_STORAGE, "can't open %s", growing->path);
	/* What an earlier try has left. */
	if (ftruncate(growing->fd, (off_t)file->end) < 0)
		return error_sys(why, ERROR_STORAGE, "can't cut %s", growing->path);
	return 0;
}

/* The change that was read last. */
static int
copy_change(struct growing *growing, struct journal_reader *reader,
	    const struct journal_change *change, struct error *why)
{
	struct journal_output output;
	struct journal_text step;
	struct history_mark mark;
	int rc;

	history_mark_init(&mark, growing->at);
	journal_output_begin(&output, growing->fd, growing->at, change);
	while ((rc = journal_reader_step(reader, &step, why)) > 0) {
		history_mark_id(&mark, step.id);
		if (step.what == JOURNAL_ADD && change->step_count > HISTORY_WHOLE_STEPS)
			step.after_len = 0;
		if (journal_output_step(&output, &step) < 0) {
			rc = error_sys(why, ERROR_STORAGE, "can't write %s", growing->path);
			break;
		}
	}
	if (rc == 0 && journal_output_end(&output, JOURNAL_CHANGE, &growing->at) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't write %s", growing->path);
	journal_output_clear(&output);
	if (rc == 0)
		history_file_add(&growing->growth->file, &mark);
	return rc;
}

static int
copy_changes(struct growing *growing, struct journal_reader *reader, struct error *why)
{
	uint64_t last = growing->history->last;
	struct journal_change change;
	int rc;

	while ((rc = journal_reader_next(reader, &change, why)) > 0) {
		if (change.revision <= last)
			continue;
		if (change.revision != last + 1)
			return error_set(why, ERROR_STORAGE,
					 "%s ends with revision %" PRIu64 ", and " JOURNAL_NAME
					 " begins with %" PRIu64,
					 growing->path, last, change.revision);
		if (copy_change(growing, reader, &change, why) < 0)
			return -1;
		last = change.revision;
	}
	return rc;
}

/* Sync, and say so. A seal that could not be written is none: nothing hangs on it but the telling
 * of a torn tail from damage. */
static int
seal_file(struct growing *growing, struct error *why)
{
	struct history_file *file = &growing->growth->file;
	unsigned char seal[JOURNAL_SEAL_BYTES];
	uint64_t last = growing->history->last + file->count;

	if (fdatasync(growing->fd) < 0)
		return error_sys(why, ERROR_STORAGE, "can't sync %s", growing->path);
	journal_seal_put(seal, last);
	if (durable_write(growing->fd, seal, sizeof(seal), growing->at) == 0)
		growing->at += sizeof(seal);
	file->end = growing->at;
	return 0;
}

/* Behind a failure, take away what was written: the next try writes it again. */
static void
give_up(struct growing *growing)
{
	struct history_file *file = &growing->growth->file;

	if (growing->fd >= 0 && growing->growth->begun)
		(void)durable_remove(growing->path, NULL);
	else if (growing->fd >= 0)
		(void)!ftruncate(growing->fd, (off_t)file->end);
	free(file->marks);
	free(growing->growth);
	growing->growth = NULL;
}

struct history_growth *
history_grow(const struct history *history, uint64_t journal_end, struct error *why)
{
	struct growing growing = {
	    .history = history, .growth = xcalloc(1, sizeof(struct history_growth)), .fd = -1};
	struct journal_reader *reader = NULL;
	int rc, opened = journal_reader_open(history->dir, journal_end, &reader, why);

	if (opened == 0)
		error_set(why, ERROR_STORAGE, "%s/" JOURNAL_NAME " is missing", history->dir);
	rc = opened > 0 ? open_file(&growing, why) : -1;
	if (rc == 0)
		rc = copy_changes(&growing, reader, why);
	if (rc == 0)
		rc = seal_file(&growing, why);
	if (rc < 0)
		give_up(&growing);
	journal_reader_free(reader);
	/* What counts of it was synced. */
	if (growing.fd >= 0)
		(void)close(growing.fd);
	free(growing.path);
	return growing.growth;
}
