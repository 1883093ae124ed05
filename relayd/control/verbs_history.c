/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.log, routes.undo, routes.confirm; and who deleted a route that is asked for. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/control/change_params.h"
#include "relayd/control/history_log.h"
#include "relayd/control/verbs.h"
#include "relayd/routes/undo.h"

enum {
	LOG_DEFAULT = 100,
	LOG_MOST = 1000,
	UNDONE_MOST = 10000 /* routes in an answer: it must be a line */
};

/* ---- log ---- */

struct log_question {
	struct call *call;
	struct history_log *log;
};

static int
read_log(void *ctx, const struct past *past, struct error *why)
{
	const struct log_question *question = ctx;

	return history_log_read(question->log, past, why);
}

static void
answer_log(void *ctx, const struct error *why)
{
	struct log_question *question = ctx;
	struct call *call = question->call;
	uint64_t next;
	json_t *changes;

	if (why != NULL) {
		call_refuse(call, why, NULL);
	} else {
		changes = history_log_objects(question->log, &next);
		call_answer(call,
			    json_pack("{s:I, s:o, s:o}", "revision",
				      (json_int_t)changes_revision(call_services(call)->changes),
				      "changes", changes, "next",
				      next != 0 ? json_integer((json_int_t)next) : json_null()));
	}
	history_log_free(question->log);
	free(question);
}

void
verb_routes_log(struct call *call)
{
	json_int_t id = 0, after = 0, limit = LOG_DEFAULT;
	struct log_question *question;
	struct error why;

	if (call_integer(call, "id", 1, INT64_MAX, &id, &why) < 0 ||
	    call_integer(call, "after", 0, INT64_MAX, &after, &why) < 0 ||
	    call_integer(call, "limit", 1, LOG_MOST, &limit, &why) < 0) {
		call_misused(call, why.text);
		return;
	}
	question = xcalloc(1, sizeof(*question));
	question->call = call;
	question->log = history_log_new((uint64_t)id, (uint64_t)after, (size_t)limit);
	changes_read(call_services(call)->changes, read_log, answer_log, question);
}

/* ---- undo, confirm ---- */

void
verb_routes_undo(struct call *call)
{
	struct change change = {.expected_revision = -1};
	json_int_t revision = 0;
	struct error why;

	if (call_integer(call, "revision", 1, INT64_MAX, &revision, &why) < 0) {
		call_misused(call, why.text);
		return;
	}
	undo_change(&change, (uint64_t)revision);
	call_change(call, &change, UNDONE_MOST);
}

static void
confirmed(void *ctx, uint64_t revision, const struct error *why)
{
	struct call *call = ctx;

	if (why != NULL)
		call_refuse(call, why, NULL);
	else
		call_answer(call, json_pack("{s:I}", "revision", (json_int_t)revision));
}

void
verb_routes_confirm(struct call *call)
{
	changes_confirm(call_services(call)->changes, call_user(call), confirmed, call);
}

/* ---- a route that is not there ---- */

struct missing {
	struct call *call;
	uint64_t id;
	struct strbuf told;
};

static int
read_deletion(void *ctx, const struct past *past, struct error *why)
{
	struct missing *missing = ctx;

	return past_tell_deleted(past, missing->id, &missing->told, why);
}

static void
refuse_missing(void *ctx, const struct error *unread)
{
	struct missing *missing = ctx;
	struct error why;

	/* It is not there, whether or not that could be read. */
	(void)unread;
	error_set(&why, ERROR_NOT_FOUND, "no route %" PRIu64 "%s", missing->id,
		  missing->told.len > 0 ? missing->told.data : "");
	call_refuse(missing->call, &why, "tmail routes list -o id");
	strbuf_clear(&missing->told);
	free(missing);
}

void
verbs_refuse_missing(struct call *call, uint64_t id)
{
	struct missing *missing = xcalloc(1, sizeof(*missing));

	missing->call = call;
	missing->id = id;
	changes_read(call_services(call)->changes, read_deletion, refuse_missing, missing);
}
