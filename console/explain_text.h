/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The answer of routes.explain as text for people, in 80 columns where names allow it. */
#ifndef CONSOLE_EXPLAIN_TEXT_H
#define CONSOLE_EXPLAIN_TEXT_H

#include <jansson.h>

#include "common/strbuf.h"

void explain_text(const json_t *answer, struct strbuf *out);

/* What a try's state means: "try", "left out until 12:04:10". */
void explain_text_state(const json_t *try, struct strbuf *out);

/* "33.3%" */
void explain_text_share(const json_t *hop, struct strbuf *out);

#endif
