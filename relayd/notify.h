/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Readiness and reload for a service manager: sd_notify(3)'s datagrams to NOTIFY_SOCKET. Nothing happens where
 * that is unset. A failure is not worth more than a log line: mail goes on.
 */
#ifndef RELAYD_NOTIFY_H
#define RELAYD_NOTIFY_H

#include "common/log.h"

/* "READY=1", "RELOADING=1" (the monotonic time is added), "STOPPING=1". */
void notify_manager(struct log *log, const char *state);

#endif
