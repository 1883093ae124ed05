/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The spool after a power cut, and after damage: a torn tail at every octet of the last batch is
 * cut, a flipped bit in any octet that was synced before is refused by file and offset and nothing
 * is changed; segments and large bodies that are missing, too short, too many, or were never begun.
 */
#include "tests/unit/spool_fixture.h"

/* A file of a spool, whole in memory. */
struct image {
	char *path;
	char *bytes;
	size_t len;
};

static struct image
image_of(const struct fixture *fixture, const char *name)
{
	struct image image = {.path = xasprintf("%s/%s", fixture->dir, name)};
	struct stat status;
	int fd = open(image.path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	image.len = (size_t)status.st_size;
	image.bytes = xmalloc(image.len + 1);
	assert_int_equal(read(fd, image.bytes, image.len), image.len);
	assert_int_equal(close(fd), 0);
	return image;
}

static void
image_write(const struct image *image, size_t len)
{
	int fd = open(image->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, image->bytes, len), len);
	assert_int_equal(close(fd), 0);
}

static void
image_free(struct image *image)
{
	free(image->path);
	free(image->bytes);
}

static void
assert_unchanged(const struct image *image)
{
	struct stat status;
	char *bytes = xmalloc(image->len + 1);
	int fd = open(image->path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, image->len);
	assert_int_equal(read(fd, bytes, image->len), image->len);
	assert_memory_equal(bytes, image->bytes, image->len);
	assert_int_equal(close(fd), 0);
	free(bytes);
}

/* Opening fails, and the sentence holds these words. */
static void
assert_refused(struct fixture *fixture, const char *words)
{
	if (fixture_try_open(fixture))
		fail_msg("opened, where \"%s\" was expected", words);
	assert_int_equal(fixture->why.code, ERROR_STORAGE);
	if (strstr(fixture->why.text, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, fixture->why.text);
	assert_non_null(strstr(fixture->why.text, fixture->dir));
	assert_int_equal(fixture->count, 0);
}

/* Two synced batches of two records, then a third; killed. `ends` are the lengths after each. */
static struct fixture *
three_batches(size_t ends[3])
{
	struct fixture *fixture = fixture_new();
	struct fixture *copy;

	fixture_open(fixture);
	for (int i = 0; i < 3; i++) {
		struct outcome outcomes[2];
		struct image image;

		fixture_send(fixture, 20, &outcomes[0]);
		fixture_send(fixture, 30, &outcomes[1]);
		fixture_until(fixture, fixture_is_told, &outcomes[0]);
		fixture_until(fixture, fixture_is_told, &outcomes[1]);
		image = image_of(fixture, "0000000001.seg");
		ends[i] = image.len;
		image_free(&image);
	}
	assert_int_equal(fixture_stats(fixture).syncs, 3);
	copy = fixture_snapshot(fixture);
	fixture_free(fixture);
	return copy;
}

/* As after the kill: what a start has written is taken back. */
static void
restore(struct fixture *fixture, const struct image *image)
{
	if (fixture->spool != NULL)
		fixture_close(fixture);
	fixture_forget_envelopes(fixture);
	fixture_empty(fixture->dir);
	assert_int_equal(mkdir(fixture->dir, 0700), 0);
	image_write(image, image->len);
	{
		char *path = xasprintf("%s/0000000000.gone", fixture->dir);
		int fd = open(path, O_WRONLY | O_CREAT, 0600);

		assert_true(fd >= 0);
		assert_int_equal(close(fd), 0);
		free(path);
	}
}

static void
a_torn_tail_is_cut(void **state)
{
	size_t ends[3];
	struct fixture *fixture = three_batches(ends);
	struct image image = image_of(fixture, "0000000001.seg");
	size_t first = (ends[2] - ends[1]) / 2 - 5; /* bodies of 20 and 30 octets */

	(void)state;
	assert_int_equal(image.len, ends[2]);
	for (size_t len = ends[1]; len < ends[2]; len++) {
		restore(fixture, &image);
		image_write(&image, len);
		fixture_open(fixture);
		assert_int_equal(fixture->count, len - ends[1] < first ? 4 : 5);
		for (size_t i = 0; i < fixture->count; i++)
			fixture_check(fixture, fixture->envs[i]);
		/* And it goes on from there. */
		if (len % 16 == 0) {
			fixture_commit(fixture, 100);
			fixture_close(fixture);
			fixture_open(fixture);
			assert_int_equal(fixture->count, len - ends[1] < first ? 5 : 6);
		}
	}
	assert_true(fixture_logged(fixture, "spool-tail-cut"));
	assert_true(fixture_logged(fixture, image.path));
	for (size_t at = ends[1]; at < ends[2]; at++) {
		restore(fixture, &image);
		image.bytes[at] ^= 0x20;
		image_write(&image, image.len);
		image.bytes[at] ^= 0x20;
		fixture_open(fixture);
		assert_int_equal(fixture->count, at - ends[1] < first ? 4 : 5);
	}
	image_free(&image);
	fixture_free(fixture);
}

static void
damage_is_refused(void **state)
{
	size_t ends[3];
	struct fixture *fixture = three_batches(ends);
	struct image image = image_of(fixture, "0000000001.seg");

	(void)state;
	for (size_t at = 0; at < ends[1]; at++) {
		restore(fixture, &image);
		image.bytes[at] ^= 0x20;
		image_write(&image, image.len);
		assert_refused(fixture, "0000000001.seg: damaged at offset ");
		assert_unchanged(&image);
		image.bytes[at] ^= 0x20;
	}
	restore(fixture, &image);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 6);
	image_free(&image);
	fixture_free(fixture);
}

/* After an orderly end nothing is a torn tail. */
static void
a_sealed_segment_has_no_tail(void **state)
{
	struct fixture *fixture = fixture_new();
	struct image image;

	(void)state;
	fixture_open(fixture);
	fixture_commit(fixture, 20);
	fixture_close(fixture);
	image = image_of(fixture, "0000000001.seg");
	for (size_t at = 0; at < image.len - 52; at++) {
		image.bytes[at] ^= 0x20;
		image_write(&image, image.len);
		assert_refused(fixture, "0000000001.seg: damaged at offset ");
		assert_unchanged(&image);
		image.bytes[at] ^= 0x20;
	}
	image_write(&image, image.len);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 1);
	image_free(&image);
	fixture_free(fixture);
}

/* Three segments with a living message each, and one with a large body; all closed. */
static struct fixture *
three_segments(void)
{
	struct fixture *fixture = fixture_new();

	fixture->options.segment_bytes = 20000;
	fixture_open(fixture);
	fixture_commit(fixture, 15000);
	fixture_commit(fixture, 15000);
	fixture_commit(fixture, 15000);
	fixture_commit(fixture, 300000);
	fixture_close(fixture);
	assert_int_equal(fixture_files(fixture, "", ".seg"), 3);
	return fixture;
}

static void
a_missing_segment_is_refused(void **state)
{
	static const char *const names[] = {"0000000001.seg", "0000000002.seg", "0000000000.gone"};
	static const char *const words[] = {"0000000001.seg: the segment is missing",
					    "0000000002.seg: the segment is missing",
					    "NUMBER.gone is missing"};
	struct fixture *fixture = three_segments();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct image image = image_of(fixture, names[i]);

		assert_int_equal(unlink(image.path), 0);
		assert_refused(fixture, words[i]);
		image_write(&image, image.len);
		image_free(&image);
	}
	fixture_open(fixture);
	assert_int_equal(fixture->count, 4);
	fixture_free(fixture);
}

/* All are gone, but the mark says that there were some. */
static void
no_segments_at_all(void **state)
{
	struct fixture *fixture = fixture_new();
	char *path;
	uint64_t segments;

	(void)state;
	fixture->options.segment_bytes = 20000;
	for (int i = 0; i < 3; i++) {
		fixture_open(fixture);
		fixture_finish(fixture, fixture_commit(fixture, 15000));
		fixture_close(fixture);
	}
	assert_int_equal(fixture_files(fixture, "", "0.gone"), 0);
	fixture_open(fixture);
	segments = fixture_stats(fixture).segments;
	assert_int_equal(segments, 1);
	fixture_close(fixture);
	path = xasprintf("%s/0000000003.seg", fixture->dir);
	assert_int_equal(unlink(path), 0);
	assert_refused(fixture, "0000000003.seg: the segment is missing");
	free(path);
	fixture_free(fixture);
}

/* A segment in the middle that ends too early, or ends elsewhere than its successor says. */
static void
a_cut_segment_is_refused(void **state)
{
	struct fixture *fixture = three_segments();
	struct image image = image_of(fixture, "0000000002.seg");

	(void)state;
	for (size_t len = 0; len < image.len; len += len < 200 ? 1 : 777) {
		image_write(&image, len);
		assert_refused(fixture, "0000000002.seg: damaged at offset ");
	}
	image_write(&image, image.len);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 4);
	image_free(&image);
	fixture_free(fixture);
}

static void
large_bodies(void **state)
{
	struct fixture *fixture = three_segments();
	struct image image = image_of(fixture, "large/4");
	char *orphan = xasprintf("%s/large/77", fixture->dir);
	int fd;

	(void)state;
	assert_int_equal(unlink(image.path), 0);
	assert_refused(fixture, "large/4: the body is missing");
	image_write(&image, image.len - 1);
	assert_refused(fixture, "large/4: damaged at offset 299999");
	image_write(&image, image.len);
	fd = open(orphan, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	fixture_open(fixture);
	assert_int_equal(access(orphan, F_OK), -1);
	assert_int_equal(fixture->count, 4);
	fixture_check(fixture, fixture->envs[3]);
	free(orphan);
	image_free(&image);
	fixture_free(fixture);
}

/* The power went while a segment was begun: anything up to a header's length may be there. */
static void
a_segment_that_was_not_begun(void **state)
{
	char rubbish[100];
	struct fixture *fixture = three_segments();
	struct image next = {.path = xasprintf("%s/0000000004.seg", fixture->dir),
			     .bytes = rubbish};
	struct fixture *fresh = fixture_new();

	(void)state;
	memset(rubbish, 'r', sizeof(rubbish));
	for (size_t len = 0; len <= 48; len += 8) {
		image_write(&next, len);
		fixture_open(fixture);
		assert_int_equal(fixture->count, 4);
		assert_int_equal(access(next.path, F_OK), -1);
		fixture_close(fixture);
	}
	/* Nothing was ever written behind a header that was not durable. */
	image_write(&next, 49);
	assert_refused(fixture, "0000000004.seg: damaged at offset 0");
	assert_int_equal(unlink(next.path), 0);
	fixture_free(fixture);
	free(next.path);

	/* The very first one. */
	fixture_open(fresh);
	fixture_close(fresh);
	next.path = xasprintf("%s/0000000001.seg", fresh->dir);
	image_write(&next, 10);
	fixture_open(fresh);
	fixture_commit(fresh, 10);
	fixture_close(fresh);
	fixture_open(fresh);
	assert_int_equal(fresh->count, 1);
	free(next.path);
	fixture_free(fresh);
}

/* Removed, but the power went before it was unlinked. */
static void
a_removed_segment_does_not_count(void **state)
{
	struct fixture *fixture = three_segments();
	char *from = xasprintf("%s/0000000000.gone", fixture->dir);
	char *to = xasprintf("%s/0000000001.gone", fixture->dir);
	char *first = xasprintf("%s/0000000001.seg", fixture->dir);

	(void)state;
	assert_int_equal(rename(from, to), 0);
	fixture_open(fixture);
	assert_int_equal(fixture->count, 3);
	assert_int_equal(access(first, F_OK), -1);
	free(from);
	free(to);
	free(first);
	fixture_free(fixture);
}

/* Killed at any moment of the cleaning, between the MOVED record and the removal too: the message
 * is there once, with its progress. */
static bool
the_first_has_moved(void *ctx)
{
	struct fixture *copy = fixture_snapshot(ctx);
	bool moved = fixture_files(copy, "", "0000000001.seg") == 0;
	unsigned there = 0;

	fixture_open(copy);
	for (size_t i = 0; i < copy->count; i++) {
		if (copy->envs[i]->id != 1)
			continue;
		there++;
		assert_int_equal(copy->envs[i]->attempts, 5);
		fixture_check(copy, copy->envs[i]);
	}
	assert_int_equal(there, 1);
	fixture_free(copy);
	return moved;
}

static void
killed_while_cleaning(void **state)
{
	struct fixture *fixture = fixture_new();
	struct envelope *env;

	(void)state;
	fixture->options.segment_bytes = 20000;
	fixture_open(fixture);
	env = fixture_commit(fixture, 1000);
	env->attempts = 5;
	spool_progress(fixture->spool, env);
	for (int i = 0; i < 3; i++)
		fixture_finish(fixture, fixture_commit(fixture, 15000));
	fixture_until(fixture, the_first_has_moved, fixture);
	fixture_free(fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_torn_tail_is_cut),
	    cmocka_unit_test(damage_is_refused),
	    cmocka_unit_test(a_sealed_segment_has_no_tail),
	    cmocka_unit_test(a_missing_segment_is_refused),
	    cmocka_unit_test(no_segments_at_all),
	    cmocka_unit_test(a_cut_segment_is_refused),
	    cmocka_unit_test(large_bodies),
	    cmocka_unit_test(a_segment_that_was_not_begun),
	    cmocka_unit_test(a_removed_segment_does_not_count),
	    cmocka_unit_test(killed_while_cleaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
