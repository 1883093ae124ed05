/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of the spool share: a loop, threads, a log that is read back, a directory that
 * goes away, and messages whose every octet follows from their id. */
#ifndef TESTS_UNIT_SPOOL_FIXTURE_H
#define TESTS_UNIT_SPOOL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/spool/spool.h"

struct fixture {
	char dir[128];
	struct loop *loop;
	struct offload *offload;
	struct log *log;
	int log_fd;
	struct spool_options options;
	struct spool *spool;
	struct envelope **envs; /* alive, in the order they were found or committed */
	size_t count;
	struct error why;
};

struct outcome {
	struct fixture *fixture;
	struct envelope *env;
	bool told;
	struct error why; /* code ERROR_NONE: durable */
};

static inline struct fixture *
fixture_new(void)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");

	snprintf(fixture->dir, sizeof(fixture->dir), "%s/test_spool.XXXXXX",
		 tmp == NULL ? "/tmp" : tmp);
	assert_non_null(mkdtemp(fixture->dir));
	fixture->loop = loop_new(NULL);
	assert_non_null(fixture->loop);
	fixture->offload = offload_new(fixture->loop, 3, NULL);
	assert_non_null(fixture->offload);
	fixture->log_fd = memfd_create("log", 0);
	assert_true(fixture->log_fd >= 0);
	fixture->log = log_new(fixture->log_fd, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	fixture->options = (struct spool_options){.dir = fixture->dir,
						  .loop = fixture->loop,
						  .offload = fixture->offload,
						  .log = fixture->log};
	return fixture;
}

static inline void
fixture_found(void *ctx, struct envelope *env)
{
	struct fixture *fixture = ctx;

	fixture->envs = xreallocarray(fixture->envs, fixture->count + 1, sizeof(struct envelope *));
	fixture->envs[fixture->count++] = env;
}

static inline void
fixture_forget_envelopes(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->count; i++)
		envelope_free(fixture->envs[i]);
	free(fixture->envs);
	fixture->envs = NULL;
	fixture->count = 0;
}

static inline bool
fixture_try_open(struct fixture *fixture)
{
	memset(&fixture->why, 0, sizeof(fixture->why));
	fixture->spool = spool_open(&fixture->options, fixture_found, fixture, &fixture->why);
	return fixture->spool != NULL;
}

static inline void
fixture_open(struct fixture *fixture)
{
	if (!fixture_try_open(fixture))
		fail_msg("spool_open: %s", fixture->why.text);
}

/* As the daemon does it: the queue and its envelopes go before the spool. */
static inline void
fixture_close(struct fixture *fixture)
{
	fixture_forget_envelopes(fixture);
	spool_close(fixture->spool);
	fixture->spool = NULL;
}

static inline int
fixture_unlink(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
fixture_empty(const char *dir)
{
	assert_int_equal(nftw(dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void
fixture_free(struct fixture *fixture)
{
	if (fixture->spool != NULL)
		fixture_close(fixture);
	fixture_forget_envelopes(fixture);
	offload_finish(fixture->offload);
	offload_free(fixture->offload);
	loop_free(fixture->loop);
	log_free(fixture->log);
	assert_int_equal(close(fixture->log_fd), 0);
	fixture_empty(fixture->dir);
	free(fixture);
}

/* Does the log hold these words? */
static inline bool
fixture_logged(const struct fixture *fixture, const char *words)
{
	static char text[1 << 20];
	ssize_t len = pread(fixture->log_fd, text, sizeof(text) - 1, 0);

	assert_true(len >= 0);
	text[len] = '\0';
	return strstr(text, words) != NULL;
}

static inline int64_t
fixture_clock_ms(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Run the loop until `holds`; a test that waits 30 s has failed. */
static inline void
fixture_until(struct fixture *fixture, bool (*holds)(void *ctx), void *ctx)
{
	int64_t end = fixture_clock_ms() + 30000;

	while (!holds(ctx)) {
		assert_true(fixture_clock_ms() < end);
		assert_int_equal(loop_once(fixture->loop, 20), 0);
	}
}

static inline void
fixture_body(char *body, size_t len, uint64_t id)
{
	uint64_t state = id * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < len; i++) {
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		body[i] = (char)(state >> 56);
	}
}

static inline struct envelope *
fixture_envelope(void)
{
	struct envelope *env = envelope_new();

	env->arrived_ms = 1700000000123;
	env->sender = xstrdup("sender@example.org");
	envelope_add_recipient(env, "one@example.net");
	envelope_add_recipient(env, "two@example.net");
	return env;
}

static inline void
fixture_told(void *ctx, const struct error *why)
{
	struct outcome *outcome = ctx;

	assert_false(outcome->told);
	outcome->told = true;
	if (why != NULL)
		outcome->why = *why;
	if (why == NULL)
		fixture_found(outcome->fixture, outcome->env);
	else
		envelope_free(outcome->env);
}

static inline bool
fixture_is_told(void *ctx)
{
	const struct outcome *outcome = ctx;

	return outcome->told;
}

static inline struct spool_draft *
fixture_draft(struct fixture *fixture, size_t len)
{
	struct spool_draft *draft = spool_begin(fixture->spool);
	char *body = xmalloc(len + 1);

	fixture_body(body, len, spool_draft_id(draft));
	/* In two uneven pieces; a failure shows at the commit. */
	(void)spool_write(draft, body, len / 3, NULL);
	(void)spool_write(draft, body + len / 3, len - len / 3, NULL);
	free(body);
	return draft;
}

/* Begin to commit a message of `len` octets. */
static inline void
fixture_send(struct fixture *fixture, size_t len, struct outcome *outcome)
{
	*outcome = (struct outcome){.fixture = fixture, .env = fixture_envelope()};
	spool_commit(fixture_draft(fixture, len), outcome->env, fixture_told, outcome);
	assert_false(outcome->told);
}

/* Commit one, durably. Its envelope is the fixture's. */
static inline struct envelope *
fixture_commit(struct fixture *fixture, size_t len)
{
	struct outcome outcome;

	fixture_send(fixture, len, &outcome);
	fixture_until(fixture, fixture_is_told, &outcome);
	if (outcome.why.code != ERROR_NONE)
		fail_msg("commit: %s", outcome.why.text);
	return outcome.env;
}

static inline struct envelope *
fixture_find(const struct fixture *fixture, uint64_t id)
{
	for (size_t i = 0; i < fixture->count; i++)
		if (fixture->envs[i]->id == id)
			return fixture->envs[i];
	return NULL;
}

/* Finish the message and free its envelope. */
static inline void
fixture_finish(struct fixture *fixture, struct envelope *env)
{
	spool_finish(fixture->spool, env);
	for (size_t i = 0; i < fixture->count; i++) {
		if (fixture->envs[i] == env) {
			fixture->envs[i] = fixture->envs[--fixture->count];
			break;
		}
	}
	envelope_free(env);
}

struct reading {
	bool got;
	bool ended;
	struct error why;
	char *bytes;
	size_t len;
};

static inline void
fixture_got(void *ctx, const char *bytes, size_t len, const struct error *why)
{
	struct reading *reading = ctx;

	reading->got = true;
	if (why != NULL)
		reading->why = *why;
	reading->ended = len == 0;
	reading->bytes = xreallocarray(reading->bytes, reading->len + len + 1, 1);
	memcpy(reading->bytes + reading->len, bytes == NULL ? "" : bytes, len);
	reading->len += len;
}

static inline bool
fixture_has_got(void *ctx)
{
	const struct reading *reading = ctx;

	return reading->got;
}

/* Read on to the end; frees the reader. The caller frees reading->bytes. */
static inline void
fixture_read_on(struct fixture *fixture, struct spool_reader *reader, struct reading *reading)
{
	while (!reading->ended) {
		reading->got = false;
		spool_reader_next(reader, fixture_got, reading);
		fixture_until(fixture, fixture_has_got, reading);
	}
	spool_reader_free(reader);
}

static inline void
fixture_check_bytes(const struct envelope *env, const struct reading *reading)
{
	char *expected = xmalloc(env->size + 1);

	fixture_body(expected, env->size, env->id);
	if (reading->why.code != ERROR_NONE)
		fail_msg("reader: %s", reading->why.text);
	assert_int_equal(reading->len, env->size);
	assert_memory_equal(reading->bytes, expected, env->size);
	free(expected);
}

/* The body is the one that was committed, to the last octet. */
static inline void
fixture_check(struct fixture *fixture, const struct envelope *env)
{
	struct reading reading = {0};
	struct spool_reader *reader = spool_reader_new(fixture->spool, env, NULL);

	assert_non_null(reader);
	fixture_read_on(fixture, reader, &reading);
	fixture_check_bytes(env, &reading);
	free(reading.bytes);
}

static inline struct spool_stats
fixture_stats(const struct fixture *fixture)
{
	struct spool_stats stats;

	spool_stats(fixture->spool, &stats);
	return stats;
}

/* Copy a file of the spool, or what of it there is: what a kill at this moment would leave. */
static inline void
fixture_copy_file(int from_dir, int to_dir, const char *name)
{
	int from = openat(from_dir, name, O_RDONLY);
	int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char bytes[8192];
	ssize_t len;

	assert_true(from >= 0 && to >= 0);
	while ((len = read(from, bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(to, bytes, (size_t)len), len);
	assert_int_equal(len, 0);
	assert_int_equal(close(from), 0);
	assert_int_equal(close(to), 0);
}

static inline void
fixture_copy_dir(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	int to_fd;
	const struct dirent *item;

	assert_non_null(dir);
	assert_true(mkdir(to, 0700) == 0 || errno == EEXIST);
	to_fd = open(to, O_RDONLY | O_DIRECTORY);
	assert_true(to_fd >= 0);
	while ((item = readdir(dir)) != NULL) {
		if (item->d_name[0] == '.')
			continue;
		if (strcmp(item->d_name, "large") == 0) {
			char *a = xasprintf("%s/large", from);
			char *b = xasprintf("%s/large", to);

			fixture_copy_dir(a, b);
			free(a);
			free(b);
		} else {
			fixture_copy_file(dirfd(dir), to_fd, item->d_name);
		}
	}
	assert_int_equal(close(to_fd), 0);
	assert_int_equal(closedir(dir), 0);
}

/* A second fixture, not open yet, over a copy of the first one's directory, between two jobs. */
static inline struct fixture *
fixture_snapshot(const struct fixture *fixture)
{
	struct fixture *copy = fixture_new();

	offload_finish(fixture->offload);
	copy->options = fixture->options;
	copy->options.dir = copy->dir;
	copy->options.loop = copy->loop;
	copy->options.offload = copy->offload;
	copy->options.log = copy->log;
	fixture_copy_dir(fixture->dir, copy->dir);
	return copy;
}

/* How many files in DIR/`under` end in `suffix`. */
static inline size_t
fixture_files(const struct fixture *fixture, const char *under, const char *suffix)
{
	char *path = xasprintf("%s%s", fixture->dir, under);
	DIR *dir = opendir(path);
	const struct dirent *item;
	size_t count = 0;

	assert_non_null(dir);
	while ((item = readdir(dir)) != NULL) {
		size_t len = strlen(item->d_name);

		if (item->d_name[0] != '.' && len >= strlen(suffix) &&
		    strcmp(item->d_name + len - strlen(suffix), suffix) == 0)
			count++;
	}
	assert_int_equal(closedir(dir), 0);
	free(path);
	return count;
}

#endif
