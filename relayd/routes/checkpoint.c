/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/checkpoint.h"

#include <inttypes.h>
#include <stddef.h>

#include "relayd/routes/journal.h"
#include "relayd/routes/store.h"

static int
add_change(struct store_update *update, struct journal_reader *reader, struct error *why)
{
	struct journal_text step;
	int rc;

	while ((rc = journal_reader_step(reader, &step, why)) > 0) {
		rc = step.what != JOURNAL_DELETE
			 ? store_update_put(update, step.id, step.after, step.after_len, why)
			 : store_update_delete(update, step.id, why);
		if (rc < 0)
			break;
	}
	return rc;
}

/* Every change behind the old checkpoint. `meta` becomes what the new one shall say of itself. */
static int
add_changes(struct store_update *update, struct journal_reader *reader, struct store_meta *meta,
	    struct error *why)
{
	struct journal_change change;
	int rc;

	if (journal_reader_follows(reader) > meta->revision)
		return error_set(why, ERROR_STORAGE,
				 STORE_NAME " is of revision %" PRIu64 ", but " JOURNAL_NAME
					    " follows revision %" PRIu64,
				 meta->revision, journal_reader_follows(reader));
	while ((rc = journal_reader_next(reader, &change, why)) > 0) {
		if (change.revision <= meta->revision)
			continue;
		if (add_change(update, reader, why) < 0)
			return -1;
		meta->revision = change.revision;
		meta->next_id = change.next_id;
	}
	return rc;
}

int
checkpoint_write(const char *dir, uint64_t revision, uint64_t journal_end, struct error *why)
{
	struct store_update *update = NULL;
	struct journal_reader *reader = NULL;
	struct store_meta meta;
	int rc = -1, opened;

	opened = journal_reader_open(dir, journal_end, &reader, why);
	if (opened == 0)
		error_set(why, ERROR_STORAGE, "%s/" JOURNAL_NAME " is missing", dir);
	if (opened <= 0)
		goto out;
	update = store_update_begin(dir, why);
	if (update == NULL)
		goto out;
	meta = *store_update_meta(update);
	if (add_changes(update, reader, &meta, why) < 0)
		goto out;
	if (meta.revision != revision) {
		error_set(why, ERROR_STORAGE,
			  JOURNAL_NAME " ends with revision %" PRIu64 ", not %" PRIu64,
			  meta.revision, revision);
		goto out;
	}
	rc = store_update_commit(update, meta.revision, meta.next_id, why);
	update = NULL;
out:
	store_update_abort(update);
	journal_reader_free(reader);
	return rc;
}
