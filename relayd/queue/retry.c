/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/retry.h"

int64_t
retry_next_ms(const struct retry *retry, int64_t arrived_ms, uint32_t attempts, int64_t now_ms)
{
	size_t step = attempts == 0 ? 0 : attempts - 1;
	int64_t end_ms = arrived_ms + retry->lifetime_ms, next_ms;

	if (step >= retry->count)
		step = retry->count - 1;
	next_ms = now_ms + retry->delays_ms[step];
	/* Past its end a message is here only because its report could not be kept: it waits its
	 * turn like any other, or it would be tried without a pause. */
	return next_ms < end_ms || end_ms <= now_ms ? next_ms : end_ms;
}

bool
retry_is_expired(const struct retry *retry, int64_t arrived_ms, int64_t now_ms)
{
	return now_ms >= arrived_ms + retry->lifetime_ms;
}
