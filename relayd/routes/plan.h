/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The attempt plan (relayd-routes(7), "The attempt plan"): which connections one attempt tries, in
 * which order. An iterator without input or output of its own, a pure function of what it is
 * given: routes or mail exchangers, addresses, health, random source. Delivery and explain walk the
 * same one:
 *
 *	PLAN_ADDRESSES  look up entry.host, hand the outcome over with plan_addresses()
 *	PLAN_TRY        try entry.remote from entry.local; if that settled everyone, stop here
 *	PLAN_SKIP       this one is left out, entry.skip says why; nothing to be done
 *	PLAN_END        used up
 *
 * Asking for the next step says that the try before failed. What has failed is not tried again in
 * the same attempt, whatever name or route leads to it.
 *
 * Pairs of remote and local address that are suspended are left out; if nothing else could be
 * tried, they are tried all the same, in a second pass over what was left out.
 */
#ifndef RELAYD_ROUTES_PLAN_H
#define RELAYD_ROUTES_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"
#include "common/route.h"
#include "relayd/routes/draw.h"
#include "relayd/routes/table.h"

enum {
	PLAN_MX_PORT = 25,
	PLAN_TRIES_MAX = 64 /* of one hop; what is beyond is never tried */
};

struct plan;

/* Whether a pair is left out for now; is_suspended may be NULL: none is. Asked at each step
 * anew. */
struct plan_health {
	bool (*is_suspended)(void *ctx, const struct netaddr *remote, const struct netaddr *local);
	void *ctx;
};

struct plan_options {
	const struct route_group *group; /* a reference is taken; NULL: by `hosts` */
	const struct plan_host *hosts;   /* mail exchangers in any order; copied */
	size_t host_count;
	/* For routes that name none, and for exchangers; NULL or none in it: the kernel chooses.
	 * Borrowed for the plan's life. */
	const struct route_local_ips *local_ips;
	struct plan_random random;
	struct plan_health health;
};

enum plan_skip {
	PLAN_SKIP_FAMILY,    /* no local IP is of the family of this address */
	PLAN_SKIP_SUSPENDED, /* left out for now, see above */
	PLAN_SKIP_FAILED,    /* the same failed in this attempt already */
	PLAN_SKIP_ABSENT     /* this host has not the local IP, as an earlier try has shown */
};

/* One connection to try, or (PLAN_ADDRESSES) the hop alone. */
struct plan_entry {
	const struct route *route; /* NULL: a mail exchanger */
	const char *host;          /* the remote's name, or its address as text */
	struct netaddr remote;     /* with its port */
	struct netaddr local;      /* AF_UNSPEC: the kernel's choice */
	size_t hop;                /* counts the hops of this plan from 0 */
	bool suspended;            /* tried all the same */
	enum plan_skip skip;       /* PLAN_SKIP alone */
};

enum plan_step { PLAN_ADDRESSES, PLAN_TRY, PLAN_SKIP, PLAN_END };

struct plan *plan_new(const struct plan_options *options);
void plan_free(struct plan *plan); /* NULL is allowed */

/* `entry` is filled in but for PLAN_END; what it points to lives as long as the plan.
 * PLAN_ADDRESSES is said again until they are there. */
enum plan_step plan_next(struct plan *plan, struct plan_entry *entry);

/*
 * After PLAN_ADDRESSES: the addresses of that hop, in the order in which they came, none when the
 * lookup failed. `sources` is parallel: from which address the kernel would reach each, AF_UNSPEC
 * where it can't; NULL: not known, all are held to be reachable. It does not count for a hop with
 * local IPs: these are the sources then. The order is that of destinations.h, one address given
 * twice counts once; each is tried from the local IPs of its family, '|' in random order, '&' in
 * the order written.
 */
void plan_addresses(struct plan *plan, const struct netaddr *addresses,
    const struct netaddr *sources, size_t count);

/* Would `sources` make a difference for the hop whose addresses are asked for? */
bool plan_wants_sources(const struct plan *plan);

/* Has any address of the present hop a local IP of its family? */
bool plan_hop_has_way(const struct plan *plan);

/* "left out after failed connections" and the like. */
const char *plan_skip_text(enum plan_skip skip);

/*
 * A second try at the same time (RFC 8305 §5): of the hop of the last try, to another remote
 * address than those that are under way. False: it has none left.
 */
bool plan_rival(struct plan *plan, struct plan_entry *entry);

/* How a try failed, where that is known. */
enum plan_failure {
	PLAN_FAILED,         /* the dialogue went wrong; what is assumed if nobody says */
	PLAN_FAILED_CONNECT, /* no connection: none to there from that local IP is tried again */
	PLAN_FAILED_ABSENT   /* this host has not the local IP: none from it is tried again, and
	                      * this one does not count as tried */
};
void plan_failed(struct plan *plan, const struct plan_entry *entry, enum plan_failure how);

/* The entry was not tried after all (its rival was faster): its turn is still to come. */
void plan_return(struct plan *plan, const struct plan_entry *entry);

#endif
