/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What looks wrong with a route, by itself and among the others of the table: what can never be used,
 * what is there twice, what sends a password in the clear. Pure: what is known of this host and of
 * the remotes is asked of the environment. Each route is looked at in a bounded time, however large
 * its group is: it is compared with the first LINT_GROUP_MAX routes of that.
 */
#ifndef RELAYD_ROUTES_LINT_H
#define RELAYD_ROUTES_LINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "common/route.h"
#include "relayd/routes/filter.h"
#include "relayd/routes/table.h"

enum { LINT_GROUP_MAX = 100, LINT_TEXT_MAX = 512 };

enum lint_severity {
	LINT_ERROR,   /* it can't work */
	LINT_WARNING, /* it is dangerous, or does nothing now */
	LINT_NOTICE   /* it may well be meant so */
};

struct lint_finding {
	enum lint_severity severity;
	const char *name; /* "twin": for programs */
	uint64_t other;   /* the route that it is about too; 0: none */
	char text[LINT_TEXT_MAX]; /* a sentence, which does not name the other one */
};

struct lint_environment {
	const struct table *table;
	struct filter_source source; /* states; look NULL: nothing is known */
	bool authentication;         /* clients can log in here */
	const char *hostname;        /* ours */
	const struct netaddr *listeners;
	size_t listener_count;
	bool (*is_own)(void *ctx, const struct netaddr *address); /* this host has it */
	void *ctx;
};

/* `found` is called for each finding. Disabled routes have none. */
void lint_route(const struct lint_environment *environment, const struct route *route,
    void (*found)(void *ctx, const struct lint_finding *finding), void *ctx);

const char *lint_severity_name(enum lint_severity severity);

#endif
