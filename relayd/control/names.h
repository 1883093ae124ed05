/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The addresses of several host names, looked up at one time and kept: for verbs that then walk a
 * plan without waiting. After a bound of time those without an answer count as failed.
 */
#ifndef RELAYD_CONTROL_NAMES_H
#define RELAYD_CONTROL_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "relayd/net/loop.h"
#include "relayd/net/resolver.h"

struct names;

/* A name with what came of it. */
struct name {
	char *host;
	enum lookup_status status;
	size_t count;
	struct netaddr *addresses;
	char *why; /* LOOKUP_FAILED: a sentence */
	struct lookup *lookup; /* NULL: done */
	struct names *names;
};

/* `done` is called once, later, when all have an answer or the time is up. */
struct names *names_new(struct loop *loop, struct resolver *resolver, int64_t timeout_ms,
    void (*done)(void *ctx), void *ctx);
void names_free(struct names *names); /* NULL is allowed; not inside of `done` of a lookup */

/* Each once; an address as text is none. Before names_start. */
void names_add(struct names *names, const char *host);
size_t names_count(const struct names *names);
void names_start(struct names *names);

/* NULL: it was not added. */
const struct name *names_find(const struct names *names, const char *host);

#endif
