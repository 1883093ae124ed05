/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/xalloc.h"

int
identity_find(const char *user, struct identity *identity, struct error *why)
{
	const struct group *group = getgrnam("relayd");
	const struct passwd *entry;

	memset(identity, 0, sizeof *identity);
	identity->uid = (uid_t)-1;
	identity->gid = (gid_t)-1;
	identity->control_gid = geteuid() == 0 && group != NULL ? group->gr_gid : (gid_t)-1;
	if (user == NULL || geteuid() != 0)
		return 0;
	errno = 0;
	entry = getpwnam(user);
	if (entry == NULL)
		return error_set(why, ERROR_REFUSED, "user: there is no user \"%s\" on this system",
				 user);
	identity->uid = entry->pw_uid;
	identity->gid = entry->pw_gid;
	identity->name = xstrdup(user);
	return 0;
}

void
identity_clear(struct identity *identity)
{
	free(identity->name);
	identity->name = NULL;
}

/*
 * What is in memory (routes, the journal's and the protocol's buffers) has the passwords of next
 * hops in it. A daemon that root has started can't be looked into at all; one that somebody has
 * started for himself stays his own. Called after setresuid, which sets this anew.
 */
static int
refuse_core_dumps(bool by_root, struct error *why)
{
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

	if (by_root ? prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 : setrlimit(RLIMIT_CORE, &none) != 0)
		return error_sys(why, ERROR_DENIED, "core dumps can't be refused");
	return 0;
}

int
identity_become(const struct identity *identity, struct error *why)
{
	if (identity->uid != (uid_t)-1) {
		if (initgroups(identity->name, identity->gid) != 0)
			return error_sys(why, ERROR_DENIED, "user %s: initgroups", identity->name);
		if (setresgid(identity->gid, identity->gid, identity->gid) != 0)
			return error_sys(why, ERROR_DENIED, "user %s: setresgid", identity->name);
		if (setresuid(identity->uid, identity->uid, identity->uid) != 0)
			return error_sys(why, ERROR_DENIED, "user %s: setresuid", identity->name);
		if (identity->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
			return error_set(why, ERROR_BUG, "user %s: root could be had again",
					 identity->name);
	}
	if (refuse_core_dumps(identity->uid != (uid_t)-1 || geteuid() == 0, why) != 0)
		return -1;
	/* Nothing that is executed from here on can gain rights; nothing is, but that is the point.
	 */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return error_sys(why, ERROR_DENIED, "no_new_privs");
	return 0;
}
