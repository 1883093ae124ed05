/* SPDX-License-Identifier: GPL-3.0-or-later */
/* routes.add, set, del, move, enable, disable and batch. No answer holds a password. */
#include "relayd/control/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "common/xalloc.h"
#include "relayd/control/change_params.h"
#include "relayd/control/edit_params.h"
#include "relayd/control/route_object.h"
#include "relayd/routes/edits.h"

enum { COMMANDS_MOST = 100000 };

/* What a change is made of; freed with it. */
struct editing {
	struct call *call; /* not answered before `make` has run */
	struct edits edits;
	bool batch;
};

static struct editing *
editing_new(struct call *call)
{
	struct editing *editing = xcalloc(1, sizeof(*editing));

	editing->call = call;
	return editing;
}

static void
editing_free(void *ctx)
{
	struct editing *editing = ctx;

	edits_clear(&editing->edits);
	free(editing);
}

/* "failures": which of the things asked for can't be done, and why. */
static void
put_failures(struct call *call, const struct edits *edits)
{
	size_t count = edits->failure_count < EDIT_FAILURES ? edits->failure_count : EDIT_FAILURES;
	json_t *failures = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(failures, json_pack("{s:I, s:i, s:s}", "at",
							  (json_int_t)edits->failures[i].at, "code",
							  (int)edits->failures[i].why.code,
							  "message", edits->failures[i].why.text));
	call_put(call, "failures", failures);
	call_put(call, "failure_count", json_integer((json_int_t)edits->failure_count));
}

/* "present": the routes that did not have to be added. */
static void
put_present(struct call *call, const struct edits *edits)
{
	struct strbuf lines = STRBUF_INIT;
	json_t *routes = json_array();

	for (size_t i = 0; i < edits->present_count && i < EDIT_PARAMS_MOST; i++) {
		json_array_append_new(routes, route_object(call_services(call), edits->present[i]));
		route_line(edits->present[i], &lines);
		strbuf_putc(&lines, '\n');
	}
	call_put(call, "present", routes);
	call_put(call, "present_lines", route_object_lines(&lines));
}

static int
make(void *ctx, const struct table *table, uint64_t next_id, struct change_steps *out,
     struct error *why)
{
	struct editing *editing = ctx;
	int rc = edits_make(&editing->edits, table, next_id, out, why);

	if (rc != 0 && editing->batch)
		put_failures(editing->call, &editing->edits);
	if (rc == 0 && editing->edits.present_count > 0)
		put_present(editing->call, &editing->edits);
	if (editing->batch)
		call_put(editing->call, "first_added", json_integer((json_int_t)next_id));
	return rc;
}

static void
run(struct call *call, struct editing *editing)
{
	struct change change = {.make = make, .make_ctx = editing, .free_ctx = editing_free};

	call_change(call, &change, EDIT_PARAMS_MOST);
}

void
verb_routes_edit(struct call *call)
{
	struct editing *editing = editing_new(call);
	struct error why;

	/* Behind "routes." */
	if (edit_params_read(call_method(call) + 7, call_params(call), 0, &editing->edits, &why) ==
	    0) {
		run(call, editing);
		return;
	}
	editing_free(editing);
	if (why.code == ERROR_USAGE)
		call_misused(call, why.text);
	else
		call_refuse(call, &why, NULL);
}

/* All commands are read, so that all failures can be told. */
static int
read_commands(json_t *commands, struct edits *edits, struct error *first)
{
	struct error why;
	json_t *command;
	size_t i;

	json_array_foreach(commands, i, command)
	{
		if (edit_params_read_command(command, i, edits, &why) != 0)
			edits_fail(edits, i, &why);
	}
	if (edits->failure_count == 0)
		return 0;
	*first = edits->failures[0].why;
	return -1;
}

void
verb_routes_batch(struct call *call)
{
	json_t *commands = json_object_get(call_params(call), "commands");
	struct editing *editing;
	struct error why;

	if (json_array_size(commands) == 0 || json_array_size(commands) > COMMANDS_MOST) {
		call_misused(call, "commands must be an array of 1 to 100000 commands");
		return;
	}
	editing = editing_new(call);
	editing->batch = true;
	if (read_commands(commands, &editing->edits, &why) == 0) {
		run(call, editing);
		return;
	}
	put_failures(call, &editing->edits);
	editing_free(editing);
	call_refuse(call, &why, NULL);
}
