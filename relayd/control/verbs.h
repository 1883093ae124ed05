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

/* Is `name` one of a list with '|' between the names? */
bool verbs_is_param(const char *params, const char *name);

/* Check the names of the params, then run it. */
void verbs_run(const struct verb *verb, struct call *call);

/* verbs_explain.c */
void verb_routes_explain(struct call *call);

/* verbs_probe.c */
void verb_routes_probe(struct call *call);

/* verbs_check.c */
void verb_routes_check(struct call *call);

/* verbs_stats.c */
void verb_routes_stats(struct call *call);
void verb_routes_health(struct call *call);

/* verbs_list.c */
void verb_routes_list(struct call *call);
void verb_routes_get(struct call *call);

/* verbs_edit.c */
void verb_routes_edit(struct call *call); /* routes.add, set, del, move, enable, disable */
void verb_routes_batch(struct call *call);

/* verbs_import.c */
void verb_routes_import(struct call *call);
void verb_routes_diff(struct call *call);

/* verbs_history.c */
void verb_routes_log(struct call *call);
void verb_routes_undo(struct call *call);
void verb_routes_confirm(struct call *call);
/* "no route 42", and who deleted it where that is known. */
void verbs_refuse_missing(struct call *call, uint64_t id);

/* verbs_list_at.c: routes.list with "at" */
void verb_routes_list_at(struct call *call);

/* verbs_queue.c */
void verb_queue_list(struct call *call);
void verb_queue_count(struct call *call);

/* verbs_server.c */
void verb_server_status(struct call *call);
void verb_server_version(struct call *call);
void verb_server_reload(struct call *call);

#endif
