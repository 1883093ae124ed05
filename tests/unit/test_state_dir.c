/* SPDX-License-Identifier: GPL-3.0-or-later */
/* state_dir: the directory is made, held by one at a time (the second is told by whom), given up
 * with the descriptor or the process; the directory of a path is made so that others may enter. */
#include "relayd/state_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char place[128]; /* made by setup */

static const uid_t us = (uid_t)-1;
static const gid_t ours = (gid_t)-1;

static const char *
in_place(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", place, name);
	return path;
}

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(place, sizeof place, "%s/test_state_dir.XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(place));
	return 0;
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(place, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static mode_t
mode_of(const char *name)
{
	struct stat status;

	assert_int_equal(stat(in_place(name), &status), 0);
	return status.st_mode & 0777;
}

static void
test_hold(void **state)
{
	struct error why;
	char expected[32];
	int fd;

	(void)state;
	fd = state_dir_hold(in_place("state"), us, ours, &why);
	assert_true(fd >= 0);
	assert_int_equal(mode_of("state"), 0700);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(state_dir_hold(in_place("state"), us, ours, &why), -1);
	assert_int_equal(why.code, ERROR_STORAGE);
	(void)snprintf(expected, sizeof expected, "process %ld", (long)getpid());
	assert_non_null(strstr(why.text, expected));
	assert_non_null(strstr(why.text, in_place("state")));
	assert_int_equal(close(fd), 0);
	fd = state_dir_hold(in_place("state"), us, ours, &why);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

/* Held by another process until it is gone, however it goes. A longer number of before leaves no
 * trace. */
static void
test_other_process(void **state)
{
	struct error why;
	char expected[32], byte;
	int ready[2], fd, status;
	pid_t child;
	FILE *file;

	(void)state;
	assert_int_equal(mkdir(in_place("state"), 0700), 0);
	file = fopen(in_place("state/relayd.lock"), "w");
	assert_non_null(file);
	assert_true(fputs("99999999999\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (state_dir_hold(in_place("state"), us, ours, &why) < 0 ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(state_dir_hold(in_place("state"), us, ours, &why), -1);
	(void)snprintf(expected, sizeof expected, "process %ld", (long)child);
	assert_non_null(strstr(why.text, expected));
	assert_int_equal(strlen(strstr(why.text, expected)), strlen(expected));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	fd = state_dir_hold(in_place("state"), us, ours, &why);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(ready[0]), 0);
	assert_int_equal(close(ready[1]), 0);
}

static void
test_refused(void **state)
{
	struct error why;
	FILE *file;

	(void)state;
	/* Not where nothing is. */
	assert_int_equal(state_dir_hold(in_place("no/such"), us, ours, &why), -1);
	assert_non_null(strstr(why.text, in_place("no/such")));
	/* Not in a file. */
	file = fopen(in_place("file"), "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(state_dir_hold(in_place("file"), us, ours, &why), -1);
	/* Not through a link that somebody put there. */
	assert_int_equal(mkdir(in_place("state"), 0700), 0);
	assert_int_equal(symlink("../file", in_place("state/relayd.lock")), 0);
	assert_int_equal(state_dir_hold(in_place("state"), us, ours, &why), -1);
	assert_non_null(strstr(why.text, "relayd.lock"));
}

static void
test_parent(void **state)
{
	struct error why;
	mode_t before = umask(077);

	(void)state;
	assert_int_equal(state_dir_make_parent(in_place("run/control.sock"), us, ours, &why), 0);
	(void)umask(before);
	assert_int_equal(mode_of("run"), 0755);
	/* One that is there stays as it is. */
	assert_int_equal(chmod(in_place("run"), 0711), 0);
	assert_int_equal(state_dir_make_parent(in_place("run/control.sock"), us, ours, &why), 0);
	assert_int_equal(mode_of("run"), 0711);
	assert_int_equal(state_dir_make_parent(in_place("no/such/control.sock"), us, ours, &why),
			 -1);
	assert_non_null(strstr(why.text, in_place("no/such")));
	assert_int_equal(state_dir_make_parent("control.sock", us, ours, &why), 0);
	assert_int_equal(state_dir_make_parent("/control.sock", us, ours, &why), 0);
}

/* As root, what is made is given away. */
static void
test_owner(void **state)
{
	struct stat status;
	struct error why;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	fd = state_dir_hold(in_place("state"), 4711, 4712, &why);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(stat(in_place("state"), &status), 0);
	assert_int_equal(status.st_uid, 4711);
	assert_int_equal(status.st_gid, 4712);
	assert_int_equal(stat(in_place("state/relayd.lock"), &status), 0);
	assert_int_equal(status.st_uid, 4711);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_other_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_parent, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
	};

	return cmocka_run_group_tests_name("state directory", tests, NULL, NULL);
}
