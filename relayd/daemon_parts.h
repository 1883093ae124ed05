/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The daemon's parts, for the files that together are the daemon: daemon.c (its life), daemon_open.c (puts
 * the parts together and takes them apart), daemon_settings.c (what they are told, at the start and on
 * reload).
 */
#ifndef RELAYD_DAEMON_PARTS_H
#define RELAYD_DAEMON_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "relayd/control/control.h"
#include "relayd/daemon.h"
#include "relayd/net/listener.h"
#include "relayd/net/tls.h"
#include "relayd/privilege.h"
#include "relayd/queue/hops.h"
#include "relayd/queue/queue.h"
#include "relayd/smtp/inbound.h"

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
	struct tls_trust *trust;
	struct health *health;
	struct hops *hops;
	struct stats *stats;
	struct delivery *delivery;
	struct queue *queue;
	struct server_shared shared;
	struct inbound *inbound;
	struct listener **listeners;
	size_t listener_count;
	struct control_services services;
	struct lists *lists;
	struct pasts *pasts;
	struct tasks *tasks;
	struct control *control;

	struct envelope **found; /* in the spool at start, until the queue takes them */
	size_t found_count, found_room;

	struct timer *grace;
	bool stopping, sessions_gone, attempts_gone;
};

/* ---- daemon_settings.c: of the settings as they are now ---- */

struct hops_options daemon_hops_options(const struct daemon *daemon);
struct queue_options daemon_queue_options(const struct daemon *daemon);
struct inbound_limits daemon_inbound_limits(const struct settings *settings);
void daemon_configure_shared(struct daemon *daemon);

/* Whom we believe. NULL and `why`. */
struct tls_trust *daemon_trust(const struct settings *settings, struct error *why);

/* Read the configuration again; a bad one changes nothing. `daemon` is a struct daemon. */
int daemon_reload(void *daemon, struct error *why);

/* ---- daemon_open.c ---- */

/* All but accepting. After a failure: daemon_close. */
int daemon_open(struct daemon *daemon, struct error *why);
void daemon_close(struct daemon *daemon);

#endif
