/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The words of add, set, del, move, enable and disable as params of the control protocol: for the
 * commands themselves and for the lines of a batch. Their flags, too.
 */
#ifndef CONSOLE_EDIT_WORDS_H
#define CONSOLE_EDIT_WORDS_H

#include <jansson.h>
#include <stdbool.h>

#include "console/command.h"
#include "console/session.h"

enum edit_del_flag { DEL_YES, DEL_FLAGS };
extern const struct command_flag edit_del_flags[DEL_FLAGS];

enum edit_move_flag {
	MOVE_BEFORE,
	MOVE_AFTER,
	MOVE_FIRST,
	MOVE_LAST,
	MOVE_SHARE,
	MOVE_ALONE,
	MOVE_UP,
	MOVE_DOWN,
	MOVE_FLAGS
};
extern const struct command_flag edit_move_flags[MOVE_FLAGS];

/*
 * The params of routes.VERB, new reference, to be given to edit_words_wipe. With `batch` the words
 * are a line of a file, and "+1" is the first route that the batch adds. NULL and `why`.
 */
json_t *edit_words_params(struct session *session, const struct command_call *call, bool batch,
			  struct error *why);

/* Overwrite the password in it, and let it go. NULL is allowed. */
void edit_words_wipe(json_t *params);

#endif
