/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/lint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct lint {
	const struct lint_environment *environment;
	const struct route *route;
	void (*found)(void *ctx, const struct lint_finding *finding);
	void *ctx;
	uint64_t other;
};

const char *
lint_severity_name(enum lint_severity severity)
{
	static const char *const names[] = {
	    [LINT_ERROR] = "error", [LINT_WARNING] = "warning", [LINT_NOTICE] = "notice"};

	return names[severity];
}

static void report(const struct lint *lint, enum lint_severity severity, const char *name,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));

static void
report(const struct lint *lint, enum lint_severity severity, const char *name, const char *format,
       ...)
{
	struct lint_finding finding = {.severity = severity, .name = name, .other = lint->other};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(finding.text, sizeof(finding.text), format, args);
	va_end(args);
	lint->found(lint->ctx, &finding);
}

/* ---- by itself ---- */

static void
check_client(const struct lint *lint)
{
	const struct route *route = lint->route;

	if (lint->environment->authentication || (route->user == NULL && route->mail_from == NULL))
		return;
	report(lint, LINT_WARNING, "no_authentication",
	       "it can't match: it wants %s, and no client can authenticate here",
	       route->user != NULL ? "a user" : "an authenticated client");
}

static void
check_login(const struct lint *lint)
{
	const struct route *route = lint->route;
	enum route_tls tls = route_effective_tls(route);

	if (route->remote_login == NULL)
		return;
	if (tls == ROUTE_TLS_NONE)
		report(lint, LINT_WARNING, "clear_login",
		       "tls none: the password is sent in the clear");
	else if (tls == ROUTE_TLS_MAY)
		report(lint, LINT_WARNING, "clear_login",
		       "tls may: the password is sent in the clear where TLS does not come about");
	else if (tls == ROUTE_TLS_REQUIRE)
		report(lint, LINT_NOTICE, "unverified_login",
		       "tls require: the password goes to whoever answers, the certificate is not "
		       "checked");
}

/* A listener on all addresses hears each of this host's. */
static bool
hears(const struct lint_environment *environment, const struct netaddr *listener,
      const struct netaddr *remote)
{
	static const unsigned char any[sizeof(listener->bytes)];

	if (listener->port != remote->port)
		return false;
	if (netaddr_same_host(listener, remote))
		return true;
	/* [::] hears both families. */
	return memcmp(listener->bytes, any, sizeof(any)) == 0 &&
	       (listener->family == remote->family || listener->family == AF_INET6) &&
	       environment->is_own(environment->ctx, remote);
}

static void
check_remote(const struct lint *lint)
{
	const struct lint_environment *environment = lint->environment;
	const struct route *route = lint->route;
	struct netaddr remote;
	bool is_address = netaddr_parse(route->remote_host, &remote) == 0;
	bool own_name = environment->hostname != NULL &&
			strcasecmp(route->remote_host, environment->hostname) == 0;

	remote.port = route->remote_port;
	for (size_t i = 0; i < environment->listener_count; i++) {
		const struct netaddr *listener = &environment->listeners[i];

		if (is_address ? !hears(environment, listener, &remote)
			       : !own_name || listener->port != route->remote_port)
			continue;
		report(lint, LINT_ERROR, "ourselves",
		       "its remote is this relayd itself: mail would go round in a loop");
		return;
	}
}

static void
check_local_ips(const struct lint *lint)
{
	const struct lint_environment *environment = lint->environment;
	struct route_local_ips local;
	struct netaddr remote;
	char text[NETADDR_TEXT_MAX];
	size_t absent = 0, fit = 0;

	if (lint->route->local_ips == NULL ||
	    route_local_ips_parse(lint->route->local_ips, &local, NULL) != 0)
		return;
	for (size_t i = 0; i < local.count; i++) {
		if (environment->is_own(environment->ctx, &local.address[i]))
			continue;
		absent++;
		report(lint, LINT_WARNING, "no_local_ip", "this host has not its local IP %s",
		       netaddr_text(&local.address[i], text));
	}
	if (absent == local.count)
		report(lint, LINT_ERROR, "no_local_ip_at_all",
		       "it can't be used: this host has none of its local IPs");
	if (netaddr_parse(lint->route->remote_host, &remote) != 0)
		return;
	for (size_t i = 0; i < local.count; i++)
		fit += local.address[i].family == remote.family;
	if (fit == 0)
		report(lint, LINT_ERROR, "no_family",
		       "it can't be used: its remote is an IPv%d address, and no local IP is one",
		       remote.family == AF_INET6 ? 6 : 4);
}

/* ---- among the others ---- */

/* The first route of the group that leads to the same hop, and comes before in the plan. */
static void
check_before(const struct lint *lint, const struct route_group *group)
{
	const struct route *route = lint->route;
	size_t most = group->count < LINT_GROUP_MAX ? group->count : LINT_GROUP_MAX;

	for (size_t i = 0; i < most && group->routes[i] != route; i++) {
		const struct route *other = group->routes[i];
		struct lint about = *lint;

		if (!route_same_hop(other, route))
			continue;
		about.other = other->id;
		if (other->priority < route->priority)
			report(&about, LINT_WARNING, "never_tried",
			       "it is never tried: another route leads to the same hop, and comes "
			       "before it with priority %u",
			       (unsigned)other->priority);
		else
			report(&about, LINT_NOTICE, "twin",
			       "it is a twin: they count as one route of a greater weight");
		return;
	}
}

static enum stats_state
state_of(const struct lint *lint, const struct route *route)
{
	const struct filter_source *source = &lint->environment->source;
	struct filter_facts facts = {.state = STATS_UNKNOWN};

	if (source->look != NULL)
		source->look(source->ctx, route, &facts);
	return facts.state;
}

/* Told once for a group: at its first route. */
static void
check_down(const struct lint *lint, const struct route_group *group)
{
	if (group->routes[0] != lint->route || group->count > LINT_GROUP_MAX)
		return;
	for (size_t i = 0; i < group->count; i++)
		if (state_of(lint, group->routes[i]) != STATS_DOWN)
			return;
	if (group->count == 1)
		report(lint, LINT_WARNING, "group_down",
		       "its remote is down, and its group has no other route");
	else
		report(lint, LINT_WARNING, "group_down", "all %zu routes of its group are down",
		       group->count);
}

void
lint_route(const struct lint_environment *environment, const struct route *route,
	   void (*found)(void *ctx, const struct lint_finding *finding), void *ctx)
{
	const struct lint lint = {
	    .environment = environment, .route = route, .found = found, .ctx = ctx};
	const struct route_group *group;

	if (!route->enabled)
		return;
	check_client(&lint);
	check_login(&lint);
	check_remote(&lint);
	check_local_ips(&lint);
	group = table_group(environment->table, route, true);
	if (group == NULL)
		return;
	check_before(&lint, group);
	check_down(&lint, group);
}
