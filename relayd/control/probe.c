/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sessions are begun and given up in turns of one timer, never inside of their callbacks. */
#include "relayd/control/probe.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/control/call.h"
#include "relayd/control/route_object.h"
#include "relayd/net/loop.h"
#include "relayd/net/source.h"
#include "relayd/routes/plan.h"
#include "relayd/smtp/client.h"

enum { SESSIONS_AT_ONCE = 16 };

enum check_state {
	CHECK_WAITS, /* its session is to be begun */
	CHECK_RUNS,
	CHECK_ENDS, /* its session stands, or came to nothing: to be given up */
	CHECK_DONE
};

/* One session. */
struct check {
	struct probe *probe;
	enum check_state state;
	struct route *route;
	struct netaddr remote, local;
	struct client *client;
	bool ready;
	int64_t begun_ms;
	json_t *result;
};

struct probe {
	struct probe_options options;
	struct route_local_ips local_ips; /* the configured default */
	struct check **checks;
	size_t count;
	size_t running;
	size_t left; /* not done */
	int64_t until_ms;
	struct timer *turn;
};

static json_t *
text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

/* ---- what is to be tried ---- */

static struct check *
check_add(struct probe *probe, const struct route *route, const char *remote)
{
	struct check *check = xcalloc(1, sizeof(*check));

	check->probe = probe;
	check->state = CHECK_WAITS;
	check->route = route_ref(route);
	check->result = json_object();
	route_object_put(check->result, "route", json_integer((json_int_t)route->id));
	route_object_put(check->result, "remote_host", json_string(route->remote_host));
	route_object_put(check->result, "remote_port", json_integer(route->remote_port));
	route_object_put(check->result, "remote",
			 remote != NULL ? json_string(remote) : json_null());
	route_object_put(check->result, "local", json_null());
	route_object_put(check->result, "ok", json_false());
	route_object_put(check->result, "ms", json_null());
	route_object_put(check->result, "stage", json_null());
	route_object_put(check->result, "reply", json_null());
	route_object_put(check->result, "tls", json_null());
	route_object_put(check->result, "cipher", json_null());
	route_object_put(check->result, "verified", json_null());
	route_object_put(check->result, "auth", json_null());
	probe->checks = xreallocarray(probe->checks, probe->count + 1, sizeof(struct check *));
	probe->checks[probe->count++] = check;
	probe->left++;
	return check;
}

/* It came to nothing: where, and why. */
static void
check_fail(struct check *check, const char *stage, const char *text)
{
	route_object_put(check->result, "stage", json_string(stage));
	route_object_put(check->result, "reply", call_text(text));
}

/* There is nothing to connect to. */
static void
check_never(struct check *check, const char *stage, const char *text)
{
	check_fail(check, stage, text);
	check->state = CHECK_DONE;
	check->probe->left--;
}

static void
add_entry(struct probe *probe, const struct plan_entry *entry, bool skipped)
{
	char text[NETADDR_TEXT_MAX];
	struct check *check =
	    check_add(probe, entry->route, netaddr_text_port(&entry->remote, text));

	check->remote = entry->remote;
	check->local = entry->local;
	if (entry->local.family != AF_UNSPEC)
		route_object_put(check->result, "local",
				 json_string(netaddr_text(&entry->local, text)));
	if (skipped)
		check_never(check, "address", plan_skip_text(entry->skip));
}

static void
give_addresses(struct plan *plan, const struct name *name)
{
	size_t count = name->count < PLAN_TRIES_MAX ? name->count : PLAN_TRIES_MAX;
	struct netaddr sources[PLAN_TRIES_MAX];
	bool wants = count > 1 && plan_wants_sources(plan);

	if (wants)
		sources_find(name->addresses, count, sources);
	plan_addresses(plan, name->addresses, wants ? sources : NULL, count);
}

static void
add_plan(struct probe *probe, struct plan *plan, const struct names *names)
{
	struct plan_entry entry;
	const struct name *name;

	for (;;) {
		switch (plan_next(plan, &entry)) {
		case PLAN_END:
			return;
		case PLAN_ADDRESSES:
			name = names_find(names, entry.host);
			if (name != NULL && name->status == LOOKUP_OK) {
				give_addresses(plan, name);
				break;
			}
			plan_addresses(plan, NULL, NULL, 0);
			check_never(check_add(probe, entry.route, NULL), "lookup",
				    name == NULL                      ? "it was not looked up"
				    : name->status == LOOKUP_NXDOMAIN ? "the name does not exist"
				    : name->status == LOOKUP_NONE
					? "the name has no A or AAAA record"
					: name->why);
			break;
		case PLAN_TRY:
			add_entry(probe, &entry, false);
			plan_failed(plan, &entry, PLAN_FAILED);
			break;
		case PLAN_SKIP:
			add_entry(probe, &entry, true);
			break;
		}
	}
}

void
probe_add(struct probe *probe, const struct route *route, const struct names *names)
{
	struct route_group *alone = xmalloc(sizeof(*alone) + sizeof(alone->routes[0]));
	struct plan *plan;

	*alone = (struct route_group){.count = 1, .references = 1};
	alone->routes[0] = route_ref(route);
	plan = plan_new(&(struct plan_options){
	    .group = alone, .local_ips = &probe->local_ips, .random = draw_in_order});
	route_group_unref(alone);
	add_plan(probe, plan, names);
	plan_free(plan);
}

/* ---- sessions ---- */

static void
turn_soon(struct probe *probe)
{
	timer_set(probe->turn, 0);
}

static void
check_ready(void *ctx)
{
	struct check *check = ctx;
	const struct client_facts *facts = client_facts(check->client);

	if (check->state != CHECK_RUNS)
		return;
	check->state = CHECK_ENDS;
	check->ready = true;
	route_object_put(check->result, "ok", json_true());
	route_object_put(check->result, "tls", text_or_null(facts->tls));
	route_object_put(check->result, "cipher", text_or_null(facts->cipher));
	if (facts->tls[0] != '\0')
		route_object_put(check->result, "verified", json_boolean(facts->verified));
	route_object_put(check->result, "auth", text_or_null(facts->auth));
	turn_soon(check->probe);
}

static void
check_ended(void *ctx)
{
	struct check *check = ctx;

	if (check->state != CHECK_RUNS) {
		/* Gone before QUIT was said: it could take mail, which was the question. */
		check->ready = false;
		return;
	}
	check->state = CHECK_ENDS;
	check_fail(check, client_stage_name(client_failure_stage(check->client)),
		   client_failure_text(check->client));
	turn_soon(check->probe);
}

/* It never has one. */
static void
check_returned(void *ctx, struct client_job *job)
{
	(void)ctx;
	(void)job;
}

static const struct client_events check_events = {
    .ready = check_ready, .ended = check_ended, .returned = check_returned};

static void
check_begin(struct check *check)
{
	struct probe *probe = check->probe;
	const struct route *route = check->route;
	const struct control_services *services = probe->options.services;
	struct control_outgoing outgoing;
	struct client_options options;
	const struct client_target target = {
	    .remote = check->remote,
	    .local = check->local,
	    .name = route->remote_host,
	    .tls = route_effective_tls(route),
	    .login = route->remote_login,
	    .password = route->remote_password,
	    .clear_login = route->tls == ROUTE_TLS_NONE || route->tls == ROUTE_TLS_MAY,
	    .route_id = route->id,
	};
	struct error why;

	/* Asked for anew: a reload may have changed it since the last one. */
	services->outgoing(services->ctx, &outgoing);
	options = outgoing.client;
	if (options.connect_ms > probe->options.timeout_ms)
		options.connect_ms = probe->options.timeout_ms;
	if (options.remote_command_ms > probe->options.timeout_ms)
		options.remote_command_ms = probe->options.timeout_ms;
	check->begun_ms = loop_now_ms(services->loop);
	check->client = client_new(&options, &target, &check_events, check, &why);
	if (check->client == NULL) {
		check_never(check, "connect", why.text);
		return;
	}
	check->state = CHECK_RUNS;
	probe->running++;
}

static void
check_end(struct check *check)
{
	struct probe *probe = check->probe;

	route_object_put(
	    check->result, "ms",
	    json_integer(loop_now_ms(probe->options.services->loop) - check->begun_ms));
	if (check->ready)
		client_quit(check->client);
	else
		client_free(check->client);
	check->client = NULL;
	check->state = CHECK_DONE;
	probe->running--;
	probe->left--;
}

static void
give_results(struct probe *probe)
{
	json_t *results = json_array();

	for (size_t i = 0; i < probe->count; i++)
		json_array_append(results, probe->checks[i]->result);
	probe->options.done(probe->options.ctx, results);
}

/* End what can be ended, begin what there is room for. */
static void
probe_turn(void *ctx)
{
	struct probe *probe = ctx;
	int64_t left_ms = probe->until_ms - loop_now_ms(probe->options.services->loop);

	for (size_t i = 0; i < probe->count; i++) {
		struct check *check = probe->checks[i];

		if (left_ms <= 0 && check->state == CHECK_RUNS) {
			check_fail(check, "time", "it was not done in time");
			check->state = CHECK_ENDS;
		} else if (left_ms <= 0 && check->state == CHECK_WAITS) {
			check_never(check, "time", "its turn did not come in time");
		}
		if (check->state == CHECK_ENDS)
			check_end(check);
	}
	for (size_t i = 0; i < probe->count && probe->running < SESSIONS_AT_ONCE; i++) {
		if (probe->checks[i]->state == CHECK_WAITS)
			check_begin(probe->checks[i]);
	}
	if (probe->left == 0)
		give_results(probe);
	else if (!timer_is_set(probe->turn))
		timer_set(probe->turn, left_ms > 0 ? left_ms : 0);
}

struct probe *
probe_new(const struct probe_options *options)
{
	struct probe *probe = xcalloc(1, sizeof(*probe));
	struct control_outgoing outgoing;

	probe->options = *options;
	options->services->outgoing(options->services->ctx, &outgoing);
	if (outgoing.local_ips != NULL)
		(void)route_local_ips_parse(outgoing.local_ips, &probe->local_ips, NULL);
	probe->turn = timer_new(options->services->loop, probe_turn, probe);
	return probe;
}

void
probe_start(struct probe *probe)
{
	probe->until_ms = loop_now_ms(probe->options.services->loop) + probe->options.timeout_ms;
	turn_soon(probe);
}

void
probe_free(struct probe *probe)
{
	if (probe == NULL)
		return;
	for (size_t i = 0; i < probe->count; i++) {
		struct check *check = probe->checks[i];

		if (check->client != NULL)
			client_free(check->client);
		route_unref(check->route);
		json_decref(check->result);
		free(check);
	}
	free(probe->checks);
	timer_free(probe->turn);
	free(probe);
}
