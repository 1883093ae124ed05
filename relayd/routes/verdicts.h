/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Why a rule won (relayd-routes(7), "Which rule wins"): every key that table_find() asks for on its
 * way from line 1 to the winner, and what became of it. For explaining; delivery asks
 * table_find() alone, and the winner here is what that said.
 */
#ifndef RELAYD_ROUTES_VERDICTS_H
#define RELAYD_ROUTES_VERDICTS_H

#include <stddef.h>
#include <stdint.h>

#include "relayd/routes/table.h"

enum verdict_reason {
	VERDICT_HIT,       /* this key won */
	VERDICT_NO_ROUTE,  /* there is no route with this key */
	VERDICT_DISABLED,  /* there is, but none that is enabled: see `group` */
	VERDICT_NO_LOGIN,  /* the whole line: it needs a client that authenticated */
	VERDICT_NO_SENDER, /* the whole line: it needs a sender, and there is the null sender */
	VERDICT_NO_DOMAIN  /* the login has no domain */
};

struct verdict {
	unsigned line; /* 1 .. 9 */
	enum verdict_reason reason;
	/* The key; all NULL where the whole line is passed over, and on line 9. */
	char *user; /* NULL: any */
	char *mail_from;
	char *destination;
	unsigned form; /* MATCH_LOGIN, ... of struct table_match */
	struct route_group *group; /* HIT: the winner (NULL on line 9); DISABLED: what is disabled */
};

struct verdicts {
	size_t count;
	struct verdict *list; /* the last one is the HIT */
	struct table_match match; /* `destination` is that of the last verdict */
};

struct verdicts *verdicts_new(const struct table *table, const struct mail_key *mail);
void verdicts_free(struct verdicts *verdicts); /* NULL is allowed */

/* "hit", "no_route", "disabled", "no_login", "no_sender", "no_domain". */
const char *verdict_reason_name(enum verdict_reason reason);

#endif
