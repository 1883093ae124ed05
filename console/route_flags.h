/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The flags that describe a route, and the route object of the control protocol that they make.
 * Every value is checked here as the daemon will check it, so that an error names the flag as it
 * was written.
 */
#ifndef CONSOLE_ROUTE_FLAGS_H
#define CONSOLE_ROUTE_FLAGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/route.h"
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
	ROUTE_FLAGS, /* how many */

	/* Behind them, of add */
	FLAG_DISABLED = ROUTE_FLAGS,
	FLAG_IF_ABSENT,
	FLAG_FIRST,
	FLAG_LAST,
	FLAG_BEFORE,
	FLAG_AFTER,
	FLAG_SHARE,
	ROUTE_ADD_FLAGS,

	/* Behind them, of set */
	FLAG_CLEAR = ROUTE_FLAGS,
	ROUTE_SET_FLAGS
};

extern const struct command_flag route_add_flags[ROUTE_ADD_FLAGS];
extern const struct command_flag route_set_flags[ROUTE_SET_FLAGS];

/* The field that is meant by its own name or by one of its flags ("local_ips", "local-ip", "l").
 * -1: none is. */
int route_flags_field(const char *name, size_t len, enum route_field *field);

/*
 * The members of the route that were given, for routes.add: text, or null with `set` for a value
 * that is the default. Reads the password from where it is, last of all; `whose` is named in its
 * prompt. With `batch` the words are a line of a file: no password is asked for or warned about,
 * and @route:+1 is a route that the batch adds. NULL and `why`: ERROR_USAGE where the words do not
 * fit together, ERROR_REFUSED where a value is none that a route can have.
 */
json_t *route_flags_object(struct session *session, const struct command_call *call, bool set,
			   bool batch, struct error *why);

/* Overwrite the password in it, and let it go. */
void route_flags_wipe(json_t *object);

#endif
