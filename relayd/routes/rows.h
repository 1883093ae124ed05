/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes that come as rows of text, many at a time: read here into routes, without a look at the
 * table (relayd/routes/matching.h does that), so that a thread can do it.
 *
 * A row is a line that ends in '\n', its cells stand between tabs: no value of a route can hold
 * either. An empty cell is the default; ROWS_ABSENT says that the row does not give this field.
 */
#ifndef RELAYD_ROUTES_ROWS_H
#define RELAYD_ROUTES_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/route.h"

#define ROWS_ABSENT "\x1a"

/* The columns: an enum route_field, or one of these. */
enum { ROWS_ID = ROUTE_FIELDS, ROWS_PASSWORD_FROM, ROWS_COLUMNS };

/* "priority", "id", "remote_password_from". -1: no column has this name. */
int rows_column_of(const char *name, unsigned *column);
const char *rows_column_name(unsigned column);

struct row {
	struct route *route;  /* as far as it is given; NULL: the row failed */
	uint64_t id;          /* 0: none */
	uint64_t password_of; /* the route that has the password; 0: none */
	unsigned given;       /* a bit for each field */
};

struct row_failure {
	size_t row;
	unsigned column; /* ROWS_COLUMNS: the row as a whole */
	struct error why;
};

enum { ROWS_FAILURES = 20 };

struct rows {
	struct row *items;
	size_t count;
	size_t room;
	size_t *by_id; /* after rows_seal: those with an id, in its order */
	size_t by_id_count;
	struct row_failure failures[ROWS_FAILURES]; /* the first ones */
	size_t failure_count;                       /* of all */
};

/* Append the rows of `text`, which is written over, secrets and all. */
void rows_read(struct rows *rows, const unsigned *columns, size_t column_count, char *text,
    size_t len);

/* Append `more`, which is empty afterwards. */
void rows_join(struct rows *rows, struct rows *more);

/* All rows are there: put those with an id in order. No id may come twice. */
void rows_seal(struct rows *rows);

void rows_fail(struct rows *rows, size_t row, unsigned column, const struct error *why);
void rows_clear(struct rows *rows);

#endif
