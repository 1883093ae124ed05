/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libunbound works in a thread of its own; its answers come through a pipe that the loop watches.
 * Inside ub_process answers are only noted: `done` runs from loop_defer, where the caller may free
 * the whole resolver.
 */
#include "relayd/net/resolver.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unbound.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "relayd/net/hosts.h"
#include "relayd/net/rdata.h"

enum {
	TIMEOUT_MS = 15000,
	OTHER_FAMILY_MS = 2000, /* once one has given addresses */
	CLASS_IN = 1,
	TYPE_A = 1,
	TYPE_MX = 15,
	TYPE_AAAA = 28,
	RCODE_NXDOMAIN = 3,
	WHY_MAX = 384
};

struct resolver {
	struct loop *loop;
	struct ub_ctx *ub;
	struct watch *watch;
	struct hosts *hosts;
	int64_t timeout_ms;
	struct lookup *lookups; /* in flight */
};

/* One type of record of one name. */
struct question {
	struct lookup *lookup;
	int type;
	int async_id;
	bool asked; /* and not yet answered */
	enum lookup_status status;
	struct netaddr *addresses;
	struct lookup_mx_host *hosts;
	size_t count;
};

struct lookup {
	struct resolver *resolver; /* NULL: not in its list any more */
	struct lookup *next;
	struct lookup **link;
	struct timer *timer;
	char *name;
	struct question questions[2]; /* AAAA and A, or MX */
	size_t question_count;
	void (*hosts_done)(void *ctx, const struct lookup_hosts *answer);
	void (*mx_done)(void *ctx, const struct lookup_mx *answer);
	void *ctx;
	char why[WHY_MAX];
	bool settled;   /* lookup_settle is deferred */
	bool cancelled; /* lookup_settle gives back the memory, no more */
};

/* ---- libunbound ------------------------------------------------------------------------------ */

static int
set_option(struct ub_ctx *ub, const char *option, const char *value, struct error *why)
{
	int rc = ub_ctx_set_option(ub, option, value);

	if (rc == UB_NOERROR)
		return 0;
	return error_set(why, ERROR_BUG, "libunbound: %s %s: %s", option, value, ub_strerror(rc));
}

/*
 * The name servers decide: names of RFC 6761 and 8375 that they may well serve are asked for.
 * A server that was dead is tried again soon, also when it is the only one.
 */
static int
set_options(struct ub_ctx *ub, struct error *why)
{
	static const struct {
		const char *option;
		const char *value;
	} options[] = {
	    {"do-not-query-localhost:", "no"},
	    {"local-zone:", "test. transparent"},
	    {"local-zone:", "home.arpa. transparent"},
	    {"infra-keep-probing:", "yes"},
	    {"infra-host-ttl:", "60"},
	    {"outgoing-range:", "128"}, /* so many questions at once, each a descriptor */
	    {"use-syslog:", "no"},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (set_option(ub, options[i].option, options[i].value, why) < 0)
			return -1;
	}
	return 0;
}

static int
set_servers(struct ub_ctx *ub, const struct resolver_options *options, struct error *why)
{
	int rc;

	for (size_t i = 0; i < options->server_count; i++) {
		rc = ub_ctx_set_fwd(ub, options->servers[i]);
		if (rc != UB_NOERROR)
			return error_set(why, ERROR_REFUSED, "name server %s: %s",
					 options->servers[i], ub_strerror(rc));
	}
	if (options->server_count > 0)
		return 0;
	rc = ub_ctx_resolvconf(ub, NULL);
	/* As resolv.conf(5) has it: without the file, the name server of this host. */
	if (rc == UB_READFILE)
		rc = ub_ctx_set_fwd(ub, "127.0.0.1");
	if (rc != UB_NOERROR)
		return error_set(why, ERROR_REFUSED, "/etc/resolv.conf: %s", ub_strerror(rc));
	return 0;
}

static void
resolver_ready(void *ctx, int what)
{
	struct resolver *resolver = ctx;

	(void)what;
	/* A failure here is the pipe's; the lookups in flight end by their timers. */
	if (ub_process(resolver->ub) != UB_NOERROR)
		watch_set(resolver->watch, 0);
}

struct resolver *
resolver_new(struct loop *loop, const struct resolver_options *options, struct error *why)
{
	struct resolver *resolver = xcalloc(1, sizeof(*resolver));
	int fd;

	resolver->loop = loop;
	resolver->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
	resolver->ub = ub_ctx_create();
	if (resolver->ub == NULL) {
		error_sys(why, ERROR_BUG, "libunbound can't start");
		goto fail;
	}
	ub_ctx_debugout(resolver->ub, NULL);
	if (ub_ctx_async(resolver->ub, 1) != UB_NOERROR) {
		error_set(why, ERROR_BUG, "libunbound has no threads");
		goto fail;
	}
	if (set_options(resolver->ub, why) < 0 || set_servers(resolver->ub, options, why) < 0)
		goto fail;
	fd = ub_fd(resolver->ub);
	if (fd < 0) {
		error_set(why, ERROR_BUG, "libunbound has no descriptor");
		goto fail;
	}
	resolver->hosts =
	    hosts_new(loop, options->hosts_file != NULL ? options->hosts_file : "/etc/hosts");
	resolver->watch = watch_new(loop, fd, resolver_ready, resolver);
	watch_set(resolver->watch, WATCH_READ);
	return resolver;
fail:
	resolver_free(resolver);
	return NULL;
}

void
resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	while (resolver->lookups != NULL)
		lookup_cancel(resolver->lookups);
	watch_free(resolver->watch); /* before its descriptor is closed */
	ub_ctx_delete(resolver->ub);
	hosts_free(resolver->hosts);
	free(resolver);
}

/* ---- a lookup's life ------------------------------------------------------------------------- */

static void
question_clear(struct question *question)
{
	for (size_t i = 0; question->hosts != NULL && i < question->count; i++)
		free((char *)question->hosts[i].host);
	free(question->hosts);
	free(question->addresses);
}

static void
lookup_release(struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->question_count; i++)
		question_clear(&lookup->questions[i]);
	free(lookup->name);
	free(lookup);
}

/* Out of the resolver's hands: no timer, no answer comes any more. */
static void
lookup_detach(struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->question_count; i++) {
		struct question *question = &lookup->questions[i];

		if (!question->asked)
			continue;
		question->asked = false;
		/* UB_NOID: it is answered; ub_process has not run yet and won't call us */
		(void)ub_cancel(lookup->resolver->ub, question->async_id);
	}
	timer_free(lookup->timer);
	lookup->timer = NULL;
	*lookup->link = lookup->next;
	if (lookup->next != NULL)
		lookup->next->link = lookup->link;
	lookup->resolver = NULL;
}

static enum lookup_status
lookup_status_of_hosts(const struct lookup *lookup, size_t count)
{
	enum lookup_status a = lookup->questions[0].status;
	enum lookup_status b = lookup->questions[1].status;

	if (count > 0)
		return LOOKUP_OK;
	if (a == LOOKUP_FAILED || b == LOOKUP_FAILED)
		return LOOKUP_FAILED;
	/* Either the name exists or not: a server that says both does not know it for sure. */
	return a == LOOKUP_NXDOMAIN && b == LOOKUP_NXDOMAIN ? LOOKUP_NXDOMAIN : LOOKUP_NONE;
}

static void
lookup_tell_hosts(struct lookup *lookup)
{
	const struct question *v6 = &lookup->questions[0], *v4 = &lookup->questions[1];
	struct lookup_hosts answer = {.count = v6->count + v4->count};
	struct netaddr *all = NULL;

	if (answer.count > 0)
		all = xreallocarray(NULL, answer.count, sizeof(*all));
	if (v6->count > 0)
		memcpy(all, v6->addresses, v6->count * sizeof(*all));
	if (v4->count > 0)
		memcpy(all + v6->count, v4->addresses, v4->count * sizeof(*all));
	answer.addresses = all;
	answer.status = lookup_status_of_hosts(lookup, answer.count);
	answer.why = answer.status == LOOKUP_FAILED ? lookup->why : NULL;
	lookup->hosts_done(lookup->ctx, &answer);
	free(all);
}

static void
lookup_tell_mx(struct lookup *lookup)
{
	const struct question *question = &lookup->questions[0];
	const struct lookup_mx answer = {.status = question->status,
					 .count = question->count,
					 .hosts = question->hosts,
					 .why = question->status == LOOKUP_FAILED ? lookup->why
										  : NULL};

	lookup->mx_done(lookup->ctx, &answer);
}

static void
lookup_settle(void *ctx)
{
	struct lookup *lookup = ctx;

	if (!lookup->cancelled) {
		lookup->cancelled = true; /* `done` runs: nothing is left to cancel */
		lookup_detach(lookup);
		if (lookup->hosts_done != NULL)
			lookup_tell_hosts(lookup);
		else
			lookup_tell_mx(lookup);
	}
	lookup_release(lookup);
}

static void
lookup_settle_soon(struct lookup *lookup, struct loop *loop)
{
	if (lookup->settled)
		return;
	lookup->settled = true;
	loop_defer(loop, lookup_settle, lookup);
}

void
lookup_cancel(struct lookup *lookup)
{
	struct loop *loop;

	if (lookup->cancelled)
		return;
	loop = lookup->resolver->loop;
	lookup->cancelled = true;
	lookup_detach(lookup);
	lookup_settle_soon(lookup, loop);
}

/* The present state is the answer: what is still asked has failed, unless the other question is
 * good enough. */
static void
lookup_timed_out(void *ctx)
{
	struct lookup *lookup = ctx;

	for (size_t i = 0; i < lookup->question_count; i++) {
		if (lookup->questions[i].asked)
			snprintf(lookup->why, sizeof(lookup->why),
				 "the name servers did not answer for %s in time", lookup->name);
	}
	lookup_settle_soon(lookup, lookup->resolver->loop);
}

/* One question is answered. */
static void
lookup_go_on(struct lookup *lookup)
{
	size_t asked = 0, found = 0;

	for (size_t i = 0; i < lookup->question_count; i++) {
		asked += lookup->questions[i].asked;
		found += lookup->questions[i].count;
	}
	if (asked == 0)
		lookup_settle_soon(lookup, lookup->resolver->loop);
	else if (found > 0)
		timer_set(lookup->timer, OTHER_FAMILY_MS);
}

/* ---- answers --------------------------------------------------------------------------------- */

static const char *
type_name(int type)
{
	return type == TYPE_A ? "A" : type == TYPE_AAAA ? "AAAA" : "MX";
}

static const char *
rcode_name(int rcode)
{
	static const char *const names[] = {[1] = "FORMERR",
					    [2] = "SERVFAIL",
					    [RCODE_NXDOMAIN] = "NXDOMAIN",
					    [4] = "NOTIMP",
					    [5] = "REFUSED"};

	if (rcode > 0 && (size_t)rcode < sizeof(names) / sizeof(names[0]))
		return names[rcode];
	return "an unknown error";
}

static void
question_fail(struct question *question, const char *reason)
{
	struct lookup *lookup = question->lookup;

	question->status = LOOKUP_FAILED;
	snprintf(lookup->why, sizeof(lookup->why), "looking up the %s record of %s failed: %s",
		 type_name(question->type), lookup->name, reason);
}

static size_t
result_count(const struct ub_result *result)
{
	size_t count = 0;

	while (result->data[count] != NULL)
		count++;
	return count;
}

static void
question_take_addresses(struct question *question, const struct ub_result *result)
{
	size_t count = result_count(result);

	question->addresses = xreallocarray(NULL, count, sizeof(*question->addresses));
	for (size_t i = 0; i < count; i++) {
		struct netaddr *address = &question->addresses[question->count];

		if (rdata_address(result->data[i], (size_t)result->len[i], address) == 0)
			question->count++;
	}
}

/* Lowest preference first; equals keep their order (the sort is by insertion, a domain has few). */
static void
question_add_mx(struct question *question, uint16_t preference, const char *host)
{
	size_t at = question->count++;

	while (at > 0 && question->hosts[at - 1].preference > preference) {
		question->hosts[at] = question->hosts[at - 1];
		at--;
	}
	question->hosts[at] =
	    (struct lookup_mx_host){.host = xstrdup(host), .preference = preference};
}

static void
question_take_mx(struct question *question, const struct ub_result *result)
{
	size_t count = result_count(result);
	char host[RDATA_NAME_MAX + 1];
	uint16_t preference;

	question->hosts = xcalloc(count, sizeof(*question->hosts));
	for (size_t i = 0; i < count; i++) {
		if (rdata_mx(result->data[i], (size_t)result->len[i], &preference, host) < 0)
			continue;
		/* RFC 7505 §3: the null MX stands alone; beside others it means nothing */
		if (host[0] == '\0' && count > 1)
			continue;
		question_add_mx(question, preference, host);
	}
}

static void
question_take(struct question *question, const struct ub_result *result)
{
	if (result->bogus) {
		question_fail(question,
			      result->why_bogus != NULL ? result->why_bogus : "bogus DNSSEC");
	} else if (result->nxdomain || result->rcode == RCODE_NXDOMAIN) {
		question->status = LOOKUP_NXDOMAIN;
	} else if (result->rcode != 0) {
		question_fail(question, rcode_name(result->rcode));
	} else if (!result->havedata || result->data == NULL || result->data[0] == NULL) {
		question->status = LOOKUP_NONE;
	} else {
		if (question->type == TYPE_MX)
			question_take_mx(question, result);
		else
			question_take_addresses(question, result);
		question->status = LOOKUP_OK;
		if (question->count == 0)
			question_fail(question, "no record is usable");
	}
}

static void
question_answered(void *ctx, int err, struct ub_result *result)
{
	struct question *question = ctx;

	question->asked = false;
	if (err != UB_NOERROR || result == NULL)
		question_fail(question, ub_strerror(err != UB_NOERROR ? err : UB_SERVFAIL));
	else
		question_take(question, result);
	ub_resolve_free(result);
	lookup_go_on(question->lookup);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static struct lookup *
lookup_new(struct resolver *resolver, const char *name, void *ctx)
{
	struct lookup *lookup = xcalloc(1, sizeof(*lookup));

	lookup->resolver = resolver;
	lookup->ctx = ctx;
	lookup->name = xstrdup(name);
	lookup->next = resolver->lookups;
	lookup->link = &resolver->lookups;
	if (lookup->next != NULL)
		lookup->next->link = &lookup->next;
	resolver->lookups = lookup;
	return lookup;
}

static struct question *
lookup_add(struct lookup *lookup, int type)
{
	struct question *question = &lookup->questions[lookup->question_count++];

	question->lookup = lookup;
	question->type = type;
	question->status = LOOKUP_FAILED; /* unless an answer comes */
	return question;
}

static void
lookup_ask(struct lookup *lookup)
{
	struct resolver *resolver = lookup->resolver;

	if (!name_is_possible(lookup->name)) {
		for (size_t i = 0; i < lookup->question_count; i++)
			lookup->questions[i].status = LOOKUP_NXDOMAIN;
		lookup_settle_soon(lookup, resolver->loop);
		return;
	}
	lookup->timer = timer_new(resolver->loop, lookup_timed_out, lookup);
	timer_set(lookup->timer, resolver->timeout_ms);
	for (size_t i = 0; i < lookup->question_count; i++) {
		struct question *question = &lookup->questions[i];
		int rc = ub_resolve_async(resolver->ub, lookup->name, question->type, CLASS_IN,
					  question, question_answered, &question->async_id);

		if (rc == UB_NOERROR)
			question->asked = true;
		else
			question_fail(question, ub_strerror(rc));
	}
	lookup_go_on(lookup);
}

/* Addresses that need no name server: an address as text, a name of the hosts file. */
static bool
lookup_is_local(struct lookup *lookup)
{
	struct question *question = &lookup->questions[1];
	const struct netaddr *found;
	struct netaddr literal;
	size_t count;

	if (netaddr_parse(lookup->name, &literal) == 0) {
		found = &literal;
		count = 1;
	} else {
		count = hosts_find(lookup->resolver->hosts, lookup->name, &found);
	}
	if (count == 0)
		return false;
	question->addresses = xreallocarray(NULL, count, sizeof(*found));
	memcpy(question->addresses, found, count * sizeof(*found));
	question->count = count;
	lookup_settle_soon(lookup, lookup->resolver->loop);
	return true;
}

struct lookup *
resolver_hosts(struct resolver *resolver, const char *host,
	       void (*done)(void *ctx, const struct lookup_hosts *answer), void *ctx)
{
	struct lookup *lookup = lookup_new(resolver, host, ctx);

	lookup->hosts_done = done;
	lookup_add(lookup, TYPE_AAAA);
	lookup_add(lookup, TYPE_A);
	if (!lookup_is_local(lookup))
		lookup_ask(lookup);
	return lookup;
}

struct lookup *
resolver_mx(struct resolver *resolver, const char *domain,
	    void (*done)(void *ctx, const struct lookup_mx *answer), void *ctx)
{
	struct lookup *lookup = lookup_new(resolver, domain, ctx);

	lookup->mx_done = done;
	lookup_add(lookup, TYPE_MX);
	lookup_ask(lookup);
	return lookup;
}
