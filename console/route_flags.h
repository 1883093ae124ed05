/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The flags that describe a route, and the route object of the control protocol that they make.
 * Every value is checked here as the daemon will check it, so that an error names the flag as it
 * was written.
 */
#ifndef CONSOLE_ROUTE_FLAGS_H
#define CONSOLE_ROUTE_FLAGS_H

#include <jansson.h>

#include "console/command.h"
#include "console/session.h"

enum route_flag {
	FLAG_DESTINATION,
	FLAG_REMOTE_HOST,
	FLAG_REMOTE_PORT,
	FLAG_PRIORITY,
	FLAG_WEIGHT,
	FLAG_LOCAL_IP,
	FLAG_USER,
	FLAG_MAIL_FROM,
	FLAG_REMOTE_LOGIN,
	FLAG_REMOTE_PASSWORD,
	FLAG_REMOTE_PASSWORD_FILE,
	FLAG_TLS,
	FLAG_COMMENT,
	ROUTE_FLAGS /* how many */
};

extern const struct command_flag route_flags[ROUTE_FLAGS];

/*
 * The object for routes.add: the members that were given. Reads the password from where it is, last
 * of all. NULL and `why`: ERROR_USAGE where the words do not fit together, ERROR_REFUSED where a
 * value is none that a route can have.
 */
json_t *route_flags_object(struct session *session, const struct command_call *call,
			   struct error *why);

/* Overwrite the password in it, and let it go. */
void route_flags_wipe(json_t *object);

#endif
