/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The flags of every command that changes routes: why, on which condition, for how long, and
 * whether at all. A command has them by `.changes = true` (console/command.h); their values stand
 * behind those of its own flags. And how the change that came of it is shown.
 */
#ifndef CONSOLE_CHANGE_FLAGS_H
#define CONSOLE_CHANGE_FLAGS_H

#include <jansson.h>
#include <stdbool.h>

#include "console/command.h"
#include "console/output.h"
#include "console/session.h"

enum change_flag {
	CHANGE_NOTE,
	CHANGE_EXPECT_REVISION,
	CHANGE_CONFIRM_WITHIN,
	CHANGE_DRY_RUN,
	CHANGE_FLAGS /* how many */
};

extern const struct command_flag change_flags[CHANGE_FLAGS];

bool change_flags_dry_run(const struct command_call *call);

/*
 * Make the change: `params` (stolen) with what the flags say, to a method that answers as
 * relayd-control(7) has it for those that change routes. With --dry-run the difference is printed
 * on standard output, and nothing is left to say. That the change has to be confirmed is said here.
 * NULL and `why`.
 */
json_t *change_flags_call(struct session *session, const struct command_call *call,
			  const char *method, json_t *params_stolen, struct error *why);

/* What was changed, as data, with -o json and the like; as text nothing: silence means success. */
int change_flags_print(const struct session *session, const json_t *reply, struct error *why);

/* On a terminal: each line of the difference, with the revision. */
void change_flags_say(const struct session *session, const json_t *reply);

/* On a terminal: how many routes were added, changed, deleted, and the revision. */
void change_flags_say_counts(const struct session *session, const json_t *reply);

/* What the flags say, into the params of a method that is asked otherwise. -1 and `why`. */
int change_flags_params(const struct command_call *call, json_t *params, struct error *why);

/* The changes of a reply as rows of their kind, and as lines. */
extern const struct output_kind change_flags_kind;
void change_flags_put(struct output *output, const json_t *reply);

/* The difference as lines for people: "~ route 5: priority 3 -> 2". */
void change_flags_difference(const json_t *reply, struct strbuf *out);

#endif
