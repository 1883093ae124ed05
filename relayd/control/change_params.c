/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/change_params.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/route.h"
#include "common/xalloc.h"
#include "relayd/control/difference.h"
#include "relayd/control/route_object.h"

enum { NOTE_MOST = 500, DIFFERENCES_MOST = 1000 };

/* How long a change may wait to be confirmed: 1 s to 30 days. */
static const json_int_t within_least_ms = 1000, within_most_ms = 30LL * 86400 * 1000;

static const char not_found_hint[] = "tmail routes list -o id";

/* A change on its way, and how it is to be answered. */
struct asked {
	struct call *call;
	size_t most;
	bool dry_run;
};

/* ---- the answer ---- */

static void
put_number(json_t *object, const char *name, size_t number)
{
	json_object_set_new(object, name, json_integer((json_int_t)number));
}

static void
put_counts(json_t *answer, const struct change_result *result)
{
	size_t added = 0, changed = 0, deleted = 0;

	for (size_t i = 0; i < result->count; i++) {
		if (result->routes[i] == NULL)
			deleted++;
		else if (result->before[i] == NULL)
			added++;
		else
			changed++;
	}
	put_number(answer, "added", added);
	put_number(answer, "changed", changed);
	put_number(answer, "deleted", deleted);
}

static json_t *
make_answer(const struct asked *asked, const struct change_result *result)
{
	size_t listed = result->count < asked->most ? result->count : asked->most;
	size_t compared = result->count < DIFFERENCES_MOST ? result->count : DIFFERENCES_MOST;
	json_t *answer = json_object(), *routes = json_array(), *changes = json_array();
	struct strbuf lines = STRBUF_INIT;

	for (size_t i = 0; i < compared; i++)
		json_array_append_new(changes, difference_of(result->before[i], result->routes[i]));
	for (size_t i = 0; i < listed; i++) {
		const struct route *route = result->routes[i];

		if (route == NULL)
			continue;
		json_array_append_new(routes, route_object(call_services(asked->call), route));
		route_line(route, &lines);
		strbuf_putc(&lines, '\n');
	}
	json_object_set_new(answer, "revision", json_integer((json_int_t)result->revision));
	json_object_set_new(answer, "dry_run", json_boolean(asked->dry_run));
	put_counts(answer, result);
	json_object_set_new(answer, "confirm_by",
			    result->confirm_by_ms != 0 ? call_time(result->confirm_by_ms)
						       : json_null());
	json_object_set_new(answer, "routes", routes);
	/* Lines are made of checked text: they are UTF-8. */
	json_object_set_new(answer, "lines",
			    json_stringn_nocheck(lines.len > 0 ? lines.data : "", lines.len));
	json_object_set_new(answer, "changes", changes);
	put_number(answer, "left_out", result->count - compared);
	strbuf_clear(&lines);
	return answer;
}

static void
changed(void *ctx, const struct change_result *result, const struct error *why)
{
	struct asked *asked = ctx;

	if (why != NULL)
		call_refuse(asked->call, why, why->code == ERROR_NOT_FOUND ? not_found_hint : NULL);
	else
		call_answer(asked->call, make_answer(asked, result));
	free(asked);
}

/* ---- the params ---- */

/* A line for people: of no use with anything in it that would not show. */
static int
read_note(const json_t *value, struct change *change, struct error *why)
{
	const char *note = json_string_value(value);

	if (note == NULL || json_string_length(value) > NOTE_MOST)
		return error_set(why, ERROR_USAGE, "note must be a text of at most %d bytes",
				 NOTE_MOST);
	for (const char *c = note; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 127)
			return error_set(why, ERROR_USAGE, "note must be one line of text");
	}
	if (*note != '\0')
		change->note = note;
	return 0;
}

static int
read_params(const struct call *call, struct change *change, struct error *why)
{
	const json_t *note = json_object_get(call_params(call), "note");
	const json_t *dry_run = json_object_get(call_params(call), "dry_run");
	json_int_t expected = -1, within_ms = 0;

	if (call_integer(call, "expected_revision", 0, INT64_MAX, &expected, why) < 0 ||
	    call_integer(call, "confirm_within_ms", within_least_ms, within_most_ms, &within_ms,
			 why) < 0)
		return -1;
	change->expected_revision = expected;
	change->confirm_within_ms = within_ms;
	if (note != NULL && read_note(note, change, why) < 0)
		return -1;
	if (dry_run != NULL && !json_is_boolean(dry_run))
		return error_set(why, ERROR_USAGE, "dry_run must be true or false");
	change->dry_run = json_is_true(dry_run);
	change->user = call_user(call);
	return 0;
}

void
call_change(struct call *call, struct change *change, size_t most)
{
	struct asked *asked;
	struct error why;

	if (read_params(call, change, &why) < 0) {
		if (change->free_ctx != NULL)
			change->free_ctx(change->make_ctx);
		call_misused(call, why.text);
		return;
	}
	asked = xcalloc(1, sizeof(*asked));
	*asked = (struct asked){.call = call, .most = most, .dry_run = change->dry_run};
	changes_apply(call_services(call)->changes, change, changed, asked);
}
