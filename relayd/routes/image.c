/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "relayd/routes/durable.h"

static int
fill(int image, const char *path, bool *there, struct error *why)
{
	int file = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	uint64_t size;

	*there = file >= 0;
	if (file < 0 && errno == ENOENT)
		return 0;
	if (file < 0)
		return error_sys(why, ERROR_STORAGE, "can't open %s", path);
	if (durable_size(file, &size) < 0 || durable_copy(file, 0, size, image, 0) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't read %s", path);
	/* Nothing was written to it. */
	(void)close(file);
	return rc;
}

int
image_read(const char *path, bool *there, struct error *why)
{
	int image = memfd_create("image", MFD_CLOEXEC);

	*there = false;
	if (image < 0)
		return error_sys(why, ERROR_STORAGE, "%s: no memory for a copy", path);
	if (fill(image, path, there, why) < 0) {
		image_free(image);
		return -1;
	}
	return image;
}

int
image_write(int image, const char *path, struct error *why)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t size;
	int rc = 0;

	if (fd < 0)
		return error_sys(why, ERROR_STORAGE, "can't make %s", path);
	if (durable_size(image, &size) < 0 || durable_copy(image, 0, size, fd, 0) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't write %s", path);
	else if (fsync(fd) < 0)
		rc = error_sys(why, ERROR_STORAGE, "can't sync %s", path);
	if (close(fd) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "can't close %s", path);
	return rc;
}

void
image_free(int image)
{
	/* With no disk behind it nothing can be lost. */
	if (image >= 0)
		(void)close(image);
}
