/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/history_log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/control/call.h"
#include "relayd/control/difference.h"

enum { STRETCH = 256 }; /* changes that are looked at in one go, from the newest backwards */

/* A step, with the routes as text; they may hold passwords. */
struct told_step {
	struct journal_text text;
	char *bytes; /* of both texts */
};

struct told_change {
	uint64_t revision;
	int64_t time_ms;
	char *user;
	char *note;
	uint64_t undoes;
	int64_t confirm_by_ms;
	size_t added, changed, deleted;
	size_t left_out;
	size_t count;
	struct told_step steps[HISTORY_LOG_STEPS];
};

struct history_log {
	uint64_t id;
	uint64_t before;
	size_t limit;
	struct told_change **changes; /* the newest first */
	size_t count;
	struct told_change **stretch; /* of the stretch that is being read */
	size_t stretch_count;
	size_t stretch_room;
	uint64_t next;
};

struct history_log *
history_log_new(uint64_t id, uint64_t before, size_t limit)
{
	struct history_log *log = xcalloc(1, sizeof(*log));

	log->id = id;
	log->before = before;
	log->limit = limit;
	log->changes = xcalloc(limit, sizeof(log->changes[0]));
	return log;
}

static void
told_free(struct told_change *told)
{
	for (size_t i = 0; i < told->count; i++) {
		struct told_step *step = &told->steps[i];

		explicit_bzero(step->bytes, step->text.before_len + step->text.after_len);
		free(step->bytes);
	}
	free(told->user);
	free(told->note);
	free(told);
}

void
history_log_free(struct history_log *log)
{
	for (size_t i = 0; i < log->count; i++)
		told_free(log->changes[i]);
	for (size_t i = 0; i < log->stretch_count; i++)
		told_free(log->stretch[i]);
	free(log->changes);
	free(log->stretch);
	free(log);
}

/* ---- reading ---- */

static void
tell_step(struct told_change *told, size_t all_steps, const struct journal_text *text)
{
	struct told_step *step = &told->steps[told->count];

	told->added += text->what == JOURNAL_ADD;
	told->changed += text->what == JOURNAL_SET;
	told->deleted += text->what == JOURNAL_DELETE;
	if (told->count == HISTORY_LOG_STEPS) {
		told->left_out++;
		return;
	}
	told->count++;
	step->text = *text;
	/* As long as it is in the journal, more is known of it: the answer is the same always. */
	if (text->what == JOURNAL_ADD && all_steps > HISTORY_WHOLE_STEPS)
		step->text.after_len = 0;
	step->bytes = xmalloc(step->text.before_len + step->text.after_len + 1);
	memcpy(step->bytes, text->before, step->text.before_len);
	memcpy(step->bytes + step->text.before_len, text->after, step->text.after_len);
}

/* Of a long stretch only the newest are wanted. */
static void
drop_older(struct history_log *log)
{
	size_t wanted = log->limit > STRETCH ? log->limit : STRETCH;
	size_t surplus = log->stretch_count - wanted;

	if (log->stretch_count < 2 * wanted)
		return;
	for (size_t i = 0; i < surplus; i++)
		told_free(log->stretch[i]);
	memmove(log->stretch, log->stretch + surplus, wanted * sizeof(log->stretch[0]));
	log->stretch_count = wanted;
}

static void
keep_change(struct history_log *log, struct told_change *told)
{
	drop_older(log);
	if (log->stretch_count == log->stretch_room) {
		log->stretch_room = log->stretch_room > 0 ? log->stretch_room * 2 : STRETCH;
		log->stretch =
		    xreallocarray(log->stretch, log->stretch_room, sizeof(log->stretch[0]));
	}
	log->stretch[log->stretch_count++] = told;
}

static int
visit(void *ctx, const struct journal_change *change, struct journal_reader *steps,
      struct error *why)
{
	struct history_log *log = ctx;
	struct told_change *told = xcalloc(1, sizeof(*told));
	struct journal_text text;
	int rc;

	while ((rc = journal_reader_step(steps, &text, why)) > 0) {
		if (log->id == 0 || text.id == log->id)
			tell_step(told, change->step_count, &text);
	}
	if (rc < 0 || (log->id != 0 && told->count == 0)) {
		told_free(told);
		return rc;
	}
	told->revision = change->revision;
	told->time_ms = change->time_ms;
	told->user = xstrdup(change->user);
	told->note = xstrdup(change->note);
	told->undoes = change->undoes;
	told->confirm_by_ms = change->confirm_by_ms;
	keep_change(log, told);
	return 0;
}

/* The newest of the stretch first, as many as are wanted. */
static void
take_stretch(struct history_log *log)
{
	while (log->stretch_count > 0) {
		struct told_change *told = log->stretch[--log->stretch_count];

		if (log->count < log->limit)
			log->changes[log->count++] = told;
		else
			told_free(told);
	}
}

int
history_log_read(struct history_log *log, const struct past *past, struct error *why)
{
	const struct past_visitor visitor = {.visit = visit, .ctx = log};
	uint64_t first = past_first(past), above = past->revision + 1;
	uint64_t begin;

	if (log->before != 0 && log->before < above)
		above = log->before;
	while (above > first && log->count < log->limit) {
		begin = above > first + STRETCH ? above - STRETCH : first;
		/* The journal is read from its beginning each time: all that is wanted at once. */
		if (above > history_last(past->history) + 1 &&
		    begin > history_last(past->history) + 1)
			begin = history_last(past->history) + 1;
		if (past_walk(past, begin, above - 1, log->id, &visitor, why) < 0)
			return -1;
		take_stretch(log);
		above = begin;
	}
	if (log->count == log->limit && log->count > 0)
		above = log->changes[log->count - 1]->revision;
	log->next = above > first ? above : 0;
	return 0;
}

/* ---- showing ---- */

static const char *
name_of(const struct journal_text *text)
{
	if (text->what == JOURNAL_ADD)
		return "add";
	return text->what == JOURNAL_SET ? "set" : "delete";
}

static json_t *
step_object(const struct told_step *step)
{
	const struct journal_text *text = &step->text;
	struct route *before = NULL, *after = NULL;
	json_t *object = NULL;
	struct error why;

	if (text->before_len > 0)
		before = route_decode(text->id, step->bytes, text->before_len, &why);
	if (text->after_len > 0)
		after =
		    route_decode(text->id, step->bytes + text->before_len, text->after_len, &why);
	/* Of a large change the new routes are not known, nor is a text of a later version: nothing
	 * is said of their fields then. */
	if ((before != NULL) == (text->before_len > 0) &&
	    (after != NULL) == (text->after_len > 0) && (before != NULL || after != NULL))
		object = difference_of(before, after);
	else
		object = json_pack("{s:s, s:I, s:[]}", "what", name_of(text), "id",
				   (json_int_t)text->id, "fields");
	route_unref(before);
	route_unref(after);
	return object;
}

static json_t *
change_object(const struct told_change *told)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < told->count; i++)
		json_array_append_new(steps, step_object(&told->steps[i]));
	return json_pack(
	    "{s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:I}", "revision",
	    (json_int_t)told->revision, "time", call_time(told->time_ms), "user",
	    call_text(told->user), "note", call_text(told->note), "undoes",
	    told->undoes != 0 ? json_integer((json_int_t)told->undoes) : json_null(), "confirm_by",
	    told->confirm_by_ms != 0 ? call_time(told->confirm_by_ms) : json_null(), "added",
	    (json_int_t)told->added, "changed", (json_int_t)told->changed, "deleted",
	    (json_int_t)told->deleted, "changes", steps, "left_out", (json_int_t)told->left_out);
}

json_t *
history_log_objects(const struct history_log *log, uint64_t *next)
{
	json_t *objects = json_array();

	for (size_t i = 0; i < log->count; i++)
		json_array_append_new(objects, change_object(log->changes[i]));
	*next = log->next;
	return objects;
}
