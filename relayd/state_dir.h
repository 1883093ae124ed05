/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state directory: made where it is absent, and held by one relayd at a time (a lock on
 * STATE_DIR/relayd.lock, which names the holder's process id; the kernel drops it with the process).
 */
#ifndef RELAYD_STATE_DIR_H
#define RELAYD_STATE_DIR_H

#include <sys/types.h>

#include "common/error.h"

/*
 * Returns the descriptor that holds the lock, to be kept open; -1 and `why` ("... is in use by relayd,
 * process 4711"). What is made belongs to uid and gid, if we are root; (uid_t)-1: to us.
 */
int state_dir_hold(const char *dir, uid_t uid, gid_t gid, struct error *why);

/* Make the directory that `path` lies in, if it is absent, mode 0755, owned as above. */
int state_dir_make_parent(const char *path, uid_t uid, gid_t gid, struct error *why);

#endif
