/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/daemon_parts.h"

#include <string.h>

#include "relayd/queue/delivery.h"

enum { IDLE_SESSION_MS = 5000 };

/* ---- what the parts are told, from the settings as they are now ---- */

struct hops_options
daemon_hops_options(const struct daemon *daemon)
{
	const struct settings *settings = daemon->settings;

	return (struct hops_options){
	    .client = {.loop = daemon->loop,
		       .log = daemon->log,
		       .spool = daemon->spool,
		       .offload = daemon->offload,
		       .trust = daemon->trust,
		       .hostname = settings->hostname,
		       .connect_ms = settings->timeouts.connect_ms,
		       .remote_command_ms = settings->timeouts.remote_command_ms,
		       .idle_ms = IDLE_SESSION_MS},
	    .total = settings->limits.outbound,
	    .health = daemon->health,
	    .per_host = settings->limits.outbound_per_host,
	};
}

struct queue_options
daemon_queue_options(const struct daemon *daemon)
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

struct inbound_limits
daemon_inbound_limits(const struct settings *settings)
{
	return (struct inbound_limits){.connections = settings->limits.connections,
				       .connections_per_client =
					   settings->limits.connections_per_client};
}

void
daemon_configure_shared(struct daemon *daemon)
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

struct tls_trust *
daemon_trust(const struct settings *settings, struct error *why)
{
	struct tls_trust *trust = tls_trust_new(settings->tls.ca, why);

	if (trust == NULL)
		error_prefix(why, "tls.ca");
	return trust;
}

int
daemon_check(const struct settings *settings, struct error *why)
{
	struct tls_trust *trust = daemon_trust(settings, why);

	tls_trust_free(trust);
	return trust != NULL ? 0 : -1;
}

int
daemon_reload(void *ctx, struct error *why)
{
	struct daemon *daemon = ctx;
	struct settings *old = daemon->settings,
			*settings = settings_read(daemon->options->file, why);
	struct tls_trust *trust, *old_trust = daemon->trust;
	struct hops_options hops;
	struct queue_options queue;
	struct inbound_limits limits;

	if (settings == NULL)
		return -1;
	/* Read again even if it is the same file: that is how a new authority comes into it. */
	trust = daemon_trust(settings, why);
	if (trust == NULL) {
		settings_free(settings);
		return -1;
	}
	say_needs_restart(daemon, "state_dir", text_differs(old->state_dir, settings->state_dir));
	say_needs_restart(daemon, "control_socket",
			  text_differs(old->control_socket, settings->control_socket));
	say_needs_restart(daemon, "user", text_differs(old->user, settings->user));
	say_needs_restart(daemon, "listen", listeners_differ(old, settings));
	say_needs_restart(daemon, "dns_servers", servers_differ(old, settings));

	daemon->settings = settings;
	daemon->trust = trust;
	log_configure(daemon->log, settings->log_level, settings->log_format);
	daemon_configure_shared(daemon);
	limits = daemon_inbound_limits(settings);
	inbound_configure(daemon->inbound, &limits);
	hops = daemon_hops_options(daemon);
	hops_configure(daemon->hops, &hops);
	delivery_configure(daemon->delivery, settings->hostname, settings->local_ips);
	queue = daemon_queue_options(daemon);
	queue_configure(daemon->queue, &queue);
	daemon->services.hostname = settings->hostname;
	settings_free(old);        /* nobody points into it any more */
	tls_trust_free(old_trust); /* sessions that use it keep it */
	return 0;
}
