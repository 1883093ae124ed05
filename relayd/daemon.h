/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The daemon: owns every object, connects their callbacks, starts and stops them in order. Answers no question
 * of its own about mail.
 */
#ifndef RELAYD_DAEMON_H
#define RELAYD_DAEMON_H

#include "common/error.h"
#include "common/log.h"
#include "relayd/settings.h"

struct daemon_options {
	const char *file;          /* the configuration, for reload; must outlive the daemon */
	struct settings *settings; /* read from it; the daemon's from now on */
	struct log *log;
	/* Called once when mail can be taken. May be NULL. */
	void (*ready)(void *ctx);
	void *ctx;
};

/* Run until SIGTERM or SIGINT. 0 after an orderly end; -1 and `why` if it could not start or go on. */
int daemon_run(const struct daemon_options *options, struct error *why);

/* Would a start find what the settings name? Beyond settings_read, and without starting anything. */
int daemon_check(const struct settings *settings, struct error *why);

#endif
