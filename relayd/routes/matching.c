/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/matching.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

enum phase { PHASE_IDS, PHASE_NEW, PHASE_PRUNE, PHASE_DONE };

struct matching {
	struct rows rows;
	bool prune;
	uint64_t revision;
	enum phase phase;
	size_t at;         /* row, or place among those with an id */
	uint64_t table_at; /* PHASE_PRUNE: the last id of the table that was looked at */
	size_t failures;   /* of the rows, before the first slice */
	struct change_steps steps;
};

/* What a row that gives every column gives; the password is a thing of its own. */
#define ALL_FIELDS (((1u << ROUTE_FIELDS) - 1) & ~(1u << ROUTE_REMOTE_PASSWORD))

struct matching *
matching_new(struct rows *rows, bool prune)
{
	struct matching *matching = xcalloc(1, sizeof(*matching));

	matching->rows = *rows;
	*rows = (struct rows){.items = NULL};
	matching->prune = prune;
	matching->failures = matching->rows.failure_count;
	return matching;
}

void
matching_free(struct matching *matching)
{
	if (matching == NULL)
		return;
	change_steps_clear(&matching->steps);
	rows_clear(&matching->rows);
	free(matching);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_route(const struct route *a, const struct route *b)
{
	return a->remote_port == b->remote_port && a->priority == b->priority &&
	       a->weight == b->weight && a->tls == b->tls && a->enabled == b->enabled &&
	       same_text(a->destination, b->destination) &&
	       same_text(a->remote_host, b->remote_host) && same_text(a->local_ips, b->local_ips) &&
	       same_text(a->user, b->user) && same_text(a->mail_from, b->mail_from) &&
	       same_text(a->remote_login, b->remote_login) &&
	       same_text(a->remote_password, b->remote_password) &&
	       same_text(a->comment, b->comment);
}

/* The row as a whole route: `before` (NULL: none) where it does not say. */
static struct route *
merged(const struct row *row, const struct route *before, struct error *why)
{
	char scratch[24];
	struct route *route;
	const char *text;

	if (before == NULL || (row->given & ALL_FIELDS) == ALL_FIELDS)
		return route_ref(row->route);
	route = route_copy(before);
	for (unsigned i = 0; i < ROUTE_FIELDS; i++) {
		if ((row->given & 1u << i) == 0)
			continue;
		text = route_get(row->route, (enum route_field)i, scratch);
		if (route_set(route, (enum route_field)i, text != NULL ? text : "", why) != 0) {
			route_unref(route);
			return NULL;
		}
	}
	return route;
}

/* Find the password that goes with the login, if there is a login. */
static int
give_password(const struct row *row, const struct route *before, const struct table *table,
	      struct route *route, struct error *why)
{
	const struct route *source = before;
	const char *password;

	if (row->password_of != 0) {
		source = table_get(table, row->password_of);
		if (source == NULL)
			return error_set(why, ERROR_NOT_FOUND,
					 "no route %" PRIu64 " to copy a password from",
					 row->password_of);
		if (source->remote_password == NULL)
			return error_set(why, ERROR_REFUSED, "route %" PRIu64 " has no password",
					 row->password_of);
	} else if ((row->given & 1u << ROUTE_REMOTE_PASSWORD) != 0) {
		return 0;
	}
	password = source != NULL && route->remote_login != NULL ? source->remote_password : NULL;
	if (route->remote_login != NULL && password == NULL)
		return error_set(why, ERROR_REFUSED,
				 "there is no password for the login: give remote_password or "
				 "remote_password_from");
	if (same_text(route->remote_password, password))
		return 0;
	return route_set(route, ROUTE_REMOTE_PASSWORD, password != NULL ? password : "", why);
}

static void
match_row(struct matching *matching, size_t at, const struct table *table)
{
	const struct row *row = &matching->rows.items[at];
	const struct route *before = row->id != 0 ? table_get(table, row->id) : NULL;
	struct error why;
	struct route *route = merged(row, before, &why);
	unsigned column = ROWS_COLUMNS;

	if (route == NULL)
		goto refused;
	column = row->password_of != 0 ? ROWS_PASSWORD_FROM : ROUTE_REMOTE_PASSWORD;
	if (give_password(row, before, table, route, &why) != 0)
		goto refused;
	column = ROUTE_REMOTE_LOGIN;
	if (route_validate(route, &why) != 0)
		goto refused;
	if (before != NULL && same_route(before, route))
		route_unref(route);
	else if (before != NULL)
		change_steps_set(&matching->steps, route);
	else if (row->id != 0)
		change_steps_restore(&matching->steps, route);
	else
		change_steps_add(&matching->steps, route);
	return;
refused:
	rows_fail(&matching->rows, at, column, &why);
	route_unref(route);
}

/* Does a row have this id? They come in order: `at` is where the search goes on. */
static bool
has_row(struct matching *matching, uint64_t id)
{
	const struct rows *rows = &matching->rows;

	while (matching->at < rows->by_id_count && rows->items[rows->by_id[matching->at]].id < id)
		matching->at++;
	return matching->at < rows->by_id_count && rows->items[rows->by_id[matching->at]].id == id;
}

static void
enter_phase(struct matching *matching, enum phase phase)
{
	matching->phase = phase;
	matching->at = 0;
	matching->table_at = 0;
}

static void
match_one(struct matching *matching, const struct table *table)
{
	struct rows *rows = &matching->rows;
	const struct route *route;

	switch (matching->phase) {
	case PHASE_IDS:
		if (matching->at < rows->by_id_count)
			match_row(matching, rows->by_id[matching->at++], table);
		else
			enter_phase(matching, PHASE_NEW);
		break;
	case PHASE_NEW:
		if (matching->at == rows->count)
			enter_phase(matching, matching->prune ? PHASE_PRUNE : PHASE_DONE);
		else if (rows->items[matching->at++].id == 0)
			match_row(matching, matching->at - 1, table);
		break;
	case PHASE_PRUNE:
		route = table_next(table, matching->table_at);
		if (route == NULL) {
			enter_phase(matching, PHASE_DONE);
			break;
		}
		matching->table_at = route->id;
		if (!has_row(matching, route->id))
			change_steps_delete(&matching->steps, route->id);
		break;
	case PHASE_DONE:
		break;
	}
}

bool
matching_slice(struct matching *matching, const struct table *table, uint64_t revision, size_t most)
{
	if (matching->revision != revision) {
		change_steps_clear(&matching->steps);
		matching->rows.failure_count = matching->failures;
		enter_phase(matching, PHASE_IDS);
	}
	matching->revision = revision;
	for (; most > 0 && matching->phase != PHASE_DONE; most--)
		match_one(matching, table);
	return matching->phase == PHASE_DONE;
}

const struct rows *
matching_rows(const struct matching *matching)
{
	return &matching->rows;
}

const struct change_steps *
matching_steps(const struct matching *matching)
{
	return &matching->steps;
}

void
matching_take(struct matching *matching, struct change_steps *out)
{
	*out = matching->steps;
	matching->steps = (struct change_steps){.items = NULL};
}
