/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue: what is to be delivered, what is due, what is being tried now. Owns the envelopes of all
 * accepted messages. Starts an attempt (queue/delivery.h) when a message is due, writes down what
 * came of it (spool), plans the next one (queue/retry.h) or makes the report (queue/bounce.h).
 */
#ifndef RELAYD_QUEUE_QUEUE_H
#define RELAYD_QUEUE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "relayd/net/loop.h"
#include "relayd/queue/delivery.h"
#include "relayd/spool/envelope.h"
#include "relayd/spool/spool.h"

struct queue;

struct queue_options {
	struct loop *loop;
	struct log *log;
	struct spool *spool;
	struct delivery *delivery;
	const char *hostname;     /* for reports */
	const int64_t *retry_ms;  /* the last repeats */
	size_t retry_count;
	int64_t lifetime_ms;
	unsigned active;          /* attempts at once; 0: 5000 */
};

/* The strings and arrays of the options must outlive the queue, or the next queue_configure. */
struct queue *queue_new(const struct queue_options *options);
void queue_configure(struct queue *queue, const struct queue_options *options);
void queue_free(struct queue *queue); /* attempts in flight are cut: their messages stay in the spool */

/* Take a message that is in the spool: fresh, or found there at start. The queue owns the envelope. */
void queue_add(struct queue *queue, struct envelope *env);

/* Begin delivering (called once, after start-up has handed over all that was found). */
void queue_start(struct queue *queue);

/* No new attempts; `idle` once none is in flight. */
void queue_stop(struct queue *queue, void (*idle)(void *ctx), void *ctx);

enum queue_status {
	QUEUE_ACTIVE,   /* an attempt is being made */
	QUEUE_SCHEDULED /* waits for envelope.next_attempt_ms */
};

struct queue_entry {
	const struct envelope *envelope; /* valid until the caller returns to the loop */
	enum queue_status status;
};

size_t queue_count(const struct queue *queue);

/* The message with the lowest id > after. 0, or -1 at the end. */
int queue_next(const struct queue *queue, uint64_t after, struct queue_entry *entry);

struct queue_stats {
	uint64_t messages;   /* in the queue now */
	uint64_t active;     /* of these, being tried */
	uint64_t delivered;  /* recipients, since start */
	uint64_t deferred;   /* recipients' attempts that ended in a deferral, since start */
	uint64_t failed;     /* recipients, since start */
};
void queue_stats(const struct queue *queue, struct queue_stats *stats);

#endif
