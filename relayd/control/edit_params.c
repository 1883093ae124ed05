/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/edit_params.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "common/xalloc.h"
#include "relayd/control/verbs.h"

/* Nobody needs it in this form any more, and jansson would give the memory back as it is. */
static void
wipe_password(const json_t *object)
{
	const json_t *password = json_object_get(object, "remote_password");

	if (json_is_string(password))
		explicit_bzero((char *)(uintptr_t)json_string_value(password),
			       json_string_length(password));
}

/* 42, or "+1": the first route that these edits add. */
static int
read_name(const json_t *value, struct edit_name *name)
{
	const char *text = json_string_value(value);
	unsigned long number;
	char *end;

	*name = (struct edit_name){.id = 0};
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		name->id = (uint64_t)json_integer_value(value);
		return 0;
	}
	if (text == NULL || text[0] != '+' || text[1] < '1' || text[1] > '9')
		return -1;
	number = strtoul(text + 1, &end, 10);
	if (*end != '\0' || number > UINT32_MAX)
		return -1;
	name->added = number;
	return 0;
}

/* "remote_password_from" is taken out of the object, since it is no field of a route. */
static int
read_password_from(json_t *object, struct edit *edit, struct error *why)
{
	const json_t *from = json_object_get(object, "remote_password_from");

	if (from == NULL)
		return 0;
	if (read_name(from, &edit->password_of) != 0)
		return error_set(why, ERROR_REFUSED,
				 "remote_password_from must be the id of a route");
	if (json_is_string(json_object_get(object, "remote_password")))
		return error_set(
		    why, ERROR_REFUSED,
		    "remote_password and remote_password_from: only one password is needed");
	edit->copies_password = true;
	json_object_del(object, "remote_password_from");
	return 0;
}

static int
read_route(json_t *object, struct edit *edit, struct error *why)
{
	enum route_field field;
	const char *name;
	json_t *value;
	int rc = 0;

	edit->route = route_new();
	if (!json_is_object(object))
		return error_set(why, ERROR_REFUSED, "a route must be an object");
	rc = read_password_from(object, edit, why);
	if (rc == 0)
		rc = protocol_route_from_object(object, edit->route, why);
	json_object_foreach(object, name, value)
	{
		if (route_field_of(name, &field) == 0)
			edit->fields |= 1u << field;
	}
	wipe_password(object);
	return rc;
}

static int
read_place(const json_t *params, struct edit *edit, struct error *why)
{
	const json_t *to = json_object_get(params, "to"), *other = json_object_get(params, "other");
	const char *name = json_string_value(to);
	bool beside;

	if (name == NULL || reorder_wish_of(name, &edit->wish) != 0)
		return error_set(why, ERROR_USAGE,
				 "to must be \"before\", \"after\", \"first\", \"last\", "
				 "\"share\", \"alone\", \"up\" or \"down\"");
	beside = edit->wish == REORDER_BEFORE || edit->wish == REORDER_AFTER ||
		 edit->wish == REORDER_SHARE;
	if (beside != (other != NULL) || (beside && read_name(other, &edit->other) != 0))
		return error_set(why, ERROR_USAGE,
				 beside ? "other must be the id of a route"
					: "other is for before, after and share");
	edit->placed = true;
	return 0;
}

static int
read_add(json_t *params, json_t *object, size_t at, struct edits *edits, struct error *why)
{
	const json_t *if_absent = json_object_get(params, "if_absent");
	struct edit *edit = edits_append(edits, EDIT_ADD);

	edit->at = at;
	if (if_absent != NULL && !json_is_boolean(if_absent))
		return error_set(why, ERROR_USAGE, "if_absent must be true or false");
	edit->if_absent = json_is_true(if_absent);
	if (json_object_get(params, "to") != NULL && read_place(params, edit, why) != 0)
		return -1;
	if (edit->placed && edit->wish >= REORDER_ALONE)
		return error_set(why, ERROR_USAGE,
				 "a new route goes before, after, first, last or share");
	if (read_route(object, edit, why) != 0)
		return -1;
	if (edit->placed && (edit->fields & 1u << ROUTE_PRIORITY) != 0)
		return error_set(why, ERROR_USAGE,
				 "priority and to: only one of them says where the route goes");
	/* The password may still have to be fetched. */
	if (edit->copies_password)
		return edit->route->remote_login != NULL
			   ? 0
			   : error_set(why, ERROR_REFUSED, "a password needs a login");
	return route_validate(edit->route, why);
}

static int
read_adds(json_t *params, size_t at, struct edits *edits, struct error *why)
{
	json_t *one = json_object_get(params, "route"), *many = json_object_get(params, "routes");
	size_t count = one != NULL ? 1 : json_array_size(many);

	if ((one != NULL) == (many != NULL) || count == 0 || count > EDIT_PARAMS_MOST)
		return error_set(why, ERROR_USAGE,
				 "routes.add takes a route, or routes: an array of 1 to %d of them",
				 EDIT_PARAMS_MOST);
	if (one != NULL)
		return read_add(params, one, at, edits, why);
	for (size_t i = 0; i < count; i++) {
		if (read_add(params, json_array_get(many, i), at + i, edits, why) != 0)
			return error_prefix(why, "routes[%zu]", i);
	}
	return 0;
}

static int
read_set(json_t *params, size_t at, struct edits *edits, struct error *why)
{
	struct edit *edit = edits_append(edits, EDIT_SET);

	edit->at = at;
	if (read_name(json_object_get(params, "id"), &edit->name) != 0)
		return error_set(why, ERROR_USAGE, "id must be the id of a route");
	return read_route(json_object_get(params, "route"), edit, why);
}

static int
read_move(const json_t *params, size_t at, struct edits *edits, struct error *why)
{
	struct edit *edit = edits_append(edits, EDIT_MOVE);

	edit->at = at;
	if (read_name(json_object_get(params, "id"), &edit->name) != 0)
		return error_set(why, ERROR_USAGE, "id must be the id of a route");
	return read_place(params, edit, why);
}

static int
by_name(const void *left, const void *right)
{
	const struct edit_name *a = left, *b = right;

	if (a->added != b->added)
		return a->added < b->added ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* A route that was said twice is meant once. */
static int
read_names(const json_t *ids, struct edit_name **names, size_t *unique, struct error *why)
{
	size_t count = json_array_size(ids);

	*names = xcalloc(count, sizeof((*names)[0]));
	*unique = 0;
	if (count == 0 || count > EDIT_PARAMS_MOST)
		goto misused;
	for (size_t i = 0; i < count; i++) {
		if (read_name(json_array_get(ids, i), &(*names)[i]) != 0)
			goto misused;
	}
	qsort(*names, count, sizeof((*names)[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		if (*unique == 0 || by_name(&(*names)[*unique - 1], &(*names)[i]) != 0)
			(*names)[(*unique)++] = (*names)[i];
	}
	return 0;
misused:
	free(*names);
	*names = NULL;
	return error_set(why, ERROR_USAGE, "ids must be an array of 1 to %d route ids",
			 EDIT_PARAMS_MOST);
}

static int
read_each(const char *verb, const json_t *params, size_t at, struct edits *edits, struct error *why)
{
	bool del = strcmp(verb, "del") == 0;
	struct edit_name *names;
	struct edit *edit;
	size_t count;

	if (read_names(json_object_get(params, "ids"), &names, &count, why) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		edit = edits_append(edits, del ? EDIT_DELETE : EDIT_SET);
		edit->at = at;
		edit->name = names[i];
		if (del)
			continue;
		edit->route = route_new();
		edit->route->enabled = strcmp(verb, "enable") == 0;
		edit->fields = 1u << ROUTE_ENABLED;
	}
	free(names);
	return 0;
}

int
edit_params_read(const char *verb, json_t *params, size_t at, struct edits *edits,
		 struct error *why)
{
	if (strcmp(verb, "add") == 0)
		return read_adds(params, at, edits, why);
	if (strcmp(verb, "set") == 0)
		return read_set(params, at, edits, why);
	if (strcmp(verb, "move") == 0)
		return read_move(params, at, edits, why);
	return read_each(verb, params, at, edits, why);
}

int
edit_params_read_command(json_t *command, size_t at, struct edits *edits, struct error *why)
{
	static const struct {
		const char *verb, *params;
	} verbs[] = {
	    {"add", EDIT_ADD_PARAMS},   {"set", EDIT_SET_PARAMS},    {"del", EDIT_IDS_PARAMS},
	    {"move", EDIT_MOVE_PARAMS}, {"enable", EDIT_IDS_PARAMS}, {"disable", EDIT_IDS_PARAMS},
	};
	const char *verb = json_string_value(json_object_get(command, "verb")), *name;
	json_t *value;

	for (size_t i = 0; verb != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].verb, verb) != 0)
			continue;
		json_object_foreach(command, name, value)
		{
			if (strcmp(name, "verb") != 0 && !verbs_is_param(verbs[i].params, name))
				return error_set(why, ERROR_USAGE, "%s has no parameter '%s'", verb,
						 name);
		}
		return edit_params_read(verb, command, at, edits, why);
	}
	return error_set(
	    why, ERROR_USAGE,
	    "a command has a verb: \"add\", \"set\", \"del\", \"move\", \"enable\" or \"disable\"");
}
