/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of the history, for history.c, history_grow.c and past.c alone. */
#ifndef RELAYD_ROUTES_HISTORY_FILES_H
#define RELAYD_ROUTES_HISTORY_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "relayd/routes/history.h"
#include "relayd/routes/journal_format.h"

/* Where a change is, and between which ids its routes lie: all that is kept in memory of it. */
struct history_mark {
	uint64_t offset;
	uint64_t least_id; /* 1 .. 0: it has no steps */
	uint64_t most_id;
};

/* What is known of one file: it has the changes follows + 1 .. follows + count. */
struct history_file {
	uint64_t follows;
	uint64_t end; /* of what was synced, with its seal */
	struct history_mark *marks;
	size_t count;
	size_t room;
};

struct history {
	char *dir;
	struct history_file *files; /* the oldest first, each one follows the one before */
	size_t count;
	size_t room;
	uint64_t last;
};

struct history_growth {
	struct history_file file; /* the marks of what is new */
	bool begun;               /* it is another file */
};

/* DIR/routes.history.FOLLOWS, owned by the caller. */
char *history_path(const char *dir, uint64_t follows);

void history_mark_init(struct history_mark *mark, uint64_t offset);
void history_mark_id(struct history_mark *mark, uint64_t id);
void history_file_add(struct history_file *file, const struct history_mark *mark);

#endif
