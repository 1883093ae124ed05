/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every change that is still known, in the history or in the journal. Reading blocks: it is done in
 * an offload thread, in its turn among the changes (changes_read(), and `prepare` of a change), so
 * that nothing is written or cut meanwhile.
 */
#ifndef RELAYD_ROUTES_PAST_H
#define RELAYD_ROUTES_PAST_H

#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "relayd/routes/history.h"
#include "relayd/routes/journal.h"

struct past {
	const char *dir;
	const struct history *history;
	uint64_t journal_end;
	uint64_t revision; /* of the last change */
};

/* The oldest change that is known; past->revision + 1 if there is none. */
uint64_t past_first(const struct past *past);

/* ERROR_NOT_FOUND unless that revision is known as a change. */
int past_has(const struct past *past, uint64_t revision, struct error *why);

/* ERROR_NOT_FOUND unless the table as it was at that revision can be had: from the one before the
 * first known change on. */
int past_reaches(const struct past *past, uint64_t revision, struct error *why);

/*
 * The changes from .. to, all of which are known, in this order. With an id other than 0 those that
 * can't have to do with that route may be left out. `visit` reads what it wants of the steps
 * (journal_reader_step); -1 and `why` from it ends the walk.
 */
struct past_visitor {
	int (*visit)(void *ctx, const struct journal_change *change, struct journal_reader *steps,
	    struct error *why);
	void *ctx;
};
int past_walk(const struct past *past, uint64_t from, uint64_t to, uint64_t id,
    const struct past_visitor *visitor, struct error *why);

/* Append who has deleted that route, and how to bring it back: " (deleted by marc 2026-11-21 09:12
 * in rev 405; 'tmail routes undo 405' brings it back)"; nothing where it is not known. */
int past_tell_deleted(const struct past *past, uint64_t id, struct strbuf *out, struct error *why);

/* Append who has changed which routes since that revision: "revision 413 by marc (route 3)". */
int past_tell_since(const struct past *past, uint64_t revision, struct strbuf *out,
    struct error *why);

#endif
