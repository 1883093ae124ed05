/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of routes.gdbm and routes.journal share: a directory that goes away, whole files
 * in memory, routes that follow from their id. */
#ifndef TESTS_UNIT_ROUTES_FIXTURE_H
#define TESTS_UNIT_ROUTES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/route.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

/* A new directory, owned by the caller. */
static inline char *
dir_new(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = xasprintf("%s/test_routes.XXXXXX", tmp != NULL ? tmp : "/tmp");

	assert_non_null(mkdtemp(dir));
	return dir;
}

/* Remove it with its files, and free the name. Returns how many files there were. */
static inline size_t
dir_free(char *dir)
{
	DIR *open_dir = opendir(dir);
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(open_dir);
	while ((entry = readdir(open_dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(unlinkat(dirfd(open_dir), entry->d_name, 0), 0);
		count++;
	}
	assert_int_equal(closedir(open_dir), 0);
	assert_int_equal(rmdir(dir), 0);
	free(dir);
	return count;
}

static inline struct strbuf
file_read(const char *dir, const char *name)
{
	struct strbuf bytes = STRBUF_INIT;
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_RDONLY);
	ssize_t got;

	assert_true(fd >= 0);
	while ((got = read(fd, strbuf_reserve(&bytes, 65536), 65536)) > 0)
		strbuf_grew(&bytes, (size_t)got);
	assert_int_equal(got, 0);
	assert_int_equal(close(fd), 0);
	free(path);
	return bytes;
}

static inline void
file_write(const char *dir, const char *name, const void *bytes, size_t len)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(close(fd), 0);
	free(path);
}

static inline bool
file_exists(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	bool result = access(path, F_OK) == 0;

	free(path);
	return result;
}

static inline struct stat
file_stat(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st;
}

/* A route that names its id, of one of several versions. */
static inline struct route *
route_for(uint64_t id, unsigned version)
{
	struct route *route = route_new();
	struct error why;
	char text[64];

	snprintf(text, sizeof(text), "d%" PRIu64 ".example.com", id);
	assert_int_equal(route_set(route, ROUTE_DESTINATION, text, &why), 0);
	snprintf(text, sizeof(text), "v%u.example.net", version);
	assert_int_equal(route_set(route, ROUTE_REMOTE_HOST, text, &why), 0);
	assert_int_equal(route_set(route, ROUTE_REMOTE_LOGIN, "relay", &why), 0);
	assert_int_equal(route_set(route, ROUTE_REMOTE_PASSWORD,
				   "s\xc3\xa9"
				   "cret = x",
				   &why),
			 0);
	route->id = id;
	return route;
}

static inline struct strbuf
record_for(uint64_t id, unsigned version)
{
	struct strbuf record = STRBUF_INIT;
	struct route *route = route_for(id, version);

	route_encode(route, &record);
	route_unref(route);
	return record;
}

#endif
