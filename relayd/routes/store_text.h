/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The texts of routes.gdbm (store.c) that are not routes: keys, and what the file says of itself. */
#ifndef RELAYD_ROUTES_STORE_TEXT_H
#define RELAYD_ROUTES_STORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/store.h"

enum { STORE_META_MAX = 256, STORE_KEY_MAX = 24 }; /* bytes, with a NUL */

/* Returns the length. */
int store_meta_write(const struct store_meta *meta, char text[STORE_META_MAX]);
int store_meta_read(const char *value, size_t len, struct store_meta *meta, struct error *why);

/* The id of a route's key; -1 if it is none. */
int store_key_read(const char *key, size_t len, uint64_t *id);

#endif
