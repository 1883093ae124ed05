/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

enum { COPY_BYTES = 256 * 1024 };

char *
durable_path(const char *dir, const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

ssize_t
durable_read(int fd, void *bytes, size_t len, uint64_t offset)
{
	size_t have = 0;

	while (have < len) {
		ssize_t got = pread(fd, (char *)bytes + have, len - have, (off_t)(offset + have));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

int
durable_write(int fd, const void *bytes, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t put =
		    pwrite(fd, (const char *)bytes + done, len - done, (off_t)(offset + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		done += (size_t)put;
	}
	return 0;
}

int
durable_copy(int from, uint64_t begin, uint64_t end, int to, uint64_t offset)
{
	char *bytes = xmalloc(COPY_BYTES);
	uint64_t start = offset;
	int rc = -1;

	while (begin < end) {
		size_t want = end - begin < COPY_BYTES ? (size_t)(end - begin) : COPY_BYTES;
		ssize_t got = durable_read(from, bytes, want, begin);

		if (got < 0)
			goto out;
		if ((size_t)got < want) {
			errno = EIO;
			goto out;
		}
		if (durable_write(to, bytes, want, offset) < 0)
			goto out;
		/* Hand it to the disk now, and wait for the piece before it: with many megabytes
		 * unwritten everybody else's sync on this file system would wait for them. A hint;
		 * the sync at the end reports. */
		(void)sync_file_range(to, (off_t)offset, (off_t)want, SYNC_FILE_RANGE_WRITE);
		if (offset > start)
			(void)sync_file_range(to, (off_t)(offset - COPY_BYTES), COPY_BYTES,
					      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
						  SYNC_FILE_RANGE_WAIT_AFTER);
		begin += want;
		offset += want;
	}
	rc = 0;
out:
	/* Routes hold passwords. */
	explicit_bzero(bytes, COPY_BYTES);
	free(bytes);
	return rc;
}

int
durable_size(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	*size = (uint64_t)st.st_size;
	return 0;
}

int
durable_remove(const char *path, struct error *why)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return error_sys(why, ERROR_STORAGE, "can't remove %s", path);
	return 0;
}

static int
sync_dir(const char *dir, struct error *why)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "can't open %s", dir);
	if (fsync(fd) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't sync %s", dir);
	if (close(fd) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "can't close %s", dir);
	return rc;
}

int
durable_replace(const char *dir, const char *fresh, const char *path, struct error *why)
{
	if (rename(fresh, path) < 0)
		return error_sys(why, ERROR_STORAGE, "can't rename %s to %s", fresh, path);
	return sync_dir(dir, why) < 0 ? -2 : 0;
}
