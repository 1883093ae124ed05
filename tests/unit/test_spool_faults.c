/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The spool on a disk that fails: the n-th call of each kind fails, for n = 1, 2, 3 ... until a run
 * passes untouched. What was acknowledged is there after a kill, and was lost by no failed sync
 * (after one the shim zeroes what that sync was to save, as the kernel may drop it); what was
 * refused is told with its errno; the spool works again when the fault ends.
 *
 * The calls are taken over by definitions of their names in this program.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/unit/spool_fixture.h"

enum call {
	CALL_WRITE,
	CALL_SHORT,
	CALL_FDATASYNC,
	CALL_FSYNC,
	CALL_OPEN,
	CALL_UNLINK,
	CALL_RENAME,
	CALL_TRUNCATE,
	CALL_READ,
	CALLS
};

static const char *const call_names[CALLS] = {"write",  "short write", "fdatasync", "fsync", "open",
					      "unlink", "rename",      "ftruncate", "read"};

enum { FDS = 256 };

/* The one thing that is not on a stack here: the shim is called from libc's place. */
static struct {
	pthread_mutex_t lock;
	bool armed;
	enum call call;
	unsigned skip; /* so many calls pass first */
	unsigned fail; /* then so many fail */
	int sys;
	unsigned failed;   /* so many did */
	bool no_truncate;  /* then nothing can be cut either */
	off_t synced[FDS]; /* by descriptor: what the last good sync saved */
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool
fails(enum call call)
{
	bool result = false;

	pthread_mutex_lock(&shim.lock);
	if (shim.armed && shim.call == call) {
		if (shim.skip > 0) {
			shim.skip--;
		} else if (shim.fail > 0) {
			shim.fail--;
			shim.failed++;
			result = true;
		}
	}
	pthread_mutex_unlock(&shim.lock);
	return result;
}

static int
failure(void)
{
	errno = shim.sys;
	return -1;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	if (fails(CALL_WRITE))
		return failure();
	/* Half of the first piece, and nothing more at the next try. */
	if (fails(CALL_SHORT)) {
		pthread_mutex_lock(&shim.lock);
		shim.call = CALL_WRITE;
		shim.fail = 1;
		pthread_mutex_unlock(&shim.lock);
		return syscall(SYS_pwrite64, fd, iov[0].iov_base, (iov[0].iov_len + 1) / 2, offset);
	}
	return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

static int
sync_fails(int fd, enum call call)
{
	static const char zeroes[4096];
	struct stat status;

	if (fstat(fd, &status) < 0 || fd >= FDS)
		return -1;
	if (!fails(call)) {
		if (S_ISREG(status.st_mode))
			shim.synced[fd] = status.st_size;
		return 0;
	}
	for (off_t at = shim.synced[fd]; S_ISREG(status.st_mode) && at < status.st_size;) {
		size_t len = sizeof(zeroes);

		if ((off_t)len > status.st_size - at)
			len = (size_t)(status.st_size - at);
		if (syscall(SYS_pwrite64, fd, zeroes, len, at) < 0)
			return -1;
		at += (off_t)len;
	}
	return failure();
}

int
fdatasync(int fd)
{
	return sync_fails(fd, CALL_FDATASYNC);
}

int
fsync(int fd)
{
	return sync_fails(fd, CALL_FSYNC);
}

int
openat(int dir_fd, const char *path, int flags, ...)
{
	int fd;

	if (fails(CALL_OPEN))
		return failure();
	fd = (int)syscall(SYS_openat, dir_fd, path, flags, 0600);
	if (fd >= 0 && fd < FDS)
		shim.synced[fd] = lseek(fd, 0, SEEK_END); /* what was there before is safe */
	if (fd >= 0 && fd < FDS && lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return fd;
}

int
unlinkat(int dir_fd, const char *path, int flags)
{
	return fails(CALL_UNLINK) ? failure() : (int)syscall(SYS_unlinkat, dir_fd, path, flags);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return fails(CALL_RENAME) ? failure()
				  : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int
ftruncate(int fd, off_t size)
{
	return (shim.armed && shim.no_truncate) || fails(CALL_TRUNCATE)
		   ? failure()
		   : (int)syscall(SYS_ftruncate, fd, size);
}

ssize_t
pread(int fd, void *bytes, size_t len, off_t offset)
{
	return fails(CALL_READ) ? failure() : syscall(SYS_pread64, fd, bytes, len, offset);
}

static void
shim_arm(enum call call, unsigned skip, unsigned fail, int sys)
{
	pthread_mutex_lock(&shim.lock);
	shim.armed = true;
	shim.call = call;
	shim.skip = skip;
	shim.fail = fail;
	shim.sys = sys;
	shim.failed = 0;
	pthread_mutex_unlock(&shim.lock);
}

/* How many failed. */
static unsigned
shim_disarm(void)
{
	unsigned failed;

	pthread_mutex_lock(&shim.lock);
	shim.armed = false;
	failed = shim.failed;
	pthread_mutex_unlock(&shim.lock);
	return failed;
}

/* ---- what is known of the messages ---- */

enum { MOST = 200 };

struct ledger {
	struct fixture *fixture;
	uint64_t acked[MOST];
	uint32_t attempts[MOST]; /* the last that was written down */
	bool done[MOST];         /* finished */
	size_t count;
	uint64_t refused[MOST];
	size_t refused_count;
};

static void
ledger_send(struct ledger *ledger, size_t len)
{
	struct fixture *fixture = ledger->fixture;
	struct outcome outcome = {.fixture = fixture, .env = fixture_envelope()};
	struct spool_draft *draft = fixture_draft(fixture, len);
	uint64_t id = spool_draft_id(draft);

	spool_commit(draft, outcome.env, fixture_told, &outcome);
	fixture_until(fixture, fixture_is_told, &outcome);
	if (outcome.why.code == ERROR_NONE) {
		ledger->attempts[ledger->count] = 0;
		ledger->done[ledger->count] = false;
		ledger->acked[ledger->count++] = id;
	} else {
		assert_int_equal(outcome.why.code, ERROR_STORAGE);
		assert_int_equal(outcome.why.sys, shim.sys);
		ledger->refused[ledger->refused_count++] = id;
	}
}

static void
ledger_progress(struct ledger *ledger, size_t which)
{
	struct envelope *env;

	if (which >= ledger->count || ledger->done[which])
		return;
	env = fixture_find(ledger->fixture, ledger->acked[which]);
	env->attempts = ++ledger->attempts[which];
	spool_progress(ledger->fixture->spool, env);
}

static void
ledger_finish(struct ledger *ledger, size_t which)
{
	if (which >= ledger->count || ledger->done[which])
		return;
	fixture_finish(ledger->fixture, fixture_find(ledger->fixture, ledger->acked[which]));
	ledger->done[which] = true;
}

/* What a kill leaves, or a close (then progress is exact too). */
static void
ledger_check(const struct ledger *ledger, struct fixture *later, bool exact)
{
	for (size_t i = 0; i < ledger->count; i++) {
		struct envelope *env = fixture_find(later, ledger->acked[i]);

		if (ledger->done[i]) {
			if (exact)
				assert_null(env);
			continue;
		}
		if (env == NULL)
			fail_msg("message %" PRIu64 " is lost", ledger->acked[i]);
		fixture_check(later, env);
		if (exact)
			assert_int_equal(env->attempts, ledger->attempts[i]);
	}
	for (size_t i = 0; i < ledger->refused_count && exact; i++)
		assert_null(fixture_find(later, ledger->refused[i]));
}

/* A bit of everything, over many segments; the cleaner moves and removes as well. */
static void
live(struct ledger *ledger)
{
	size_t base = ledger->count;

	for (size_t i = 0; i < 24; i++) {
		ledger_send(ledger, i % 9 == 4 ? 12000 : 1500);
		ledger_progress(ledger, base + i / 2);
		if (i >= 2 && i % 12 != 3)
			ledger_finish(ledger, base + i - 2);
		loop_once(ledger->fixture->loop, 0);
	}
}

static bool
all_is_durable(void *ctx)
{
	struct ledger *ledger = ctx;

	/* Nothing pending any more: a message waits for no progress. */
	for (size_t i = 0; i < ledger->fixture->count; i++)
		if (ledger->fixture->envs[i]->place.pending != NULL)
			return false;
	return true;
}

/* One run with one fault; true if it was met. */
static bool
run_with_fault(enum call call, unsigned skip, unsigned fail, int sys)
{
	struct fixture *fixture = fixture_new();
	struct ledger ledger = {.fixture = fixture};
	struct fixture *copy;
	unsigned failed;

	fixture->options.segment_bytes = 4000;
	fixture->options.inline_bytes = 10000;
	fixture_open(fixture);
	shim_arm(call, skip, fail, sys);
	live(&ledger);
	failed = shim_disarm();
	/* A kill now loses nothing that was acknowledged. */
	copy = fixture_snapshot(fixture);
	fixture_open(copy);
	ledger_check(&ledger, copy, false);
	fixture_free(copy);
	/* The fault has ended: everything works, and what was pending is made good. */
	{
		size_t refused = ledger.refused_count;

		live(&ledger);
		assert_int_equal(ledger.refused_count, refused);
	}
	fixture_close(fixture);
	fixture_open(fixture);
	ledger_check(&ledger, fixture, true);
	fixture_free(fixture);
	return failed > 0;
}

static void
each_call_fails_once(void **state)
{
	(void)state;
	for (int call = 0; call < CALLS; call++) {
		unsigned n = 0;

		while (run_with_fault((enum call)call, n, 1, n % 2 == 0 ? EIO : ENOSPC))
			n++;
		print_message("%s: %u calls\n", call_names[call], n);
		/* Only after a failure is anything cut. */
		if (call != CALL_TRUNCATE)
			assert_true(n > 0);
	}
}

/* What a failed write left can't even be cut off: it is given up where it stands. */
static void
nothing_can_be_cut(void **state)
{
	static const enum call calls[] = {CALL_WRITE, CALL_SHORT, CALL_FDATASYNC};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		shim.no_truncate = true;
		for (unsigned n = 0; n < 45; n++)
			run_with_fault(calls[i], n, 1, EIO);
		shim.no_truncate = false;
	}
}

/* The disk is full for good, then it is not. */
static void
full_for_a_while(void **state)
{
	static const enum call calls[] = {CALL_WRITE, CALL_FDATASYNC, CALL_OPEN, CALL_FSYNC};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		for (unsigned skip = 0; skip < 30; skip += 3)
			run_with_fault(calls[i], skip, 1000000, ENOSPC);
	}
}

/* It is said once when it begins, and once when it ends. */
static void
the_log_says_so(void **state)
{
	struct fixture *fixture = fixture_new();
	struct ledger ledger = {.fixture = fixture};

	(void)state;
	fixture_open(fixture);
	shim_arm(CALL_WRITE, 1, 1000000, ENOSPC);
	ledger_send(&ledger, 100);
	ledger_send(&ledger, 100);
	assert_int_equal(ledger.refused_count, 2);
	assert_int_equal(fixture_stats(fixture).failures, 2);
	assert_true(fixture_logged(fixture, "spool-failed"));
	assert_true(fixture_logged(fixture, strerror(ENOSPC)));
	assert_false(fixture_logged(fixture, "spool-recovered"));
	shim_disarm();
	ledger_send(&ledger, 100);
	assert_int_equal(ledger.count, 1);
	assert_true(fixture_logged(fixture, "spool-recovered"));
	fixture_free(fixture);
}

/* Progress that was written, but not synced, is in the file of the failed sync: it is written
 * again. */
static void
progress_survives_a_failed_sync(void **state)
{
	struct fixture *fixture = fixture_new();
	struct ledger ledger = {.fixture = fixture};

	(void)state;
	fixture_open(fixture);
	ledger_send(&ledger, 100);
	ledger_send(&ledger, 20000);
	ledger_progress(&ledger, 0);
	ledger_finish(&ledger, 1);
	loop_once(fixture->loop, 0);
	offload_finish(fixture->offload); /* written now */
	shim_arm(CALL_FDATASYNC, 0, 1, EIO);
	ledger_send(&ledger, 100);
	assert_int_equal(ledger.refused_count, 1);
	assert_int_equal(shim_disarm(), 1);
	fixture_until(fixture, all_is_durable, &ledger);
	fixture_close(fixture);
	fixture_open(fixture);
	ledger_check(&ledger, fixture, true);
	fixture_free(fixture);
}

/* A body that can't be written: the draft says so, whoever waits is woken, nothing is left. */
static void
woken(void *ctx)
{
	*(bool *)ctx = true;
}

static bool
is_set(void *ctx)
{
	return *(const bool *)ctx;
}

static void
a_large_body_fails(void **state)
{
	struct fixture *fixture = fixture_new();
	struct spool_draft *draft;
	struct error why;
	bool relieved = false;
	char *piece = xcalloc(1, 100000);

	(void)state;
	fixture_open(fixture);
	shim_arm(CALL_WRITE, 2, 1000000, ENOSPC);
	draft = spool_begin(fixture->spool);
	while (!spool_draft_is_behind(draft) && spool_write(draft, piece, 100000, &why) == 0)
		;
	if (spool_draft_is_behind(draft)) {
		spool_draft_on_relief(draft, woken, &relieved);
		fixture_until(fixture, is_set, &relieved);
	}
	while (spool_write(draft, piece, 100000, &why) == 0)
		loop_once(fixture->loop, 0);
	assert_int_equal(why.sys, ENOSPC);
	assert_int_equal(why.code, ERROR_STORAGE);
	spool_abort(draft);
	shim_disarm();
	offload_finish(fixture->offload);
	assert_int_equal(fixture_files(fixture, "/large", ""), 0);
	free(piece);
	fixture_free(fixture);
}

/* A body that can't be read: the reader says so, and a later one reads it. */
static void
a_reader_fails(void **state)
{
	static const size_t sizes[] = {100000, 400000};
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture_open(fixture);
	for (size_t i = 0; i < 2; i++) {
		struct envelope *env = fixture_commit(fixture, sizes[i]);
		struct error why = {0};

		spool_forget_memory(fixture->spool, env);
		for (unsigned n = 0;; n++) {
			struct reading reading = {0};

			shim_arm(CALL_READ, n, 1, EIO);
			fixture_read_on(fixture, spool_reader_new(fixture->spool, env, &why),
					&reading);
			free(reading.bytes);
			if (shim_disarm() == 0)
				break;
			assert_int_equal(reading.why.code, ERROR_STORAGE);
			assert_int_equal(reading.why.sys, EIO);
			assert_true(reading.len < sizes[i]);
		}
		fixture_check(fixture, env);
	}
	/* Neither file can be opened; the segment is not the head's, which is open already. */
	fixture_close(fixture);
	fixture_open(fixture);
	for (unsigned n = 0; n < 2; n++) {
		struct error why = {0};

		shim_arm(CALL_OPEN, n, 1, EMFILE);
		assert_null(spool_reader_new(fixture->spool, fixture->envs[1], &why));
		assert_int_equal(why.sys, EMFILE);
		assert_int_equal(shim_disarm(), 1);
	}
	fixture_free(fixture);
}

/* A start that can't read or sync refuses, and the next one finds everything. */
static void
a_start_fails(void **state)
{
	static const enum call calls[] = {CALL_OPEN, CALL_READ, CALL_FSYNC, CALL_UNLINK,
					  CALL_TRUNCATE};
	struct fixture *fixture = fixture_new();
	struct ledger ledger = {.fixture = fixture};

	(void)state;
	fixture->options.segment_bytes = 4000;
	fixture->options.inline_bytes = 10000;
	fixture_open(fixture);
	live(&ledger);
	fixture_until(fixture, all_is_durable, &ledger);
	fixture_close(fixture);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		for (unsigned n = 0; n < 40; n++) {
			bool opened;

			shim_arm(calls[i], n, 1, EIO);
			opened = fixture_try_open(fixture);
			if (shim_disarm() > 0 && !opened)
				assert_int_equal(fixture->why.code, ERROR_STORAGE);
			if (!opened)
				fixture_open(fixture);
			ledger_check(&ledger, fixture, true);
			fixture_close(fixture);
		}
	}
	fixture_free(fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_call_fails_once),
	    cmocka_unit_test(nothing_can_be_cut),
	    cmocka_unit_test(full_for_a_while),
	    cmocka_unit_test(the_log_says_so),
	    cmocka_unit_test(progress_survives_a_failed_sync),
	    cmocka_unit_test(a_large_body_fails),
	    cmocka_unit_test(a_reader_fails),
	    cmocka_unit_test(a_start_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
