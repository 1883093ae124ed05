/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The methods of the control socket (relayd-control(7)): one const table.
 */
#ifndef RELAYD_CONTROL_VERBS_H
#define RELAYD_CONTROL_VERBS_H

#include <stdbool.h>

#include "relayd/control/call.h"

struct verb {
	const char *method;
	bool writes;        /* it changes something: who asked is looked up and logged */
	const char *params; /* the members it knows, '|' between them; others are refused */
	void (*run)(struct call *call);
};

/* NULL: there is no such method. */
const struct verb *verbs_find(const char *method);

/* Check the names of the params, then run it. */
void verbs_run(const struct verb *verb, struct call *call);

/* verbs_routes.c */
void verb_routes_list(struct call *call);
void verb_routes_get(struct call *call);
void verb_routes_add(struct call *call);
void verb_routes_del(struct call *call);

/* verbs_queue.c */
void verb_queue_list(struct call *call);
void verb_queue_count(struct call *call);

/* verbs_server.c */
void verb_server_status(struct call *call);
void verb_server_version(struct call *call);
void verb_server_reload(struct call *call);

#endif
