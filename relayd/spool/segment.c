/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relayd/spool/crc32c.h"
#include "relayd/spool/number.h"

static const char magic[8] = {'R', 'L', 'Y', 'S', 'E', 'G', 'M', '1'};

void
segment_name(char name[SEGMENT_NAME], uint64_t number)
{
	snprintf(name, SEGMENT_NAME, "%010" PRIu64 ".seg", number);
}

void
segment_gone_name(char name[SEGMENT_NAME], uint64_t number)
{
	snprintf(name, SEGMENT_NAME, "%010" PRIu64 ".gone", number);
}

/* A name counts only as segment_name writes it: one number, one name. */
bool
segment_number_of(const char *name, uint64_t *number)
{
	char again[SEGMENT_NAME];

	*number = strtoull(name, NULL, 10);
	segment_name(again, *number);
	return strcmp(again, name) == 0;
}

bool
segment_gone_number_of(const char *name, uint64_t *number)
{
	char again[SEGMENT_NAME];

	*number = strtoull(name, NULL, 10);
	segment_gone_name(again, *number);
	return strcmp(again, name) == 0;
}

static void
segment_head_encode(const struct segment_head *head, unsigned char bytes[SEGMENT_HEAD])
{
	memcpy(bytes, magic, sizeof(magic));
	number_put64(bytes + 8, head->number);
	number_put64(bytes + 16, head->mark);
	number_put64(bytes + 24, head->before);
	number_put64(bytes + 32, head->next_id);
	number_put32(bytes + 40, 0);
	number_put32(bytes + 44, crc32c(0, bytes, 44));
}

bool
segment_head_decode(struct segment_head *head, const unsigned char bytes[SEGMENT_HEAD])
{
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return false;
	if (number_get32(bytes + 44) != crc32c(0, bytes, 44))
		return false;
	head->number = number_get64(bytes + 8);
	head->mark = number_get64(bytes + 16);
	head->before = number_get64(bytes + 24);
	head->next_id = number_get64(bytes + 32);
	return true;
}

int
segment_create(int dir_fd, const struct segment_head *head)
{
	unsigned char bytes[SEGMENT_HEAD];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	char name[SEGMENT_NAME];
	int fd, why;

	segment_name(name, head->number);
	segment_head_encode(head, bytes);
	/* What an earlier try left behind was never durable under this name: away with it, so that
	 * nothing of it is ever taken for ours. */
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return -1;
	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (segment_write(fd, &iov, 1, 0) < 0 || fdatasync(fd) < 0 || fsync(dir_fd) < 0) {
		why = errno;
		(void)close(fd);
		(void)unlinkat(dir_fd, name, 0);
		errno = why;
		return -1;
	}
	return fd;
}

/* Drop `done` octets from the front. */
static void
iov_advance(struct iovec **iov, size_t *count, size_t done)
{
	while (*count > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

int
segment_write(int fd, struct iovec *iov, size_t count, uint64_t offset)
{
	iov_advance(&iov, &count, 0);
	while (count > 0) {
		ssize_t done =
		    pwritev(fd, iov, count < IOV_MAX ? (int)count : IOV_MAX, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = EIO;
		if (done <= 0)
			return -1;
		offset += (uint64_t)done;
		iov_advance(&iov, &count, (size_t)done);
	}
	return 0;
}

ssize_t
segment_read(int fd, void *bytes, size_t len, uint64_t offset)
{
	size_t have = 0;

	while (have < len) {
		ssize_t done = pread(fd, (char *)bytes + have, len - have, (off_t)(offset + have));

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		if (done == 0)
			break;
		have += (size_t)done;
	}
	return (ssize_t)have;
}
