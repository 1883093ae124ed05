/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/changes: what a change may be and what it reports; order and groups; checkpoints
 * and the cut of the journal; what is found again after every step, also with the n-th system call
 * failing, or the process dying in the middle of it, or killed at a random moment.
 *
 * The calls that write are taken over by definitions of their names in this program.
 */
#include "tests/unit/changes_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "relayd/routes/undo.h"

/* ---- the calls that can fail, or be the last ---- */

enum mode { PASS, FAIL, DIE };

/* The one thing that is not on a stack here: it is called from libc's place, in several threads. */
static struct {
	enum mode mode;
	unsigned left; /* so many calls pass first */
	unsigned calls;
	unsigned data_syncs;
	bool fail_syncs; /* all of them, from now on */
} shim;

static unsigned
data_syncs(void)
{
	return __atomic_load_n(&shim.data_syncs, __ATOMIC_SEQ_CST);
}

/* Is it the turn of this call? */
static bool
hit(void)
{
	__atomic_add_fetch(&shim.calls, 1, __ATOMIC_SEQ_CST);
	return shim.mode != PASS && __atomic_fetch_sub(&shim.left, 1, __ATOMIC_SEQ_CST) == 0;
}

/* To be asked before a call is made; those that write give what they could have written first. */
static bool
fails(int fd, const void *bytes, size_t len, off_t offset)
{
	if (!hit())
		return false;
	if (len > 1)
		(void)!syscall(SYS_pwrite64, fd, bytes, len / 2, offset);
	if (shim.mode == DIE)
		_exit(9);
	errno = EIO;
	return true;
}

ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	if (fails(fd, bytes, len, offset))
		return -1;
	return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
	struct stat st;

	/* Not those that wake the loop. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    fails(fd, bytes, len, lseek(fd, 0, SEEK_CUR)))
		return -1;
	return syscall(SYS_write, fd, bytes, len);
}

int
fdatasync(int fd)
{
	__atomic_add_fetch(&shim.data_syncs, 1, __ATOMIC_SEQ_CST);
	if (shim.fail_syncs) {
		errno = EIO;
		return -1;
	}
	return fails(-1, NULL, 0, 0) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	if (shim.fail_syncs) {
		errno = EIO;
		return -1;
	}
	return fails(-1, NULL, 0, 0) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
ftruncate(int fd, off_t len)
{
	return fails(-1, NULL, 0, 0) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int
rename(const char *from, const char *to)
{
	return fails(-1, NULL, 0, 0) ? -1 : (int)syscall(SYS_rename, from, to);
}

/* ---- what a change may be ---- */

static void
added_changed_and_deleted(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	const struct route *live;
	struct route *route;
	struct outcome outcome;

	(void)state;
	assert_int_equal(changes_revision(fixture.changes), 0);
	assert_true(file_exists(dir, JOURNAL_NAME));
	outcome = add(&fixture, 1);
	assert_int_equal(outcome.code, ERROR_NONE);
	assert_int_equal(outcome.revision, 1);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.ids[0], 1);
	assert_int_equal(add(&fixture, 1).ids[0], 2);

	route = route_for(2, 3);
	outcome = apply(&fixture, &(struct change_step){.what = CHANGE_SET, .route = route}, 1);
	/* The caller's route is copied: what it does to its own reaches nothing. */
	free(route->remote_host);
	route->remote_host = xstrdup("elsewhere.example");
	assert_int_equal(outcome.revision, 3);
	assert_int_equal(outcome.ids[0], 2);
	live = table_get(changes_table(fixture.changes), 2);
	assert_string_equal(live->remote_host, "v3.example.net");
	route_unref(route);

	outcome = del(&fixture, 1);
	assert_int_equal(outcome.code, ERROR_NONE);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.ids[0], 0);
	assert_int_equal(count_of(&fixture), 1);
	fixture_close(&fixture);

	fixture = fixture_open(dir, 3600000);
	assert_int_equal(changes_revision(fixture.changes), 4);
	assert_int_equal(count_of(&fixture), 1);
	live = table_get(changes_table(fixture.changes), 2);
	assert_string_equal(live->remote_host, "v3.example.net");
	assert_string_equal(live->remote_password, "s\xc3\xa9"
						   "cret = x");
	fixture_close(&fixture);
	assert_int_equal(dir_free(dir), 3);
}

static void
refused_and_nothing_changed(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct route *good = route_for(0, 1), *bad = route_for(0, 1), *none = route_for(9, 1);
	struct outcome outcome;
	off_t size;

	(void)state;
	add(&fixture, 1);
	size = file_stat(dir, JOURNAL_NAME).st_size;
	outcome = del(&fixture, 42);
	assert_int_equal(outcome.code, ERROR_NOT_FOUND);
	assert_string_equal(outcome.text, "no route 42");
	outcome = apply(&fixture, &(struct change_step){.what = CHANGE_SET, .route = none}, 1);
	assert_int_equal(outcome.code, ERROR_NOT_FOUND);
	free_secret(bad->remote_password);
	bad->remote_password = NULL;
	outcome = apply(&fixture, &(struct change_step){.what = CHANGE_ADD, .route = bad}, 1);
	assert_int_equal(outcome.code, ERROR_REFUSED);

	/* All steps or none: the last one is refused. */
	outcome = apply(&fixture,
			(struct change_step[]){{.what = CHANGE_ADD, .route = good},
					       {.what = CHANGE_DELETE, .id = 1},
					       {.what = CHANGE_DELETE, .id = 1}},
			3);
	assert_int_equal(outcome.code, ERROR_NOT_FOUND);
	assert_int_equal(count_of(&fixture), 1);
	assert_int_equal(changes_revision(fixture.changes), 1);
	assert_int_equal(file_stat(dir, JOURNAL_NAME).st_size, size);
	/* The id that it would have taken is still free. */
	assert_int_equal(add(&fixture, 1).ids[0], 2);

	outcome =
	    apply_expecting(&fixture, &(struct change_step){.what = CHANGE_DELETE, .id = 1}, 1, 1);
	assert_int_equal(outcome.code, ERROR_CONFLICT);
	outcome =
	    apply_expecting(&fixture, &(struct change_step){.what = CHANGE_DELETE, .id = 1}, 1, 2);
	assert_int_equal(outcome.code, ERROR_NONE);
	route_unref(good);
	route_unref(bad);
	route_unref(none);
	fixture_close(&fixture);
	dir_free(dir);
}

static void
several_steps(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct route *route = route_for(0, 1), *first = route_for(1, 2);
	struct outcome outcome;

	(void)state;
	add(&fixture, 1);
	outcome = apply(&fixture,
			(struct change_step[]){{.what = CHANGE_ADD, .route = route},
					       {.what = CHANGE_SET, .route = first},
					       {.what = CHANGE_ADD, .route = route},
					       {.what = CHANGE_DELETE, .id = 2}},
			4);
	assert_int_equal(outcome.code, ERROR_NONE);
	assert_int_equal(outcome.count, 4);
	assert_int_equal(outcome.ids[0], 2);
	assert_int_equal(outcome.ids[1], 1);
	assert_int_equal(outcome.ids[2], 3);
	assert_int_equal(outcome.ids[3], 0);
	route_unref(route);
	route_unref(first);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(changes_revision(fixture.changes), 2);
		assert_int_equal(count_of(&fixture), 2);
		assert_string_equal(table_get(changes_table(fixture.changes), 1)->remote_host,
				    "v2.example.net");
		fixture_close(&fixture);
		fixture = fixture_open(dir, 3600000);
	}
	fixture_close(&fixture);
	dir_free(dir);
}

/* A route comes back under its id, once; one from elsewhere brings an id of its own, if it is free.
 */
static void
restored(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct route *one = route_for(1, 2), *future = route_for(9, 1);
	struct change_step step = {.what = CHANGE_RESTORE, .route = one};

	(void)state;
	add(&fixture, 1);
	assert_int_equal(apply(&fixture, &step, 1).code, ERROR_CONFLICT);
	/* Deleted and back in one change, and set on top of that. */
	assert_int_equal(apply(&fixture,
			       (struct change_step[]){{.what = CHANGE_DELETE, .id = 1},
						      step,
						      {.what = CHANGE_SET, .route = one}},
			       3)
			     .code,
			 ERROR_NONE);
	del(&fixture, 1);
	assert_int_equal(apply(&fixture, &step, 1).ids[0], 1);
	assert_string_equal(table_get(changes_table(fixture.changes), 1)->remote_host,
			    "v2.example.net");
	/* One that comes to nothing makes no revision. */
	assert_int_equal(apply(&fixture, NULL, 0).revision, 4);
	assert_int_equal(changes_revision(fixture.changes), 4);
	step.route = future;
	assert_int_equal(apply(&fixture, &step, 1).ids[0], 9);
	assert_int_equal(add(&fixture, 1).ids[0], 10);
	route_unref(one);
	route_unref(future);
	fixture_close(&fixture);
	fixture = fixture_open(dir, 3600000);
	assert_int_equal(count_of(&fixture), 3);
	assert_int_equal(add(&fixture, 1).ids[0], 11);
	fixture_close(&fixture);
	dir_free(dir);
}

/* A change that is made from the table finds every earlier one applied; a dry run changes nothing.
 */
struct made {
	size_t seen;
	uint64_t next_id;
	unsigned freed;
};

static int
make_one(void *ctx, const struct table *table, uint64_t next_id, struct change_steps *out,
	 struct error *why)
{
	struct made *made = ctx;

	(void)why;
	made->seen = table_count(table);
	made->next_id = next_id;
	change_steps_add(out, route_for(0, 1));
	return 0;
}

static void
made_free(void *ctx)
{
	struct made *made = ctx;

	made->freed++;
}

static void
made_in_its_turn(void **state)
{
	enum { COUNT = 40 };
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct outcome outcomes[COUNT] = {{.told = false}};
	struct made made[COUNT] = {{.seen = 0}};
	struct route *route = route_for(0, 1);
	unsigned places = 0, there = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		struct change change = {.user = "lea", .expected_revision = -1};
		struct change_step step = {.what = CHANGE_ADD, .route = route};

		change.dry_run = i % 7 == 6;
		if (i % 3 == 0) {
			change.make = make_one;
			change.make_ctx = &made[i];
			change.free_ctx = made_free;
		} else {
			change.steps = &step;
			change.step_count = 1;
		}
		outcomes[i].places = &places;
		changes_apply(fixture.changes, &change, tell, &outcomes[i]);
	}
	wait_told(&fixture, &outcomes[COUNT - 1]);
	for (unsigned i = 0; i < COUNT; i++) {
		bool dry = i % 7 == 6;

		assert_int_equal(outcomes[i].code, ERROR_NONE);
		assert_int_equal(outcomes[i].place, i + 1);
		/* What it would be; the revision stays. */
		assert_int_equal(outcomes[i].ids[0], there + 1);
		assert_int_equal(outcomes[i].revision, dry ? there : there + 1);
		if (i % 3 == 0) {
			assert_int_equal(made[i].seen, there);
			assert_int_equal(made[i].next_id, there + 1);
			assert_int_equal(made[i].freed, 1);
		}
		there += !dry;
	}
	assert_int_equal(count_of(&fixture), there);
	route_unref(route);
	fixture_close(&fixture);
	dir_free(dir);
}

/* ---- order and groups ---- */

struct chained {
	struct fixture *fixture;
	struct outcome outcome;
	unsigned more;
};

/* A callback that makes the next change. */
static void
tell_and_go_on(void *ctx, const struct change_result *result, const struct error *why)
{
	struct chained *chained = ctx;

	if (chained->more-- == 0) {
		tell(&chained->outcome, result, why);
		return;
	}
	changes_apply(
	    chained->fixture->changes,
	    &(struct change){.steps = &(struct change_step){.what = CHANGE_DELETE, .id = 77},
			     .step_count = 1,
			     .expected_revision = -1},
	    tell_and_go_on, chained);
}

static void
in_the_order_of_the_calls(void **state)
{
	enum { COUNT = 200 };
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct outcome *outcomes = xcalloc(COUNT, sizeof(*outcomes));
	struct route *route = route_for(0, 1);
	struct chained chained = {.fixture = &fixture, .more = 5};
	unsigned places = 0, syncs = data_syncs();

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		/* Every fourth deletes what the one before it added, every fifth one is refused. */
		struct change_step step = {.what = CHANGE_ADD, .route = route};

		if (i % 5 == 4)
			step = (struct change_step){.what = CHANGE_DELETE, .id = 100000};
		else if (i % 4 == 3)
			step = (struct change_step){.what = CHANGE_DELETE, .id = 1 + i / 4};
		outcomes[i].places = &places;
		changes_apply(
		    fixture.changes,
		    &(struct change){
			.steps = &step, .step_count = 1, .user = "lea", .expected_revision = -1},
		    tell, &outcomes[i]);
	}
	wait_told(&fixture, &outcomes[COUNT - 1]);
	for (size_t i = 0; i < COUNT; i++) {
		assert_true(outcomes[i].told);
		assert_int_equal(outcomes[i].place, i + 1);
		assert_int_equal(outcomes[i].code, i % 5 == 4 ? ERROR_NOT_FOUND : ERROR_NONE);
		if (i > 0 && i % 5 != 4 && (i - 1) % 5 != 4)
			assert_int_equal(outcomes[i].revision, outcomes[i - 1].revision + 1);
	}
	/* All that waited shared a sync. */
	assert_true(data_syncs() - syncs <= 3);

	tell_and_go_on(&chained, NULL, &(struct error){.code = ERROR_NONE});
	wait_told(&fixture, &chained.outcome);
	assert_int_equal(chained.outcome.code, ERROR_NOT_FOUND);
	route_unref(route);
	free(outcomes);
	fixture_close(&fixture);
	dir_free(dir);
}

static void
closing_waits_for_all(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct outcome outcomes[3] = {{.told = false}};
	struct route *route = route_for(0, 1);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		changes_apply(fixture.changes,
			      &(struct change){.steps = &(struct change_step){.what = CHANGE_ADD,
									      .route = route},
					       .step_count = 1,
					       .user = "lea",
					       .expected_revision = -1},
			      tell, &outcomes[i]);
	fixture_close(&fixture);
	for (size_t i = 0; i < 3; i++) {
		assert_true(outcomes[i].told);
		assert_int_equal(outcomes[i].code, ERROR_NONE);
	}
	assert_true(file_exists(dir, STORE_NAME));
	fixture = fixture_open(dir, 3600000);
	assert_int_equal(count_of(&fixture), 3);
	route_unref(route);
	fixture_close(&fixture);
	dir_free(dir);
}

/* ---- durability ---- */

/* At the moment of the report the change can be read from the file, and was synced. */
static void
tell_durable(void *ctx, const struct change_result *result, const struct error *why)
{
	struct journal_reader *reader = NULL;
	struct journal_change change = {0};
	struct error unread;

	assert_int_equal(journal_reader_open(ctx, 0, &reader, &unread), 1);
	while (journal_reader_next(reader, &change, &unread) > 0)
		continue;
	journal_reader_free(reader);
	assert_null(why);
	assert_int_equal(change.revision, result->revision);
	assert_int_equal(data_syncs(), 1);
	__atomic_store_n(&shim.data_syncs, 1000, __ATOMIC_SEQ_CST);
}

static void
durable_before_it_is_reported(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct route *route = route_for(0, 1);

	(void)state;
	__atomic_store_n(&shim.data_syncs, 0, __ATOMIC_SEQ_CST);
	changes_apply(
	    fixture.changes,
	    &(struct change){.steps = &(struct change_step){.what = CHANGE_ADD, .route = route},
			     .step_count = 1,
			     .expected_revision = -1},
	    tell_durable, dir);
	/* Not live before that either. */
	assert_int_equal(count_of(&fixture), 0);
	for (int i = 0; i < 1000 && data_syncs() != 1000; i++)
		loop_once(fixture.loop, 100);
	assert_int_equal(data_syncs(), 1000);
	assert_int_equal(count_of(&fixture), 1);
	route_unref(route);
	fixture_close(&fixture);
	dir_free(dir);
}

static void
ids_are_never_used_again(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);

	(void)state;
	for (uint64_t id = 1; id <= 6; id++) {
		assert_int_equal(add(&fixture, 1).ids[0], id);
		assert_int_equal(del(&fixture, id).code, ERROR_NONE);
		if (id % 2 == 0)
			wait_checkpoint(&fixture, dir);
		if (id % 3 == 0) {
			fixture_close(&fixture);
			fixture = fixture_open(dir, id == 3 ? 1 : 3600000);
			assert_int_equal(count_of(&fixture), 0);
			assert_int_equal(changes_revision(fixture.changes), 2 * id);
		}
	}
	assert_int_equal(add(&fixture, 1).ids[0], 7);
	fixture_close(&fixture);
	dir_free(dir);
}

static void
checkpoints_and_the_cut(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 1);
	struct store_meta meta;

	(void)state;
	for (uint64_t id = 1; id <= 40; id++) {
		assert_int_equal(add(&fixture, 1 + (unsigned)id % 3).ids[0], id);
		if (id % 10 == 0)
			wait_checkpoint(&fixture, dir);
		assert_int_equal(file_stat(dir, JOURNAL_NAME).st_mode & 07777, 0600);
	}
	assert_int_equal(file_stat(dir, STORE_NAME).st_mode & 07777, 0600);
	fixture_close(&fixture);
	/* What no checkpoint holds is in the journal at start-up, and reaches one by itself. */
	fixture = fixture_open(dir, 3600000);
	add(&fixture, 1);
	fixture_close(&fixture);
	assert_int_equal(store_load(dir, &meta, NULL, NULL, NULL), 1);
	assert_int_equal(meta.revision, 41);
	assert_int_equal(meta.count, 41);
	fixture = fixture_open(dir, 1);
	assert_int_equal(count_of(&fixture), 41);
	fixture_close(&fixture);
	assert_int_equal(dir_free(dir), 3);
}

/* Half-written files of a crash are no hindrance and go away. */
static void
leftovers(void **state)
{
	char *dir = dir_new();
	struct fixture fixture;

	(void)state;
	file_write(dir, STORE_NAME ".new", "half", 4);
	file_write(dir, JOURNAL_NAME ".new", "half", 4);
	fixture = fixture_open(dir, 3600000);
	add(&fixture, 1);
	fixture_close(&fixture);
	assert_int_equal(dir_free(dir), 3);
}

/* ---- damage ---- */

static void
files_that_are_missing_or_older(void **state)
{
	char *dir = dir_new(), *path = xasprintf("%s/" STORE_NAME, dir);
	struct strbuf store, journal, old_store, old_journal;
	struct fixture fixture;

	(void)state;
	fixture = fixture_open(dir, 1);
	add(&fixture, 1);
	wait_checkpoint(&fixture, dir);
	old_store = file_read(dir, STORE_NAME);
	old_journal = file_read(dir, JOURNAL_NAME);
	add(&fixture, 1);
	add(&fixture, 1);
	wait_checkpoint(&fixture, dir);
	fixture_close(&fixture);
	store = file_read(dir, STORE_NAME);
	journal = file_read(dir, JOURNAL_NAME);

	/* An empty table is not what comes of a lost checkpoint. */
	assert_int_equal(unlink(path), 0);
	assert_refused_to_open(dir, STORE_NAME);
	assert_false(file_exists(dir, STORE_NAME));
	file_write(dir, STORE_NAME, "", 0);
	assert_refused_to_open(dir, STORE_NAME);
	assert_int_equal(file_stat(dir, STORE_NAME).st_size, 0);
	file_write(dir, STORE_NAME, old_store.data, old_store.len);
	assert_refused_to_open(dir, STORE_NAME);

	file_write(dir, STORE_NAME, store.data, store.len);
	file_write(dir, JOURNAL_NAME, old_journal.data, old_journal.len);
	assert_refused_to_open(dir, JOURNAL_NAME);
	file_write(dir, JOURNAL_NAME, "", 0);
	assert_refused_to_open(dir, JOURNAL_NAME);
	free(path);
	path = xasprintf("%s/" JOURNAL_NAME, dir);
	assert_int_equal(unlink(path), 0);
	assert_refused_to_open(dir, JOURNAL_NAME);
	assert_false(file_exists(dir, JOURNAL_NAME));

	file_write(dir, JOURNAL_NAME, journal.data, journal.len);
	fixture = fixture_open(dir, 1);
	assert_int_equal(count_of(&fixture), 3);
	fixture_close(&fixture);
	free(path);
	strbuf_clear(&store);
	strbuf_clear(&journal);
	strbuf_clear(&old_store);
	strbuf_clear(&old_journal);
	dir_free(dir);
}

/* A checkpoint that was renamed before the journal was cut: both hold the same changes. */
static void
journal_behind_the_checkpoint(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct strbuf journal;

	(void)state;
	add(&fixture, 1);
	add(&fixture, 2);
	del(&fixture, 1);
	journal = file_read(dir, JOURNAL_NAME);
	fixture_close(&fixture);
	file_write(dir, JOURNAL_NAME, journal.data, journal.len);
	for (int i = 0; i < 2; i++) {
		fixture = fixture_open(dir, 1);
		assert_int_equal(changes_revision(fixture.changes), 3 + i);
		assert_int_equal(count_of(&fixture), 1 + i);
		assert_int_equal(add(&fixture, 1).ids[0], 3 + i);
		fixture_close(&fixture);
	}
	strbuf_clear(&journal);
	dir_free(dir);
}

/* ---- disks that fail ---- */

static void
storage_fails_and_comes_back(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct outcome outcome;

	(void)state;
	add(&fixture, 1);
	shim.fail_syncs = true;
	for (int i = 0; i < 3; i++) {
		outcome = add(&fixture, 2);
		assert_int_equal(outcome.code, ERROR_STORAGE);
		assert_non_null(strstr(outcome.text, JOURNAL_NAME));
		assert_int_equal(count_of(&fixture), 1);
		assert_int_equal(changes_revision(fixture.changes), 1);
	}
	shim.fail_syncs = false;
	assert_int_equal(add(&fixture, 3).ids[0], 2);
	assert_int_equal(changes_revision(fixture.changes), 2);
	fixture_close(&fixture);
	fixture = fixture_open(dir, 3600000);
	assert_int_equal(count_of(&fixture), 2);
	assert_string_equal(table_get(changes_table(fixture.changes), 2)->remote_host,
			    "v3.example.net");
	fixture_close(&fixture);
	dir_free(dir);
}

/* Two changes in one group, where the second was refused because of the first, which then was lost.
 */
static void
what_hung_on_a_lost_change(void **state)
{
	char *dir = dir_new();
	struct fixture fixture = fixture_open(dir, 3600000);
	struct outcome outcomes[3] = {{.told = false}};
	static const uint64_t ids[] = {99, 1, 1};

	(void)state;
	add(&fixture, 1);
	shim.fail_syncs = true;
	for (size_t i = 0; i < 3; i++)
		changes_apply(fixture.changes,
			      &(struct change){.steps = &(struct change_step){.what = CHANGE_DELETE,
									      .id = ids[i]},
					       .step_count = 1,
					       .expected_revision = -1},
			      tell, &outcomes[i]);
	wait_told(&fixture, &outcomes[2]);
	shim.fail_syncs = false;
	assert_int_equal(outcomes[0].code, ERROR_NOT_FOUND);
	assert_int_equal(outcomes[1].code, ERROR_STORAGE);
	assert_int_equal(outcomes[2].code, ERROR_STORAGE);
	assert_int_equal(count_of(&fixture), 1);
	fixture_close(&fixture);
	dir_free(dir);
}

static void
a_checkpoint_that_fails(void **state)
{
	char *dir = dir_new(), *path = xasprintf("%s/" STORE_NAME ".new", dir);
	struct fixture fixture = fixture_open(dir, 1);

	(void)state;
	/* A directory in its way. */
	assert_int_equal(mkdir(path, 0700), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(add(&fixture, 1).code, ERROR_NONE);
		loop_once(fixture.loop, 2);
	}
	assert_false(file_exists(dir, STORE_NAME));
	assert_int_equal(rmdir(path), 0);
	wait_checkpoint(&fixture, dir);
	fixture_close(&fixture);
	fixture = fixture_open(dir, 3600000);
	assert_int_equal(count_of(&fixture), 20);
	fixture_close(&fixture);
	free(path);
	dir_free(dir);
}

/* ---- crashes ---- */

/* In the child: tells the parent each revision that was reported as done. */
struct teller {
	int pipe;
	unsigned waiting;
	bool failed;
};

static void
tell_parent(void *ctx, const struct change_result *result, const struct error *why)
{
	struct teller *teller = ctx;

	teller->waiting--;
	if (why != NULL)
		teller->failed = true;
	else if (syscall(SYS_write, teller->pipe, &result->revision, sizeof(result->revision)) !=
		 sizeof(result->revision))
		_exit(3);
}

enum { CHILD_LOST = 4, CHILD_WRONG = 5, CHILD_CLOSED = 0 };

/*
 * Make changes until killed, or until `most` are done; up to `window` at a time. Where calls fail,
 * a change that was not made is made again. Ends without closing anything, as a kill does, or in
 * order.
 */
static void
child(const char *dir, int pipe, unsigned most, unsigned window, bool in_order)
{
	struct teller teller = {.pipe = pipe};
	struct change_step steps[MODEL_STEPS];
	struct fixture fixture;
	struct model model, before;
	struct error why;

	fixture.loop = loop_new(&why);
	fixture.offload = offload_new(fixture.loop, 2, &why);
	fixture.changes = changes_open(&(struct changes_options){.state_dir = dir,
								 .loop = fixture.loop,
								 .offload = fixture.offload,
								 .checkpoint_after_ms = 1},
				       &why);
	/* The call that failed may have been one of those that open. */
	if (fixture.changes == NULL)
		_exit(shim.mode == FAIL ? 9 : CHILD_LOST);
	model = model_at(changes_revision(fixture.changes));
	if (!model_is(&model, fixture.changes))
		_exit(CHILD_WRONG);
	for (unsigned made = 0; made < most || teller.waiting > 0;) {
		while (made < most && teller.waiting < window) {
			size_t count;

			before = model;
			count = model_next(&model, steps);
			changes_apply(fixture.changes,
				      &(struct change){.steps = steps,
						       .step_count = count,
						       .user = "child",
						       .expected_revision = -1},
				      tell_parent, &teller);
			steps_free(steps, count);
			teller.waiting++;
			made++;
		}
		loop_once(fixture.loop, 100);
		if (teller.failed) {
			teller.failed = false;
			model = before;
			made--;
		}
		if (window == 1 && teller.waiting == 0 && !model_is(&model, fixture.changes))
			_exit(CHILD_WRONG);
	}
	if (in_order)
		fixture_close(&fixture);
	_exit(CHILD_CLOSED);
}

/* Run a child to its end, or kill it `kill_after` reports later. Returns its wait status; *reported
 * becomes the last revision that it reported. */
static int
run_child(const char *dir, unsigned most, unsigned window, bool in_order, unsigned kill_after,
	  uint64_t *reported)
{
	uint64_t revision;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child(dir, ends[1], most, window, in_order);
	}
	assert_int_equal(close(ends[1]), 0);
	for (unsigned count = 1;
	     read(ends[0], &revision, sizeof(revision)) == (ssize_t)sizeof(revision); count++) {
		assert_int_equal(revision, *reported + 1);
		*reported = revision;
		if (count == kill_after)
			assert_int_equal(kill(pid, SIGKILL), 0);
	}
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* After a crash: the table of a revision that is not before what was reported, whole; and it goes
 * on. */
static uint64_t
assert_nothing_lost(const char *dir, uint64_t reported, unsigned window)
{
	struct fixture fixture = fixture_open(dir, 3600000);
	uint64_t revision = changes_revision(fixture.changes);
	struct model model = model_at(revision);

	assert_true(revision >= reported && revision <= reported + window);
	assert_true(model_is(&model, fixture.changes));
	assert_int_equal(count_of(&fixture), model.count);
	/* And every change that led there can be taken back. */
	for (uint64_t was = 0; was < revision; was += 1 + revision / 5)
		assert_table_was(&fixture, was);
	fixture_close(&fixture);
	return revision;
}

/* The process dies in the n-th call that writes, having written half of it: n = 0, 1, 2 ... */
static void
dies_in_every_call(void **state)
{
	char *dir = dir_new();
	uint64_t reported = 0;
	unsigned n = 0;
	int status;

	(void)state;
	do {
		shim.mode = DIE;
		shim.left = n++;
		status = run_child(dir, 6, 2, true, 0, &reported);
		shim.mode = PASS;
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) != CHILD_CLOSED)
			assert_int_equal(WEXITSTATUS(status), 9);
		reported = assert_nothing_lost(dir, reported, 2);
	} while (WEXITSTATUS(status) != CHILD_CLOSED);
	assert_true(n > 30);
	dir_free(dir);
}

/* The n-th call fails; what was reported as not done is not there, before and after a kill. */
static void
every_call_fails_once(void **state)
{
	enum { CALLS = 150 }; /* some more than there are in six changes and their checkpoints */
	char *dir = dir_new();
	uint64_t reported = 0;

	(void)state;
	for (unsigned n = 0; n < CALLS; n++) {
		int status;

		/* Every other child ends in order: the last checkpoint is tried too. */
		shim.mode = FAIL;
		shim.left = n;
		status = run_child(dir, 6, 1, n % 2 == 0, 0, &reported);
		shim.mode = PASS;
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) == CHILD_CLOSED || WEXITSTATUS(status) == 9);
		/* Exactly: each change was done, or was not. */
		assert_int_equal(assert_nothing_lost(dir, reported, 0), reported);
	}
	dir_free(dir);
}

static void
killed_at_any_moment(void **state)
{
	enum { ROUNDS = 60, WINDOW = 4 };
	char *dir = dir_new();
	uint64_t reported = 0;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		int status = run_child(dir, 100000, WINDOW, false,
				       1 + (unsigned)(model_random(i) % 60), &reported);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		reported = assert_nothing_lost(dir, reported, WINDOW);
	}
	assert_true(reported > ROUNDS * 10);
	dir_free(dir);
}

/* ---- crashes around a change that waits to be confirmed ---- */

/* What a child has been told: 't' a timed change is made, 'c' it is kept, 'u' it is undone. */
struct told {
	char what;
	uint64_t revision;
};

struct timed_child {
	struct fixture fixture;
	int pipe;
	char what;
	bool done;
	bool failed;
};

static void
timed_tell(struct timed_child *it, uint64_t revision, const struct error *why)
{
	struct told told = {.what = it->what, .revision = revision};

	it->done = true;
	it->failed = why != NULL;
	if (why == NULL && syscall(SYS_write, it->pipe, &told, sizeof(told)) != sizeof(told))
		_exit(3);
}

static void
timed_applied(void *ctx, const struct change_result *result, const struct error *why)
{
	timed_tell(ctx, result != NULL ? result->revision : 0, why);
}

static void
timed_confirmed(void *ctx, uint64_t revision, const struct error *why)
{
	timed_tell(ctx, revision, why);
}

static bool
timed_wait(struct timed_child *it)
{
	while (!it->done)
		loop_once(it->fixture.loop, 100);
	it->done = false;
	return !it->failed;
}

/* Confirm what waits; make a timed change; confirm it; undo it. */
static void
child_timed(const char *dir, int pipe)
{
	struct timed_child it = {.pipe = pipe};
	struct route *route = route_for(0, 1);
	struct change undo = {.user = "child", .expected_revision = -1};
	struct error why;

	it.fixture.loop = loop_new(&why);
	it.fixture.offload = offload_new(it.fixture.loop, 2, &why);
	it.fixture.changes = changes_open(&(struct changes_options){.state_dir = dir,
								    .loop = it.fixture.loop,
								    .offload = it.fixture.offload,
								    .checkpoint_after_ms = 1},
					  &why);
	if (it.fixture.changes == NULL)
		_exit(shim.mode == FAIL ? 9 : CHILD_LOST);
	it.what = 'c';
	if (changes_timed(it.fixture.changes).revision != 0) {
		changes_confirm(it.fixture.changes, "child", timed_confirmed, &it);
		(void)timed_wait(&it);
	}
	it.what = 't';
	changes_apply(
	    it.fixture.changes,
	    &(struct change){.steps = &(struct change_step){.what = CHANGE_ADD, .route = route},
			     .step_count = 1,
			     .user = "child",
			     .expected_revision = -1,
			     .confirm_within_ms = 3600000},
	    timed_applied, &it);
	if (!timed_wait(&it))
		_exit(9);
	it.what = 'c';
	changes_confirm(it.fixture.changes, "child", timed_confirmed, &it);
	(void)timed_wait(&it);
	it.what = 'u';
	undo_change(&undo, 0);
	changes_apply(it.fixture.changes, &undo, timed_applied, &it);
	(void)timed_wait(&it);
	route_unref(route);
	fixture_close(&it.fixture);
	_exit(CHILD_CLOSED);
}

/* What it told last is so, or the step after it was made without being told. */
static void
assert_timed_state(const char *dir, const struct told *last)
{
	struct fixture fixture = fixture_open(dir, 3600000);
	struct journal_timed timed = changes_timed(fixture.changes);
	uint64_t revision = changes_revision(fixture.changes);

	assert_true(revision >= last->revision);
	if (last->what == 'c' || last->what == 'u')
		assert_int_not_equal(timed.revision, last->revision);
	if (last->what == 't' && revision == last->revision && timed.revision != 0)
		assert_int_equal(timed.revision, revision);
	if (timed.revision != 0)
		assert_true(timed.confirm_by_ms > 0 && timed.revision <= revision);
	fixture_close(&fixture);
}

static int
run_timed_child(const char *dir, struct told *last)
{
	struct told told;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child_timed(dir, ends[1]);
	}
	assert_int_equal(close(ends[1]), 0);
	while (read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told))
		*last = told;
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
a_timed_change_in_every_call(enum mode mode)
{
	enum { CALLS = 80 }; /* some more than there are */
	char *dir = dir_new();
	struct told last = {.what = '-'};
	int status = 0;

	for (unsigned n = 0; n < CALLS; n++) {
		shim.mode = mode;
		shim.left = n;
		status = run_timed_child(dir, &last);
		shim.mode = PASS;
		assert_true(status == CHILD_CLOSED || status == 9);
		assert_timed_state(dir, &last);
	}
	assert_int_equal(status, CHILD_CLOSED);
	assert_int_equal(last.what, 'u');
	dir_free(dir);
}

static void
dies_around_a_timed_change(void **state)
{
	(void)state;
	a_timed_change_in_every_call(DIE);
}

static void
calls_fail_around_a_timed_change(void **state)
{
	(void)state;
	a_timed_change_in_every_call(FAIL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(added_changed_and_deleted),
	    cmocka_unit_test(refused_and_nothing_changed),
	    cmocka_unit_test(several_steps),
	    cmocka_unit_test(restored),
	    cmocka_unit_test(made_in_its_turn),
	    cmocka_unit_test(in_the_order_of_the_calls),
	    cmocka_unit_test(closing_waits_for_all),
	    cmocka_unit_test(durable_before_it_is_reported),
	    cmocka_unit_test(ids_are_never_used_again),
	    cmocka_unit_test(checkpoints_and_the_cut),
	    cmocka_unit_test(leftovers),
	    cmocka_unit_test(files_that_are_missing_or_older),
	    cmocka_unit_test(journal_behind_the_checkpoint),
	    cmocka_unit_test(storage_fails_and_comes_back),
	    cmocka_unit_test(what_hung_on_a_lost_change),
	    cmocka_unit_test(a_checkpoint_that_fails),
	    cmocka_unit_test(dies_in_every_call),
	    cmocka_unit_test(every_call_fails_once),
	    cmocka_unit_test(killed_at_any_moment),
	    cmocka_unit_test(dies_around_a_timed_change),
	    cmocka_unit_test(calls_fail_around_a_timed_change),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
