/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/xalloc.h"

void
listing_clear(struct listing *listing)
{
	free(listing->numbers);
	*listing = (struct listing)LISTING_INIT;
}

static int
ascending(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static void
add(struct listing *listing, size_t *room, uint64_t number)
{
	if (listing->count == *room) {
		*room = *room == 0 ? 64 : *room * 2;
		listing->numbers =
		    xreallocarray(listing->numbers, *room, sizeof(*listing->numbers));
	}
	listing->numbers[listing->count++] = number;
}

int
listing_read(struct listing *listing, int dir_fd, const char *path,
	     bool (*number_of)(const char *name, uint64_t *number), struct error *why)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *item;
	size_t room = 0;
	uint64_t number;
	int rc = 0;

	if (dir == NULL) {
		rc = error_sys(why, ERROR_STORAGE, "%s: can't list", path);
		if (fd >= 0)
			(void)close(fd);
		return rc;
	}
	errno = 0;
	while ((item = readdir(dir)) != NULL) {
		if (number_of(item->d_name, &number))
			add(listing, &room, number);
		errno = 0;
	}
	if (errno != 0)
		rc = error_sys(why, ERROR_STORAGE, "%s: can't list", path);
	if (closedir(dir) < 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "%s: can't close", path);
	if (rc == 0 && listing->count > 0)
		qsort(listing->numbers, listing->count, sizeof(*listing->numbers), ascending);
	return rc;
}
