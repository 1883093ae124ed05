/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/verbs.h"

#include <string.h>

#include "relayd/control/change_params.h"
#include "relayd/control/edit_params.h"

static const struct verb verbs[] = {
    {"queue.count", false, "", verb_queue_count},
    {"queue.list", false, "after|limit", verb_queue_list},
    {"routes.add", true, EDIT_ADD_PARAMS "|" CHANGE_PARAMS, verb_routes_edit},
    {"routes.batch", true, "commands|" CHANGE_PARAMS, verb_routes_batch},
    {"routes.check", false, "after|limit|routes", verb_routes_check},
    {"routes.confirm", true, "", verb_routes_confirm},
    {"routes.del", true, EDIT_IDS_PARAMS "|" CHANGE_PARAMS, verb_routes_edit},
    {"routes.diff", false, "columns|lines|more|prune|from", verb_routes_diff},
    {"routes.disable", true, EDIT_IDS_PARAMS "|" CHANGE_PARAMS, verb_routes_edit},
    {"routes.enable", true, EDIT_IDS_PARAMS "|" CHANGE_PARAMS, verb_routes_edit},
    {"routes.explain", false, "recipient|sender|login", verb_routes_explain},
    {"routes.get", false, "id", verb_routes_get},
    {"routes.health", false, "", verb_routes_health},
    {"routes.import", true, "columns|lines|more|prune|" CHANGE_PARAMS, verb_routes_import},
    {"routes.list", false, "after|limit|form|filter|sort|cursor|at", verb_routes_list},
    {"routes.log", false, "id|after|limit", verb_routes_log},
    {"routes.move", true, EDIT_MOVE_PARAMS "|" CHANGE_PARAMS, verb_routes_edit},
    {"routes.probe", false, "ids|timeout_ms", verb_routes_probe},
    {"routes.set", true, EDIT_SET_PARAMS "|" CHANGE_PARAMS, verb_routes_edit},
    {"routes.stats", false, "after|limit|filter|all", verb_routes_stats},
    {"routes.undo", true, "revision|" CHANGE_PARAMS, verb_routes_undo},
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

bool
verbs_is_param(const char *params, const char *name)
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
		if (verbs_is_param(verb->params, name))
			continue;
		error_set(&why, ERROR_USAGE, "%s has no parameter '%s'", verb->method, name);
		call_misused(call, why.text);
		return;
	}
	verb->run(call);
}
