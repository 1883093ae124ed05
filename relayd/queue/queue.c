/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A message's life in the queue:
 *
 *   WAITING    its next attempt is in the schedule
 *   READY      due; stands in line for an attempt
 *   TRYING     an attempt is being made
 *   REPORTING  the attempt is over, the report of failure is being made durable
 *
 * and then WAITING again, or gone. What an attempt has settled is written down before the message
 * moves on; a recipient that failed is closed only once its report is on stable storage.
 */
#include "relayd/queue/queue.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/queue/report.h"
#include "relayd/queue/retry.h"
#include "relayd/queue/roster.h"
#include "relayd/queue/schedule.h"

enum { ACTIVE_DEFAULT = 5000, CLOCK_CHECK_MS = 60000 };

enum state { STATE_WAITING, STATE_READY, STATE_TRYING, STATE_REPORTING };

struct message {
	struct queue *queue;
	struct envelope *env;
	enum state state;
	struct schedule_item due; /* WAITING */
	union {
		STAILQ_ENTRY(message) ready_link; /* READY */
		struct attempt *attempt;          /* TRYING */
		struct {
			struct report *report; /* REPORTING */
			struct recipient_fate *fates;
		};
	};
};

struct queue {
	struct queue_options options;
	struct timer *tick; /* something in the schedule is due */
	struct timer *start_ready;
	struct roster roster;
	struct schedule schedule;
	STAILQ_HEAD(, message) ready;
	size_t busy; /* TRYING and REPORTING */
	bool running;
	void (*idle)(void *ctx);
	void *idle_ctx;
	struct queue_stats stats;
};

/* ---- due messages ---- */

static void
queue_set_tick(struct queue *queue)
{
	const struct schedule_item *first = schedule_first(&queue->schedule);
	int64_t wait_ms;

	if (first == NULL || !queue->running) {
		timer_cancel(queue->tick);
		return;
	}
	wait_ms = first->due_ms - loop_wall_ms(queue->options.loop);
	/* Wall time may jump: look again before long. */
	timer_set(queue->tick, wait_ms < 0                ? 0
			       : wait_ms > CLOCK_CHECK_MS ? CLOCK_CHECK_MS
							  : wait_ms);
}

static void
message_make_ready(struct message *message)
{
	struct queue *queue = message->queue;

	message->state = STATE_READY;
	STAILQ_INSERT_TAIL(&queue->ready, message, ready_link);
	if (queue->running)
		timer_set(queue->start_ready, 0);
}

static void
message_wait(struct message *message)
{
	struct queue *queue = message->queue;

	message->state = STATE_WAITING;
	message->due.due_ms = message->env->next_attempt_ms;
	schedule_add(&queue->schedule, &message->due);
	queue_set_tick(queue);
}

static void
queue_tick(void *ctx)
{
	struct queue *queue = ctx;
	int64_t now_ms = loop_wall_ms(queue->options.loop);
	struct schedule_item *first;

	while ((first = schedule_first(&queue->schedule)) != NULL && first->due_ms <= now_ms) {
		schedule_remove(&queue->schedule, first);
		message_make_ready(
		    (struct message *)((char *)first - offsetof(struct message, due)));
	}
	queue_set_tick(queue);
}

/* ---- the end of an attempt ---- */

static void
message_free(struct message *message)
{
	roster_remove(&message->queue->roster, message->env->id);
	envelope_free(message->env);
	free(message);
}

static void
queue_became_less_busy(struct queue *queue)
{
	queue->busy--;
	if (queue->running)
		timer_set(queue->start_ready, 0);
	else if (queue->busy == 0 && queue->idle != NULL)
		queue->idle(queue->idle_ctx);
}

static const char *
known(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* One line a fate. */
static void
log_fate(const struct message *message, enum log_level level, const char *event, size_t recipient,
	 const struct recipient_fate *fate, uint64_t report)
{
	const struct envelope *env = message->env;
	const struct queue_options *options = &message->queue->options;
	const struct client_facts *facts = &fate->facts;
	char report_id[24] = "", route[FATE_ROUTE_MAX];

	if (!log_wants(options->log, level))
		return;
	if (report != 0)
		(void)snprintf(report_id, sizeof report_id, "%llu", (unsigned long long)report);
	log_event(options->log, level, env->id, event,
		  LOG_S("to", env->recipients[recipient].address), LOG_S("from", env->sender),
		  LOG_S("route", fate_route_text(fate->route_id, route)),
		  LOG_S("remote", fate->remote), LOG_S("local", known(fate->local)),
		  LOG_S("tls", known(facts->tls)), LOG_S("cipher", known(facts->cipher)),
		  LOG_S("verified", facts->tls[0] == '\0' ? NULL
				    : facts->verified     ? "yes"
							  : "no"),
		  LOG_S("auth", known(facts->auth)),
		  LOG_D("delay_ms", loop_wall_ms(options->loop) - env->arrived_ms),
		  LOG_U("attempt", env->attempts), LOG_S("status", fate->status),
		  LOG_S("reply", fate->reply), LOG_S("report", known(report_id)));
}

static void
recipient_note(struct recipient *recipient, const struct recipient_fate *fate)
{
	free(recipient->last_reply);
	recipient->last_reply = fate->remote != NULL
				    ? xasprintf("%s: %s", fate->remote, fate->reply)
				    : xstrdup(fate->reply);
}

/* Whatever is open is tried again later; with nothing open the message is done. */
static void
message_settle(struct message *message)
{
	struct queue *queue = message->queue;
	struct envelope *env = message->env;
	const struct retry retry = {.delays_ms = queue->options.retry_ms,
				    .count = queue->options.retry_count,
				    .lifetime_ms = queue->options.lifetime_ms};

	if (envelope_open_recipients(env) == 0) {
		spool_finish(queue->options.spool, env);
		log_event(queue->options.log, LOG_LEVEL_INFO, env->id, "finished",
			  LOG_U("attempts", env->attempts));
		message_free(message);
	} else {
		env->next_attempt_ms = retry_next_ms(&retry, env->arrived_ms, env->attempts,
						     loop_wall_ms(queue->options.loop));
		spool_forget_memory(queue->options.spool, env);
		spool_progress(queue->options.spool, env);
		message_wait(message);
	}
	queue_became_less_busy(queue);
}

static void
message_defer(struct message *message, size_t recipient, const struct recipient_fate *fate,
	      const char *event)
{
	recipient_note(&message->env->recipients[recipient], fate);
	message->queue->stats.deferred++;
	log_fate(message, LOG_LEVEL_INFO, event, recipient, fate, 0);
}

static void
message_fail(struct message *message, size_t recipient, const struct recipient_fate *fate,
	     uint64_t report)
{
	message->env->recipients[recipient].state = RECIPIENT_FAILED;
	message->queue->stats.failed++;
	log_fate(message, LOG_LEVEL_NOTICE, "failed", recipient, fate, report);
}

static void
fates_free(struct recipient_fate *fates, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		recipient_fate_clear(&fates[i]);
	free(fates);
}

static void
message_reported(void *ctx, struct envelope *made, const struct error *why)
{
	struct message *message = ctx;
	struct queue *queue = message->queue;
	struct recipient_fate *fates = message->fates;
	size_t i, count = message->env->recipient_count;

	message->report = NULL;
	message->fates = NULL;
	for (i = 0; i < count; i++) {
		if (fates[i].fate != FATE_FAILED)
			continue;
		if (made != NULL)
			message_fail(message, i, &fates[i], made->id);
		else
			message_defer(message, i, &fates[i], "unreported");
	}
	fates_free(fates, count);
	if (made == NULL)
		log_event(queue->options.log, LOG_LEVEL_ERROR, message->env->id, "report-failed",
			  LOG_S("reason", why->text));
	else
		queue_add(queue, made);
	message_settle(message);
}

/* Keep the fates that failed until their report is made. */
static struct recipient_fate *
fates_copy(const struct recipient_fate *fates, size_t count)
{
	struct recipient_fate *copy = xcalloc(count, sizeof *copy);
	size_t i;

	for (i = 0; i < count; i++) {
		if (fates[i].fate != FATE_FAILED)
			continue;
		copy[i] = fates[i];
		copy[i].remote = xstrdup(fates[i].remote);
		copy[i].remote_name = xstrdup(fates[i].remote_name);
		copy[i].reply = xstrdup(fates[i].reply);
	}
	return copy;
}

static void
message_report(struct message *message, struct recipient_fate *fates)
{
	struct queue *queue = message->queue;
	const struct report_options options = {.loop = queue->options.loop,
					       .spool = queue->options.spool,
					       .hostname = queue->options.hostname};

	message->state = STATE_REPORTING;
	message->fates = fates;
	message->report = report_new(&options, message->env, fates, message_reported, message);
}

/* A deferral at the end of the message's life is a failure. */
static void
fate_expire(struct recipient_fate *fate)
{
	char *text = xasprintf("not delivered before the end of its time in the queue; last: %s",
			       fate->reply);

	free(fate->reply);
	fate->reply = text;
	fate->from_remote = false;
	fate->fate = FATE_FAILED;
	(void)snprintf(fate->status, sizeof fate->status, "4.4.7");
}

static void
message_tried(void *ctx, struct recipient_fate *fates)
{
	struct message *message = ctx;
	struct queue *queue = message->queue;
	struct envelope *env = message->env;
	const struct retry retry = {.lifetime_ms = queue->options.lifetime_ms};
	bool expired = retry_is_expired(&retry, env->arrived_ms, loop_wall_ms(queue->options.loop));
	size_t i, failed = 0, delivered = 0;

	message->attempt = NULL;
	env->attempts++;
	for (i = 0; i < env->recipient_count; i++) {
		if (fates[i].fate == FATE_DEFERRED && expired)
			fate_expire(&fates[i]);
		switch (fates[i].fate) {
		case FATE_NONE:
			break;
		case FATE_DELIVERED:
			env->recipients[i].state = RECIPIENT_DELIVERED;
			free(env->recipients[i].last_reply);
			env->recipients[i].last_reply = NULL;
			queue->stats.delivered++;
			delivered++;
			log_fate(message, LOG_LEVEL_INFO, "delivered", i, &fates[i], 0);
			break;
		case FATE_DEFERRED:
			message_defer(message, i, &fates[i], "deferred");
			break;
		case FATE_FAILED:
			failed++;
			if (env->sender[0] ==
			    '\0') /* never a report about a report (RFC 5321 §6.1) */
				message_fail(message, i, &fates[i], 0);
			break;
		}
	}
	if (failed > 0 && env->sender[0] != '\0') {
		if (delivered > 0)
			spool_progress(queue->options.spool, env);
		message_report(message, fates_copy(fates, env->recipient_count));
	} else {
		message_settle(message);
	}
}

/* ---- starting attempts ---- */

static void
queue_start_ready(void *ctx)
{
	struct queue *queue = ctx;
	struct message *message;
	unsigned limit = queue->options.active ? queue->options.active : ACTIVE_DEFAULT;

	while (queue->running && queue->busy < limit &&
	       (message = STAILQ_FIRST(&queue->ready)) != NULL) {
		STAILQ_REMOVE_HEAD(&queue->ready, ready_link);
		message->state = STATE_TRYING;
		queue->busy++;
		message->attempt =
		    delivery_attempt(queue->options.delivery, message->env, message_tried, message);
	}
}

/* ---- the owner's side ---- */

struct queue *
queue_new(const struct queue_options *options)
{
	struct queue *queue = xcalloc(1, sizeof *queue);

	queue->options = *options;
	queue->tick = timer_new(options->loop, queue_tick, queue);
	queue->start_ready = timer_new(options->loop, queue_start_ready, queue);
	STAILQ_INIT(&queue->ready);
	return queue;
}

void
queue_configure(struct queue *queue, const struct queue_options *options)
{
	queue->options = *options;
}

void
queue_free(struct queue *queue)
{
	struct message *message;

	if (queue == NULL)
		return;
	while ((message = roster_next(&queue->roster, 0)) != NULL) {
		if (message->state == STATE_TRYING)
			attempt_cancel(message->attempt);
		if (message->state == STATE_REPORTING) {
			report_cancel(message->report);
			fates_free(message->fates, message->env->recipient_count);
		}
		message_free(message);
	}
	roster_clear(&queue->roster);
	schedule_clear(&queue->schedule);
	timer_free(queue->tick);
	timer_free(queue->start_ready);
	free(queue);
}

void
queue_add(struct queue *queue, struct envelope *env)
{
	struct message *message = xcalloc(1, sizeof *message);

	message->queue = queue;
	message->env = env;
	roster_add(&queue->roster, env->id, message);
	if (env->next_attempt_ms > loop_wall_ms(queue->options.loop))
		message_wait(message);
	else
		message_make_ready(message);
}

void
queue_start(struct queue *queue)
{
	queue->running = true;
	timer_set(queue->start_ready, 0);
	queue_set_tick(queue);
}

void
queue_stop(struct queue *queue, void (*idle)(void *ctx), void *ctx)
{
	queue->running = false;
	queue->idle = idle;
	queue->idle_ctx = ctx;
	timer_cancel(queue->tick);
	timer_cancel(queue->start_ready);
	if (queue->busy == 0)
		idle(ctx);
}

size_t
queue_count(const struct queue *queue)
{
	return roster_count(&queue->roster);
}

int
queue_next(const struct queue *queue, uint64_t after, struct queue_entry *entry)
{
	const struct message *message = roster_next(&queue->roster, after);

	if (message == NULL)
		return -1;
	entry->envelope = message->env;
	entry->status = message->state == STATE_TRYING || message->state == STATE_REPORTING
			    ? QUEUE_ACTIVE
			    : QUEUE_SCHEDULED;
	return 0;
}

void
queue_stats(const struct queue *queue, struct queue_stats *stats)
{
	*stats = queue->stats;
	stats->messages = roster_count(&queue->roster);
	stats->active = queue->busy;
}
