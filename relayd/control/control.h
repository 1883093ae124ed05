/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket (relayd-control(7)): JSON-RPC 2.0 lines in, one verb table, replies out, for any
 * number of consoles. A reply may come later than its request (a change waits for the disk); replies on one
 * connection keep the order of the requests. A console that does not read is not written to without bound.
 */
#ifndef RELAYD_CONTROL_CONTROL_H
#define RELAYD_CONTROL_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/queue/queue.h"
#include "relayd/routes/changes.h"
#include "relayd/spool/spool.h"

struct control;

/* What the verbs work on; must outlive the control. */
struct control_services {
	struct loop *loop;
	struct log *log;
	struct changes *changes;
	struct queue *queue;
	struct spool *spool;
	const char *hostname;
	const char *version;
	int64_t started_ms; /* wall time */
	/* Inbound and outbound connections now. */
	size_t (*inbound)(void *ctx);
	size_t (*outbound)(void *ctx);
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
