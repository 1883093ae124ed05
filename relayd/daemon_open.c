/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/daemon_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/control/lists.h"
#include "relayd/control/pasts.h"
#include "relayd/control/tasks.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/net/resolver.h"
#include "relayd/queue/delivery.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/health.h"
#include "relayd/routes/stats.h"
#include "relayd/spool/spool.h"
#include "relayd/state_dir.h"

enum { OFFLOAD_THREADS = 4 };

/* ---- callbacks between the parts ---- */

static void
message_accepted(void *ctx, struct envelope *env)
{
	struct daemon *daemon = ctx;

	if (daemon->queue != NULL)
		queue_add(daemon->queue, env);
	else
		envelope_free(
		    env); /* too late for this run: the spool has it, the next start finds it */
}

static int64_t
wall_ms(void *ctx)
{
	const struct daemon *daemon = ctx;

	return loop_wall_ms(daemon->loop);
}

static void
connection_accepted(void *ctx, int fd, const struct netaddr *remote)
{
	struct daemon *daemon = ctx;

	inbound_accept(daemon->inbound, fd, remote);
}

static void
message_found(void *ctx, struct envelope *env)
{
	struct daemon *daemon = ctx;

	if (daemon->found_count == daemon->found_room) {
		daemon->found_room = daemon->found_room ? daemon->found_room * 2 : 64;
		daemon->found =
		    xreallocarray(daemon->found, daemon->found_room, sizeof(struct envelope *));
	}
	daemon->found[daemon->found_count++] = env;
}

static size_t
count_inbound(void *ctx)
{
	const struct daemon *daemon = ctx;

	return inbound_count(daemon->inbound);
}

static size_t
count_outbound(void *ctx)
{
	const struct daemon *daemon = ctx;

	return hops_sessions(daemon->hops);
}

static void
outgoing_now(void *ctx, struct control_outgoing *out)
{
	const struct daemon *daemon = ctx;
	const struct settings *settings = daemon->settings;
	size_t i;

	*out = (struct control_outgoing){.client = daemon_hops_options(daemon).client,
					 .local_ips = settings->local_ips,
					 .retry_ms = settings->retry_ms,
					 .retry_count = settings->retry_count,
					 .lifetime_ms = settings->queue_lifetime_ms};
	for (i = 0; i < daemon->listener_count && i < CONTROL_LISTENERS_MAX; i++)
		out->listeners[out->listener_count++] = *listener_address(daemon->listeners[i]);
}

/* ---- putting it together ---- */

/* Each session needs a descriptor: take all that we may. */
static void
raise_descriptor_limit(const struct daemon *daemon)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			log_event(daemon->log, LOG_LEVEL_WARNING, 0, "descriptor-limit",
				  LOG_S("reason", strerror(errno)));
	}
}

static int
daemon_bind(struct daemon *daemon, struct error *why)
{
	const struct settings *settings = daemon->settings;
	size_t i;

	daemon->listeners = xcalloc(settings->listener_count, sizeof(struct listener *));
	for (i = 0; i < settings->listener_count; i++) {
		struct listener *listener =
		    listener_tcp(daemon->loop, &settings->listeners[i].address, daemon->log,
				 connection_accepted, daemon, why);

		if (listener == NULL)
			return -1;
		daemon->listeners[daemon->listener_count++] = listener;
	}
	return state_dir_make_parent(settings->control_socket, daemon->identity.uid,
				     daemon->identity.gid, why);
}

static int
daemon_open_stores(struct daemon *daemon, struct error *why)
{
	const struct settings *settings = daemon->settings;
	char *spool_dir = xasprintf("%s/spool", settings->state_dir);
	const struct spool_options spool = {
	    .dir = spool_dir, .loop = daemon->loop, .offload = daemon->offload, .log = daemon->log};
	const struct changes_options changes = {.state_dir = settings->state_dir,
						.loop = daemon->loop,
						.offload = daemon->offload,
						.log = daemon->log};
	const struct resolver_options resolver = {.servers =
						      (const char *const *)settings->dns_servers,
						  .server_count = settings->dns_servers_count};

	daemon->spool = spool_open(&spool, message_found, daemon, why);
	free(spool_dir);
	if (daemon->spool == NULL)
		return -1;
	daemon->changes = changes_open(&changes, why);
	if (daemon->changes == NULL)
		return -1;
	daemon->resolver = resolver_new(daemon->loop, &resolver, why);
	if (daemon->resolver == NULL)
		return -1;
	daemon->trust = daemon_trust(settings, why);
	return daemon->trust != NULL ? 0 : -1;
}

static uint32_t
random_below(void *ctx, uint32_t bound)
{
	(void)ctx;
	return arc4random_uniform(bound);
}

static void
daemon_connect(struct daemon *daemon)
{
	const struct settings *settings = daemon->settings;
	struct hops_options hops;
	const struct inbound_limits limits = daemon_inbound_limits(settings);
	struct queue_options queue;
	size_t i;

	daemon->health = health_new(&(struct plan_random){.below = random_below});
	hops = daemon_hops_options(daemon);
	daemon->hops = hops_new(&hops);
	daemon->stats = stats_new();
	daemon->delivery =
	    delivery_new(&(struct delivery_options){.loop = daemon->loop,
						    .log = daemon->log,
						    .spool = daemon->spool,
						    .changes = daemon->changes,
						    .resolver = daemon->resolver,
						    .hops = daemon->hops,
						    .health = daemon->health,
						    .stats = daemon->stats,
						    .hostname = settings->hostname,
						    .local_ips = settings->local_ips});
	queue = daemon_queue_options(daemon);
	daemon->queue = queue_new(&queue);
	for (i = 0; i < daemon->found_count; i++)
		queue_add(daemon->queue, daemon->found[i]);
	free(daemon->found);
	daemon->found = NULL;
	daemon->found_count = 0;
	daemon->shared.spool = daemon->spool;
	daemon->shared.log = daemon->log;
	daemon->shared.accepted = message_accepted;
	daemon->shared.accepted_ctx = daemon;
	daemon->shared.wall_ms = wall_ms;
	daemon->shared.wall_ctx = daemon;
	daemon_configure_shared(daemon);
	daemon->inbound = inbound_new(daemon->loop, &daemon->shared, &limits);
}

static int
daemon_open_control(struct daemon *daemon, struct error *why)
{
	daemon->tasks = tasks_new();
	daemon->lists = lists_new(daemon->loop, daemon->changes);
	daemon->pasts = pasts_new(daemon->loop, daemon->changes);
	daemon->services = (struct control_services){.loop = daemon->loop,
						     .offload = daemon->offload,
						     .log = daemon->log,
						     .changes = daemon->changes,
						     .lists = daemon->lists,
						     .pasts = daemon->pasts,
						     .tasks = daemon->tasks,
						     .health = daemon->health,
						     .stats = daemon->stats,
						     .resolver = daemon->resolver,
						     .queue = daemon->queue,
						     .spool = daemon->spool,
						     .hostname = daemon->settings->hostname,
						     .version = PACKAGE_VERSION,
						     .started_ms = loop_wall_ms(daemon->loop),
						     .inbound = count_inbound,
						     .outbound = count_outbound,
						     .outgoing = outgoing_now,
						     .reload = daemon_reload,
						     .ctx = daemon};
	daemon->control = control_new(&daemon->services, daemon->settings->control_socket,
				      daemon->identity.control_gid, why);
	return daemon->control != NULL ? 0 : -1;
}

int
daemon_open(struct daemon *daemon, struct error *why)
{
	const struct settings *settings = daemon->settings;

	raise_descriptor_limit(daemon);
	if (identity_find(settings->user, &daemon->identity, why) != 0)
		return -1;
	daemon->lock =
	    state_dir_hold(settings->state_dir, daemon->identity.uid, daemon->identity.gid, why);
	if (daemon->lock < 0)
		return -1;
	daemon->loop = loop_new(why);
	if (daemon->loop == NULL || daemon_bind(daemon, why) != 0 ||
	    identity_become(&daemon->identity, why) != 0)
		return -1;
	if (geteuid() == 0)
		log_event(daemon->log, LOG_LEVEL_WARNING, 0, "running-as-root",
			  LOG_S("hint", "set user in the configuration"));
	daemon->offload = offload_new(daemon->loop, OFFLOAD_THREADS, why);
	if (daemon->offload == NULL || daemon_open_stores(daemon, why) != 0)
		return -1;
	daemon_connect(daemon);
	return daemon_open_control(daemon, why);
}

/* ---- taking it apart ---- */

void
daemon_close(struct daemon *daemon)
{
	size_t i;

	control_free(daemon->control);
	tasks_free(daemon->tasks);
	lists_free(daemon->lists);
	pasts_free(daemon->pasts);
	for (i = 0; i < daemon->listener_count; i++)
		listener_free(daemon->listeners[i]);
	free(daemon->listeners);
	if (daemon->inbound != NULL)
		inbound_free(daemon->inbound);
	hops_free(daemon->hops); /* first: no transaction calls back into an attempt any more */
	queue_free(daemon->queue);
	daemon->queue = NULL;
	delivery_free(daemon->delivery);
	resolver_free(daemon->resolver);
	tls_trust_free(daemon->trust);
	/* These wait for what is on its way to the disk. The spool first: it alone knows how to
	 * take back what was under way for envelopes that are gone. */
	if (daemon->spool != NULL)
		spool_close(daemon->spool);
	if (daemon->changes != NULL)
		changes_close(daemon->changes);
	for (i = 0; i < daemon->found_count; i++)
		envelope_free(daemon->found[i]);
	free(daemon->found);
	if (daemon->offload != NULL)
		offload_finish(daemon->offload);
	offload_free(daemon->offload);
	/* The answer to a change that waited for the disk looks at these, though nobody reads it now. */
	health_free(daemon->health);
	stats_free(daemon->stats);
	timer_free(daemon->grace);
	loop_free(daemon->loop);
	identity_clear(&daemon->identity);
	if (daemon->lock >= 0)
		(void)close(daemon->lock);
	settings_free(daemon->settings);
}
