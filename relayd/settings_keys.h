/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The keys of relayd.conf, declared once: what is registered with libconfuse, what a word must look
 * like, its default and where it goes all come from this table. doc/relayd.conf.5 has the same
 * order.
 */
#ifndef RELAYD_SETTINGS_KEYS_H
#define RELAYD_SETTINGS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/settings.h"

struct settings_key {
	const char *section; /* NULL: outside of all sections */
	const char *name;
	bool list;
	const char *fallback; /* as it would stand in the file; NULL: none */
	/*
	 * Take one word (of a list: one more) into `settings`. -1 and `why`, which begins with the
	 * word in quotes. Called for every word while the file is read, to check it, and once more
	 * to fill the settings in.
	 */
	int (*read)(const struct settings_key *key, struct settings *settings, const char *word,
	    struct error *why);
	size_t offset;   /* of the field, for the kinds that several keys share */
	int64_t least;   /* numbers; octets; milliseconds */
	int64_t most;
};

extern const struct settings_key settings_keys[];
extern const size_t settings_key_count;

/* NULL: there is none of that name. */
const struct settings_key *settings_key_find(const char *section, const char *name);

#endif
