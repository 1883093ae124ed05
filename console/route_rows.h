/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes as rows: their columns, and the command that makes one. For every command that prints
 * routes.
 */
#ifndef CONSOLE_ROUTE_ROWS_H
#define CONSOLE_ROUTE_ROWS_H

#include <jansson.h>

#include "common/strbuf.h"
#include "console/output.h"

extern const struct output_kind route_rows;

/* The "lines" and "routes" of a reply. */
void route_rows_put(struct output *output, const json_t *reply);

/* Cells, for tables of other kinds of rows that have a route's members. */
void route_rows_text(const json_t *value, const char *unset, struct strbuf *out);
void route_rows_user(const json_t *row, struct strbuf *out);
void route_rows_mail_from(const json_t *row, struct strbuf *out);
void route_rows_remote(const json_t *row, struct strbuf *out); /* host:port, [IPv6]:port */
void route_rows_deferred(const json_t *row, struct strbuf *out); /* "18.2%" */
void route_rows_rate(const json_t *row, struct strbuf *out);

/* "routes add -d gmail.com -rh ... -rpwd @route:2", with its newline; a disabled route comes back
 * disabled. */
void route_rows_command(const json_t *row, struct strbuf *out);

#endif
