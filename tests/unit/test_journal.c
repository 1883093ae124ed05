/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/journal: what is committed is read; the file cut at every byte loses the torn
 * record and no other; a flip of any byte of what was committed is refused with file and offset;
 * disks that are full and syncs that fail leave what was committed, and nothing else.
 *
 * fdatasync and fsync are taken over by definitions in this program, so that they can fail.
 */
#include "tests/unit/routes_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "relayd/routes/journal.h"

/* The one thing that is not on a stack here: it is called from libc's place. */
static struct {
	unsigned data_syncs;
	unsigned skip; /* so many syncs of any kind pass first */
	unsigned fail; /* then so many fail */
} shim;

static bool
sync_fails(void)
{
	if (shim.fail == 0)
		return false;
	if (shim.skip > 0) {
		shim.skip--;
		return false;
	}
	shim.fail--;
	errno = EIO;
	return true;
}

int
fdatasync(int fd)
{
	shim.data_syncs++;
	return sync_fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	return sync_fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

/* ---- changes that follow from their revision ---- */

/* Change N adds route N, changes route N - 1 to version 2, and deletes route N - 2. */
static int
append(struct journal *journal, uint64_t revision, struct error *why)
{
	struct journal_change change = {.revision = revision,
					.time_ms = 1763800000000 + (int64_t)revision,
					.user = "lea",
					.note = revision % 2 == 0 ? "two\nlines" : NULL,
					.next_id = revision + 1};
	struct route *added = route_for(revision, 1), *changed = route_for(revision - 1, 2);
	struct route *was = route_for(revision - 1, 1), *gone = route_for(revision - 2, 2);
	struct journal_step steps[3] = {
	    {.id = revision, .after = added},
	    {.id = revision - 1, .before = was, .after = changed},
	    {.id = revision - 2, .before = gone},
	};
	int rc;

	change.step_count = revision < 3 ? (size_t)revision : 3;
	rc = journal_append(journal, &change, steps, why);
	route_unref(added);
	route_unref(changed);
	route_unref(was);
	route_unref(gone);
	return rc;
}

static void
check_text(const char *text, size_t len, uint64_t id, unsigned version)
{
	struct strbuf expected = STRBUF_INIT;

	if (version > 0)
		expected = record_for(id, version);
	assert_int_equal(len, expected.len);
	if (len > 0)
		assert_memory_equal(text, expected.data, len);
	strbuf_clear(&expected);
}

/* The route of that id goes from one version to another; 0: it is not there. */
static void
check_step(struct journal_reader *reader, uint64_t expected_id, unsigned before, unsigned after)
{
	struct journal_text step;
	struct error why;

	assert_int_equal(journal_reader_step(reader, &step, &why), 1);
	assert_int_equal(step.id, expected_id);
	assert_int_equal(step.what, before == 0	 ? JOURNAL_ADD
				    : after == 0 ? JOURNAL_DELETE
						 : JOURNAL_SET);
	check_text(step.before, step.before_len, expected_id, before);
	check_text(step.after, step.after_len, expected_id, after);
}

static void
check_change(struct journal_reader *reader, const struct journal_change *change)
{
	uint64_t revision = change->revision;
	struct journal_text step;
	struct error why;

	assert_int_equal(change->time_ms, 1763800000000 + (int64_t)revision);
	assert_string_equal(change->user, "lea");
	if (revision % 2 == 0)
		assert_string_equal(change->note, "two\nlines");
	else
		assert_null(change->note);
	assert_int_equal(change->next_id, revision + 1);
	assert_int_equal(change->step_count, revision < 3 ? revision : 3);
	check_step(reader, revision, 0, 1);
	if (revision > 1)
		check_step(reader, revision - 1, 1, 2);
	if (revision > 2)
		check_step(reader, revision - 2, 2, 0);
	assert_int_equal(journal_reader_step(reader, &step, &why), 0);
}

/* Read it all. Returns the last revision, or -1 and `why`. */
static int64_t
read_all(const char *dir, uint64_t *end, uint64_t *torn, struct error *why)
{
	struct journal_reader *reader = NULL;
	struct journal_change change;
	int64_t last;
	int rc = journal_reader_open(dir, 0, &reader, why);

	if (rc < 0)
		return -1;
	assert_int_equal(rc, 1);
	last = (int64_t)journal_reader_follows(reader);
	while ((rc = journal_reader_next(reader, &change, why)) > 0) {
		assert_int_equal(change.revision, last + 1);
		check_change(reader, &change);
		last++;
	}
	*end = journal_reader_end(reader);
	*torn = journal_reader_torn(reader);
	journal_reader_free(reader);
	return rc < 0 ? -1 : last;
}

static void
assert_holds(const char *dir, int64_t last)
{
	uint64_t end, torn;
	struct error why;

	assert_int_equal(read_all(dir, &end, &torn, &why), last);
	assert_int_equal(torn, 0);
}

static struct journal *
reopen(const char *dir)
{
	struct error why;
	struct journal_reader *reader = NULL;
	struct journal *journal;
	uint64_t end, torn, follows;
	int64_t last = read_all(dir, &end, &torn, &why);

	assert_true(last >= 0);
	assert_int_equal(journal_reader_open(dir, 0, &reader, &why), 1);
	follows = journal_reader_follows(reader);
	journal_reader_free(reader);
	journal = journal_open(dir, follows, (uint64_t)last, end, &why);
	assert_non_null(journal);
	return journal;
}

/* A journal of `count` changes, each with its own sync. ends[n]: where the first n end. */
static void
make(const char *dir, uint64_t count, uint64_t *ends)
{
	struct error why;
	struct journal *journal = journal_create(dir, 0, &why);

	assert_non_null(journal);
	if (ends != NULL)
		ends[0] = journal_end(journal);
	for (uint64_t revision = 1; revision <= count; revision++) {
		assert_int_equal(append(journal, revision, &why), 0);
		assert_int_equal(journal_commit(journal, &why), 0);
		if (ends != NULL)
			ends[revision] = journal_end(journal);
	}
	journal_free(journal);
}

/* ---- reading and writing ---- */

static void
written_and_read(void **state)
{
	char *dir = dir_new();
	struct journal_reader *reader = NULL;
	struct journal *journal;
	struct error why;

	(void)state;
	assert_int_equal(journal_reader_open(dir, 0, &reader, &why), 0);
	make(dir, 0, NULL);
	assert_holds(dir, 0);
	assert_int_equal(file_stat(dir, JOURNAL_NAME).st_mode & 07777, 0600);
	journal = reopen(dir);
	/* Three in one sync; one that is never committed may be there or not. */
	shim.data_syncs = 0;
	for (uint64_t revision = 1; revision <= 3; revision++)
		assert_int_equal(append(journal, revision, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	assert_int_equal(shim.data_syncs, 1);
	assert_holds(dir, 3);
	journal_free(journal);
	/* Closed and opened again and again, it does not grow. */
	for (int i = 0; i < 3; i++) {
		struct stat before = file_stat(dir, JOURNAL_NAME);

		journal_free(reopen(dir));
		assert_int_equal(file_stat(dir, JOURNAL_NAME).st_size, before.st_size);
	}
	journal = reopen(dir);
	assert_int_equal(append(journal, 4, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	journal_free(journal);
	assert_holds(dir, 4);
	assert_int_equal(dir_free(dir), 1);
}

/* More than one buffer of text in one record. */
static void
a_large_change(void **state)
{
	enum { COUNT = 30000 };
	char *dir = dir_new();
	struct journal_step *steps = xcalloc(COUNT, sizeof(*steps));
	struct journal_change change = {
	    .revision = 1, .user = "", .next_id = COUNT + 1, .step_count = COUNT};
	struct journal_reader *reader = NULL;
	struct journal *journal;
	struct error why;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		steps[i] = (struct journal_step){.id = i + 1, .after = route_for(i + 1, 1)};
	journal = journal_create(dir, 0, &why);
	assert_int_equal(journal_append(journal, &change, steps, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	journal_free(journal);
	assert_true(file_stat(dir, JOURNAL_NAME).st_size > 3 << 20);
	assert_int_equal(journal_reader_open(dir, 0, &reader, &why), 1);
	assert_int_equal(journal_reader_next(reader, &change, &why), 1);
	assert_int_equal(change.step_count, COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		check_step(reader, i + 1, 0, 1);
		route_unref((struct route *)(uintptr_t)steps[i].after);
	}
	assert_int_equal(journal_reader_next(reader, &change, &why), 0);
	journal_reader_free(reader);
	free(steps);
	dir_free(dir);
}

static void
cut_behind_a_checkpoint(void **state)
{
	enum { COUNT = 6 };
	char *dir = dir_new();
	uint64_t ends[COUNT + 1], end, torn;
	struct error why;

	(void)state;
	for (uint64_t at = 0; at <= COUNT; at++) {
		struct journal_reader *reader = NULL;
		struct journal *journal;

		make(dir, COUNT, ends);
		journal = reopen(dir);
		assert_int_equal(journal_cut(journal, at, ends[at], &why), 0);
		assert_int_equal(read_all(dir, &end, &torn, &why), COUNT);
		assert_int_equal(journal_reader_open(dir, 0, &reader, &why), 1);
		assert_int_equal(journal_reader_follows(reader), at);
		journal_reader_free(reader);
		assert_int_equal(append(journal, COUNT + 1, &why), 0);
		assert_int_equal(journal_commit(journal, &why), 0);
		assert_holds(dir, COUNT + 1);
		journal_free(journal);
		journal = reopen(dir);
		assert_int_equal(journal_cut(journal, COUNT + 1, journal_end(journal), &why), 0);
		assert_holds(dir, COUNT + 1);
		journal_free(journal);
		assert_false(file_exists(dir, JOURNAL_NAME ".new"));
		assert_int_equal(file_stat(dir, JOURNAL_NAME).st_mode & 07777, 0600);
	}
	dir_free(dir);
}

/* ---- crashes and damage ---- */

static void
cut_at_every_byte(void **state)
{
	enum { COUNT = 4 };
	char *dir = dir_new();
	uint64_t ends[COUNT + 1], end, torn;
	struct strbuf good;
	struct error why;

	(void)state;
	make(dir, COUNT, ends);
	good = file_read(dir, JOURNAL_NAME);
	assert_int_equal(good.len, ends[COUNT]);
	for (size_t len = 0; len < good.len; len++) {
		int64_t whole = -1, last;
		struct journal *journal;

		file_write(dir, JOURNAL_NAME, good.data, len);
		/* A change is whole as soon as its record is; the 20 bytes of the seal follow. */
		while (whole < COUNT && len >= ends[whole + 1] - (whole < 0 ? 0 : 20))
			whole++;
		last = read_all(dir, &end, &torn, &why);
		assert_int_equal(last, whole);
		if (whole < 0) {
			assert_int_equal(why.code, ERROR_STORAGE);
			continue;
		}
		assert_int_equal(end + torn, len);
		/* Go on behind what is whole. */
		journal = reopen(dir);
		assert_int_equal(append(journal, (uint64_t)last + 1, &why), 0);
		assert_int_equal(journal_commit(journal, &why), 0);
		journal_free(journal);
		assert_holds(dir, last + 1);
	}
	strbuf_clear(&good);
	dir_free(dir);
}

static void
every_byte_flipped(void **state)
{
	enum { COUNT = 4 };
	char *dir = dir_new();
	uint64_t ends[COUNT + 1], end, torn;
	struct strbuf good;
	struct error why;

	(void)state;
	make(dir, COUNT, ends);
	good = file_read(dir, JOURNAL_NAME);
	for (size_t i = 0; i < good.len; i++) {
		for (unsigned flip = 1; flip < 256; flip = flip * 2 + (flip == 64)) {
			char offset[64], old = good.data[i];
			uint64_t record = 0;

			good.data[i] = (char)(old ^ (char)flip);
			file_write(dir, JOURNAL_NAME, good.data, good.len);
			good.data[i] = old;
			if (i >= ends[COUNT] - 20) {
				/* The last seal: what it speaks of is whole without it. */
				assert_int_equal(read_all(dir, &end, &torn, &why), COUNT);
				assert_int_equal(torn, 20);
				continue;
			}
			assert_int_equal(read_all(dir, &end, &torn, &why), -1);
			assert_int_equal(why.code, ERROR_STORAGE);
			assert_non_null(strstr(why.text, dir));
			assert_non_null(strstr(why.text, JOURNAL_NAME));
			if (i < ends[0]) {
				/* The first line: it may be that of another journal. */
				assert_true(strstr(why.text, "offset") != NULL ||
					    strstr(why.text, "version") != NULL);
				continue;
			}
			for (int n = 0; n < COUNT && ends[n] <= i; n++)
				record = i >= ends[n + 1] - 20 ? ends[n + 1] - 20 : ends[n];
			snprintf(offset, sizeof(offset), "offset %" PRIu64 ":", record);
			assert_non_null(strstr(why.text, offset));
		}
	}
	strbuf_clear(&good);
	dir_free(dir);
}

/* The last record was not acknowledged yet (it has no seal): a flip in it is a torn record. */
static void
a_torn_record_is_cut(void **state)
{
	enum { COUNT = 3 };
	char *dir = dir_new(), zeroes[5000] = {0};
	uint64_t ends[COUNT + 1], end, torn;
	struct strbuf good;
	struct error why;

	(void)state;
	make(dir, COUNT, ends);
	good = file_read(dir, JOURNAL_NAME);
	good.len -= 20;
	for (size_t i = ends[COUNT - 1]; i < good.len; i++) {
		good.data[i] ^= 0x10;
		file_write(dir, JOURNAL_NAME, good.data, good.len);
		good.data[i] ^= 0x10;
		assert_int_equal(read_all(dir, &end, &torn, &why), COUNT - 1);
		assert_int_equal(end, ends[COUNT - 1]);
		assert_int_equal(torn, good.len - end);
	}
	/* Zeroes behind the end: a file that grew before its bytes came. */
	good.len += 20;
	strbuf_append(&good, zeroes, sizeof(zeroes));
	file_write(dir, JOURNAL_NAME, good.data, good.len);
	assert_int_equal(read_all(dir, &end, &torn, &why), COUNT);
	assert_int_equal(torn, sizeof(zeroes));
	journal_free(reopen(dir));
	assert_holds(dir, COUNT);
	assert_int_equal(file_stat(dir, JOURNAL_NAME).st_size, ends[COUNT]);
	strbuf_clear(&good);
	dir_free(dir);
}

/* A piece of the middle is missing, comes twice, or is another's: each record is valid then. */
static void
records_out_of_place(void **state)
{
	enum { COUNT = 4 };
	char *dir = dir_new();
	uint64_t ends[COUNT + 1], end, torn;
	struct strbuf good, bad = STRBUF_INIT;
	struct error why;

	(void)state;
	make(dir, COUNT, ends);
	good = file_read(dir, JOURNAL_NAME);
	for (int n = 0; n + 1 < COUNT; n++) {
		strbuf_reset(&bad);
		strbuf_append(&bad, good.data, ends[n]);
		strbuf_append(&bad, good.data + ends[n + 1], good.len - ends[n + 1]);
		file_write(dir, JOURNAL_NAME, bad.data, bad.len);
		assert_int_equal(read_all(dir, &end, &torn, &why), -1);
		strbuf_reset(&bad);
		strbuf_append(&bad, good.data, ends[n + 1]);
		strbuf_append(&bad, good.data + ends[n], good.len - ends[n]);
		file_write(dir, JOURNAL_NAME, bad.data, bad.len);
		assert_int_equal(read_all(dir, &end, &torn, &why), -1);
		assert_non_null(strstr(why.text, "offset"));
	}
	strbuf_clear(&good);
	strbuf_clear(&bad);
	dir_free(dir);
}

static void
other_first_lines(void **state)
{
	static const char *const lines[] = {"",
					    "\n",
					    "relayd-routes-journal 3 follows=0\n",
					    "relayd-routes-journal 2 follows=\n",
					    "relayd-routes-journal 2 follows=00\n",
					    "relayd-routes-journal 2 follows=0",
					    "relayd-routes-journal 2 follows=-1\n",
					    "relayd-routes-journal 2 follows=0 \n",
					    "destination=x\n"};
	char *dir = dir_new();
	uint64_t end, torn;
	struct error why;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		file_write(dir, JOURNAL_NAME, lines[i], strlen(lines[i]));
		assert_int_equal(read_all(dir, &end, &torn, &why), -1);
		assert_int_equal(why.code, ERROR_STORAGE);
		assert_non_null(strstr(why.text, JOURNAL_NAME));
	}
	/* What relayd-files(5) tells an administrator to write. */
	file_write(dir, JOURNAL_NAME, "relayd-routes-journal 2 follows=12\n", 35);
	assert_holds(dir, 12);
	dir_free(dir);
}

/* ---- disks that fail ---- */

static void
the_disk_is_full(void **state)
{
	char *dir = dir_new();
	struct rlimit old, small;
	struct journal *journal;
	struct error why;
	uint64_t ends[4], end;

	(void)state;
	make(dir, 3, ends);
	make(dir, 2, NULL);
	journal = reopen(dir);
	end = journal_end(journal);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (rlim_t room = 0; room < 200; room += 3) {
		small = (struct rlimit){.rlim_cur = end + room, .rlim_max = old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		assert_int_equal(append(journal, 3, &why), -1);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(why.code, ERROR_STORAGE);
		assert_non_null(strstr(why.text, JOURNAL_NAME));
		assert_int_equal(file_stat(dir, JOURNAL_NAME).st_size, end);
		assert_holds(dir, 2);
	}
	/* One of a group could be written, the next could not: none is kept. */
	small = (struct rlimit){.rlim_cur = ends[3] + 50, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(append(journal, 3, &why), 0);
	assert_int_equal(append(journal, 4, &why), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_holds(dir, 2);
	assert_int_equal(append(journal, 3, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	journal_free(journal);
	assert_holds(dir, 3);
	dir_free(dir);
}

static void
a_sync_fails(void **state)
{
	char *dir = dir_new();
	struct journal *journal;
	struct error why;
	ino_t inode;

	(void)state;
	make(dir, 2, NULL);
	journal = reopen(dir);
	/* The n-th sync from the commit on fails: the commit's, that of the fresh file, that of the
	 * directory. */
	for (unsigned failing = 1; failing <= 4; failing++) {
		inode = file_stat(dir, JOURNAL_NAME).st_ino;
		assert_int_equal(append(journal, 3, &why), 0);
		shim.fail = failing;
		assert_int_equal(journal_commit(journal, &why), -1);
		assert_int_equal(why.code, ERROR_STORAGE);
		assert_int_equal(why.sys, EIO);
		shim.fail = 0;
		assert_holds(dir, 2);
		assert_false(file_exists(dir, JOURNAL_NAME ".new"));
		/* A kill at this point. */
		journal_free(journal);
		assert_holds(dir, 2);
		journal = reopen(dir);
	}
	/* The file whose sync failed is not used any more. */
	inode = file_stat(dir, JOURNAL_NAME).st_ino;
	assert_int_equal(append(journal, 3, &why), 0);
	shim.fail = 1;
	assert_int_equal(journal_commit(journal, &why), -1);
	assert_int_equal(append(journal, 3, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	assert_int_not_equal(file_stat(dir, JOURNAL_NAME).st_ino, inode);
	assert_holds(dir, 3);
	/* And not before a fresh one is there. */
	assert_int_equal(append(journal, 4, &why), 0);
	shim.fail = 1000;
	assert_int_equal(journal_commit(journal, &why), -1);
	assert_int_equal(append(journal, 4, &why), -1);
	assert_int_equal(append(journal, 4, &why), -1);
	shim.fail = 0;
	assert_holds(dir, 3);
	inode = file_stat(dir, JOURNAL_NAME).st_ino;
	assert_int_equal(append(journal, 4, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	assert_int_not_equal(file_stat(dir, JOURNAL_NAME).st_ino, inode);
	assert_holds(dir, 4);
	journal_free(journal);
	dir_free(dir);
}

static void
a_cut_fails(void **state)
{
	char *dir = dir_new();
	uint64_t ends[4];
	struct journal *journal;
	struct error why;

	(void)state;
	make(dir, 3, ends);
	journal = reopen(dir);
	/* The sync of the new file: the old one goes on. */
	shim.fail = 1;
	assert_int_equal(journal_cut(journal, 2, ends[2], &why), -1);
	assert_int_equal(append(journal, 4, &why), 0);
	assert_int_equal(journal_commit(journal, &why), 0);
	assert_holds(dir, 4);
	/* The sync of the directory: nothing is added before it is known which file it is. */
	shim.skip = 1;
	shim.fail = 1;
	assert_int_equal(journal_cut(journal, 2, ends[2], &why), -1);
	assert_holds(dir, 4);
	if (append(journal, 5, &why) < 0)
		fail_msg("%s", why.text);
	assert_int_equal(journal_commit(journal, &why), 0);
	assert_holds(dir, 5);
	journal_free(journal);
	dir_free(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(written_and_read),
	    cmocka_unit_test(a_large_change),
	    cmocka_unit_test(cut_behind_a_checkpoint),
	    cmocka_unit_test(cut_at_every_byte),
	    cmocka_unit_test(every_byte_flipped),
	    cmocka_unit_test(a_torn_record_is_cut),
	    cmocka_unit_test(records_out_of_place),
	    cmocka_unit_test(other_first_lines),
	    cmocka_unit_test(the_disk_is_full),
	    cmocka_unit_test(a_sync_fails),
	    cmocka_unit_test(a_cut_fails),
	};

	/* A write past the limit is an error, not the end. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return 1;
	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
