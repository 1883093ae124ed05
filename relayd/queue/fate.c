/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/fate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
fate_route_text(uint64_t route_id, char text[FATE_ROUTE_MAX])
{
	if (route_id == 0)
		return "mx";
	(void)snprintf(text, FATE_ROUTE_MAX, "%" PRIu64, route_id);
	return text;
}

void
recipient_fate_clear(struct recipient_fate *fate)
{
	free(fate->remote);
	free(fate->remote_name);
	free(fate->reply);
	memset(fate, 0, sizeof *fate);
}
