/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One record of a segment: a head of RECORD_HEAD octets, the meta data, then (small messages) the
 * body.
 *
 *   type      meta                               body   id is
 *   MESSAGE   envelope, fixed                    yes    the queue id
 *   MOVED     length (4), fixed, progress        yes    the queue id; it replaces what was before
 *   PROGRESS  envelope, progress                 no     the queue id
 *   FINISH    nothing                            no     the queue id
 *   SEAL      nothing                            no     the next queue id; ends the segment
 *
 * With RECORD_LARGE in the flags the body is the file large/ID and body_len and body_crc are its.
 *
 * The head, little-endian:
 *    0  8  mark: the segment's own random number. It makes a record findable after damage, and
 *          nobody who mails us the copy of a record can know it
 *    8  8  id
 *   16  8  durable: so much of the segment was on stable storage when this was written
 *   24  8  body_len
 *   32  4  body_crc      crc32c of the body
 *   36  4  meta_len
 *   40  4  meta_crc      crc32c of the meta data
 *   44  2  type
 *   46  2  flags
 *   48  4  crc32c of the record's offset in the segment (8 octets) and the 48 octets above
 */
#ifndef RELAYD_SPOOL_RECORD_H
#define RELAYD_SPOOL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECORD_HEAD = 52 };

enum record_type {
	RECORD_MESSAGE = 1,
	RECORD_MOVED = 2,
	RECORD_PROGRESS = 3,
	RECORD_FINISH = 4,
	RECORD_SEAL = 5
};

enum { RECORD_LARGE = 1 };

struct record {
	enum record_type type;
	unsigned flags;
	uint64_t id;
	uint64_t durable;
	uint64_t body_len;
	uint32_t body_crc;
	uint32_t meta_len;
	uint32_t meta_crc;
};

/* `mark` is the segment's, `offset` the record's place in it. */
void record_encode(const struct record *record, uint64_t mark, uint64_t offset,
		   unsigned char head[RECORD_HEAD]);

/* False if this is no head of a record that belongs there. */
bool record_decode(struct record *record, uint64_t mark, uint64_t offset,
		   const unsigned char head[RECORD_HEAD]);

/* Octets of the body that lie in the segment. */
uint64_t record_body_inside(const struct record *record);

/* Octets in the segment, head included. */
uint64_t record_length(const struct record *record);

#endif
