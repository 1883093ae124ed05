/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A compiled filter, for filter.c and filter_read.c alone: a flat array of terms. Terms of one list
 * of alternatives (`a|b`) follow each other; the last of them has `list_ends`, and the list as a
 * whole may be negated. Lists that a '|' between spaces joins make a clause, whose last term has
 * `clause_ends`. A route matches if it matches one list of every clause.
 */
#ifndef RELAYD_ROUTES_FILTER_TERMS_H
#define RELAYD_ROUTES_FILTER_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "relayd/routes/filter_text.h"
#include "relayd/routes/stats.h"

enum term_kind {
	TERM_WORD,
	TERM_TO,
	TERM_VIA,
	TERM_USER,
	TERM_FROM,
	TERM_LOGIN,
	TERM_LOCAL,
	TERM_TLS,
	TERM_COMMENT,
	TERM_STATE,
	TERM_ID, /* from here on numbers */
	TERM_PRIO,
	TERM_WEIGHT,
	TERM_PORT,
	TERM_RATE,
	TERM_DEFER
};

enum comparison { EQUAL, MORE, LESS, MORE_OR_EQUAL, LESS_OR_EQUAL };

struct term {
	enum term_kind kind;
	bool negated; /* the list that begins here */
	bool list_ends;
	bool clause_ends;
	struct filter_text text;
	enum stats_state state;
	enum comparison comparison;
	double number;
};

struct filter {
	size_t count;
	struct term *terms;
};

#endif
