/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue.list, queue.count. */
#include "relayd/control/verbs.h"

#include <string.h>

#include "common/strbuf.h"
#include "relayd/queue/queue.h"

enum {
	PAGE_DEFAULT = 500,
	PAGE_MOST = 10000,
	RECIPIENTS_ENOUGH = 20000 /* after which a page ends early */
};

static const char *
status_name(enum queue_status status)
{
	switch (status) {
	case QUEUE_ACTIVE:
		return "active";
	case QUEUE_SCHEDULED:
		return "scheduled";
	}
	return "scheduled";
}

static const char *
state_name(enum recipient_state state)
{
	switch (state) {
	case RECIPIENT_OPEN:
		return "open";
	case RECIPIENT_DELIVERED:
		return "delivered";
	case RECIPIENT_FAILED:
		return "failed";
	}
	return "open";
}

static json_t *
message_object(const struct queue_entry *entry)
{
	const struct envelope *env = entry->envelope;
	int64_t next_ms = env->next_attempt_ms > 0 ? env->next_attempt_ms : env->arrived_ms;
	json_t *recipients = json_array();

	for (size_t i = 0; i < env->recipient_count; i++)
		json_array_append_new(recipients,
				      json_pack("{s:o, s:s, s:o}", "address",
						call_text(env->recipients[i].address), "state",
						state_name(env->recipients[i].state), "last_reply",
						call_text(env->recipients[i].last_reply)));
	return json_pack("{s:I, s:o, s:o, s:I, s:I, s:o, s:o, s:s, s:o}", "id", (json_int_t)env->id,
			 "sender", call_text(env->sender), "login", call_text(env->login),
			 "size", (json_int_t)env->size, "attempts", (json_int_t)env->attempts,
			 "added", call_time(env->arrived_ms), "next_attempt", call_time(next_ms),
			 "status", status_name(entry->status), "recipients", recipients);
}

void
verb_queue_list(struct call *call)
{
	const struct queue *queue = call_services(call)->queue;
	json_int_t after = 0, limit = PAGE_DEFAULT;
	json_t *messages;
	struct queue_entry entry;
	size_t recipients = 0;
	struct error why;
	bool more;

	if (call_integer(call, "after", 0, INT64_MAX, &after, &why) != 0 ||
	    call_integer(call, "limit", 1, PAGE_MOST, &limit, &why) != 0) {
		call_misused(call, why.text);
		return;
	}
	messages = json_array();
	more = queue_next(queue, (uint64_t)after, &entry) == 0;
	for (; more && limit > 0 && recipients < RECIPIENTS_ENOUGH; limit--) {
		json_array_append_new(messages, message_object(&entry));
		recipients += entry.envelope->recipient_count;
		after = (json_int_t)entry.envelope->id;
		more = queue_next(queue, (uint64_t)after, &entry) == 0;
	}
	call_answer(call, json_pack("{s:I, s:o, s:o}", "count", (json_int_t)queue_count(queue),
				    "messages", messages, "next",
				    more ? json_integer(after) : json_null()));
}

void
verb_queue_count(struct call *call)
{
	struct queue_stats stats;

	queue_stats(call_services(call)->queue, &stats);
	call_answer(call, json_pack("{s:I, s:I}", "messages", (json_int_t)stats.messages, "active",
				    (json_int_t)stats.active));
}
