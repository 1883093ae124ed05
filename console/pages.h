/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A long list from the daemon, page by page: the next page is asked for before the last one is
 * printed, so that both sides work, and neither holds more than a page.
 */
#ifndef CONSOLE_PAGES_H
#define CONSOLE_PAGES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "console/output.h"
#include "console/session.h"

struct pages {
	const char *method;
	const char *form; /* the member "form" of the question; NULL: none */
	const json_t *params; /* further members of every question; NULL: none */
	int limit;            /* rows of a page */
	uint64_t most;        /* rows in all; 0: as many as there are */
	const struct output_kind *kind;
	/* Print one answer. */
	void (*put)(struct output *output, enum output_format format, const json_t *reply,
		    bool first);
};

int pages_print(struct session *session, const struct pages *pages, struct error *why);

#endif
