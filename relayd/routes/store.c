/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * STATE_DIR/routes.gdbm, mode 0600, one record a route and one for the whole:
 *
 *	7	destination=example.com
 *		remote_host=mail.example.com
 *	meta	schema=1
 *		next_id=9
 *		revision=12
 *		count=6
 *		sum=11273894372
 *		crc=0f1e2d3c
 *
 * Keys stand on the left, values are lines of text. A route's key is its id in decimal, its value
 * the text of route_encode(). `count` is the number of routes; `sum` is, modulo 2^64, the sum of
 * the CRC-32C of "KEY\nVALUE" over them: so a record that GDBM has lost or changed without
 * noticing is noticed here, whatever the order. `crc` is the CRC-32C of the lines before it, in
 * eight hexadecimal digits.
 *
 * GDBM never sees the file itself, but a copy in memory (image.h): a disk that fails or is full is
 *an error then, and never a SIGBUS; and a new checkpoint is written in one go, at the pace of the
 *disk, where GDBM's own small writes all over a large file would hold up everybody else's syncs. At
 * start-up GDBM may map the copy: without a map it asks the system twice for each record. Otherwise
 * not: what is mapped counts as memory of the daemon.
 */
#include "relayd/routes/store.h"

#include <errno.h>
#include <fcntl.h>
#include <gdbm.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/routes/durable.h"
#include "relayd/routes/image.h"
#include "relayd/routes/store_text.h"
#include "relayd/spool/crc32c.h"

enum {
	RECORD_MAX = 1 << 20,
	CACHE_BUCKETS = 1000 /* of a block each: a few MiB */
};

/* GDBM_NOLOCK: what is read is never changed in place, what is written nobody else knows. */
enum { OPEN_FLAGS = GDBM_NOLOCK | GDBM_CLOEXEC };

static const char meta_key[] = "meta";

struct store_update {
	char *dir;
	char *path;
	char *fresh;
	int copy; /* the file in memory; GDBM has a descriptor of its own */
	GDBM_FILE db;
	struct store_meta meta;
};

/* ---- texts ---- */

static datum
key_of(uint64_t id, char text[STORE_KEY_MAX])
{
	datum key = {.dptr = text, .dsize = snprintf(text, STORE_KEY_MAX, "%" PRIu64, id)};

	return key;
}

static datum
key_of_meta(char text[STORE_KEY_MAX])
{
	datum key = {.dptr = text, .dsize = sizeof(meta_key) - 1};

	memcpy(text, meta_key, sizeof(meta_key));
	return key;
}

static uint64_t
record_sum(datum key, datum value)
{
	uint32_t crc = crc32c(0, key.dptr, (size_t)key.dsize);

	crc = crc32c(crc, "\n", 1);
	return crc32c(crc, value.dptr, (size_t)value.dsize);
}

/* Values hold passwords. */
static void
value_free(datum value)
{
	if (value.dptr == NULL)
		return;
	explicit_bzero(value.dptr, (size_t)value.dsize);
	free(value.dptr);
}

/* ---- GDBM's errors ---- */

static bool
is_meta(datum key)
{
	return (size_t)key.dsize == sizeof(meta_key) - 1 &&
	       memcmp(key.dptr, meta_key, sizeof(meta_key) - 1) == 0;
}

/* What GDBM says: the disk's reason where it has one, else that the file is damaged. */
static int
failure(const char *path, struct error *why)
{
	int sys = errno;
	gdbm_error code = gdbm_errno;

	if (code != GDBM_NO_ERROR && gdbm_check_syserr(code) && sys != 0) {
		errno = sys;
		return error_sys(why, ERROR_STORAGE, "%s: %s", path, gdbm_strerror(code));
	}
	return error_set(why, ERROR_STORAGE, "%s is damaged: %s", path, gdbm_strerror(code));
}

static int
damage(const char *path, struct error *why)
{
	return error_prefix(why, "%s is damaged", path);
}

/* `db` set up, or closed; NULL is what GDBM gave. */
static GDBM_FILE
opened(GDBM_FILE db, const char *path, int flags, struct error *why)
{
	size_t cache = CACHE_BUCKETS;

	if (db == NULL) {
		failure(path, why);
		return NULL;
	}
	if (gdbm_setopt(db, GDBM_SETCACHESIZE, &cache, sizeof(cache)) != 0 ||
	    ((flags & GDBM_OPENMASK) != GDBM_NEWDB && gdbm_avail_verify(db) != 0)) {
		failure(path, why);
		gdbm_close(db);
		return NULL;
	}
	return db;
}

/* GDBM on the copy, which stays the caller's. `path` is what errors name. */
static GDBM_FILE
open_gdbm(int copy, const char *path, int flags, struct error *why)
{
	int own = fcntl(copy, F_DUPFD_CLOEXEC, 0);

	/* GDBM begins to read where the last one has left off. */
	if (own < 0 || lseek(own, 0, SEEK_SET) < 0) {
		error_sys(why, ERROR_STORAGE, "%s: can't open its copy", path);
		if (own >= 0)
			(void)close(own);
		return NULL;
	}
	errno = 0;
	/* GDBM's fatal_func is given up upstream and never called; its errors come back as results.
	 */
	return opened(gdbm_fd_open(own, path, 0, flags | GDBM_CLOERROR | OPEN_FLAGS, NULL), path,
		      flags, why);
}

/* The value of `key`, to be given to value_free. With no such record dptr is NULL and the result 0.
 */
static int
fetch(GDBM_FILE db, const char *path, datum key, datum *value, struct error *why)
{
	errno = 0;
	*value = gdbm_fetch(db, key);
	if (value->dptr != NULL || gdbm_last_errno(db) == GDBM_ITEM_NOT_FOUND)
		return 0;
	return failure(path, why);
}

static int
read_meta(GDBM_FILE db, const char *path, struct store_meta *meta, struct error *why)
{
	char text[STORE_KEY_MAX];
	datum value;
	int rc;

	if (fetch(db, path, key_of_meta(text), &value, why) < 0)
		return -1;
	if (value.dptr == NULL) {
		error_set(why, ERROR_STORAGE, "it has no meta record");
		return damage(path, why);
	}
	rc = store_meta_read(value.dptr, (size_t)value.dsize, meta, why);
	value_free(value);
	return rc < 0 ? damage(path, why) : 0;
}

/* ---- reading ---- */

/* How one record is taken: `found` may be NULL. */
struct reading {
	const char *path;
	struct store_meta *meta;
	uint64_t count;
	uint64_t sum;
	int (*found)(void *ctx, uint64_t id, const char *record, size_t len, struct error *why);
	void *ctx;
};

static int
read_record(struct reading *reading, datum key, datum value, struct error *why)
{
	uint64_t id;

	if (store_key_read(key.dptr, (size_t)key.dsize, &id) < 0) {
		error_set(why, ERROR_STORAGE, "a record has the key '%.*s'",
			  key.dsize < STORE_KEY_MAX ? key.dsize : STORE_KEY_MAX, key.dptr);
		return damage(reading->path, why);
	}
	if (id >= reading->meta->next_id) {
		error_set(why, ERROR_STORAGE, "route %" PRIu64 " is not below the next id", id);
		return damage(reading->path, why);
	}
	reading->sum += record_sum(key, value);
	reading->count++;
	/* A damaged directory can make GDBM go round in a circle. */
	if (reading->count > reading->meta->count) {
		error_set(why, ERROR_STORAGE,
			  "it has more than the %" PRIu64 " routes that it should have",
			  reading->meta->count);
		return damage(reading->path, why);
	}
	if (reading->found != NULL &&
	    reading->found(reading->ctx, id, value.dptr, (size_t)value.dsize, why) < 0)
		return damage(reading->path, why);
	return 0;
}

/* Every record once, and the sum of all against the meta record. */
static int
read_all(GDBM_FILE db, struct reading *reading, struct error *why)
{
	datum key, next, value;
	int rc = 0;

	errno = 0;
	for (key = gdbm_firstkey(db); key.dptr != NULL && rc == 0; key = next) {
		next = (datum){.dptr = NULL};
		if (!is_meta(key)) {
			rc = fetch(db, reading->path, key, &value, why);
			if (rc == 0 && value.dptr == NULL) {
				error_set(why, ERROR_STORAGE, "the record '%.*s' is not found",
					  key.dsize < STORE_KEY_MAX ? key.dsize : STORE_KEY_MAX,
					  key.dptr);
				rc = damage(reading->path, why);
			}
			if (rc == 0)
				rc = read_record(reading, key, value, why);
			value_free(value);
		}
		errno = 0;
		if (rc == 0)
			next = gdbm_nextkey(db, key);
		free(key.dptr);
	}
	if (rc < 0)
		return -1;
	if (gdbm_last_errno(db) != GDBM_ITEM_NOT_FOUND && gdbm_last_errno(db) != GDBM_NO_ERROR)
		return failure(reading->path, why);
	if (reading->count == reading->meta->count && reading->sum == reading->meta->sum)
		return 0;
	if (reading->count == reading->meta->count)
		error_set(why, ERROR_STORAGE, "the checksum of its records is wrong");
	else
		error_set(why, ERROR_STORAGE,
			  "it has %" PRIu64 " routes of the %" PRIu64 " that it should have",
			  reading->count, reading->meta->count);
	return damage(reading->path, why);
}

/* All that is in the copy, checked. */
static int
read_copy(int copy, int flags, const char *path, struct store_meta *meta,
	  int (*found)(void *ctx, uint64_t id, const char *record, size_t len, struct error *why),
	  void *ctx, struct error *why)
{
	struct reading reading = {.path = path, .meta = meta, .found = found, .ctx = ctx};
	GDBM_FILE db = open_gdbm(copy, path, GDBM_READER | flags, why);
	int rc;

	if (db == NULL)
		return -1;
	rc = read_meta(db, path, meta, why);
	if (rc == 0)
		rc = read_all(db, &reading, why);
	errno = 0;
	if (gdbm_close(db) != 0 && rc == 0)
		rc = failure(path, why);
	return rc;
}

int
store_load(const char *dir, struct store_meta *meta,
	   int (*found)(void *ctx, uint64_t id, const char *record, size_t len, struct error *why),
	   void *ctx, struct error *why)
{
	char *path = durable_path(dir, STORE_NAME);
	bool there;
	int copy = image_read(path, &there, why), rc = -1;

	*meta = (struct store_meta){.next_id = 1};
	if (copy >= 0)
		rc = there ? 1 : 0;
	if (rc > 0 && read_copy(copy, 0, path, meta, found, ctx, why) < 0)
		rc = -1;
	image_free(copy);
	free(path);
	return rc;
}

/* ---- writing ---- */

static int
update_open(struct store_update *update, struct error *why)
{
	bool there;

	update->copy = image_read(update->path, &there, why);
	if (update->copy < 0)
		return -1;
	update->meta = (struct store_meta){.next_id = 1};
	update->db = open_gdbm(update->copy, update->path,
			       (there ? GDBM_WRITER : GDBM_NEWDB) | GDBM_NOMMAP, why);
	if (update->db == NULL)
		return -1;
	return there ? read_meta(update->db, update->path, &update->meta, why) : 0;
}

struct store_update *
store_update_begin(const char *dir, struct error *why)
{
	struct store_update *update = xcalloc(1, sizeof(*update));

	update->dir = xstrdup(dir);
	update->path = durable_path(dir, STORE_NAME);
	update->fresh = durable_path(dir, STORE_NAME ".new");
	update->copy = -1;
	if (update_open(update, why) < 0) {
		store_update_abort(update);
		return NULL;
	}
	return update;
}

const struct store_meta *
store_update_meta(const struct store_update *update)
{
	return &update->meta;
}

/* Take the record of `id`, if there is one, out of count and sum. Returns 1 if there was one. */
static int
uncount(struct store_update *update, datum key, struct error *why)
{
	datum value;

	if (fetch(update->db, update->fresh, key, &value, why) < 0)
		return -1;
	if (value.dptr == NULL)
		return 0;
	update->meta.sum -= record_sum(key, value);
	update->meta.count--;
	value_free(value);
	return 1;
}

int
store_update_put(struct store_update *update, uint64_t id, const char *record, size_t len,
		 struct error *why)
{
	char text[STORE_KEY_MAX];
	datum key = key_of(id, text);
	/* GDBM takes the bytes to read; its type has no const. */
	datum value = {.dptr = (char *)(uintptr_t)record, .dsize = (int)len};

	if (len > RECORD_MAX)
		return error_set(why, ERROR_BUG, "a record of %zu bytes", len);
	if (uncount(update, key, why) < 0)
		return -1;
	errno = 0;
	if (gdbm_store(update->db, key, value, GDBM_REPLACE) != 0)
		return failure(update->fresh, why);
	update->meta.sum += record_sum(key, value);
	update->meta.count++;
	return 0;
}

int
store_update_delete(struct store_update *update, uint64_t id, struct error *why)
{
	char text[STORE_KEY_MAX];
	datum key = key_of(id, text);
	int there = uncount(update, key, why);

	if (there < 0)
		return -1;
	if (there == 0) {
		error_set(why, ERROR_STORAGE, "route %" PRIu64 " is not found", id);
		return damage(update->path, why);
	}
	errno = 0;
	if (gdbm_delete(update->db, key) != 0)
		return failure(update->fresh, why);
	return 0;
}

static int
write_meta(struct store_update *update, struct error *why)
{
	char key_text[STORE_KEY_MAX], text[STORE_META_MAX];
	datum value = {.dptr = text, .dsize = store_meta_write(&update->meta, text)};
	GDBM_FILE db = update->db;

	errno = 0;
	if (gdbm_store(db, key_of_meta(key_text), value, GDBM_REPLACE) != 0)
		return failure(update->fresh, why);
	update->db = NULL;
	errno = 0;
	if (gdbm_close(db) != 0)
		return failure(update->fresh, why);
	return 0;
}

int
store_update_commit(struct store_update *update, uint64_t revision, uint64_t next_id,
		    struct error *why)
{
	struct store_meta meta;
	int rc;

	update->meta.revision = revision;
	update->meta.next_id = next_id;
	rc = write_meta(update, why);
	/* What GDBM made of a copy whose damage lies where no reading comes by is not known before
	 * it was read; the old checkpoint is good until then. */
	if (rc == 0)
		rc = read_copy(update->copy, GDBM_NOMMAP, update->fresh, &meta, NULL, NULL, why);
	if (rc == 0)
		rc = image_write(update->copy, update->fresh, why);
	if (rc == 0)
		rc = durable_replace(update->dir, update->fresh, update->path, why) < 0 ? -1 : 0;
	store_update_abort(update);
	return rc;
}

void
store_update_abort(struct store_update *update)
{
	if (update == NULL)
		return;
	/* The fresh file is thrown away; after a commit there is none. That something goes wrong
	 * with it here changes nothing. */
	if (update->db != NULL)
		(void)gdbm_close(update->db);
	image_free(update->copy);
	(void)durable_remove(update->fresh, NULL);
	free(update->dir);
	free(update->path);
	free(update->fresh);
	free(update);
}
