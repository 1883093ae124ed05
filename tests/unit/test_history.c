/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What changes leave behind (relayd/routes/history, past, undo, timed, table_past): all of them are
 * kept across cuts and restarts, ten thousand at least, and no files without end; the history cut
 * or changed at any byte costs no route, and no change that the journal still has; the table at any
 * revision is what it was; undo gives back what a change touched and nothing else; a change that is
 * not confirmed in time undoes itself, also when nobody was there at that time.
 */
#include "tests/unit/changes_fixture.h"

#include <time.h>

#include "relayd/routes/history_files.h"
#include "relayd/routes/undo.h"
#include "relayd/spool/crc32c.h"

enum { NEVER_MS = 3600000 }; /* until a checkpoint: only that of the end */

/* ---- changes of the model ---- */

static void
make_changes(struct fixture *fixture, unsigned count)
{
	struct model model = model_at(changes_revision(fixture->changes));
	struct outcome *outcomes = xcalloc(count, sizeof(*outcomes));
	struct change_step steps[MODEL_STEPS];

	for (unsigned i = 0; i < count; i++) {
		size_t step_count = model_next(&model, steps);

		changes_apply(fixture->changes,
			      &(struct change){.steps = steps,
					       .step_count = step_count,
					       .user = i % 3 == 0 ? "lea" : "marc",
					       .note = i % 2 == 0 ? "a note" : NULL,
					       .expected_revision = -1},
			      tell, &outcomes[i]);
		steps_free(steps, step_count);
	}
	wait_told(fixture, &outcomes[count - 1]);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(outcomes[i].code, ERROR_NONE);
	free(outcomes);
}

/* ---- reading ---- */

struct extent {
	uint64_t first;
	uint64_t last;
	uint64_t seen;  /* changes that the walk came by */
	uint64_t until; /* the last of them */
	char user[16];
	char note[80];
	uint64_t undoes;
};

static int
see_change(void *ctx, const struct journal_change *change, struct journal_reader *steps,
	   struct error *why)
{
	struct extent *extent = ctx;
	struct journal_text step;
	size_t count = 0;
	int rc;

	assert_true(extent->seen == 0 || change->revision == extent->until + 1);
	while ((rc = journal_reader_step(steps, &step, why)) > 0) {
		assert_int_equal(step.before_len > 0, step.what != JOURNAL_ADD);
		count++;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(count, change->step_count);
	extent->seen++;
	extent->until = change->revision;
	extent->undoes = change->undoes;
	snprintf(extent->user, sizeof(extent->user), "%s", change->user);
	snprintf(extent->note, sizeof(extent->note), "%s",
		 change->note != NULL ? change->note : "");
	return 0;
}

static int
read_extent(void *ctx, const struct past *past, struct error *why)
{
	struct extent *extent = ctx;

	extent->first = past_first(past);
	extent->last = past->revision;
	return past_walk(past, extent->first, extent->last, 0,
			 &(struct past_visitor){.visit = see_change, .ctx = extent}, why);
}

/* Every change from the first that is kept to the last is there. */
static struct extent
extent_of(struct fixture *fixture)
{
	struct extent extent = {.seen = 0};
	struct error why = read_past(fixture, read_extent, &extent);

	if (why.code != ERROR_NONE)
		fail_msg("%s", why.text);
	assert_int_equal(extent.seen, extent.last + 1 - extent.first);
	return extent;
}

static size_t
history_files(const char *dir, const char *suffix)
{
	DIR *open_dir = opendir(dir);
	struct dirent *entry;
	size_t count = 0, len;

	assert_non_null(open_dir);
	while ((entry = readdir(open_dir)) != NULL) {
		if (strncmp(entry->d_name, HISTORY_NAME, strlen(HISTORY_NAME)) != 0)
			continue;
		len = strlen(entry->d_name);
		if (len > strlen(suffix) &&
		    strcmp(entry->d_name + len - strlen(suffix), suffix) == 0)
			count++;
	}
	assert_int_equal(closedir(open_dir), 0);
	return count;
}

/* ---- kept ---- */

static void
kept_across_the_cut_and_restarts(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct extent extent;

	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		make_changes(&fixture, 7);
		if (round != 2 && round != 3)
			wait_checkpoint(&fixture, dir);
		extent = extent_of(&fixture);
		assert_int_equal(extent.first, 1);
		assert_int_equal(extent.last, 7 * (round + 1));
		assert_string_equal(extent.user, "lea");
		assert_string_equal(extent.note, "a note");
		for (uint64_t was = 0; was <= extent.last; was += 1 + extent.last / 9)
			assert_table_was(&fixture, was);
		assert_string_equal(changes_author(fixture.changes, 1), "lea");
		assert_string_equal(changes_author(fixture.changes, 2), "marc");
		assert_null(changes_author(fixture.changes, extent.last + 1));
		if (round == 1 || round == 2) {
			fixture_close(&fixture);
			fixture = fixture_open(dir, round == 1 ? NEVER_MS : 1);
		}
	}
	assert_int_equal(file_stat(dir, HISTORY_NAME ".0").st_mode & 07777, 0600);
	fixture_close(&fixture);
	assert_int_equal(dir_free(dir), 3);
}

/* Which change has made a route what it is, is known again after a restart. */
static void
routes_know_their_change(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct route *route = route_for(1, 2);

	(void)state;
	add(&fixture, 1);
	add(&fixture, 1);
	apply(&fixture, &(struct change_step){.what = CHANGE_SET, .route = route}, 1);
	route_unref(route);
	wait_checkpoint(&fixture, dir);
	add(&fixture, 1);
	for (int i = 0; i < 3; i++) {
		const struct table *table = changes_table(fixture.changes);

		assert_int_equal(table_get(table, 1)->revision, 3);
		assert_int_equal(table_get(table, 2)->revision, 2);
		assert_int_equal(table_get(table, 3)->revision, 4);
		fixture_close(&fixture);
		fixture = fixture_open(dir, NEVER_MS);
	}
	fixture_close(&fixture);
	dir_free(dir);
}

static void
ten_thousand_and_no_files_without_end(void **state)
{
	enum { BATCH = 1700, BATCHES = 12 };
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct extent extent;
	struct error why;

	(void)state;
	for (unsigned i = 0; i < BATCHES; i++) {
		make_changes(&fixture, BATCH);
		wait_checkpoint(&fixture, dir);
	}
	for (int i = 0; i < 2; i++) {
		struct table_past *past = table_past_new(100);

		extent = extent_of(&fixture);
		assert_int_equal(extent.last, BATCH * BATCHES);
		assert_true(extent.last + 1 - extent.first >= HISTORY_KEEP);
		assert_true(extent.first > 5000);
		assert_true(history_files(dir, "") <= 4);
		assert_table_was(&fixture, extent.last - HISTORY_KEEP);
		assert_table_was(&fixture, extent.first - 1);
		assert_table_was(&fixture, extent.last - 5000);
		assert_null(changes_author(fixture.changes, 1));
		why = read_past(&fixture, read_table_past, past);
		assert_int_equal(why.code, ERROR_NOT_FOUND);
		assert_non_null(strstr(why.text, "not kept any more"));
		table_past_free(past);
		fixture_close(&fixture);
		fixture = fixture_open(dir, 1);
	}
	fixture_close(&fixture);
	dir_free(dir);
}

/* ---- damage ---- */

/* A history of `count` changes whose journal was not cut yet, if wanted. */
static struct strbuf
make_history(const char *dir, unsigned count, bool uncut)
{
	struct fixture fixture = fixture_open(dir, NEVER_MS);
	struct strbuf journal;

	make_changes(&fixture, count);
	journal = file_read(dir, JOURNAL_NAME);
	fixture_close(&fixture);
	if (uncut)
		file_write(dir, JOURNAL_NAME, journal.data, journal.len);
	strbuf_clear(&journal);
	return file_read(dir, HISTORY_NAME ".0");
}

static void
cut_at_every_byte(void **state)
{
	enum { COUNT = 4 };
	char *dir = dir_new();
	struct strbuf bytes = make_history(dir, COUNT, true);
	struct strbuf journal = file_read(dir, JOURNAL_NAME), store = file_read(dir, STORE_NAME);

	(void)state;
	for (size_t len = 0; len <= bytes.len; len++) {
		struct fixture fixture;

		file_write(dir, HISTORY_NAME ".0", bytes.data, len);
		file_write(dir, JOURNAL_NAME, journal.data, journal.len);
		file_write(dir, STORE_NAME, store.data, store.len);
		fixture = fixture_open(dir, NEVER_MS);
		assert_int_equal(extent_of(&fixture).first, 1);
		assert_table_was(&fixture, 2);
		if (len % 10 == 0) {
			/* It goes on behind the cut. */
			make_changes(&fixture, 1);
			fixture_close(&fixture);
			fixture = fixture_open(dir, NEVER_MS);
			assert_int_equal(extent_of(&fixture).first, 1);
			assert_int_equal(extent_of(&fixture).last, COUNT + 1);
		}
		fixture_close(&fixture);
	}
	strbuf_clear(&bytes);
	strbuf_clear(&journal);
	strbuf_clear(&store);
	dir_free(dir);
}

/* Damage is never read as history, and never stands in the way of the routes. */
static void
every_byte_flipped(void **state)
{
	enum { COUNT = 4 };
	char *dir = dir_new();
	struct strbuf bytes = make_history(dir, COUNT, false);
	struct strbuf journal = file_read(dir, JOURNAL_NAME);
	size_t aside = 0;

	(void)state;
	for (size_t i = 0; i < bytes.len; i++) {
		struct model model = model_at(COUNT);
		struct fixture fixture;
		struct extent extent;

		bytes.data[i] ^= 0x20;
		file_write(dir, HISTORY_NAME ".0", bytes.data, bytes.len);
		bytes.data[i] ^= 0x20;
		fixture = fixture_open(dir, NEVER_MS);
		assert_true(model_is(&model, fixture.changes));
		extent = extent_of(&fixture);
		/* All of it, where only the seal was hit; else nothing. */
		assert_true(extent.first == 1 || extent.first == COUNT + 1);
		if (extent.first > 1) {
			assert_int_equal(history_files(dir, ".aside"), 1);
			aside++;
		}
		fixture_close(&fixture);
		assert_int_equal(file_stat(dir, JOURNAL_NAME).st_size, journal.len);
	}
	assert_true(aside > bytes.len - 2 * JOURNAL_SEAL_BYTES);
	strbuf_clear(&bytes);
	strbuf_clear(&journal);
	dir_free(dir);
}

/* Damage is named by file and offset in the log, and what comes after it is kept again. */
static void
damage_is_named(void **state)
{
	char *dir = dir_new(), *path = xasprintf("%s/log", dir);
	struct strbuf bytes = make_history(dir, 5, false), text;
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	struct log *log = log_new(fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	struct fixture fixture;
	struct error why;

	(void)state;
	assert_true(fd >= 0);
	bytes.data[bytes.len / 2] ^= 1;
	file_write(dir, HISTORY_NAME ".0", bytes.data, bytes.len);
	fixture.loop = loop_new(&why);
	fixture.offload = offload_new(fixture.loop, 2, &why);
	fixture.changes = changes_open(&(struct changes_options){.state_dir = dir,
								 .loop = fixture.loop,
								 .offload = fixture.offload,
								 .checkpoint_after_ms = 1,
								 .log = log},
				       &why);
	assert_non_null(fixture.changes);
	text = file_read(dir, "log");
	assert_non_null(strstr(text.data, "routes-history-set-aside"));
	assert_non_null(strstr(text.data, HISTORY_NAME ".0 is damaged at offset"));
	assert_int_equal(extent_of(&fixture).first, 6);
	make_changes(&fixture, 3);
	wait_checkpoint(&fixture, dir);
	assert_int_equal(extent_of(&fixture).first, 6);
	assert_table_was(&fixture, 5);
	assert_table_was(&fixture, 7);
	assert_true(file_exists(dir, HISTORY_NAME ".5"));
	fixture_close(&fixture);
	log_free(log);
	assert_int_equal(close(fd), 0);
	strbuf_clear(&bytes);
	strbuf_clear(&text);
	free(path);
	dir_free(dir);
}

static void
files_that_do_not_fit(void **state)
{
	char *dir = dir_new(), *path = xasprintf("%s/" HISTORY_NAME ".0", dir);
	struct strbuf bytes = make_history(dir, 5, false);
	struct fixture fixture;

	(void)state;
	/* It has gone: what comes is kept. */
	assert_int_equal(unlink(path), 0);
	fixture = fixture_open(dir, NEVER_MS);
	assert_int_equal(extent_of(&fixture).first, 6);
	make_changes(&fixture, 2);
	fixture_close(&fixture);
	assert_true(file_exists(dir, HISTORY_NAME ".5"));
	/* Under another name than that of its place. */
	file_write(dir, HISTORY_NAME ".3", bytes.data, bytes.len);
	fixture = fixture_open(dir, NEVER_MS);
	assert_int_equal(extent_of(&fixture).first, 6);
	assert_true(file_exists(dir, HISTORY_NAME ".3.aside"));
	fixture_close(&fixture);
	/* Again in its place: the two go together. */
	file_write(dir, HISTORY_NAME ".0", bytes.data, bytes.len);
	fixture = fixture_open(dir, NEVER_MS);
	assert_int_equal(extent_of(&fixture).first, 1);
	assert_table_was(&fixture, 3);
	fixture_close(&fixture);
	strbuf_clear(&bytes);
	free(path);
	dir_free(dir);
}

/* ---- undo ---- */

static struct outcome
undo_as(struct fixture *fixture, uint64_t revision, struct change change)
{
	struct outcome outcome = {.told = false};

	change.user = "lea";
	change.expected_revision = -1;
	undo_change(&change, revision);
	changes_apply(fixture->changes, &change, tell, &outcome);
	wait_told(fixture, &outcome);
	return outcome;
}

static struct outcome
undo(struct fixture *fixture, uint64_t revision)
{
	return undo_as(fixture, revision, (struct change){.note = NULL});
}

static const struct route *
live(const struct fixture *fixture, uint64_t id)
{
	return table_get(changes_table(fixture->changes), id);
}

/* Change one field of a route. */
static struct outcome
set(struct fixture *fixture, uint64_t id, enum route_field field, const char *value)
{
	struct route *route = route_copy(live(fixture, id));
	struct outcome outcome;

	assert_int_equal(route_set(route, field, value, NULL), 0);
	outcome = apply(fixture, &(struct change_step){.what = CHANGE_SET, .route = route}, 1);
	assert_int_equal(outcome.code, ERROR_NONE);
	route_unref(route);
	return outcome;
}

/* `cut`: all of it comes from the history, else from the journal. */
static void
undo_each_kind(bool cut)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, cut ? 1 : NEVER_MS);
	struct extent extent;

	assert_int_equal(undo(&fixture, 0).code, ERROR_NOT_FOUND);
	add(&fixture, 1);                             /* 1: adds route 1 */
	add(&fixture, 2);                             /* 2: adds route 2 */
	set(&fixture, 1, ROUTE_PRIORITY, "7");        /* 3 */
	set(&fixture, 1, ROUTE_COMMENT, "unrelated"); /* 4 */
	del(&fixture, 2);                             /* 5 */
	if (cut)
		wait_checkpoint(&fixture, dir);

	/* The field that it touched goes back, what came later stays. */
	assert_int_equal(undo(&fixture, 3).revision, 6);
	assert_int_equal(live(&fixture, 1)->priority, 1);
	assert_string_equal(live(&fixture, 1)->comment, "unrelated");
	extent = extent_of(&fixture);
	assert_string_equal(extent.note, "undo of 3");
	assert_int_equal(extent.undoes, 3);
	/* A deleted route comes back under its id, with its password. */
	assert_int_equal(undo(&fixture, 5).ids[0], 2);
	assert_string_equal(live(&fixture, 2)->remote_host, "v2.example.net");
	assert_string_equal(live(&fixture, 2)->remote_password, "s\xc3\xa9"
								"cret = x");
	assert_int_equal(add(&fixture, 1).ids[0], 3); /* 8 */
	/* The last one, and that again. */
	assert_int_equal(undo(&fixture, 0).revision, 9);
	assert_null(live(&fixture, 3));
	assert_int_equal(undo_as(&fixture, 0, (struct change){.note = "once more"}).ids[0], 3);
	assert_string_equal(extent_of(&fixture).note, "once more");
	/* One that was never made, and one in the future. */
	assert_int_equal(undo(&fixture, 11).code, ERROR_NOT_FOUND);
	/* Dry. */
	assert_int_equal(undo_as(&fixture, 1, (struct change){.dry_run = true}).code,
			 ERROR_CONFLICT);
	assert_int_equal(undo_as(&fixture, 2, (struct change){.dry_run = true}).code, ERROR_NONE);
	assert_int_equal(changes_revision(fixture.changes), 10);
	assert_non_null(live(&fixture, 2));
	fixture_close(&fixture);
	dir_free(dir);
}

static void
undo_from_the_journal(void **state)
{
	(void)state;
	undo_each_kind(false);
}

static void
undo_from_the_history(void **state)
{
	(void)state;
	undo_each_kind(true);
}

static void
undo_that_clashes(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, NEVER_MS);
	struct outcome outcome;

	(void)state;
	add(&fixture, 1);
	set(&fixture, 1, ROUTE_PRIORITY, "7");   /* 2 */
	set(&fixture, 1, ROUTE_PRIORITY, "8");   /* 3 */
	set(&fixture, 1, ROUTE_COMMENT, "mine"); /* 4 */
	outcome = undo(&fixture, 2);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_string_equal(outcome.text,
			    "revision 2 can't be undone: route 1 has changed since in priority");
	outcome = undo(&fixture, 1);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_string_equal(outcome.text,
			    "revision 1 can't be undone: route 1 has changed since in "
			    "priority, comment");
	/* There and back again: it is as it was left. */
	set(&fixture, 1, ROUTE_PRIORITY, "7");                /* 5 */
	assert_int_equal(undo(&fixture, 2).code, ERROR_NONE); /* 6 */
	assert_int_equal(live(&fixture, 1)->priority, 1);
	del(&fixture, 1); /* 7 */
	outcome = undo(&fixture, 4);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_non_null(strstr(outcome.text, "route 1 was deleted since"));
	assert_int_equal(undo(&fixture, 7).code, ERROR_NONE); /* 8 */
	outcome = undo(&fixture, 7);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_non_null(strstr(outcome.text, "route 1 has come back since"));
	assert_int_equal(changes_revision(fixture.changes), 8);
	fixture_close(&fixture);
	dir_free(dir);
}

/* Several steps, some on the same route: the net of them is taken back, or nothing. */
static void
undo_of_a_batch(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct route *one = route_for(1, 2), *again = route_for(1, 3), *fresh = route_for(0, 1);
	struct route *third = route_for(3, 3);

	(void)state;
	add(&fixture, 1);
	add(&fixture, 1);
	apply(&fixture,
	      (struct change_step[]){{.what = CHANGE_SET, .route = one},
				     {.what = CHANGE_SET, .route = again},
				     {.what = CHANGE_DELETE, .id = 2},
				     {.what = CHANGE_ADD, .route = fresh},
				     {.what = CHANGE_SET, .route = third},
				     {.what = CHANGE_ADD, .route = fresh},
				     {.what = CHANGE_DELETE, .id = 4}},
	      7);
	wait_checkpoint(&fixture, dir);
	assert_string_equal(live(&fixture, 1)->remote_host, "v3.example.net");
	assert_string_equal(live(&fixture, 3)->remote_host, "v3.example.net");
	assert_int_equal(undo(&fixture, 3).code, ERROR_NONE);
	assert_string_equal(live(&fixture, 1)->remote_host, "v1.example.net");
	assert_non_null(live(&fixture, 2));
	assert_null(live(&fixture, 3));
	assert_null(live(&fixture, 4));
	assert_int_equal(count_of(&fixture), 2);
	route_unref(one);
	route_unref(again);
	route_unref(fresh);
	route_unref(third);
	fixture_close(&fixture);
	dir_free(dir);
}

static int
make_many(void *ctx, const struct table *table, uint64_t next_id, struct change_steps *out,
	  struct error *why)
{
	const size_t *count = ctx;

	(void)table;
	(void)next_id;
	(void)why;
	for (size_t i = 0; i < *count; i++)
		change_steps_add(out, route_for(0, 1));
	return 0;
}

/* A large import is small in the history, and can be taken back. */
static void
undo_of_an_import(void **state)
{
	size_t count = 30000;
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, NEVER_MS);
	struct outcome outcome = {.told = false};

	(void)state;
	changes_apply(
	    fixture.changes,
	    &(struct change){.make = make_many, .make_ctx = &count, .expected_revision = -1}, tell,
	    &outcome);
	wait_told(&fixture, &outcome);
	assert_int_equal(count_of(&fixture), count);
	add(&fixture, 1);
	fixture_close(&fixture);
	fixture = fixture_open(dir, NEVER_MS);
	assert_true((size_t)file_stat(dir, HISTORY_NAME ".0").st_size < 16 * count);
	assert_int_equal(undo(&fixture, 1).code, ERROR_NONE);
	assert_int_equal(count_of(&fixture), 1);
	assert_int_equal(undo(&fixture, 0).code, ERROR_NONE);
	assert_int_equal(count_of(&fixture), count + 1);
	set(&fixture, 77, ROUTE_COMMENT, "touched");
	outcome = undo(&fixture, 1);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_non_null(strstr(outcome.text, "route 77 has changed since in comment"));
	fixture_close(&fixture);
	dir_free(dir);
}

/* ---- what refusals say ---- */

static void
refusals_say_who(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct outcome outcome;

	(void)state;
	add(&fixture, 1);
	del(&fixture, 1);
	for (int i = 0; i < 2; i++) {
		outcome = del(&fixture, 1);
		assert_int_equal(outcome.code, ERROR_NOT_FOUND);
		assert_non_null(strstr(outcome.text, "no route 1 (deleted by lea "));
		assert_non_null(
		    strstr(outcome.text, " in rev 2; 'tmail routes undo 2' brings it back)"));
		assert_string_equal(del(&fixture, 9).text, "no route 9");
		wait_checkpoint(&fixture, dir);
	}
	outcome =
	    apply_expecting(&fixture, &(struct change_step){.what = CHANGE_DELETE, .id = 1}, 1, 1);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_string_equal(outcome.text,
			    "the routes are at revision 2, not 1: revision 2 by lea (route 1)");
	fixture_close(&fixture);
	dir_free(dir);
}

/* ---- timed changes ---- */

static struct outcome
add_timed(struct fixture *fixture, int64_t within_ms)
{
	struct route *route = route_for(0, 1);
	struct outcome outcome = {.told = false};

	changes_apply(
	    fixture->changes,
	    &(struct change){.steps = &(struct change_step){.what = CHANGE_ADD, .route = route},
			     .step_count = 1,
			     .user = "lea",
			     .expected_revision = -1,
			     .confirm_within_ms = within_ms},
	    tell, &outcome);
	wait_told(fixture, &outcome);
	route_unref(route);
	return outcome;
}

struct confirmation {
	bool told;
	uint64_t revision;
	enum error_code code;
};

static void
tell_confirmed(void *ctx, uint64_t revision, const struct error *why)
{
	struct confirmation *confirmation = ctx;

	confirmation->told = true;
	confirmation->revision = revision;
	confirmation->code = why != NULL ? why->code : ERROR_NONE;
}

static struct confirmation
confirm(struct fixture *fixture)
{
	struct confirmation confirmation = {.told = false};

	changes_confirm(fixture->changes, "lea", tell_confirmed, &confirmation);
	assert_false(confirmation.told);
	for (int i = 0; i < 1000 && !confirmation.told; i++)
		loop_once(fixture->loop, 100);
	assert_true(confirmation.told);
	return confirmation;
}

static void
wait_timed_end(struct fixture *fixture)
{
	for (int i = 0; i < 1000 && changes_timed(fixture->changes).revision != 0; i++)
		loop_once(fixture->loop, 20);
	assert_int_equal(changes_timed(fixture->changes).revision, 0);
}

static void
undone_in_time(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct outcome outcome;

	(void)state;
	add(&fixture, 1);
	assert_int_equal(add_timed(&fixture, 300).code, ERROR_NONE);
	assert_int_equal(changes_timed(fixture.changes).revision, 2);
	assert_non_null(live(&fixture, 2));
	/* One at a time; others may come, and stay. */
	outcome = add_timed(&fixture, 300);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	assert_non_null(strstr(outcome.text, "revision 2 waits to be confirmed"));
	assert_int_equal(add(&fixture, 1).revision, 3);
	wait_timed_end(&fixture);
	assert_int_equal(changes_revision(fixture.changes), 4);
	assert_null(live(&fixture, 2));
	assert_non_null(live(&fixture, 3));
	assert_string_equal(extent_of(&fixture).note, "undo of 2, which was not confirmed in time");
	assert_string_equal(extent_of(&fixture).user, "relayd");
	assert_int_equal(confirm(&fixture).code, ERROR_NOT_FOUND);
	/* Undone by hand: that is its end, too. */
	add_timed(&fixture, NEVER_MS);
	assert_int_equal(undo(&fixture, 0).code, ERROR_NONE);
	assert_int_equal(changes_timed(fixture.changes).revision, 0);
	fixture_close(&fixture);
	dir_free(dir);
}

/* What was changed since stays as it is; where that is all, the timed change just ends. */
static void
undone_but_for_what_came_later(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, NEVER_MS);
	struct route *route;

	(void)state;
	add(&fixture, 1);
	add_timed(&fixture, 300);
	set(&fixture, 2, ROUTE_COMMENT, "I want it");
	wait_timed_end(&fixture);
	assert_string_equal(live(&fixture, 2)->comment, "I want it");
	assert_int_equal(changes_revision(fixture.changes), 3);
	/* One field goes back, the other stays. */
	route = route_copy(live(&fixture, 1));
	assert_int_equal(route_set(route, ROUTE_PRIORITY, "5", NULL), 0);
	assert_int_equal(route_set(route, ROUTE_COMMENT, "timed", NULL), 0);
	changes_apply(
	    fixture.changes,
	    &(struct change){.steps = &(struct change_step){.what = CHANGE_SET, .route = route},
			     .step_count = 1,
			     .expected_revision = -1,
			     .confirm_within_ms = 300},
	    tell, &(struct outcome){.told = false});
	route_unref(route);
	for (int i = 0; i < 1000 && changes_timed(fixture.changes).revision == 0; i++)
		loop_once(fixture.loop, 20);
	set(&fixture, 1, ROUTE_COMMENT, "mine");
	wait_timed_end(&fixture);
	assert_int_equal(live(&fixture, 1)->priority, 1);
	assert_string_equal(live(&fixture, 1)->comment, "mine");
	fixture_close(&fixture);
	fixture = fixture_open(dir, NEVER_MS);
	assert_int_equal(changes_timed(fixture.changes).revision, 0);
	assert_int_equal(changes_revision(fixture.changes), 6);
	fixture_close(&fixture);
	dir_free(dir);
}

/* `checkpoint`: the daemon has made checkpoints meanwhile, and could have cut the journal. */
static void
timed_across_a_restart(bool checkpoint)
{
	int64_t pause_ms = checkpoint ? 1 : NEVER_MS;
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, pause_ms);
	int64_t by_ms;

	add(&fixture, 1);
	if (checkpoint)
		wait_checkpoint(&fixture, dir);
	add_timed(&fixture, 1200);
	by_ms = changes_timed(fixture.changes).confirm_by_ms;
	for (int i = 0; i < 5; i++) {
		add(&fixture, 1);
		loop_once(fixture.loop, 5);
	}
	/* Twice: there in time, and too late. */
	fixture_close(&fixture);
	fixture = fixture_open(dir, pause_ms);
	assert_int_equal(changes_timed(fixture.changes).revision, 2);
	assert_int_equal(changes_timed(fixture.changes).confirm_by_ms, by_ms);
	assert_non_null(live(&fixture, 2));
	fixture_close(&fixture);
	while (true) {
		struct timespec now;

		assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
		if ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 > by_ms + 20)
			break;
		assert_int_equal(nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL), 0);
	}
	/* Undone before anybody else sees the table. */
	fixture = fixture_open(dir, pause_ms);
	assert_int_equal(changes_timed(fixture.changes).revision, 0);
	assert_null(live(&fixture, 2));
	assert_int_equal(count_of(&fixture), 6);
	fixture_close(&fixture);
	fixture = fixture_open(dir, pause_ms);
	assert_int_equal(count_of(&fixture), 6);

	/* Confirmed, and that is known after a restart. */
	add_timed(&fixture, 200);
	assert_int_equal(confirm(&fixture).revision, changes_revision(fixture.changes));
	fixture_close(&fixture);
	assert_int_equal(nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL), 0);
	fixture = fixture_open(dir, pause_ms);
	assert_int_equal(changes_timed(fixture.changes).revision, 0);
	assert_int_equal(count_of(&fixture), 7);
	add(&fixture, 1);
	if (checkpoint)
		wait_checkpoint(&fixture, dir);
	fixture_close(&fixture);
	dir_free(dir);
}

static void
timed_in_the_journal(void **state)
{
	(void)state;
	timed_across_a_restart(false);
}

static void
timed_with_checkpoints(void **state)
{
	(void)state;
	timed_across_a_restart(true);
}

/* ---- from an earlier version ---- */

/* Append a record as version 1 of the journal had it. */
static void
put_old_record(struct strbuf *out, const char *payload)
{
	unsigned char head[JOURNAL_HEAD_BYTES];
	size_t len = strlen(payload);

	journal_head_put(head, JOURNAL_CHANGE, (uint32_t)len, crc32c(0, payload, len));
	strbuf_append(out, head, sizeof(head));
	strbuf_append(out, payload, len);
}

static void
a_journal_of_version_1(void **state)
{
	char *dir = dir_new();
	struct strbuf journal = STRBUF_INIT;
	struct fixture fixture;

	(void)state;
	strbuf_puts(&journal, "relayd-routes-journal 1 follows=0\n");
	put_old_record(&journal, "revision=1\ntime=1763800000123\nnext_id=3\nsteps=2\nuser=3\nlea\n"
				 "put=1 14\nremote_host=a\nput=2 14\nremote_host=b\n");
	put_old_record(&journal, "revision=2\ntime=1763800000123\nnext_id=3\nsteps=2\nuser=3\nlea\n"
				 "note=2\nhi\nput=1 14\nremote_host=c\ndelete=2\n");
	file_write(dir, JOURNAL_NAME, journal.data, journal.len);
	fixture = fixture_open(dir, NEVER_MS);
	assert_int_equal(changes_revision(fixture.changes), 2);
	assert_int_equal(count_of(&fixture), 1);
	assert_string_equal(live(&fixture, 1)->remote_host, "c");
	/* What it had can't be taken back, what comes can. */
	assert_int_equal(undo(&fixture, 2).code, ERROR_NOT_FOUND);
	assert_int_equal(add(&fixture, 1).ids[0], 3);
	fixture_close(&fixture);
	fixture = fixture_open(dir, NEVER_MS);
	assert_int_equal(count_of(&fixture), 2);
	assert_int_equal(undo(&fixture, 3).code, ERROR_NONE);
	assert_int_equal(count_of(&fixture), 1);
	fixture_close(&fixture);
	strbuf_clear(&journal);
	dir_free(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kept_across_the_cut_and_restarts),
	    cmocka_unit_test(routes_know_their_change),
	    cmocka_unit_test(ten_thousand_and_no_files_without_end),
	    cmocka_unit_test(cut_at_every_byte),
	    cmocka_unit_test(every_byte_flipped),
	    cmocka_unit_test(damage_is_named),
	    cmocka_unit_test(files_that_do_not_fit),
	    cmocka_unit_test(undo_from_the_journal),
	    cmocka_unit_test(undo_from_the_history),
	    cmocka_unit_test(undo_that_clashes),
	    cmocka_unit_test(undo_of_a_batch),
	    cmocka_unit_test(undo_of_an_import),
	    cmocka_unit_test(refusals_say_who),
	    cmocka_unit_test(undone_in_time),
	    cmocka_unit_test(undone_but_for_what_came_later),
	    cmocka_unit_test(timed_in_the_journal),
	    cmocka_unit_test(timed_with_checkpoints),
	    cmocka_unit_test(a_journal_of_version_1),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
