/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a message is tried again, and when it has been in the queue too long. Pure. */
#ifndef RELAYD_QUEUE_RETRY_H
#define RELAYD_QUEUE_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retry {
	const int64_t *delays_ms; /* after the first attempt, the second, ...; the last repeats */
	size_t count;             /* at least 1 */
	int64_t lifetime_ms;
};

/* The wall time of the next attempt, after `attempts` (>= 1) were made: never later than the end of the
 * message's life, so that it ends in time; behind that end (its report could not be kept), by the delays alone. */
int64_t retry_next_ms(const struct retry *retry, int64_t arrived_ms, uint32_t attempts, int64_t now_ms);

bool retry_is_expired(const struct retry *retry, int64_t arrived_ms, int64_t now_ms);

#endif
