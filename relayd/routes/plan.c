/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/routes/destinations.h"

enum try_state {
	TRY_PENDING, /* its turn is to come */
	TRY_UNFIT,   /* no local IP of its family; nobody was told yet */
	TRY_GIVEN,   /* under way */
	TRY_DONE     /* failed, or left out */
};

struct
try {
	struct plan_entry entry;
	enum try_state state;
};

struct tries {
	struct try *list;
	size_t count, room;
};

struct failed {
	struct plan_entry entry;
	enum plan_failure how;
};

struct plan {
	struct plan_options options;
	struct route_group *group;
	struct draw draw;
	struct plan_host *hosts; /* in their order */
	size_t host_next;

	size_t hop_count;
	struct plan_entry hop; /* the present one: route, host, number; its port in remote */
	struct route_local_ips *own_ips; /* of its route; NULL: it names none */
	bool lacks_addresses;            /* PLAN_ADDRESSES was said, plan_addresses() is to come */

	struct tries tries;    /* of the present hop; in the second pass, what was left out */
	struct tries left_out; /* suspended ones, of all hops */
	bool second_pass;
	size_t tried;

	struct failed *failed;
	size_t failed_count;
};

/* ---- what has failed ---- */

/*
 * Does what `failed` tells hold for `entry` too? Without a connection the way into it does not
 * matter; else it is the same dialogue only with the same TLS policy, the same login and, where it
 * is checked against the certificate, the same name.
 */
static bool
fails_alike(const struct failed *failed, const struct plan_entry *entry)
{
	const struct route *a = failed->entry.route, *b = entry->route;
	enum route_tls tls = a != NULL ? route_effective_tls(a) : ROUTE_TLS_MAY;

	if (failed->how == PLAN_FAILED_ABSENT)
		return netaddr_same_host(&failed->entry.local, &entry->local);
	if (!netaddr_equal(&failed->entry.remote, &entry->remote) ||
	    failed->entry.local.family != entry->local.family ||
	    (entry->local.family != AF_UNSPEC &&
	     !netaddr_same_host(&failed->entry.local, &entry->local)))
		return false;
	if (failed->how == PLAN_FAILED_CONNECT)
		return true;
	if (tls != (b != NULL ? route_effective_tls(b) : ROUTE_TLS_MAY))
		return false;
	if ((tls == ROUTE_TLS_VERIFY || tls == ROUTE_TLS_IMPLICIT) &&
	    strcmp(failed->entry.host, entry->host) != 0)
		return false;
	if (a == NULL || a->remote_login == NULL || b == NULL || b->remote_login == NULL)
		return (a == NULL || a->remote_login == NULL) &&
		       (b == NULL || b->remote_login == NULL);
	return strcmp(a->remote_login, b->remote_login) == 0 &&
	       strcmp(a->remote_password, b->remote_password) == 0;
}

static const struct failed *
plan_find_failed(const struct plan *plan, const struct plan_entry *entry)
{
	for (size_t i = 0; i < plan->failed_count; i++) {
		if (fails_alike(&plan->failed[i], entry))
			return &plan->failed[i];
	}
	return NULL;
}

static void
plan_note_failed(struct plan *plan, struct try *try, enum plan_failure how)
{
	try->state = TRY_DONE;
	if (how == PLAN_FAILED_ABSENT)
		plan->tried--;
	plan->failed = xreallocarray(plan->failed, plan->failed_count + 1, sizeof(*plan->failed));
	plan->failed[plan->failed_count++] = (struct failed){.entry = try->entry, .how = how};
}

/* The try under way that `entry` names; NULL: there is none. */
static struct try *
plan_find_given(struct plan *plan, const struct plan_entry *entry)
{
	for (size_t i = 0; i < plan->tries.count; i++) {
		struct try *try = &plan->tries.list[i];

		if (try->state == TRY_GIVEN && try->entry.hop == entry->hop &&
		    netaddr_equal(&try->entry.remote, &entry->remote) &&
		    netaddr_equal(&try->entry.local, &entry->local))
			return try;
	}
	return NULL;
}

void
plan_failed(struct plan *plan, const struct plan_entry *entry, enum plan_failure how)
{
	struct try *try = plan_find_given(plan, entry);

	if (try != NULL)
		plan_note_failed(plan, try, how);
}

void
plan_return(struct plan *plan, const struct plan_entry *entry)
{
	struct try *try = plan_find_given(plan, entry);

	if (try == NULL)
		return;
	try->state = TRY_PENDING;
	plan->tried--;
}

/* ---- the tries of a hop ---- */

static void
tries_add(struct tries *tries, const struct plan_entry *entry, enum try_state state)
{
	if (tries->count == tries->room) {
		tries->room = tries->room != 0 ? tries->room * 2 : 1;
		tries->list = xreallocarray(tries->list, tries->room, sizeof(*tries->list));
	}
	tries->list[tries->count++] = (struct try){.entry = *entry, .state = state};
}

/* From where the present hop may be tried; count 0: the kernel chooses. */
static const struct route_local_ips *
plan_local_ips(const struct plan *plan)
{
	static const struct route_local_ips none = {0};

	if (plan->own_ips != NULL)
		return plan->own_ips;
	return plan->options.local_ips != NULL ? plan->options.local_ips : &none;
}

/* The tries of one remote address of the present hop. */
static void
plan_add_tries(struct plan *plan, const struct netaddr *remote)
{
	const struct route_local_ips *local = plan_local_ips(plan);
	struct netaddr fit[sizeof(local->address) / sizeof(local->address[0])];
	size_t order[sizeof(fit) / sizeof(fit[0])], count = 0;
	struct plan_entry entry = plan->hop;

	entry.remote = *remote;
	entry.remote.port = plan->hop.remote.port;
	for (size_t i = 0; i < local->count; i++) {
		if (local->address[i].family == remote->family)
			fit[count++] = local->address[i];
	}
	if (count == 0) {
		tries_add(&plan->tries, &entry, local->count > 0 ? TRY_UNFIT : TRY_PENDING);
		return;
	}
	if (!local->failover)
		draw_order(order, count, &plan->options.random);
	for (size_t i = 0; i < count && plan->tries.count < PLAN_TRIES_MAX; i++) {
		entry.local = fit[local->failover ? i : order[i]];
		entry.local.port = 0;
		tries_add(&plan->tries, &entry, TRY_PENDING);
	}
}

static bool
is_repeated(const struct destination *list, size_t count, const struct netaddr *address)
{
	for (size_t i = 0; i < count; i++) {
		if (netaddr_same_host(&list[i].address, address))
			return true;
	}
	return false;
}

/* The source that `address` is held to have. */
static struct netaddr
plan_source(const struct plan *plan, const struct netaddr *address, const struct netaddr *probed)
{
	const struct route_local_ips *local = plan_local_ips(plan);

	for (size_t i = 0; i < local->count; i++) {
		if (local->address[i].family == address->family)
			return local->address[i];
	}
	if (local->count > 0)
		return (struct netaddr){.family = AF_UNSPEC};
	return probed != NULL ? *probed : *address;
}

void
plan_addresses(struct plan *plan, const struct netaddr *addresses, const struct netaddr *sources,
	       size_t count)
{
	struct destination *list = xreallocarray(NULL, count + 1, sizeof(*list));
	size_t kept = 0;

	plan->lacks_addresses = false;
	plan->tries.count = 0;
	for (size_t i = 0; i < count && kept < PLAN_TRIES_MAX; i++) {
		if (is_repeated(list, kept, &addresses[i]))
			continue;
		list[kept].address = addresses[i];
		list[kept++].source =
		    plan_source(plan, &addresses[i], sources != NULL ? &sources[i] : NULL);
	}
	destinations_sort(list, kept);
	for (size_t i = 0; i < kept && plan->tries.count < PLAN_TRIES_MAX; i++)
		plan_add_tries(plan, &list[i].address);
	free(list);
}

/* ---- from hop to hop ---- */

static void
plan_take_own_ips(struct plan *plan, const struct route *route)
{
	free(plan->own_ips);
	plan->own_ips = NULL;
	if (route == NULL || route->local_ips == NULL)
		return;
	plan->own_ips = xcalloc(1, sizeof(*plan->own_ips));
	if (route_local_ips_parse(route->local_ips, plan->own_ips, NULL) != 0) {
		free(plan->own_ips);
		plan->own_ips = NULL;
	}
}

/* Make the next hop the present one. False: there is none. */
static bool
plan_enter_hop(struct plan *plan)
{
	const struct route *route = NULL;
	const char *host;
	struct netaddr address;

	plan->tries.count = 0;
	if (plan->group != NULL) {
		route = draw_next(&plan->draw);
		if (route == NULL)
			return false;
		host = route->remote_host;
	} else {
		if (plan->host_next == plan->options.host_count)
			return false;
		host = plan->hosts[plan->host_next++].name;
	}
	plan_take_own_ips(plan, route);
	plan->hop = (struct plan_entry){
	    .route = route,
	    .host = host,
	    .remote = {.port = route != NULL ? route->remote_port : PLAN_MX_PORT},
	    .hop = plan->hop_count++,
	};
	if (netaddr_parse(host, &address) == 0)
		plan_addresses(plan, &address, NULL, 1);
	else
		plan->lacks_addresses = true;
	return true;
}

static bool
plan_begin_second_pass(struct plan *plan)
{
	struct tries used_up = plan->tries;

	if (plan->second_pass || plan->tried > 0 || plan->left_out.count == 0)
		return false;
	plan->second_pass = true;
	plan->tries = plan->left_out;
	plan->left_out = used_up;
	return true;
}

static bool
plan_is_suspended(const struct plan *plan, const struct plan_entry *entry)
{
	const struct plan_health *health = &plan->options.health;

	return !plan->second_pass && health->is_suspended != NULL &&
	       health->is_suspended(health->ctx, &entry->remote, &entry->local);
}

static enum plan_step
plan_give(struct plan *plan, struct try *try, struct plan_entry *entry)
{
	try->state = TRY_GIVEN;
	try->entry.suspended = plan->second_pass;
	plan->tried++;
	*entry = try->entry;
	return PLAN_TRY;
}

/* The turn of `try` has come: to be tried, or to be left out. */
static enum plan_step
plan_offer(struct plan *plan, struct try *try, struct plan_entry *entry)
{
	const struct failed *failed;
	bool unfit = try->state == TRY_UNFIT;

	try->state = TRY_DONE;
	*entry = try->entry;
	if (unfit) {
		entry->skip = PLAN_SKIP_FAMILY;
		return PLAN_SKIP;
	}
	failed = plan_find_failed(plan, entry);
	if (failed != NULL) {
		entry->skip =
		    failed->how == PLAN_FAILED_ABSENT ? PLAN_SKIP_ABSENT : PLAN_SKIP_FAILED;
		return PLAN_SKIP;
	}
	if (plan_is_suspended(plan, entry)) {
		tries_add(&plan->left_out, entry, TRY_PENDING);
		entry->skip = PLAN_SKIP_SUSPENDED;
		return PLAN_SKIP;
	}
	return plan_give(plan, try, entry);
}

enum plan_step
plan_next(struct plan *plan, struct plan_entry *entry)
{
	for (size_t i = 0; i < plan->tries.count; i++) {
		if (plan->tries.list[i].state == TRY_GIVEN)
			plan_note_failed(plan, &plan->tries.list[i], PLAN_FAILED);
	}
	for (;;) {
		if (plan->lacks_addresses) {
			*entry = plan->hop;
			return PLAN_ADDRESSES;
		}
		for (size_t i = 0; i < plan->tries.count; i++) {
			struct try *try = &plan->tries.list[i];

			if (try->state == TRY_PENDING || try->state == TRY_UNFIT)
				return plan_offer(plan, try, entry);
		}
		if (plan->second_pass || (!plan_enter_hop(plan) && !plan_begin_second_pass(plan)))
			return PLAN_END;
	}
}

/* Is `try` of the same hop as one that is under way, and to another address than all of these? */
static bool
plan_is_rival(const struct plan *plan, const struct try *try)
{
	bool same_hop = false;

	for (size_t i = 0; i < plan->tries.count; i++) {
		const struct try *other = &plan->tries.list[i];

		if (other->state != TRY_GIVEN || other->entry.hop != try->entry.hop)
			continue;
		if (netaddr_equal(&other->entry.remote, &try->entry.remote))
			return false;
		same_hop = true;
	}
	return same_hop;
}

bool
plan_rival(struct plan *plan, struct plan_entry *entry)
{
	for (size_t i = 0; i < plan->tries.count; i++) {
		struct try *try = &plan->tries.list[i];

		if (try->state != TRY_PENDING || !plan_is_rival(plan, try) ||
		    plan_find_failed(plan, &try->entry) != NULL ||
		    plan_is_suspended(plan, &try->entry))
			continue;
		(void)plan_give(plan, try, entry);
		return true;
	}
	return false;
}

/* ---- what is asked of it ---- */

bool
plan_wants_sources(const struct plan *plan)
{
	return plan_local_ips(plan)->count == 0;
}

bool
plan_hop_has_way(const struct plan *plan)
{
	if (plan_local_ips(plan)->count == 0)
		return plan->tries.count > 0;
	for (size_t i = 0; i < plan->tries.count; i++) {
		if (plan->tries.list[i].entry.local.family != AF_UNSPEC)
			return true;
	}
	return false;
}

const char *
plan_skip_text(enum plan_skip skip)
{
	switch (skip) {
	case PLAN_SKIP_FAMILY:
		return "no local IP is of the family of this address";
	case PLAN_SKIP_SUSPENDED:
		return "left out for now: it could not be connected to";
	case PLAN_SKIP_FAILED:
		return "the same has failed in this attempt";
	case PLAN_SKIP_ABSENT:
		return "this host has not the local IP";
	}
	return "";
}

/* ---- the owner's side ---- */

struct plan *
plan_new(const struct plan_options *options)
{
	struct plan *plan = xcalloc(1, sizeof(*plan));

	plan->options = *options;
	if (options->group != NULL) {
		plan->group = route_group_ref(options->group);
		draw_init(&plan->draw, plan->group, &options->random);
		return plan;
	}
	plan->hosts = xreallocarray(NULL, options->host_count + 1, sizeof(*plan->hosts));
	for (size_t i = 0; i < options->host_count; i++)
		plan->hosts[i] = (struct plan_host){
		    .name = xstrdup(options->hosts[i].name),
		    .preference = options->hosts[i].preference,
		};
	draw_hosts(plan->hosts, options->host_count, &options->random);
	return plan;
}

void
plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	if (plan->hosts != NULL) {
		for (size_t i = 0; i < plan->options.host_count; i++)
			free((char *)plan->hosts[i].name);
		free(plan->hosts);
	}
	free(plan->own_ips);
	free(plan->tries.list);
	free(plan->left_out.list);
	free(plan->failed);
	draw_clear(&plan->draw);
	route_group_unref(plan->group);
	free(plan);
}
