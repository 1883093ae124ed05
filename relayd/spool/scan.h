/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading a segment from its header to its end, every checksum looked at. Blocks; for start-up.
 *
 * A record that does not check is damage, except where a power cut may have left it: in the last
 * segment, behind all that was on stable storage. How far that reached is what the records say that
 * were written later: if one that checks, anywhere further on, says that the bad one had been
 * synced, it is damage. Else it and all behind it were never acknowledged: a torn tail.
 */
#ifndef RELAYD_SPOOL_SCAN_H
#define RELAYD_SPOOL_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/spool/record.h"
#include "relayd/spool/segment.h"

struct scan {
	int fd;
	const char *path; /* for messages */
	struct segment_head head;
	uint64_t size;  /* of the file */
	bool last;      /* a torn tail is allowed; else the records must end at `limit` exactly */
	uint64_t limit; /* unless last: the length that the next segment names */
	/* Called for each record; -1 ends the scan, and its sentence gets file and offset. */
	int (*found)(void *ctx, const struct record *record, uint64_t offset, const char *meta,
		     struct error *why);
	void *ctx;
};

struct scan_end {
	uint64_t valid; /* the records end here; less than the file's size: a torn tail */
	bool sealed;
};

int scan_segment(const struct scan *scan, struct scan_end *end, struct error *why);

#endif
