/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -o template=TEXT: for each row TEXT, in which {NAME} stands for a member of the row, \t for a tab,
 * \n for a newline, \\ for a backslash, {{ and }} for a brace. Nothing is added: a newline at the end of
 * a row has to be written. Control characters in values are shown as \xNN.
 */
#ifndef CONSOLE_TEMPLATE_H
#define CONSOLE_TEMPLATE_H

#include <jansson.h>

#include "common/error.h"
#include "common/strbuf.h"

/* Does it name members of this kind of rows alone? -1 and `why` (ERROR_USAGE), which lists them. */
int template_check(const char *text, const char *const *members, struct error *why);

/* One row, by a template that was checked. */
void template_row(const char *text, const json_t *row, struct strbuf *out);

#endif
