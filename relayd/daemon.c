/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Start: lock the state directory, bind, become the user, take up the spool and the routes, connect
 * everything, and only then accept. Stop (SIGTERM): stop accepting, let sessions and attempts in
 * flight end, at most shutdown_grace; then close from the top floor down, the spool last.
 */
#include "relayd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "relayd/auth/policy.h"
#include "relayd/control/control.h"
#include "relayd/net/listener.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/net/resolver.h"
#include "relayd/notify.h"
#include "relayd/privilege.h"
#include "relayd/queue/delivery.h"
#include "relayd/queue/hops.h"
#include "relayd/queue/queue.h"
#include "relayd/routes/changes.h"
#include "relayd/smtp/inbound.h"
#include "relayd/spool/spool.h"
#include "relayd/state_dir.h"

enum { OFFLOAD_THREADS = 4, IDLE_SESSION_MS = 5000 };

struct daemon {
	const struct daemon_options *options;
	struct log *log;
	struct settings *settings;
	struct identity identity;
	int lock;

	struct loop *loop;
	struct offload *offload;
	struct spool *spool;
	struct changes *changes;
	struct resolver *resolver;
	struct hops *hops;
	struct delivery *delivery;
	struct queue *queue;
	struct server_shared shared;
	struct inbound *inbound;
	struct listener **listeners;
	size_t listener_count;
	struct control_services services;
	struct control *control;

	struct envelope **found; /* in the spool at start, until the queue takes them */
	size_t found_count, found_room;

	struct timer *grace;
	bool stopping, sessions_gone, attempts_gone;
};

/* ---- what the parts are told, from the settings as they are now ---- */

static struct hops_options
hops_options(const struct daemon *daemon)
{
	const struct settings *settings = daemon->settings;

	return (struct hops_options){
	    .client = {.loop = daemon->loop,
		       .log = daemon->log,
		       .spool = daemon->spool,
		       .hostname = settings->hostname,
		       .connect_ms = settings->timeouts.connect_ms,
		       .remote_command_ms = settings->timeouts.remote_command_ms,
		       .idle_ms = IDLE_SESSION_MS},
	    .total = settings->limits.outbound,
	    .per_hop = settings->limits.outbound_per_host,
	};
}

static struct queue_options
queue_options(const struct daemon *daemon)
{
	const struct settings *settings = daemon->settings;

	return (struct queue_options){
	    .loop = daemon->loop,
	    .log = daemon->log,
	    .spool = daemon->spool,
	    .delivery = daemon->delivery,
	    .hostname = settings->hostname,
	    .retry_ms = settings->retry_ms,
	    .retry_count = settings->retry_count,
	    .lifetime_ms = settings->queue_lifetime_ms,
	};
}

static struct inbound_limits
inbound_limits(const struct settings *settings)
{
	return (struct inbound_limits){.connections = settings->limits.connections,
				       .connections_per_client =
					   settings->limits.connections_per_client};
}

static void
shared_configure(struct daemon *daemon)
{
	const struct settings *settings = daemon->settings;

	daemon->shared.hostname = settings->hostname;
	daemon->shared.message_size = settings->message_size;
	daemon->shared.recipients = settings->limits.recipients;
	daemon->shared.errors = settings->limits.errors;
	daemon->shared.command_ms = settings->timeouts.command_ms;
	daemon->shared.data_ms = settings->timeouts.data_ms;
	daemon->shared.policy =
	    (struct policy){.relay_from = settings->relay_from,
			    .relay_from_count = settings->relay_from_count,
			    .relay_domains = (const char *const *)settings->relay_domains,
			    .relay_domains_count = settings->relay_domains_count};
}

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

/* ---- reload ---- */

static void
say_needs_restart(const struct daemon *daemon, const char *key, bool changed)
{
	if (changed)
		log_event(daemon->log, LOG_LEVEL_WARNING, 0, "needs-restart", LOG_S("key", key));
}

static bool
text_differs(const char *a, const char *b)
{
	return (a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0);
}

static bool
listeners_differ(const struct settings *a, const struct settings *b)
{
	size_t i;

	if (a->listener_count != b->listener_count)
		return true;
	for (i = 0; i < a->listener_count; i++)
		if (!netaddr_equal(&a->listeners[i].address, &b->listeners[i].address))
			return true;
	return false;
}

static bool
servers_differ(const struct settings *a, const struct settings *b)
{
	size_t i;

	if (a->dns_servers_count != b->dns_servers_count)
		return true;
	for (i = 0; i < a->dns_servers_count; i++)
		if (strcmp(a->dns_servers[i], b->dns_servers[i]) != 0)
			return true;
	return false;
}

static int
daemon_reload(void *ctx, struct error *why)
{
	struct daemon *daemon = ctx;
	struct settings *old = daemon->settings,
			*settings = settings_read(daemon->options->file, why);
	struct hops_options hops;
	struct queue_options queue;
	struct inbound_limits limits;

	if (settings == NULL)
		return -1;
	say_needs_restart(daemon, "state_dir", text_differs(old->state_dir, settings->state_dir));
	say_needs_restart(daemon, "control_socket",
			  text_differs(old->control_socket, settings->control_socket));
	say_needs_restart(daemon, "user", text_differs(old->user, settings->user));
	say_needs_restart(daemon, "listen", listeners_differ(old, settings));
	say_needs_restart(daemon, "dns_servers", servers_differ(old, settings));

	daemon->settings = settings;
	log_configure(daemon->log, settings->log_level, settings->log_format);
	shared_configure(daemon);
	limits = inbound_limits(settings);
	inbound_configure(daemon->inbound, &limits);
	hops = hops_options(daemon);
	hops_configure(daemon->hops, &hops);
	delivery_configure(daemon->delivery, settings->hostname, settings->local_ips);
	queue = queue_options(daemon);
	queue_configure(daemon->queue, &queue);
	daemon->services.hostname = settings->hostname;
	settings_free(old); /* nobody points into it any more */
	return 0;
}

static void
caught_hangup(void *ctx)
{
	struct daemon *daemon = ctx;
	struct error why;

	notify_manager(daemon->log, "RELOADING=1");
	if (daemon_reload(daemon, &why) == 0)
		log_event(daemon->log, LOG_LEVEL_NOTICE, 0, "reloaded",
			  LOG_S("file", daemon->options->file));
	else
		log_event(daemon->log, LOG_LEVEL_ERROR, 0, "reload-refused",
			  LOG_S("reason", why.text));
	notify_manager(daemon->log, "READY=1");
}

/* ---- the end ---- */

static void
stop_if_all_gone(struct daemon *daemon)
{
	if (daemon->sessions_gone && daemon->attempts_gone)
		loop_stop(daemon->loop);
}

static void
sessions_gone(void *ctx)
{
	struct daemon *daemon = ctx;

	daemon->sessions_gone = true;
	stop_if_all_gone(daemon);
}

static void
attempts_gone(void *ctx)
{
	struct daemon *daemon = ctx;

	daemon->attempts_gone = true;
	stop_if_all_gone(daemon);
}

static void
grace_over(void *ctx)
{
	struct daemon *daemon = ctx;

	log_event(daemon->log, LOG_LEVEL_NOTICE, 0, "grace-over",
		  LOG_U("inbound", inbound_count(daemon->inbound)),
		  LOG_U("outbound", hops_sessions(daemon->hops)));
	loop_stop(daemon->loop);
}

static void
caught_stop(void *ctx)
{
	struct daemon *daemon = ctx;
	size_t i;

	if (daemon->stopping) {
		loop_stop(daemon->loop); /* said twice: at once */
		return;
	}
	daemon->stopping = true;
	log_event(daemon->log, LOG_LEVEL_NOTICE, 0, "stopping",
		  LOG_U("inbound", inbound_count(daemon->inbound)),
		  LOG_U("outbound", hops_sessions(daemon->hops)));
	notify_manager(daemon->log, "STOPPING=1");
	/* Closed, not only left alone: a client is to be refused and go to the next MX. */
	for (i = 0; i < daemon->listener_count; i++)
		listener_free(daemon->listeners[i]);
	daemon->listener_count = 0;
	timer_set(daemon->grace, daemon->settings->shutdown_grace_ms);
	inbound_shut_down(daemon->inbound, sessions_gone, daemon);
	queue_stop(daemon->queue, attempts_gone, daemon);
}

static void
daemon_close(struct daemon *daemon)
{
	size_t i;

	control_free(daemon->control);
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
	/* These wait for what is on its way to the disk. The spool first: it alone knows how to take
	 * back what was under way for envelopes that are gone. */
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
	timer_free(daemon->grace);
	loop_free(daemon->loop);
	identity_clear(&daemon->identity);
	if (daemon->lock >= 0)
		(void)close(daemon->lock);
	settings_free(daemon->settings);
}

/* ---- the start ---- */

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
	return daemon->resolver != NULL ? 0 : -1;
}

static void
daemon_connect(struct daemon *daemon)
{
	const struct settings *settings = daemon->settings;
	const struct hops_options hops = hops_options(daemon);
	const struct inbound_limits limits = inbound_limits(settings);
	struct queue_options queue;
	size_t i;

	daemon->hops = hops_new(&hops);
	daemon->delivery =
	    delivery_new(&(struct delivery_options){.loop = daemon->loop,
						    .log = daemon->log,
						    .spool = daemon->spool,
						    .changes = daemon->changes,
						    .resolver = daemon->resolver,
						    .hops = daemon->hops,
						    .hostname = settings->hostname,
						    .local_ips = settings->local_ips});
	queue = queue_options(daemon);
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
	shared_configure(daemon);
	daemon->inbound = inbound_new(daemon->loop, &daemon->shared, &limits);
}

static int
daemon_open_control(struct daemon *daemon, struct error *why)
{
	daemon->services = (struct control_services){.loop = daemon->loop,
						     .log = daemon->log,
						     .changes = daemon->changes,
						     .queue = daemon->queue,
						     .spool = daemon->spool,
						     .hostname = daemon->settings->hostname,
						     .version = PACKAGE_VERSION,
						     .started_ms = loop_wall_ms(daemon->loop),
						     .inbound = count_inbound,
						     .outbound = count_outbound,
						     .reload = daemon_reload,
						     .ctx = daemon};
	daemon->control = control_new(&daemon->services, daemon->settings->control_socket,
				      daemon->identity.control_gid, why);
	return daemon->control != NULL ? 0 : -1;
}

static int
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
	daemon->grace = timer_new(daemon->loop, grace_over, daemon);
	if (daemon_open_control(daemon, why) != 0)
		return -1;
	if (loop_on_signal(daemon->loop, SIGTERM, caught_stop, daemon) != 0 ||
	    loop_on_signal(daemon->loop, SIGINT, caught_stop, daemon) != 0 ||
	    loop_on_signal(daemon->loop, SIGHUP, caught_hangup, daemon) != 0)
		return error_set(why, ERROR_BUG, "signals can't be caught");
	return 0;
}

static void
daemon_start(struct daemon *daemon)
{
	char address[NETADDR_TEXT_MAX];
	size_t i;

	queue_start(daemon->queue);
	for (i = 0; i < daemon->listener_count; i++) {
		listener_start(daemon->listeners[i]);
		log_event(daemon->log, LOG_LEVEL_NOTICE, 0, "listening",
			  LOG_S("address", netaddr_text_port(listener_address(daemon->listeners[i]),
							     address)));
	}
	control_start(daemon->control);
	log_event(daemon->log, LOG_LEVEL_NOTICE, 0, "started", LOG_S("version", PACKAGE_VERSION),
		  LOG_S("hostname", daemon->settings->hostname),
		  LOG_U("queued", queue_count(daemon->queue)),
		  LOG_U("routes", table_count(changes_table(daemon->changes))),
		  LOG_U("revision", changes_revision(daemon->changes)),
		  LOG_S("control", daemon->settings->control_socket));
	notify_manager(daemon->log, "READY=1");
	if (daemon->options->ready != NULL)
		daemon->options->ready(daemon->options->ctx);
}

/* From here on it ends in any case: a signal that is said once more, when the loop does not catch it
 * any longer, must not turn an orderly end into a killed process. */
static void
ignore_signals(void)
{
	sigset_t caught;

	sigemptyset(&caught);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGINT);
	sigaddset(&caught, SIGHUP);
	sigprocmask(SIG_BLOCK, &caught, NULL);
}

int
daemon_run(const struct daemon_options *options, struct error *why)
{
	struct daemon daemon = {
	    .options = options, .log = options->log, .settings = options->settings, .lock = -1};
	int result = daemon_open(&daemon, why);

	if (result == 0) {
		daemon_start(&daemon);
		result = loop_run(daemon.loop, why);
		ignore_signals();
	}
	daemon_close(&daemon);
	if (result == 0)
		log_event(options->log, LOG_LEVEL_NOTICE, 0, "stopped",
			  LOG_S("version", PACKAGE_VERSION));
	return result;
}
