/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Becoming the configured user for good. */
#ifndef RELAYD_PRIVILEGE_H
#define RELAYD_PRIVILEGE_H

#include <sys/types.h>

#include "common/error.h"

struct identity {
	uid_t uid; /* (uid_t)-1: stay who we are */
	gid_t gid;
	gid_t control_gid; /* of the control socket: group "relayd" where there is one; (gid_t)-1: leave it */
	char *name;        /* NULL: stay who we are */
};

/* Look `user` up; NULL, or not being root: stay who we are. */
int identity_find(const char *user, struct identity *identity, struct error *why);
void identity_clear(struct identity *identity);

/* Drop to it, supplementary groups included, and make sure that there is no way back. Core dumps are
 * refused from then on. */
int identity_become(const struct identity *identity, struct error *why);

#endif
