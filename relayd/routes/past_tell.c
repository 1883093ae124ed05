/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sentences about the past, for those who could not have what they asked for. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/past.h"

enum {
	CHANGES_TOLD = 3, /* by name; of more the count */
	ROUTES_TOLD = 5
};

/* ---- who deleted a route ---- */

struct deletion {
	uint64_t id;
	uint64_t revision; /* 0: none was found */
	int64_t time_ms;
	struct strbuf user;
};

static int
find_deletion(void *ctx, const struct journal_change *change, struct journal_reader *steps,
	      struct error *why)
{
	struct deletion *deletion = ctx;
	struct journal_text step;
	int rc;

	while ((rc = journal_reader_step(steps, &step, why)) > 0) {
		if (step.id != deletion->id || step.what != JOURNAL_DELETE)
			continue;
		deletion->revision = change->revision;
		deletion->time_ms = change->time_ms;
		strbuf_reset(&deletion->user);
		strbuf_puts(&deletion->user, change->user);
	}
	return rc;
}

/* As a person near this machine reads it. */
static void
append_time(int64_t time_ms, struct strbuf *out)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm broken;
	char text[32];

	if (localtime_r(&seconds, &broken) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &broken) > 0)
		strbuf_puts(out, text);
}

int
past_tell_deleted(const struct past *past, uint64_t id, struct strbuf *out, struct error *why)
{
	struct deletion deletion = {.id = id, .user = STRBUF_INIT};
	const struct past_visitor visitor = {.visit = find_deletion, .ctx = &deletion};
	int rc = past_walk(past, past_first(past), past->revision, id, &visitor, why);

	if (rc == 0 && deletion.revision != 0) {
		strbuf_puts(out, " (deleted by ");
		strbuf_escaped(out, deletion.user.data, deletion.user.len);
		strbuf_putc(out, ' ');
		append_time(deletion.time_ms, out);
		strbuf_printf(
		    out, " in rev %" PRIu64 "; 'tmail routes undo %" PRIu64 "' brings it back)",
		    deletion.revision, deletion.revision);
	}
	strbuf_clear(&deletion.user);
	return rc;
}

/* ---- who changed what since ---- */

struct since {
	size_t count;
	struct strbuf *out;
};

static int
tell_change(void *ctx, const struct journal_change *change, struct journal_reader *steps,
	    struct error *why)
{
	struct since *since = ctx;
	struct strbuf *out = since->out;
	struct journal_text step;
	size_t told = 0;
	int rc;

	if (since->count++ >= CHANGES_TOLD)
		return 0;
	strbuf_printf(out, "%srevision %" PRIu64 " by ", since->count > 1 ? ", " : "",
		      change->revision);
	strbuf_escaped(out, change->user, strlen(change->user));
	while ((rc = journal_reader_step(steps, &step, why)) > 0 && told < ROUTES_TOLD)
		strbuf_printf(out, "%s%" PRIu64,
			      told++ > 0                ? ", "
			      : change->step_count == 1 ? " (route "
							: " (routes ",
			      step.id);
	if (rc > 0)
		strbuf_printf(out, " and %zu more", change->step_count - told);
	if (told > 0)
		strbuf_putc(out, ')');
	return rc < 0 ? -1 : 0;
}

int
past_tell_since(const struct past *past, uint64_t revision, struct strbuf *out, struct error *why)
{
	uint64_t first = past_first(past);
	uint64_t from = revision + 1 > first ? revision + 1 : first;
	struct since since = {.out = out};
	const struct past_visitor visitor = {.visit = tell_change, .ctx = &since};

	if (past_walk(past, from, past->revision, 0, &visitor, why) < 0)
		return -1;
	if (since.count > CHANGES_TOLD)
		strbuf_printf(out, " and %zu more", since.count - CHANGES_TOLD);
	return 0;
}
