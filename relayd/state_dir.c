/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

static int
make_dir(const char *dir, mode_t mode, uid_t uid, gid_t gid, struct error *why)
{
	if (mkdir(dir, mode) != 0) {
		if (errno == EEXIST)
			return 0;
		return error_sys(why, ERROR_STORAGE, "%s: can't be made", dir);
	}
	if (chmod(dir, mode) != 0) /* whatever the umask takes away */
		return error_sys(why, ERROR_STORAGE, "%s: its mode can't be set", dir);
	if (geteuid() == 0 && uid != (uid_t)-1 && chown(dir, uid, gid) != 0)
		return error_sys(why, ERROR_STORAGE, "%s: can't be given to the configured user",
				 dir);
	return 0;
}

static int
write_pid(int fd, const char *path, struct error *why)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
		return error_sys(why, ERROR_STORAGE, "%s: can't be written", path);
	return 0;
}

static int
refuse_second(int fd, const char *dir, struct error *why)
{
	char text[32] = "";
	ssize_t len = pread(fd, text, sizeof text - 1, 0);

	text[len > 0 ? strcspn(text, "\n") : 0] = '\0';
	return error_set(why, ERROR_STORAGE,
			 "the state directory %s is in use by another relayd, process %s", dir,
			 text[0] != '\0' ? text : "unknown");
}

int
state_dir_hold(const char *dir, uid_t uid, gid_t gid, struct error *why)
{
	char *path = xasprintf("%s/relayd.lock", dir);
	int fd = -1, result = -1;

	if (make_dir(dir, 0700, uid, gid, why) != 0)
		goto out;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		(void)error_sys(why, ERROR_STORAGE, "%s: can't be opened", path);
		goto out;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		(void)(errno == EWOULDBLOCK
			   ? refuse_second(fd, dir, why)
			   : error_sys(why, ERROR_STORAGE, "%s: can't be locked", path));
		goto out;
	}
	if (geteuid() == 0 && uid != (uid_t)-1 && fchown(fd, uid, gid) != 0) {
		(void)error_sys(why, ERROR_STORAGE, "%s: can't be given to the configured user",
				path);
		goto out;
	}
	result = write_pid(fd, path, why);
out:
	if (result != 0 && fd >= 0)
		(void)close(fd);
	free(path);
	return result == 0 ? fd : -1;
}

int
state_dir_make_parent(const char *path, uid_t uid, gid_t gid, struct error *why)
{
	const char *end = strrchr(path, '/');
	char *parent;
	int result;

	if (end == NULL || end == path)
		return 0;
	parent = xstrndup(path, (size_t)(end - path));
	result = make_dir(parent, 0755, uid, gid, why);
	free(parent);
	return result;
}
