/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/store: what is written is read; a checkpoint replaces the last one whole or not at
 * all; every kind of damage to routes.gdbm is refused with its name, or changes nothing that is
 * read.
 */
#include "tests/unit/routes_fixture.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "relayd/routes/store.h"

enum { MOST = 4096 };

/* What a reading found: the version of each id, 0 for none. */
struct found {
	unsigned versions[MOST];
	size_t count;
	bool wrong; /* a record that is none of route_for() */
	int result; /* what to return */
};

static int
note_found(void *ctx, uint64_t id, const char *record, size_t len, struct error *why)
{
	struct found *found = ctx;

	found->count++;
	for (unsigned version = 1; id < MOST && version <= 3; version++) {
		struct strbuf expected = record_for(id, version);

		if (expected.len == len && memcmp(expected.data, record, len) == 0)
			found->versions[id] = version;
		strbuf_clear(&expected);
	}
	if (id >= MOST || found->versions[id] == 0)
		found->wrong = true;
	return found->result < 0 ? error_set(why, ERROR_STORAGE, "no more") : 0;
}

static int
load(const char *dir, struct store_meta *meta, struct found *found, struct error *why)
{
	memset(found, 0, sizeof(*found));
	return store_load(dir, meta, note_found, found, why);
}

static void
put(struct store_update *update, uint64_t id, unsigned version)
{
	struct strbuf record = record_for(id, version);
	struct error why;

	assert_int_equal(store_update_put(update, id, record.data, record.len, &why), 0);
	strbuf_clear(&record);
}

/* A checkpoint of routes 1 .. count, version 1, as revision 1. */
static void
make(const char *dir, uint64_t count)
{
	struct error why;
	struct store_update *update = store_update_begin(dir, &why);

	assert_non_null(update);
	for (uint64_t id = 1; id <= count; id++)
		put(update, id, 1);
	assert_int_equal(store_update_commit(update, 1, count + 1, &why), 0);
}

static void
nothing_is_there(void **state)
{
	char *dir = dir_new();
	struct found found;
	struct store_meta meta;
	struct error why;

	(void)state;
	assert_int_equal(load(dir, &meta, &found, &why), 0);
	assert_int_equal(meta.revision, 0);
	assert_int_equal(meta.next_id, 1);
	assert_int_equal(dir_free(dir), 0);
}

static void
written_and_read(void **state)
{
	char *dir = dir_new();
	struct found found;
	struct store_meta meta;
	struct store_update *update;
	struct error why;

	(void)state;
	make(dir, 2000);
	assert_int_equal(load(dir, &meta, &found, &why), 1);
	assert_int_equal(meta.revision, 1);
	assert_int_equal(meta.next_id, 2001);
	assert_int_equal(meta.count, 2000);
	assert_int_equal(found.count, 2000);
	assert_false(found.wrong);
	assert_int_equal(file_stat(dir, STORE_NAME).st_mode & 07777, 0600);

	update = store_update_begin(dir, &why);
	assert_non_null(update);
	assert_int_equal(store_update_meta(update)->revision, 1);
	for (uint64_t id = 1; id <= 2000; id += 2)
		assert_int_equal(store_update_delete(update, id, &why), 0);
	for (uint64_t id = 2; id <= 2000; id += 4)
		put(update, id, 2);
	put(update, 2500, 3);
	put(update, 2500, 2);
	/* The old one stands until the end. */
	assert_int_equal(load(dir, &meta, &found, &why), 1);
	assert_int_equal(meta.count, 2000);
	assert_int_equal(store_update_commit(update, 9, 2600, &why), 0);
	assert_int_equal(load(dir, &meta, &found, &why), 1);
	assert_int_equal(meta.revision, 9);
	assert_int_equal(meta.next_id, 2600);
	assert_int_equal(meta.count, 1001);
	assert_false(found.wrong);
	for (uint64_t id = 1; id <= 2000; id++)
		assert_int_equal(found.versions[id], id % 2 == 1 ? 0 : id % 4 == 2 ? 2 : 1);
	assert_int_equal(found.versions[2500], 2);
	assert_int_equal(dir_free(dir), 1);
}

static void
an_abandoned_update_leaves_nothing(void **state)
{
	char *dir = dir_new();
	struct found found;
	struct store_meta meta;
	struct store_update *update;
	struct error why;

	(void)state;
	make(dir, 3);
	update = store_update_begin(dir, &why);
	put(update, 1, 2);
	assert_int_equal(store_update_delete(update, 77, &why), -1);
	assert_int_equal(why.code, ERROR_STORAGE);
	store_update_abort(update);
	store_update_abort(NULL);
	assert_int_equal(load(dir, &meta, &found, &why), 1);
	assert_int_equal(found.versions[1], 1);
	assert_int_equal(dir_free(dir), 1);
}

static void
the_caller_may_end_the_reading(void **state)
{
	char *dir = dir_new();
	struct found found = {.result = -1};
	struct store_meta meta;
	struct error why;

	(void)state;
	make(dir, 5);
	assert_int_equal(store_load(dir, &meta, note_found, &found, &why), -1);
	assert_int_equal(found.count, 1);
	assert_non_null(strstr(why.text, STORE_NAME));
	assert_non_null(strstr(why.text, "no more"));
	dir_free(dir);
}

/* Whoever holds GDBM's lock on the file, as gdbmtool does, stops neither reading nor replacing. */
static void
a_lock_on_the_file_is_no_hindrance(void **state)
{
	char *dir = dir_new(), *path = xasprintf("%s/" STORE_NAME, dir);
	struct found found;
	struct store_meta meta;
	struct store_update *update;
	struct error why;
	int fd;

	(void)state;
	make(dir, 3);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(load(dir, &meta, &found, &why), 1);
	update = store_update_begin(dir, &why);
	assert_non_null(update);
	put(update, 1, 2);
	assert_int_equal(store_update_commit(update, 2, 4, &why), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(load(dir, &meta, &found, &why), 1);
	assert_int_equal(found.versions[1], 2);
	free(path);
	dir_free(dir);
}

/* gdbmtool reads it, while we do. */
static void
gdbmtool_reads_it(void **state)
{
	char *dir = dir_new(), line[512];
	char *command = xasprintf("gdbmtool -r %s/" STORE_NAME " fetch 2 2>/dev/null", dir);
	FILE *tool;
	bool seen = false;

	(void)state;
	if (system("command -v gdbmtool >/dev/null 2>&1") != 0) {
		free(command);
		dir_free(dir);
		skip();
		return;
	}
	make(dir, 3);
	tool = popen(command, "r");
	assert_non_null(tool);
	while (fgets(line, sizeof(line), tool) != NULL)
		seen = seen || strstr(line, "destination=d2.example.com") != NULL;
	assert_int_equal(pclose(tool), 0);
	assert_true(seen);
	free(command);
	dir_free(dir);
}

/* ---- damage ---- */

/* Read the directory's file: refused with its name, or all of routes 1 .. count as make() wrote
 * them. Returns whether it was refused. */
static bool
refused_or_whole(const char *dir, uint64_t count)
{
	struct found found;
	struct store_meta meta;
	struct error why = {0};

	if (load(dir, &meta, &found, &why) < 0) {
		assert_int_equal(why.code, ERROR_STORAGE);
		assert_non_null(strstr(why.text, STORE_NAME));
		return true;
	}
	assert_int_equal(found.count, count);
	assert_false(found.wrong);
	assert_int_equal(meta.revision, 1);
	assert_int_equal(meta.next_id, count + 1);
	return false;
}

static void
every_byte_flipped(void **state)
{
	enum { COUNT = 6 };
	char *dir = dir_new();
	struct strbuf good;
	size_t refused = 0;

	(void)state;
	make(dir, COUNT);
	good = file_read(dir, STORE_NAME);
	for (size_t i = 0; i < good.len; i++) {
		char *path = xasprintf("%s/" STORE_NAME, dir);
		/* All bits, so that it is never the same; one bit on every third. */
		char bad = (char)(good.data[i] ^ (i % 3 == 0 ? 0x01 : 0xff));
		int fd = open(path, O_WRONLY);

		assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
		refused += refused_or_whole(dir, COUNT);
		assert_int_equal(pwrite(fd, &good.data[i], 1, (off_t)i), 1);
		assert_int_equal(close(fd), 0);
		free(path);
	}
	assert_false(refused_or_whole(dir, COUNT));
	/* At the least each byte of each record. */
	assert_true(refused > COUNT * 60);
	strbuf_clear(&good);
	dir_free(dir);
}

static void
cut_anywhere(void **state)
{
	enum { COUNT = 300 };
	char *dir = dir_new();
	struct strbuf good;

	(void)state;
	make(dir, COUNT);
	good = file_read(dir, STORE_NAME);
	for (size_t len = 0; len < good.len; len += len < 600 ? 1 : 509) {
		file_write(dir, STORE_NAME, good.data, len);
		/* GDBM takes space in whole blocks: what is cut off may be space that is free. */
		if (!refused_or_whole(dir, COUNT))
			assert_true(len > good.len / 2);
	}
	/* The zero-length file of a full disk is no empty table. */
	file_write(dir, STORE_NAME, "", 0);
	assert_true(refused_or_whole(dir, COUNT));
	strbuf_clear(&good);
	dir_free(dir);
}

static void
not_gdbm_at_all(void **state)
{
	static const char text[] = "destination=example.com\n";
	char *dir = dir_new(), zeroes[20000] = {0}, *path = xasprintf("%s/" STORE_NAME, dir);
	struct found found;
	struct store_meta meta;
	struct error why;

	(void)state;
	file_write(dir, STORE_NAME, text, sizeof(text) - 1);
	assert_true(refused_or_whole(dir, 1));
	file_write(dir, STORE_NAME, zeroes, sizeof(zeroes));
	assert_true(refused_or_whole(dir, 1));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(load(dir, &meta, &found, &why), -1);
	assert_int_equal(rmdir(path), 0);
	free(path);
	dir_free(dir);
}

/* A copy of a damaged checkpoint is changed and written: what comes of it is right, or is thrown
 * away while the old file stays byte for byte. */
static void
damage_does_not_grow(void **state)
{
	enum { COUNT = 40, ROUNDS = 1500 };
	char *dir = dir_new();
	struct strbuf good;
	uint64_t seed = 7;
	size_t failed = 0;

	(void)state;
	make(dir, COUNT);
	good = file_read(dir, STORE_NAME);
	for (int i = 0; i < ROUNDS; i++) {
		struct strbuf bad = STRBUF_INIT, now, record = record_for(COUNT + 1, 2);
		struct store_update *update;
		struct store_meta meta;
		struct found found;
		struct error why;
		int rc = -1;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		strbuf_append(&bad, good.data, good.len);
		/* Most of it where GDBM keeps its books. */
		bad.data[(seed >> 33) % (i % 4 != 0 ? 8192 : good.len)] ^= (char)(1 << (seed & 7));
		file_write(dir, STORE_NAME, bad.data, bad.len);
		update = store_update_begin(dir, &why);
		if (update != NULL) {
			rc = store_update_put(update, COUNT + 1, record.data, record.len, &why);
			if (rc == 0)
				rc = store_update_delete(update, 1 + seed % COUNT, &why);
			if (rc == 0)
				rc = store_update_commit(update, 2, COUNT + 2, &why);
			else
				store_update_abort(update);
		}
		if (rc < 0) {
			now = file_read(dir, STORE_NAME);
			assert_int_equal(now.len, bad.len);
			assert_memory_equal(now.data, bad.data, bad.len);
			strbuf_clear(&now);
			assert_int_equal(why.code, ERROR_STORAGE);
			failed++;
		} else {
			assert_int_equal(load(dir, &meta, &found, &why), 1);
			assert_int_equal(found.count, COUNT);
			assert_false(found.wrong);
			assert_int_equal(found.versions[COUNT + 1], 2);
		}
		assert_false(file_exists(dir, STORE_NAME ".new"));
		strbuf_clear(&bad);
		strbuf_clear(&record);
	}
	assert_true(failed > 100 && failed < ROUNDS);
	strbuf_clear(&good);
	dir_free(dir);
}

/* No room on the disk, at whatever moment: the old checkpoint stands. */
static void
the_disk_is_full(void **state)
{
	char *dir = dir_new();
	struct rlimit old, small;
	struct strbuf good, now;
	size_t failed = 0;

	(void)state;
	make(dir, 300);
	good = file_read(dir, STORE_NAME);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (rlim_t limit = 0; limit < good.len + 65536; limit += 4096) {
		struct store_update *update;
		struct error why;
		int rc = -1;

		small = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		update = store_update_begin(dir, &why);
		for (uint64_t id = 301; update != NULL && id < 600; id++) {
			struct strbuf record = record_for(id, 1);

			rc = store_update_put(update, id, record.data, record.len, &why);
			strbuf_clear(&record);
			if (rc < 0)
				break;
		}
		if (update != NULL && rc == 0)
			rc = store_update_commit(update, 2, 600, &why);
		else
			store_update_abort(update);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		if (rc < 0) {
			assert_int_equal(why.code, ERROR_STORAGE);
			assert_non_null(strstr(why.text, STORE_NAME));
			failed++;
			now = file_read(dir, STORE_NAME);
			assert_int_equal(now.len, good.len);
			assert_memory_equal(now.data, good.data, good.len);
			strbuf_clear(&now);
			assert_false(file_exists(dir, STORE_NAME ".new"));
		} else {
			file_write(dir, STORE_NAME, good.data, good.len);
		}
	}
	assert_true(failed > 5);
	strbuf_clear(&good);
	dir_free(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_there),
	    cmocka_unit_test(written_and_read),
	    cmocka_unit_test(an_abandoned_update_leaves_nothing),
	    cmocka_unit_test(the_caller_may_end_the_reading),
	    cmocka_unit_test(a_lock_on_the_file_is_no_hindrance),
	    cmocka_unit_test(gdbmtool_reads_it),
	    cmocka_unit_test(every_byte_flipped),
	    cmocka_unit_test(cut_anywhere),
	    cmocka_unit_test(not_gdbm_at_all),
	    cmocka_unit_test(damage_does_not_grow),
	    cmocka_unit_test(the_disk_is_full),
	};

	/* A write past the limit is an error, not the end. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return 1;
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
