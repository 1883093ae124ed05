/* SPDX-License-Identifier: GPL-3.0-or-later */
/* server.status, server.version, server.reload. */
#include "relayd/control/verbs.h"

#include <unistd.h>

#include "relayd/net/loop.h"
#include "relayd/queue/queue.h"
#include "relayd/routes/changes.h"
#include "relayd/spool/spool.h"

static void
put_number(json_t *object, const char *name, uint64_t number)
{
	json_object_set_new(object, name, json_integer((json_int_t)number));
}

/* The change that waits to be confirmed. */
static void
put_timed(json_t *status, const struct changes *changes)
{
	struct journal_timed timed = changes_timed(changes);

	json_object_set_new(status, "confirm_revision",
			    timed.revision != 0 ? json_integer((json_int_t)timed.revision)
						: json_null());
	json_object_set_new(status, "confirm_by",
			    timed.revision != 0 ? call_time(timed.confirm_by_ms) : json_null());
}

void
verb_server_status(struct call *call)
{
	const struct control_services *services = call_services(call);
	int64_t up_ms = loop_wall_ms(services->loop) - services->started_ms;
	struct queue_stats queue;
	struct spool_stats spool;
	json_t *status = json_object();

	queue_stats(services->queue, &queue);
	spool_stats(services->spool, &spool);
	json_object_set_new(status, "hostname", json_string(services->hostname));
	json_object_set_new(status, "version", json_string(services->version));
	put_number(status, "pid", (uint64_t)getpid());
	json_object_set_new(status, "started", call_time(services->started_ms));
	/* The clock may have been set back since. */
	put_number(status, "uptime_s", up_ms > 0 ? (uint64_t)up_ms / 1000 : 0);
	put_number(status, "revision", changes_revision(services->changes));
	put_number(status, "routes", table_count(changes_table(services->changes)));
	put_timed(status, services->changes);
	put_number(status, "queue_messages", queue.messages);
	put_number(status, "queue_active", queue.active);
	put_number(status, "delivered", queue.delivered);
	put_number(status, "deferred", queue.deferred);
	put_number(status, "failed", queue.failed);
	put_number(status, "spool_messages", spool.messages);
	put_number(status, "spool_bytes", spool.bytes_alive);
	put_number(status, "spool_disk_bytes", spool.bytes_on_disk);
	put_number(status, "spool_segments", spool.segments);
	put_number(status, "spool_failures", spool.failures);
	put_number(status, "connections_in", services->inbound(services->ctx));
	put_number(status, "connections_out", services->outbound(services->ctx));
	call_answer(call, status);
}

void
verb_server_version(struct call *call)
{
	call_answer(call, json_pack("{s:s}", "version", call_services(call)->version));
}

void
verb_server_reload(struct call *call)
{
	const struct control_services *services = call_services(call);
	struct error why;

	if (services->reload(services->ctx, &why) == 0) {
		call_answer(call, json_object());
		return;
	}
	/* Wrong words, but of the file: those of the request were right. */
	if (why.code == ERROR_USAGE)
		why.code = ERROR_REFUSED;
	call_refuse(call, &why, NULL);
}
