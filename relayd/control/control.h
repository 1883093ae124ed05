/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket (relayd-control(7)): JSON-RPC 2.0 lines in, one verb table, replies out, for any
 * number of consoles. A reply may come later than its request (a change waits for the disk); replies on one
 * connection keep the order of the requests. A console that does not read is not written to without bound.
 */
#ifndef RELAYD_CONTROL_CONTROL_H
#define RELAYD_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/net/resolver.h"
#include "relayd/queue/queue.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/health.h"
#include "relayd/routes/stats.h"
#include "relayd/smtp/client.h"
#include "relayd/spool/spool.h"

struct control;
struct lists;
struct tasks;

enum { CONTROL_LISTENERS_MAX = 64 }; /* what is beyond is not known as ourselves */

struct control_outgoing {
	struct client_options client;
	const char *local_ips; /* of routes that name none; NULL: the kernel chooses */
	const int64_t *retry_ms;
	size_t retry_count;
	int64_t lifetime_ms;
	size_t listener_count; /* where we listen */
	struct netaddr listeners[CONTROL_LISTENERS_MAX];
};

/* What the verbs work on; must outlive the control. */
struct control_services {
	struct loop *loop;
	struct offload *offload;
	struct log *log;
	struct changes *changes;
	struct lists *lists; /* sorted ones */
	struct pasts *pasts; /* of earlier revisions */
	struct tasks *tasks;
	struct stats *stats; /* NULL: nothing is counted */
	struct health *health;
	struct resolver *resolver;
	struct queue *queue;
	struct spool *spool;
	bool authentication; /* clients can log in: routes with a user or a sender can match */
	const char *hostname;
	const char *version;
	int64_t started_ms; /* wall time */
	/* Inbound and outbound connections now. */
	size_t (*inbound)(void *ctx);
	size_t (*outbound)(void *ctx);
	/* How mail goes out, as it is configured now. Borrowed until the loop goes on. */
	void (*outgoing)(void *ctx, struct control_outgoing *out);
	/* Reread the configuration, as SIGHUP does. */
	int (*reload)(void *ctx, struct error *why);
	void *ctx;
};

/* Bind PATH now (mode 0660, group `gid` unless (gid_t)-1), serve from control_start on. */
struct control *control_new(const struct control_services *services, const char *path, gid_t gid,
    struct error *why);
void control_start(struct control *control);
void control_free(struct control *control); /* requests that wait are dropped; their changes go on */

#endif
