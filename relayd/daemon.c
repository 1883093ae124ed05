/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Start: lock the state directory, bind, become the user, take up the spool and the routes, connect
 * everything, and only then accept. Stop (SIGTERM): stop accepting, let sessions and attempts in
 * flight end, at most shutdown_grace; then close from the top floor down, the spool last.
 */
#include "relayd/daemon.h"

#include <signal.h>
#include <stdlib.h>

#include "relayd/daemon_parts.h"
#include "relayd/net/loop.h"
#include "relayd/notify.h"
#include "relayd/routes/changes.h"

/* ---- reload ---- */

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

/* ---- the start ---- */

static int
catch_signals(struct daemon *daemon, struct error *why)
{
	daemon->grace = timer_new(daemon->loop, grace_over, daemon);
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

/* From here on it ends in any case: a signal that is said once more, when the loop does not catch
 * it any longer, must not turn an orderly end into a killed process. */
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

	if (result == 0)
		result = catch_signals(&daemon, why);
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
