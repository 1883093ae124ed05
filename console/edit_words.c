/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/edit_words.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "common/strbuf.h"
#include "console/route_flags.h"
#include "console/words.h"

const struct command_flag edit_del_flags[DEL_FLAGS] = {
    [DEL_YES] = {.names = "-y,--yes", .help = "do not ask"},
};

const struct command_flag edit_move_flags[MOVE_FLAGS] = {
    [MOVE_BEFORE] = {.names = "--before",
		     .value = "ID",
		     .help = "before that route and those that share its priority"},
    [MOVE_AFTER] = {.names = "--after", .value = "ID", .help = "behind it and them"},
    [MOVE_FIRST] = {.names = "--first", .help = "before all others of the group"},
    [MOVE_LAST] = {.names = "--last", .help = "behind all others"},
    [MOVE_SHARE] = {.names = "--share",
		    .value = "ID",
		    .help = "with the priority of that route: at random, with equal parts"},
    [MOVE_ALONE] = {.names = "--alone", .help = "behind those that it shares with"},
    [MOVE_UP] = {.names = "--up", .help = "one place up"},
    [MOVE_DOWN] = {.names = "--down", .help = "one place down"},
};

/* Where a flag of add or move puts a route. */
static const struct place {
	size_t flag;
	const char *to;
} add_places[] = {{FLAG_FIRST, "first"},
		  {FLAG_LAST, "last"},
		  {FLAG_BEFORE, "before"},
		  {FLAG_AFTER, "after"},
		  {FLAG_SHARE, "share"}},
  move_places[] = {{MOVE_BEFORE, "before"}, {MOVE_AFTER, "after"}, {MOVE_FIRST, "first"},
		   {MOVE_LAST, "last"},     {MOVE_SHARE, "share"}, {MOVE_ALONE, "alone"},
		   {MOVE_UP, "up"},         {MOVE_DOWN, "down"}};

/* "7"; in a batch "+1" too. `spelled`: the flag whose value it is, NULL for an operand. */
static json_t *
read_id(const char *word, const char *spelled, bool batch, struct error *why)
{
	const char *flag = spelled != NULL ? spelled : "", *space = spelled != NULL ? " " : "";
	uint64_t id;

	if (batch && word[0] == '+' && words_number(word + 1, &id) == 0 && id > 0)
		return json_string(word);
	if (words_number(word, &id) != 0) {
		error_set(why, ERROR_USAGE, "%s%s%s: a route id is a number", flag, space, word);
		return NULL;
	}
	/* JSON's numbers end there; ids never get so far. */
	if (id > INT64_MAX) {
		error_set(why, ERROR_NOT_FOUND, "no route %" PRIu64, id);
		return NULL;
	}
	return json_integer((json_int_t)id);
}

/* At most one place. */
static int
put_place(const struct command_call *call, const struct place *places, size_t count, bool batch,
	  json_t *params, struct error *why)
{
	const struct place *found = NULL;
	json_t *other;

	for (size_t i = 0; i < count; i++) {
		if (call->values[places[i].flag] == NULL)
			continue;
		if (found != NULL)
			return error_set(why, ERROR_USAGE, "%s and %s: only one place is possible",
					 call->spelled[found->flag], call->spelled[places[i].flag]);
		found = &places[i];
	}
	if (found == NULL)
		return 0;
	json_object_set_new(params, "to", json_string(found->to));
	if (call->command->flags[found->flag].value == NULL)
		return 0;
	other = read_id(call->values[found->flag], call->spelled[found->flag], batch, why);
	if (other == NULL)
		return -1;
	json_object_set_new(params, "other", other);
	return 0;
}

static int
put_add(struct session *session, const struct command_call *call, bool batch, json_t *params,
	struct error *why)
{
	const char *priority = call->spelled[FLAG_PRIORITY];
	json_t *route;

	if (put_place(call, add_places, sizeof(add_places) / sizeof(add_places[0]), batch, params,
		      why) != 0)
		return -1;
	for (size_t i = FLAG_FIRST; priority != NULL && i < ROUTE_ADD_FLAGS; i++) {
		if (call->spelled[i] != NULL)
			return error_set(why, ERROR_USAGE,
					 "%s and %s: only one of them says where the route goes",
					 priority, call->spelled[i]);
	}
	if (call->values[FLAG_IF_ABSENT] != NULL)
		json_object_set_new(params, "if_absent", json_true());
	route = route_flags_object(session, call, false, batch, why);
	if (route == NULL)
		return -1;
	if (call->values[FLAG_DISABLED] != NULL)
		json_object_set_new(route, "enabled", json_false());
	json_object_set_new(params, "route", route);
	return 0;
}

static int
unknown_field(const struct command_call *call, const char *word, size_t len, struct error *why)
{
	struct words_search search;
	char typed[64];

	if (len >= sizeof(typed))
		len = sizeof(typed) - 1;
	memcpy(typed, word, len);
	typed[len] = '\0';
	words_search_init(&search, typed);
	for (int i = 0; i < ROUTE_FIELDS; i++)
		words_offer(&search, route_field_name((enum route_field)i));
	if (search.best != NULL)
		return error_set(why, ERROR_USAGE,
				 "%s %s: a route has no such field. Did you mean '%s'?",
				 call->spelled[FLAG_CLEAR], typed, search.best);
	return error_set(why, ERROR_USAGE, "%s %s: a route has no such field",
			 call->spelled[FLAG_CLEAR], typed);
}

/* --clear: null is the default of each field. */
static int
put_cleared(const struct command_call *call, json_t *route, struct error *why)
{
	const char *word = call->values[FLAG_CLEAR];
	enum route_field field;
	size_t len;

	for (; word != NULL; word = word[len] == ',' ? word + len + 1 : NULL) {
		len = strcspn(word, ",");
		if (route_flags_field(word, len, &field) != 0)
			return unknown_field(call, word, len, why);
		if (field == ROUTE_REMOTE_HOST)
			return error_set(why, ERROR_USAGE, "%s %.*s: a route needs a remote host",
					 call->spelled[FLAG_CLEAR], (int)len, word);
		if (json_object_get(route, route_field_name(field)) != NULL)
			return error_set(why, ERROR_USAGE,
					 "%s %.*s: the same command sets it to a value",
					 call->spelled[FLAG_CLEAR], (int)len, word);
		json_object_set_new(route, route_field_name(field), json_null());
	}
	return 0;
}

static int
put_set(struct session *session, const struct command_call *call, bool batch, json_t *params,
	struct error *why)
{
	json_t *route = NULL, *id = read_id(call->operands[0], NULL, batch, why);

	if (id == NULL)
		return -1;
	json_object_set_new(params, "id", id);
	route = route_flags_object(session, call, true, batch, why);
	if (route == NULL)
		return -1;
	json_object_set_new(params, "route", route);
	if (put_cleared(call, route, why) != 0)
		return -1;
	if (json_object_size(route) == 0)
		return error_set(why, ERROR_USAGE, "set %s: there is nothing to set",
				 call->operands[0]);
	return 0;
}

static int
put_move(const struct command_call *call, bool batch, json_t *params, struct error *why)
{
	json_t *id = read_id(call->operands[0], NULL, batch, why);

	if (id == NULL)
		return -1;
	json_object_set_new(params, "id", id);
	if (put_place(call, move_places, MOVE_FLAGS, batch, params, why) != 0)
		return -1;
	if (json_object_get(params, "to") == NULL)
		return error_set(why, ERROR_USAGE,
				 "move %s: where to? One of --before ID, --after ID, --first, "
				 "--last, --share ID, --alone, --up, --down",
				 call->operands[0]);
	return 0;
}

static int
put_ids(const struct command_call *call, bool batch, json_t *params, struct error *why)
{
	json_t *ids = json_array(), *id;

	json_object_set_new(params, "ids", ids);
	for (size_t i = 0; i < call->operand_count; i++) {
		id = read_id(call->operands[i], NULL, batch, why);
		if (id == NULL)
			return -1;
		json_array_append_new(ids, id);
	}
	return 0;
}

json_t *
edit_words_params(struct session *session, const struct command_call *call, bool batch,
		  struct error *why)
{
	const char *verb = call->command->verb;
	json_t *params = json_object();
	int rc;

	if (strcmp(verb, "add") == 0)
		rc = put_add(session, call, batch, params, why);
	else if (strcmp(verb, "set") == 0)
		rc = put_set(session, call, batch, params, why);
	else if (strcmp(verb, "move") == 0)
		rc = put_move(call, batch, params, why);
	else
		rc = put_ids(call, batch, params, why);
	if (rc == 0)
		return params;
	edit_words_wipe(params);
	return NULL;
}

void
edit_words_wipe(json_t *params)
{
	json_t *route = json_object_get(params, "route");

	if (route != NULL)
		route_flags_wipe(json_incref(route));
	json_decref(params);
}
