/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of the client, the hops, delivery and the queue share: the real parts, put
 * together as the daemon does it, in a directory that goes away; times in milliseconds where the
 * daemon has minutes.
 */
#ifndef TESTS_UNIT_MAIL_FIXTURE_H
#define TESTS_UNIT_MAIL_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/net/resolver.h"
#include "relayd/queue/delivery.h"
#include "relayd/queue/hops.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/health.h"
#include "relayd/spool/spool.h"

/* How long a silent server is borne with; and what a test waits for anything before it has failed.
 */
enum { MAIL_REPLY_MS = 250, MAIL_IDLE_MS = 300, MAIL_PATIENCE_MS = 20000 };

struct mail {
	char dir[128];
	int log_fd;
	struct log *log;
	struct loop *loop;
	struct offload *offload;
	struct spool *spool;
	struct changes *changes;
	struct resolver *resolver;
	struct health *health;
	struct hops_options hops_options; /* to be changed before mail_open */
	struct hops *hops;
	struct delivery *delivery;
	struct envelope **found; /* in the spool when it was opened */
	size_t found_count;
};

/* Directory, log, loop and threads; then, opened and closed as often as wanted, what stands on
 * them. */
struct mail *mail_new(void);
void mail_free(struct mail *mail);
void mail_open(struct mail *mail);
void mail_close(
    struct mail *mail); /* its user's queue and envelopes are gone by then, `found` too */

/* A message of the sender to the recipients (NULL behind the last), durable; CRLF line ends. The
 * envelope is the caller's. */
struct envelope *mail_commit(struct mail *mail, const char *sender, const char *body,
			     const char *const *to);

/* Add a route, "remote_host=127.0.0.1\nremote_port=25\n..." (common/route.h). Returns its id. */
uint64_t mail_route(struct mail *mail, const char *record);

/* Run the loop until `holds`, MAIL_PATIENCE_MS at most. */
void mail_until(struct mail *mail, bool (*holds)(void *ctx), void *ctx);

/* Run it for a while, to see that something does not happen. */
void mail_run(struct mail *mail, int64_t for_ms);

int64_t mail_now_ms(void); /* monotonic */

/* How many lines of the log hold both. `second` may be NULL. */
size_t mail_logged(const struct mail *mail, const char *first, const char *second);

#endif
