/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A whole file in memory: a descriptor that is read and written as a file is, with no disk behind it.
 * For store.c, whose library would work on the disk itself. Blocks: for start-up and for the offload
 * threads.
 */
#ifndef RELAYD_ROUTES_IMAGE_H
#define RELAYD_ROUTES_IMAGE_H

#include <stdbool.h>

#include "common/error.h"

/* The contents of `path`, or nothing where there is no such file (*there is false). Returns the
 * descriptor, whose offset is 0, or -1. */
int image_read(const char *path, bool *there, struct error *why);

/* Write it into a new file, mode 0600, and sync that. What goes wrong leaves part of a file behind. */
int image_write(int image, const char *path, struct error *why);

void image_free(int image); /* -1 is allowed */

#endif
