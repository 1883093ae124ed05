/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The groups of the table, hashed by (user, mail from, destination): only for table.c, which knows
 * in which order keys are asked for. Here one key is asked for, in the time of one look at memory.
 */
#ifndef RELAYD_ROUTES_GROUPS_H
#define RELAYD_ROUTES_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/route.h"

struct groups;
struct route_group; /* table.h */

/*
 * A part of a key: text and hash. text == NULL stands for "any". The text is borrowed, and is
 * compared without the case of ASCII letters; the local part of a mail from with it.
 */
struct key_part {
	const char *text;
	size_t len;
	uint64_t hash;
};

/* What a key names; groups_any() asks by these. */
enum from_kind { FROM_NONE, FROM_DOMAIN, FROM_ADDRESS, FROM_KINDS };
enum destination_kind { TO_DOMAIN, TO_SUFFIX, TO_ANY, TO_KINDS };

/* A login or a sender; *domain becomes what stands behind the last '@', "any" if there is none. */
struct key_part key_part_login(const char *login, struct key_part *domain);
struct key_part key_part_sender(const char *sender, struct key_part *domain);

/*
 * The keys that may match a recipient's domain, the longest first: the domain, then its suffixes
 * (".example.com", ".com"; none for an address literal). Returns how many were written; a name with
 * more labels than RFC 5321 allows loses its longest suffixes.
 */
enum { KEY_DESTINATIONS_MAX = 130 };
size_t key_part_destinations(const char *domain, struct key_part parts[KEY_DESTINATIONS_MAX]);

/* The key "*". */
struct key_part key_part_everywhere(void);

struct groups *groups_new(void);
void groups_free(struct groups *groups);

void groups_enter(struct groups *groups, struct route *route);
void groups_leave(struct groups *groups, const struct route *route); /* which was entered */

/* For many routes at once: room for so many more is made in one go; and the memory for one that is
 * about to be entered is asked for, while others are. */
void groups_expect(struct groups *groups, size_t more);
void groups_prefetch(const struct groups *groups, const struct route *route);

/* The group with the key of `key_route` (its user, mail from and destination), which need not be in
 * it; NULL: there is none. */
const struct route_group *groups_of(const struct groups *groups, const struct route *key_route);

/* Is there any group of this kind? What is not there need not be looked for. */
bool groups_any(const struct groups *groups, bool user, enum from_kind from,
    enum destination_kind destination);

/* One question, in two steps so that the memory of several can be on its way at one time. */
struct group_probe {
	const struct key_part *user;
	const struct key_part *from;
	const struct key_part *destination;
	uint32_t tag;
};
void groups_ask(const struct groups *groups, struct group_probe *probe); /* sets the tag */
/* NULL: no such group. *destination is the group's, as its first route has it. */
const struct route_group *groups_answer(const struct groups *groups,
    const struct group_probe *probe, const char **destination);

#endif
