/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A segment's file: its name, its header, and the steps that touch the disk. Nothing here knows the
 * loop; the functions block and are called in the offload threads, or while the spool is opened.
 *
 * The header, SEGMENT_HEAD octets, little-endian, durable before any record is written behind it:
 *    0  8  "RLYSEGM1"
 *    8  8  number; the segment before this one has the number below
 *   16  8  mark, see record.h
 *   24  8  before: the length of the segment before; what lies beyond was given up. 0 for the first
 *   32  8  next_id: the first queue id that was free when this was begun
 *   40  4  zero
 *   44  4  crc32c of the 44 octets above
 */
#ifndef RELAYD_SPOOL_SEGMENT_H
#define RELAYD_SPOOL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	SEGMENT_HEAD = 48,
	SEGMENT_NAME = 32 /* room for a name */
};

struct segment_head {
	uint64_t number;
	uint64_t mark;
	uint64_t before;
	uint64_t next_id;
};

/* "0000000001.seg", and the number of such a name; false for any other name. */
void segment_name(char name[SEGMENT_NAME], uint64_t number);
bool segment_number_of(const char *name, uint64_t *number);

/* "0000000001.gone": the segments up to that number have been removed. */
void segment_gone_name(char name[SEGMENT_NAME], uint64_t number);
bool segment_gone_number_of(const char *name, uint64_t *number);

bool segment_head_decode(struct segment_head *head, const unsigned char bytes[SEGMENT_HEAD]);

/* Make the file, durable with its name. The descriptor, or -1 with errno and nothing left behind
 * (as far as the disk lets us). */
int segment_create(int dir_fd, const struct segment_head *head);

/* Write all at `offset`; the iovecs are used up. -1 with errno. */
int segment_write(int fd, struct iovec *iov, size_t count, uint64_t offset);

/* Read `len` octets at `offset`, fewer only at the end of the file: how many; -1 with errno. */
ssize_t segment_read(int fd, void *bytes, size_t len, uint64_t offset);

#endif
