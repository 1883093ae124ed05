/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A new checkpoint: routes.gdbm as it is, and the changes of routes.journal that are not in it
 * yet. Works on the files alone, in an offload thread, beside changes that are being written.
 */
#ifndef RELAYD_ROUTES_CHECKPOINT_H
#define RELAYD_ROUTES_CHECKPOINT_H

#include <stdint.h>

#include "common/error.h"

/* Up to `revision`, whose record ends at offset `journal_end`. */
int checkpoint_write(const char *dir, uint64_t revision, uint64_t journal_end, struct error *why);

#endif
