/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/verbs.h"

#include <string.h>

static const struct verb verbs[] = {
    {"queue.count", false, "", verb_queue_count},
    {"queue.list", false, "after|limit", verb_queue_list},
    {"routes.add", true, "route|routes", verb_routes_add},
    {"routes.del", true, "ids", verb_routes_del},
    {"routes.get", false, "id", verb_routes_get},
    {"routes.list", false, "after|limit|form", verb_routes_list},
    {"server.reload", true, "", verb_server_reload},
    {"server.status", false, "", verb_server_status},
    {"server.version", false, "", verb_server_version},
};

const struct verb *
verbs_find(const char *method)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].method, method) == 0)
			return &verbs[i];
	}
	return NULL;
}

static bool
is_known(const char *params, const char *name)
{
	size_t len = strlen(name), item;

	for (;;) {
		item = strcspn(params, "|");
		if (item == len && len > 0 && memcmp(params, name, len) == 0)
			return true;
		if (params[item] == '\0')
			return false;
		params += item + 1;
	}
}

/* A member that an older daemon does not know may be a condition ("only if"): to pass over it in
 * silence would do what was not asked for. */
void
verbs_run(const struct verb *verb, struct call *call)
{
	struct error why;
	const char *name;
	json_t *value;

	json_object_foreach(call_params(call), name, value)
	{
		if (is_known(verb->params, name))
			continue;
		error_set(&why, ERROR_USAGE, "%s has no parameter '%s'", verb->method, name);
		call_misused(call, why.text);
		return;
	}
	verb->run(call);
}
