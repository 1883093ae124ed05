/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the sessions of all, or those of one host, are used up, the longest idle one makes room, or
 * the hop stands in line; a session that has done a few jobs is then given up for the first in
 * line, if that one has none or clearly fewer: no hop waits for a busier one to run dry.
 *
 * A hop stands in one line at a time: in that of its host for as long as the host has no room, and
 * only then in that of all, where it would only hold up others.
 */
#include "relayd/queue/hop.h"

void
quota_init(struct quota *quota)
{
	quota->used = 0;
	TAILQ_INIT(&quota->idle);
	TAILQ_INIT(&quota->first_line);
	TAILQ_INIT(&quota->second_line);
}

static size_t
quota_limit(const struct hops *hops, const struct quota *quota)
{
	return quota == &hops->quota ? hops->options.total : hops->options.per_host;
}

static struct hop *
quota_first(const struct quota *quota)
{
	struct hop *first = TAILQ_FIRST(&quota->first_line);

	return first != NULL ? first : TAILQ_FIRST(&quota->second_line);
}

bool
quota_has_room(const struct hops *hops, const struct quota *quota)
{
	return quota->used < quota_limit(hops, quota) || !TAILQ_EMPTY(&quota->idle);
}

void
quota_call(struct quota *quota)
{
	struct hop *first = quota_first(quota);
	const struct session *idle = TAILQ_FIRST(&quota->idle);

	if (first != NULL)
		hop_due(first);
	else if (idle != NULL && idle->hop->waiting_count > 0 &&
		 quota_first(&idle->hop->host->quota) == NULL &&
		 quota_first(&idle->hop->hops->quota) == NULL)
		hop_due(idle->hop);
}

void
hop_call_lines(struct hop *hop)
{
	quota_call(&hop->host->quota);
	quota_call(&hop->hops->quota);
}

/* ---- standing in line ---- */

void
hop_leave_line(struct hop *hop)
{
	if (hop->line != NULL)
		TAILQ_REMOVE(hop->line, hop, line_link);
	hop->line = NULL;
}

void
hop_join_line(struct hop *hop)
{
	struct quota *quota = hop->blocked_by != NULL ? hop->blocked_by : &hop->hops->quota;
	struct hop_line *line = hop->session_count == 0 ? &quota->first_line : &quota->second_line;

	if (hop->line == line)
		return;
	hop_leave_line(hop);
	TAILQ_INSERT_TAIL(line, hop, line_link);
	hop->line = line;
}

/* Close the session that has been idle longest. */
static bool
quota_make_room(struct quota *quota)
{
	struct session *session = TAILQ_FIRST(&quota->idle);
	struct hop *hop;

	if (session == NULL)
		return false;
	hop = session->hop;
	session_quit(session);
	if (hop->waiting_count > 0)
		hop_due(hop); /* it gave that one up, and stands in line now */
	else
		hop_drop_if_unused(hop);
	return true;
}

static bool
quota_allows(struct quota *quota, const struct hop *hop)
{
	const struct hop *first = quota_first(quota);

	if (first != NULL && first != hop)
		return false;
	return quota->used < quota_limit(hop->hops, quota) || quota_make_room(quota);
}

bool
hop_may_open(struct hop *hop)
{
	hop->blocked_by = &hop->host->quota;
	if (!quota_allows(hop->blocked_by, hop))
		return false;
	hop->blocked_by = &hop->hops->quota;
	if (!quota_allows(hop->blocked_by, hop))
		return false;
	hop->blocked_by = NULL;
	return true;
}

/* ---- giving up a session ---- */

static bool
quota_must_yield(const struct quota *quota, const struct hop *hop)
{
	const struct hop *first = quota_first(quota);

	return first != NULL && first != hop && quota->used >= quota_limit(hop->hops, quota) &&
	       TAILQ_EMPTY(&quota->idle) &&
	       (first->session_count == 0 || first->session_count + 1 < hop->session_count);
}

bool
hop_must_yield(const struct hop *hop)
{
	return quota_must_yield(&hop->host->quota, hop) || quota_must_yield(&hop->hops->quota, hop);
}
