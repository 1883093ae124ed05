/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What lies in the spool's directories, by name. For start-up. */
#ifndef RELAYD_SPOOL_LISTING_H
#define RELAYD_SPOOL_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct listing {
	uint64_t *numbers; /* ascending */
	size_t count;
};

#define LISTING_INIT                                                                               \
	{                                                                                          \
		0                                                                                  \
	}

/* The numbers of the files of which `number_of` knows the name; others are passed over. */
int listing_read(struct listing *listing, int dir_fd, const char *path,
		 bool (*number_of)(const char *name, uint64_t *number), struct error *why);
void listing_clear(struct listing *listing);

#endif
