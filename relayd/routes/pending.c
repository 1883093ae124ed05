/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/pending.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "common/strbuf.h"
#include "common/xalloc.h"

struct pending *
pending_new(const struct change *change)
{
	struct pending *pending = xcalloc(1, sizeof(*pending));

	pending->change = *change;
	pending->user = xstrdup(change->user != NULL ? change->user : "");
	pending->note = xstrdup(change->note);
	pending->change.user = pending->user;
	pending->change.note = pending->note;
	for (size_t i = 0; change->make == NULL && i < change->step_count; i++) {
		const struct change_step *step = &change->steps[i];

		switch (step->what) {
		case CHANGE_ADD:
			change_steps_add(&pending->steps, route_copy(step->route));
			break;
		case CHANGE_SET:
			change_steps_set(&pending->steps, route_copy(step->route));
			break;
		case CHANGE_RESTORE:
			change_steps_restore(&pending->steps, route_copy(step->route));
			break;
		case CHANGE_DELETE:
			change_steps_delete(&pending->steps, step->id);
			break;
		}
	}
	return pending;
}

struct pending *
pending_new_other(enum pending_kind kind, const char *user, void *ctx)
{
	struct pending *pending = xcalloc(1, sizeof(*pending));

	pending->kind = kind;
	pending->user = xstrdup(user);
	pending->ctx = ctx;
	return pending;
}

void
pending_free(struct pending *pending)
{
	for (size_t i = 0; pending->records != NULL && i < pending->steps.count; i++)
		route_unref((struct route *)(uintptr_t)pending->before[i]);
	change_steps_clear(&pending->steps);
	if (pending->change.free_ctx != NULL)
		pending->change.free_ctx(pending->change.make_ctx);
	free(pending->before);
	free(pending->records);
	free(pending->user);
	free(pending->note);
	free(pending);
}

bool
pending_is_first(const struct pending *pending)
{
	return pending->change.make != NULL || pending->change.confirm_within_ms > 0 ||
	       pending_is_alone(pending);
}

bool
pending_is_reading(const struct pending *pending)
{
	return pending->kind == PENDING_READING ||
	       (pending->kind == PENDING_CHANGE && pending->change.prepare != NULL &&
		!pending->prepared);
}

bool
pending_is_alone(const struct pending *pending)
{
	return pending->kind != PENDING_CHANGE || pending->change.dry_run ||
	       pending_is_reading(pending);
}

bool
pending_is_kept(const struct pending *pending)
{
	return pending->kind == PENDING_CHANGE && !pending->refused && !pending->change.dry_run &&
	       pending->steps.count > 0;
}

/* ---- a change ---- */

static int
check_revision(struct pending *pending, uint64_t revision, struct error *why)
{
	int64_t expected = pending->change.expected_revision;

	if (expected < 0 || (uint64_t)expected == revision)
		return 0;
	if ((uint64_t)expected < revision)
		pending->explain = EXPLAIN_SINCE;
	return error_set(why, ERROR_CONFLICT,
			 "the routes are at revision %" PRIu64 ", not %" PRId64, revision,
			 expected);
}

static int
check_timed(const struct journal_timed *timed, struct error *why)
{
	time_t at = (time_t)(timed->confirm_by_ms / 1000);
	struct tm broken;
	char text[32];

	if (timed->revision == 0)
		return 0;
	if (localtime_r(&at, &broken) == NULL ||
	    strftime(text, sizeof(text), "%H:%M:%S", &broken) == 0)
		text[0] = '\0';
	return error_set(why, ERROR_CONFLICT,
			 "revision %" PRIu64 " waits to be confirmed until %s: first keep it "
			 "('tmail routes confirm') or undo it ('tmail routes undo %" PRIu64 "')",
			 timed->revision, text, timed->revision);
}

static int
make_and_check(struct pending *pending, const struct pending_present *present, struct error *why)
{
	const struct change *change = &pending->change;
	struct outlook *outlook = present->outlook;

	if (pending->refused)
		return -1;
	if (check_revision(pending, outlook_revision(outlook), why) < 0)
		return -1;
	if (change->confirm_within_ms > 0 && check_timed(&present->timed, why) < 0)
		return -1;
	if (change->make != NULL &&
	    change->make(change->make_ctx, present->table, outlook_next_id(outlook),
			 &pending->steps, why) < 0)
		return -1;
	pending->before = xcalloc(pending->steps.count, sizeof(pending->before[0]));
	return outlook_change(outlook, &pending->steps, pending->before, why);
}

/* What the journal gets. */
static void
make_record(struct pending *pending, const struct pending_present *present)
{
	const struct change_steps *steps = &pending->steps;
	int64_t within_ms = pending->change.confirm_within_ms;

	if (pending->note == NULL && steps->undoes != 0)
		pending->note = xasprintf("undo of %" PRIu64, steps->undoes);
	pending->record = (struct journal_change){
	    .revision = outlook_revision(present->outlook),
	    .time_ms = present->now_ms,
	    .user = pending->user,
	    .note = pending->note,
	    .next_id = outlook_next_id(present->outlook),
	    .step_count = steps->count,
	    .undoes = steps->undoes,
	    .confirm_by_ms = within_ms > 0 ? present->now_ms + within_ms : 0};
	pending->records = xcalloc(steps->count, sizeof(pending->records[0]));
	for (size_t i = 0; i < steps->count; i++) {
		const struct change_step *step = &steps->items[i];

		pending->records[i].before = pending->before[i];
		pending->records[i].after = step->route;
		pending->records[i].id = step->route != NULL ? step->route->id : step->id;
		/* The table lets go of it when the change is applied. */
		if (pending->before[i] != NULL)
			(void)route_ref(pending->before[i]);
	}
}

void
pending_check(struct pending *pending, const struct pending_present *present)
{
	if (make_and_check(pending, present, &pending->why) == 0) {
		make_record(pending, present);
		return;
	}
	pending->refused = true;
	if (pending->steps.missing != 0 &&
	    pending->steps.missing < outlook_next_id(present->outlook))
		pending->explain = EXPLAIN_MISSING;
}

/* ---- why not ---- */

bool
pending_wants_explanation(const struct pending *pending)
{
	return pending->refused && pending->explain != EXPLAIN_NOTHING;
}

void
pending_explain(struct pending *pending, const struct past *past)
{
	struct strbuf text = STRBUF_INIT;
	struct error unread;
	int rc;

	if (pending->explain == EXPLAIN_MISSING)
		rc = past_tell_deleted(past, pending->steps.missing, &text, &unread);
	else
		rc = past_tell_since(past, (uint64_t)pending->change.expected_revision, &text,
				     &unread);
	/* The refusal stands, with or without it. */
	if (rc == 0 && text.len > 0) {
		struct error refusal = pending->why;

		error_set(&pending->why, refusal.code, "%s%s%s", refusal.text,
			  pending->explain == EXPLAIN_SINCE ? ": " : "", text.data);
	}
	strbuf_clear(&text);
}

/* ---- the report ---- */

static void
report_change(const struct pending *pending, uint64_t revision)
{
	const struct change_steps *steps = &pending->steps;
	const struct route **routes = xcalloc(steps->count, sizeof(routes[0]));

	for (size_t i = 0; i < steps->count; i++)
		routes[i] = steps->items[i].route;
	pending->done(pending->ctx,
		      &(struct change_result){
			  .revision = revision,
			  .confirm_by_ms = steps->count > 0 ? pending->record.confirm_by_ms : 0,
			  .count = steps->count,
			  .steps = steps->items,
			  .routes = routes,
			  .before = pending->before},
		      NULL);
	free(routes);
}

void
pending_report(const struct pending *pending, uint64_t revision)
{
	if (pending->refused)
		pending_fail(pending, &pending->why);
	else if (pending->kind == PENDING_READING)
		pending->have_read(pending->ctx, NULL);
	else if (pending->kind == PENDING_CONFIRMATION)
		pending->have_confirmed(pending->ctx, pending->confirmed.revision, NULL);
	else
		report_change(pending, revision);
}

void
pending_fail(const struct pending *pending, const struct error *why)
{
	if (pending->kind == PENDING_READING)
		pending->have_read(pending->ctx, why);
	else if (pending->kind == PENDING_CONFIRMATION)
		pending->have_confirmed(pending->ctx, 0, why);
	else
		pending->done(pending->ctx, NULL, why);
}
