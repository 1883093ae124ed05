/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The live table of routes and the question "which rule wins" (relayd-routes(7), "Which rule
 * wins"). Pure memory: knows no disk, no clock, no network. A lookup is a few dozen hash probes
 * whatever the size.
 *
 * The enabled routes with one (user, mail from, destination) form a group. Routes are immutable
 * and counted by references, so a lookup's result may be kept (route_group_ref) while the table
 * changes.
 *
 * How the nine lines are read where several keys fit on one line:
 *
 *   - The lines are gone through from 1 to 8. On a line the forms of the user come first: the login
 *     in full, its domain (behind the last '@'; a login without one has none), then, on the lines
 *     that name a sender, no user at all. For each of these forms the destinations: the exact
 *     domain, then suffixes from the longest to the shortest. So on one line a route for the login
 *     and ".com" comes before one for the login's domain and "a.example.com"; and line 1 with
 *     ".com" comes before line 2 with "a.example.com".
 *   - ".example.com" matches every name below example.com, never example.com itself; ".com" matches
 *     example.com. An address literal matches exactly, or not at all.
 *   - The null sender is no address and has no domain: no route with a mail from applies to it.
 *   - Without a login only lines 7 and 8 are looked at; with one they come after lines 1 to 6.
 *   - Users, domains and destinations compare without the case of ASCII letters; the local part of
 *     a mail from compares byte for byte.
 *   - A disabled route is listed and belongs to no group.
 */
#ifndef RELAYD_ROUTES_TABLE_H
#define RELAYD_ROUTES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/route.h"

struct table;

/* The enabled routes of one key, by (priority, id); never empty. A group that somebody keeps
 * (route_group_ref) is never changed: a change to the table makes a new one. */
struct route_group {
	size_t count;
	unsigned references;
	struct route *routes[];
};

/* Which of the table's nine lines won, and how; for explain and the log. */
struct table_match {
	unsigned line; /* 1 .. 8; 9: no route, the MX records */
	enum { MATCH_LOGIN, MATCH_LOGIN_DOMAIN, MATCH_ANY_LOGIN, MATCH_ANYONE } user;
	const char *destination; /* the key that hit: "example.com", ".example.com", "*"; points
	                          * into the group; NULL on line 9 */
};

/* What is known of a mail. */
struct mail_key {
	const char *login;  /* NULL: the client did not authenticate. Compared without case */
	const char *sender; /* canonical address, "" for the null sender */
	const char *domain; /* the recipient's, stored form: lower case, or literal "[192.0.2.1]" */
};

struct table *table_new(void);
void table_free(struct table *table); /* NULL is allowed */

/* Put a route (id set; the table takes its own reference); replaces the one with the same id. */
void table_put(struct table *table, struct route *route);
/* Put many, in their order: as table_put, and faster. About `fresh` of them are no replacements. */
void table_put_all(struct table *table, struct route *const *routes, size_t count, size_t fresh);
/* 0, or -1 if there is none with that id. */
int table_remove(struct table *table, uint64_t id);

const struct route *table_get(const struct table *table, uint64_t id);
size_t table_count(const struct table *table);

/* The next route in id order with id > after, NULL at the end: for lists, paged by id. */
const struct route *table_next(const struct table *table, uint64_t after);

/* Several of them at once, several times as fast a route: for whoever goes through many. Returns how
 * many there were, up to TABLE_SOME; fewer at the end alone. */
enum { TABLE_SOME = 64 };
size_t table_some(const struct table *table, uint64_t after,
    const struct route *routes[TABLE_SOME]);

/* The winning group, or NULL for line 9. `match` may be NULL. Borrowed: whoever wants it beyond the
 * next change of the table takes a reference. */
const struct route_group *table_find(const struct table *table, const struct mail_key *mail,
    struct table_match *match);

/* The nine lines, for whoever explains what table_find() did: line `number` asks for each of the
 * forms of the user that it has, with the sender as `from` says. Line 9 is not in it. */
enum table_from { TABLE_FROM_NONE, TABLE_FROM_DOMAIN, TABLE_FROM_ADDRESS };
enum { TABLE_LINES = 8 };
struct table_line {
	unsigned number;
	bool by_login;  /* the login, its domain, and */
	bool any_login; /* ... no user at all, but a client that authenticated */
	enum table_from from;
	bool anywhere; /* destination "*"; else the recipient's domain and its suffixes */
};
extern const struct table_line table_lines[TABLE_LINES];

/* The routes with the key of `key` (its user, mail from and destination, in stored form): the
 * enabled ones, which are its group, or the disabled ones. NULL: there are none. */
const struct route_group *table_group(const struct table *table, const struct route *key,
    bool enabled);

struct route_group *route_group_ref(const struct route_group *group);
void route_group_unref(struct route_group *group); /* NULL is allowed */

#endif
