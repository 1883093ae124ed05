/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who is there, by ascending number: an array of (number, pointer) that is searched by halving. Numbers
 * are given in ascending order, so almost every entry is added at the end; a removed one leaves a gap
 * until a quarter of the array is gaps. 16 to 32 bytes an entry, whatever the gaps between the numbers. Pure.
 */
#ifndef RELAYD_QUEUE_ROSTER_H
#define RELAYD_QUEUE_ROSTER_H

#include <stddef.h>
#include <stdint.h>

struct roster_entry {
	uint64_t number;
	void *what; /* NULL: a gap */
};

struct roster {
	struct roster_entry *entries;
	size_t used, room; /* gaps included */
	size_t gaps;
};

#define ROSTER_INIT {0}

void roster_clear(struct roster *roster);
void roster_add(struct roster *roster, uint64_t number, void *what); /* number not in it, what not NULL */
void roster_remove(struct roster *roster, uint64_t number);
void *roster_get(const struct roster *roster, uint64_t number); /* NULL: none */
void *roster_next(const struct roster *roster, uint64_t after); /* the lowest number > after; NULL: none */
size_t roster_count(const struct roster *roster);

#endif
