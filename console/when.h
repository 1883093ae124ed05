/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Points and spans of time as people read them. */
#ifndef CONSOLE_WHEN_H
#define CONSOLE_WHEN_H

#include <stdint.h>

#include "common/strbuf.h"

/* "2026-01-23T08:10:40Z", as the control protocol has it, in local time: "2026-01-23 09:10:40
 * +0100". What is no such text is appended as it is, NULL as nothing. */
void when_local(const char *utc, struct strbuf *out);

/* "90s", "5m", "2h", "1d", or a number of seconds; at least a second. -1 for anything else. */
int when_parse_span(const char *text, int64_t *span_ms);

/* 273129 s: "3d 03:52:09". */
void when_span(int64_t seconds, struct strbuf *out);

#endif
