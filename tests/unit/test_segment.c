/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A segment's file: names, header, record heads, and the scan, which tells a torn tail from damage
 * wherever the bad octet lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/spool/crc32c.h"
#include "relayd/spool/scan.h"

enum { MARK = 0x1234567 };

/* A segment that is made up in memory. */
struct made {
	struct strbuf bytes;
	uint64_t durable;
	unsigned found; /* by the scan */
	uint64_t last_id;
};

static void
made_begin(struct made *made)
{
	static const char head[SEGMENT_HEAD];

	*made = (struct made){.durable = SEGMENT_HEAD};
	strbuf_append(&made->bytes, head, sizeof(head));
}

static uint64_t
made_add(struct made *made, enum record_type type, uint64_t id, size_t meta_len, size_t body_len)
{
	char *filler = xcalloc(meta_len + body_len + 1, 1);
	unsigned char head[RECORD_HEAD];
	uint64_t offset = made->bytes.len;
	struct record record = {.type = type,
				.id = id,
				.durable = made->durable,
				.body_len = body_len,
				.meta_len = (uint32_t)meta_len};

	memset(filler, 'a' + (int)(id % 26), meta_len + body_len);
	record.meta_crc = crc32c(0, filler, meta_len);
	record.body_crc = crc32c(0, filler + meta_len, body_len);
	record_encode(&record, MARK, offset, head);
	strbuf_append(&made->bytes, head, sizeof(head));
	strbuf_append(&made->bytes, filler, meta_len + body_len);
	free(filler);
	return offset;
}

static void
made_sync(struct made *made)
{
	made->durable = made->bytes.len;
}

static int
count_record(void *ctx, const struct record *record, uint64_t offset, const char *meta,
	     struct error *why)
{
	struct made *made = ctx;

	(void)offset;
	if (record->meta_len > 0 && meta[0] != 'a' + (char)(record->id % 26))
		return error_set(why, ERROR_STORAGE, "wrong meta data");
	made->found++;
	made->last_id = record->id;
	return 0;
}

static int
made_scan(struct made *made, bool last, uint64_t limit, struct scan_end *end, struct error *why)
{
	struct scan scan = {.path = "/x/1.seg",
			    .head = {.mark = MARK},
			    .size = made->bytes.len,
			    .last = last,
			    .limit = limit,
			    .found = count_record,
			    .ctx = made};
	int rc;

	scan.fd = memfd_create("segment", 0);
	assert_true(scan.fd >= 0);
	assert_int_equal(write(scan.fd, made->bytes.data, made->bytes.len), made->bytes.len);
	made->found = 0;
	rc = scan_segment(&scan, end, why);
	assert_int_equal(close(scan.fd), 0);
	return rc;
}

static void
names(void **state)
{
	char name[SEGMENT_NAME];
	uint64_t number;

	(void)state;
	segment_name(name, 42);
	assert_string_equal(name, "0000000042.seg");
	assert_true(segment_number_of(name, &number));
	assert_int_equal(number, 42);
	segment_name(name, UINT64_MAX);
	assert_true(segment_number_of(name, &number));
	assert_true(number == UINT64_MAX);
	assert_false(segment_number_of("42.seg", &number));
	assert_false(segment_number_of("0000000042.seg~", &number));
	assert_false(segment_number_of("-000000042.seg", &number));
	assert_false(segment_number_of("0000000042.gone", &number));
	assert_true(segment_gone_number_of("0000000042.gone", &number));
}

static void
header(void **state)
{
	char dir[] = "/tmp/test_segment.XXXXXX", name[SEGMENT_NAME];
	struct segment_head head = {.number = 7, .mark = MARK, .before = 99, .next_id = 12345};
	struct segment_head again;
	unsigned char bytes[SEGMENT_HEAD];
	int dir_fd, fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(dir_fd >= 0);
	fd = segment_create(dir_fd, &head);
	assert_true(fd >= 0);
	assert_int_equal(segment_read(fd, bytes, sizeof(bytes), 0), SEGMENT_HEAD);
	assert_int_equal(segment_read(fd, bytes, sizeof(bytes), 1), SEGMENT_HEAD - 1);
	assert_int_equal(segment_read(fd, bytes, sizeof(bytes), 0), SEGMENT_HEAD);
	assert_true(segment_head_decode(&again, bytes));
	assert_true(again.number == 7 && again.mark == MARK && again.before == 99 &&
		    again.next_id == 12345);
	for (size_t bit = 0; bit < SEGMENT_HEAD * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
		assert_false(segment_head_decode(&again, bytes));
		bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
	assert_int_equal(close(fd), 0);
	segment_name(name, 7);
	assert_int_equal(unlinkat(dir_fd, name, 0), 0);
	assert_int_equal(close(dir_fd), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
record_head(void **state)
{
	struct record record = {.type = RECORD_MOVED,
				.flags = RECORD_LARGE,
				.id = 5,
				.durable = 77,
				.body_len = UINT64_C(1) << 40,
				.body_crc = 1,
				.meta_len = 10,
				.meta_crc = 2};
	struct record again;
	unsigned char head[RECORD_HEAD];

	(void)state;
	record_encode(&record, MARK, 1000, head);
	assert_true(record_decode(&again, MARK, 1000, head));
	assert_int_equal(again.type, record.type);
	assert_int_equal(again.flags, record.flags);
	assert_int_equal(again.id, record.id);
	assert_int_equal(again.durable, record.durable);
	assert_int_equal(again.body_len, record.body_len);
	assert_int_equal(again.body_crc, record.body_crc);
	assert_int_equal(again.meta_len, record.meta_len);
	assert_int_equal(again.meta_crc, record.meta_crc);
	assert_int_equal(record_length(&record), RECORD_HEAD + 10);
	assert_false(record_decode(&again, MARK, 1001, head));
	assert_false(record_decode(&again, MARK + 1, 1000, head));
	for (size_t bit = 0; bit < RECORD_HEAD * 8; bit++) {
		head[bit / 8] ^= (unsigned char)(1U << bit % 8);
		assert_false(record_decode(&again, MARK, 1000, head));
		head[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
}

static void
whole(void **state)
{
	struct scan_end end;
	struct made made;

	(void)state;
	made_begin(&made);
	assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
	assert_int_equal(end.valid, SEGMENT_HEAD);
	/* Bodies that cross the window, meta data larger than it, and nothing at all. */
	made_add(&made, RECORD_MESSAGE, 1, 100, 700000);
	made_add(&made, RECORD_MESSAGE, 2, 100, 700000);
	made_add(&made, RECORD_MESSAGE, 3, 1500000, 3000000);
	made_add(&made, RECORD_FINISH, 4, 0, 0);
	made_sync(&made);
	assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
	assert_int_equal(made.found, 4);
	assert_int_equal(end.valid, made.bytes.len);
	assert_false(end.sealed);
	made_add(&made, RECORD_SEAL, 5, 0, 0);
	assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
	assert_true(end.sealed);
	strbuf_clear(&made.bytes);
}

/* The last batch, cut or flipped at every octet, is a torn tail; nothing before it is lost. */
static void
torn_tail(void **state)
{
	struct scan_end end;
	struct made made;
	uint64_t second;
	size_t len;

	(void)state;
	made_begin(&made);
	made_add(&made, RECORD_MESSAGE, 1, 50, 100);
	made_sync(&made);
	second = made_add(&made, RECORD_MESSAGE, 2, 50, 100);
	len = made.bytes.len;
	for (size_t at = second; at < len; at++) {
		made.bytes.data[at] ^= 0x10;
		assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
		assert_int_equal(end.valid, second);
		assert_int_equal(made.found, 1);
		made.bytes.data[at] ^= 0x10;
	}
	while (made.bytes.len > second) {
		strbuf_truncate(&made.bytes, made.bytes.len - 1);
		assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
		assert_int_equal(end.valid, second);
		assert_int_equal(made.found, 1);
	}
	strbuf_clear(&made.bytes);
}

/* Written out of order: a later record of the same unsynced stretch is whole. Still a tail. */
static void
tail_with_a_whole_record_behind(void **state)
{
	struct scan_end end;
	struct made made;
	uint64_t second;

	(void)state;
	made_begin(&made);
	made_add(&made, RECORD_MESSAGE, 1, 50, 100);
	made_sync(&made);
	second = made_add(&made, RECORD_PROGRESS, 1, 50, 0);
	made_add(&made, RECORD_MESSAGE, 3, 50, 100);
	made.bytes.data[second + 60] ^= 1;
	assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
	assert_int_equal(end.valid, second);
	strbuf_clear(&made.bytes);
}

/* Any octet of a record that was synced before the last batch: damage, with file and offset. */
static void
damage_before_the_tail(void **state)
{
	char expected[64];
	struct scan_end end;
	struct error why;
	struct made made;
	uint64_t first, second;

	(void)state;
	made_begin(&made);
	first = made_add(&made, RECORD_MESSAGE, 1, 50, 100);
	second = made_add(&made, RECORD_PROGRESS, 1, 30, 0);
	made_sync(&made);
	/* Far behind: the search goes over several windows, and finds the mark across their edge.
	 */
	made_add(&made, RECORD_MESSAGE, 2, 20, (3 << 20) - 500);
	for (size_t at = first; at < made.durable; at++) {
		made.bytes.data[at] ^= 0x10;
		assert_int_equal(made_scan(&made, true, 0, &end, &why), -1);
		assert_int_equal(why.code, ERROR_STORAGE);
		snprintf(expected, sizeof(expected),
			 "/x/1.seg: damaged at offset %d:", (int)(at < second ? first : second));
		assert_non_null(strstr(why.text, expected));
		made.bytes.data[at] ^= 0x10;
	}
	strbuf_clear(&made.bytes);
}

static void
mark_across_the_window(void **state)
{
	struct scan_end end;
	struct made made;
	uint64_t first;

	(void)state;
	for (size_t shift = 0; shift < 70; shift += 3) {
		made_begin(&made);
		first = made_add(&made, RECORD_PROGRESS, 1, 10, 0);
		made_sync(&made);
		/* Its filler ends about where the second window of the search begins. */
		made_add(&made, RECORD_MESSAGE, 2, 0, (1 << 20) - 100 + shift);
		made_sync(&made);
		made_add(&made, RECORD_FINISH, 1, 0, 0);
		made.bytes.data[first + 30] ^= 1;
		/* The second record no longer testifies. */
		made.bytes.data[first + RECORD_HEAD + 10 + 20] ^= 1;
		assert_int_equal(made_scan(&made, true, 0, &end, NULL), -1);
		strbuf_clear(&made.bytes);
	}
}

static void
seal_makes_all_of_it_damage(void **state)
{
	struct scan_end end;
	struct made made;
	uint64_t first, seal;

	(void)state;
	made_begin(&made);
	first = made_add(&made, RECORD_MESSAGE, 1, 50, 100);
	made_sync(&made);
	seal = made_add(&made, RECORD_SEAL, 2, 0, 0);
	for (size_t at = first; at < seal; at++) {
		made.bytes.data[at] ^= 1;
		assert_int_equal(made_scan(&made, true, 0, &end, NULL), -1);
		made.bytes.data[at] ^= 1;
	}
	made_add(&made, RECORD_FINISH, 1, 0, 0);
	assert_int_equal(made_scan(&made, true, 0, &end, NULL), -1);
	strbuf_clear(&made.bytes);
}

/* A segment that has a successor ends where that one says: neither before nor torn. */
static void
not_the_last(void **state)
{
	struct scan_end end;
	struct error why;
	struct made made;
	uint64_t second, limit;

	(void)state;
	made_begin(&made);
	made_add(&made, RECORD_MESSAGE, 1, 50, 100);
	second = made_add(&made, RECORD_MESSAGE, 2, 50, 100);
	limit = made.bytes.len;
	assert_int_equal(made_scan(&made, false, limit, &end, NULL), 0);
	assert_int_equal(made_scan(&made, false, limit + 1, &end, &why), -1);
	assert_non_null(strstr(why.text, "/x/1.seg: damaged at offset"));
	/* What was given up behind the limit is not looked at. */
	strbuf_puts(&made.bytes, "rubbish");
	assert_int_equal(made_scan(&made, false, limit, &end, NULL), 0);
	assert_int_equal(end.valid, limit);
	assert_int_equal(made_scan(&made, false, second, &end, NULL), 0);
	assert_int_equal(made.found, 1);
	for (uint64_t wrong = SEGMENT_HEAD + 1; wrong < second; wrong++)
		assert_int_equal(made_scan(&made, false, wrong, &end, NULL), -1);
	made.bytes.data[second + 5] ^= 1;
	assert_int_equal(made_scan(&made, false, limit, &end, &why), -1);
	strbuf_clear(&made.bytes);
}

/* Somebody mails a copy of the segment: it proves nothing about what stands before it. */
static void
a_copy_in_a_body_proves_nothing(void **state)
{
	struct scan_end end;
	struct made made, copy;
	uint64_t bad;

	(void)state;
	made_begin(&copy);
	made_add(&copy, RECORD_MESSAGE, 1, 50, 100);
	made_sync(&copy);
	made_add(&copy, RECORD_MESSAGE, 2, 50, 100);
	copy.durable = 1 << 30;
	made_add(&copy, RECORD_MESSAGE, 3, 50, 100);
	made_begin(&made);
	bad = made_add(&made, RECORD_MESSAGE, 1, 50, 4000);
	memcpy(made.bytes.data + bad + RECORD_HEAD + 50 + 11, copy.bytes.data, copy.bytes.len);
	assert_int_equal(made_scan(&made, true, 0, &end, NULL), 0);
	assert_int_equal(end.valid, bad);
	strbuf_clear(&made.bytes);
	strbuf_clear(&copy.bytes);
}

static void
unknown_type(void **state)
{
	struct scan_end end;
	struct error why;
	struct made made;

	(void)state;
	made_begin(&made);
	made_add(&made, (enum record_type)99, 1, 0, 0);
	assert_int_equal(made_scan(&made, true, 0, &end, &why), -1);
	assert_non_null(strstr(why.text, "unknown type"));
	strbuf_clear(&made.bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(header),
	    cmocka_unit_test(record_head),
	    cmocka_unit_test(whole),
	    cmocka_unit_test(torn_tail),
	    cmocka_unit_test(tail_with_a_whole_record_behind),
	    cmocka_unit_test(damage_before_the_tail),
	    cmocka_unit_test(mark_across_the_window),
	    cmocka_unit_test(seal_makes_all_of_it_damage),
	    cmocka_unit_test(not_the_last),
	    cmocka_unit_test(a_copy_in_a_body_proves_nothing),
	    cmocka_unit_test(unknown_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
