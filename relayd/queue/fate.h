/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What became of one recipient in one attempt: exactly one of these. A plain value. */
#ifndef RELAYD_QUEUE_FATE_H
#define RELAYD_QUEUE_FATE_H

#include <stdbool.h>
#include <stdint.h>

#include "relayd/smtp/job.h"

enum fate {
	FATE_NONE,      /* not in this attempt, or not yet decided */
	FATE_DELIVERED, /* 2xx to the final dot */
	FATE_DEFERRED,  /* another attempt later */
	FATE_FAILED     /* for good: a report is due */
};

struct recipient_fate {
	enum fate fate;
	char status[12];   /* enhanced status code, RFC 3463: "2.0.0", "4.4.1", "5.1.1" */
	uint64_t route_id; /* of the route by which it was tried last; 0: by MX, or by none */
	char *remote;      /* the next hop that decided: "NAME[ADDRESS]:PORT"; NULL: none did */
	char *remote_name; /* its name alone, for Remote-MTA; NULL: none did */
	char local[64];    /* the local address that was asked for; "" for the kernel's choice */
	char *reply;       /* the next hop's reply, or our own words; never NULL once decided */
	struct client_facts facts; /* of the session that decided */
	bool from_remote;  /* `reply` is what the next hop said (Diagnostic-Code: smtp) */
};

/* How logs and listings name a route: its id, or "mx" for 0. Returns `text`. */
enum { FATE_ROUTE_MAX = 24 };
const char *fate_route_text(uint64_t route_id, char text[FATE_ROUTE_MAX]);

/* Frees what it holds; it is FATE_NONE then. */
void recipient_fate_clear(struct recipient_fate *fate);

#endif
