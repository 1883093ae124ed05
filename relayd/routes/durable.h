/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading, writing and replacing the files of this room, so that what was reported is there after a
 * power cut. All of it blocks: for start-up and for the offload threads.
 */
#ifndef RELAYD_ROUTES_DURABLE_H
#define RELAYD_ROUTES_DURABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* DIR/NAME, owned by the caller. */
char *durable_path(const char *dir, const char *name);

/* As many of `len` bytes as the file has from `offset` on; -1 and errno. */
ssize_t durable_read(int fd, void *bytes, size_t len, uint64_t offset);

/* All of them, or -1 and errno (what was written of them then is not known). */
int durable_write(int fd, const void *bytes, size_t len, uint64_t offset);

/* Write the bytes begin .. end of one file into another, at `offset`. -1 and errno; EIO where the
 * first one ends too early. */
int durable_copy(int from, uint64_t begin, uint64_t end, int to, uint64_t offset);

int durable_size(int fd, uint64_t *size);

/* Remove what may be there; that nothing is there is no failure. */
int durable_remove(const char *path, struct error *why);

/*
 * Put `fresh`, whose content is synced already, in the place of `path`, and sync the directory.
 * Returns -1 when the rename failed (nothing has changed) and -2 when the directory could not be
 * synced (either file may be there after a power cut).
 */
int durable_replace(const char *dir, const char *fresh, const char *path, struct error *why);

#endif
