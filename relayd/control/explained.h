/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What routes.explain answers, from what was found out: why a rule won, the plan, what follows. The
 * plan is walked as delivery walks it, with every try failing, and nothing is sent.
 */
#ifndef RELAYD_CONTROL_EXPLAINED_H
#define RELAYD_CONTROL_EXPLAINED_H

#include <jansson.h>

#include "relayd/control/control.h"
#include "relayd/control/names.h"
#include "relayd/routes/exchangers.h"
#include "relayd/routes/verdicts.h"

/* Hops of a plan that are shown; what is beyond is only counted. Each costs a pass over the group:
 * of one with more routes than EXPLAINED_GROUP_LARGE fewer are shown. */
enum { EXPLAINED_HOPS_MAX = 50, EXPLAINED_HOPS_FEW = 5, EXPLAINED_GROUP_LARGE = 20000 };

struct explained {
	const struct control_services *services;
	const char *recipient;
	struct mail_key mail;
	const struct verdicts *verdicts;
	const struct names *names; /* of the hosts of the plan */
	/* Line 9. */
	enum exchangers exchangers;
	const char *exchangers_why; /* EXCHANGERS_UNKNOWN */
	bool literal;               /* the domain is an address: there was nothing to look up */
	struct plan_host *hosts;
	size_t host_count;
};

/* The group that won; NULL: line 9. */
const struct route_group *explained_group(const struct explained *explained);

/* How many hops are shown. */
size_t explained_hops_max(const struct explained *explained);

/* The result of the method; new reference. */
json_t *explained_object(const struct explained *explained);

#endif
