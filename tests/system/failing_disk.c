/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For LD_PRELOAD in a test: a disk that fails on demand. While the file named by FAILING_DISK holds
 *
 *   sync   fsync and fdatasync fail with EIO, as those of a disk that goes bad do;
 *   full   whatever would write to a regular file other than standard error fails with ENOSPC.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char
trouble(void)
{
	const char *file = getenv("FAILING_DISK");
	long fd = file == NULL ? -1 : syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
	char first = '\0';

	if (fd < 0)
		return '\0';
	if (syscall(SYS_read, fd, &first, 1L) != 1)
		first = '\0';
	(void)syscall(SYS_close, fd);
	return first;
}

static int
fails_to_sync(void)
{
	if (trouble() != 's')
		return 0;
	errno = EIO;
	return 1;
}

static int
is_full(int fd)
{
	int before = errno;
	struct stat st;

	if (fd == STDERR_FILENO || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || trouble() != 'f') {
		errno = before;
		return 0;
	}
	errno = ENOSPC;
	return 1;
}

int
fsync(int fd)
{
	return fails_to_sync() ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails_to_sync() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
	return is_full(fd) ? -1 : syscall(SYS_write, fd, bytes, len);
}

ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return is_full(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
	return pwrite(fd, bytes, len, at);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	return is_full(fd) ? -1 : syscall(SYS_writev, fd, parts, count);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	return is_full(fd) ? -1 : syscall(SYS_pwritev, fd, parts, count, at, 0L);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
	return pwritev(fd, parts, count, at);
}

ssize_t
copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned flags)
{
	return is_full(to) ? -1 : syscall(SYS_copy_file_range, from, from_at, to, to_at, len, flags);
}
