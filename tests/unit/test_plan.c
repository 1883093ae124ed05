/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes/plan, step by step: hops and shares, addresses and families, local IPs, what is left out
 * while it is suspended and tried all the same, what has failed and is not tried again, rivals of a
 * race. Randomness is a seeded generator; shares are tested by chi-square.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/plan.h"

static uint32_t
seeded_below(void *ctx, uint32_t bound)
{
	uint64_t *seed = ctx;

	assert_true(bound > 0);
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((*seed >> 32) * bound) >> 32);
}

/* ---- what a plan is made of ---- */

/* Names and their addresses; what is not here can't be looked up. */
static const struct {
	const char *name;
	const char *addresses[6];
} names[] = {
    {"four.test", {"192.0.2.1", "192.0.2.2"}},
    {"both.test", {"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"}},
    {"six.test", {"2001:db8::1", "2001:db8::2"}},
    {"twice.test", {"192.0.2.1", "192.0.2.2", "192.0.2.1", "::ffff:192.0.2.2"}},
    {"same.test", {"192.0.2.1"}},
    {"alias.test", {"192.0.2.1"}},
    {"1.test", {"192.0.2.1"}},
    {"other.test", {"192.0.2.9"}},
};

/* Suspended pairs, "REMOTE LOCAL" each ("-": the kernel's choice), with blanks between and around.
 */
static bool
is_suspended(void *ctx, const struct netaddr *remote, const struct netaddr *local)
{
	const char *const *pairs = ctx;
	char a[NETADDR_TEXT_MAX], b[NETADDR_TEXT_MAX], *pair;
	bool found;

	pair = xasprintf(" %s %s ", netaddr_text(remote, a),
			 local->family == AF_UNSPEC ? "-" : netaddr_text(local, b));
	found = *pairs != NULL && strstr(*pairs, pair) != NULL;
	free(pair);
	return found;
}

struct scene {
	struct route_group *group;
	struct route_local_ips local_ips;
	uint64_t seed;
	const char *suspended;
	struct plan *plan;
	struct strbuf said;
};

/* As the table makes it: records, by (priority, id). */
static struct route_group *
make_group(const char *const *records)
{
	struct route_group *group;
	size_t count = 0;

	while (records[count] != NULL)
		count++;
	group = xmalloc(sizeof(*group) + count * sizeof(struct route *));
	*group = (struct route_group){.count = count, .references = 1};
	for (size_t i = 0; i < count; i++) {
		struct error why;
		group->routes[i] = route_decode(i + 1, records[i], strlen(records[i]), &why);
		if (group->routes[i] == NULL)
			fail_msg("%s: %s", records[i], why.text);
	}
	return group;
}

static struct scene *
scene_new(const char *local_ips, const char *const *records)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));
	struct error why;

	scene->said = (struct strbuf)STRBUF_INIT;
	scene->group = make_group(records);
	if (local_ips != NULL)
		assert_int_equal(route_local_ips_parse(local_ips, &scene->local_ips, &why), 0);
	return scene;
}

static void
scene_plan(struct scene *scene)
{
	plan_free(scene->plan);
	scene->plan = plan_new(&(struct plan_options){
	    .group = scene->group,
	    .local_ips = &scene->local_ips,
	    .random = {seeded_below, &scene->seed},
	    .health = {is_suspended, &scene->suspended},
	});
}

static void
scene_free(struct scene *scene)
{
	plan_free(scene->plan);
	route_group_unref(scene->group);
	strbuf_clear(&scene->said);
	free(scene);
}

static void
answer(struct plan *plan, const char *host)
{
	struct netaddr list[6];
	size_t count = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i].name, host) != 0)
			continue;
		for (; count < 6 && names[i].addresses[count] != NULL; count++)
			assert_int_equal(netaddr_parse(names[i].addresses[count], &list[count]), 0);
	}
	plan_addresses(plan, list, NULL, count);
}

/* The next try; what is left out on the way goes to scene->said. False: the end. */
static bool
next_try(struct scene *scene, struct plan_entry *entry)
{
	static const char *const skips[] = {[PLAN_SKIP_FAMILY] = "family",
					    [PLAN_SKIP_SUSPENDED] = "suspended",
					    [PLAN_SKIP_FAILED] = "failed",
					    [PLAN_SKIP_ABSENT] = "absent"};
	char text[NETADDR_TEXT_MAX];

	for (;;) {
		switch (plan_next(scene->plan, entry)) {
		case PLAN_ADDRESSES:
			assert_int_equal(plan_next(scene->plan, entry), PLAN_ADDRESSES);
			answer(scene->plan, entry->host);
			break;
		case PLAN_SKIP:
			assert_true(strlen(plan_skip_text(entry->skip)) > 0);
			strbuf_printf(&scene->said, " (%s %s)", skips[entry->skip],
				      netaddr_text(&entry->remote, text));
			break;
		case PLAN_TRY:
			return true;
		case PLAN_END:
			assert_int_equal(plan_next(scene->plan, entry), PLAN_END);
			return false;
		}
	}
}

static void
say_try(struct scene *scene, const struct plan_entry *entry)
{
	char remote[NETADDR_TEXT_MAX], local[NETADDR_TEXT_MAX];

	strbuf_printf(&scene->said, " %s%s", netaddr_text_port(&entry->remote, remote),
		      entry->suspended ? "!" : "");
	if (entry->local.family != AF_UNSPEC) {
		assert_int_equal(entry->local.port, 0);
		strbuf_printf(&scene->said, "<%s", netaddr_text(&entry->local, local));
	}
}

/* The whole plan, each try failing as `how` says. */
static const char *
walk(struct scene *scene, enum plan_failure how)
{
	struct plan_entry entry;

	strbuf_clear(&scene->said);
	strbuf_append(&scene->said, "", 0);
	scene_plan(scene);
	while (next_try(scene, &entry)) {
		say_try(scene, &entry);
		if (how != PLAN_FAILED)
			plan_failed(scene->plan, &entry, how);
	}
	return scene->said.data != NULL ? scene->said.data : "";
}

/* One plan: `records` with NULL behind the last. */
static void
expect(const char *local_ips, const char *const *records, const char *suspended,
       enum plan_failure how, const char *expected)
{
	struct scene *scene = scene_new(local_ips, records);

	scene->suspended = suspended;
	assert_string_equal(walk(scene, how), expected);
	scene_free(scene);
}

#define RECORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- hops and addresses ---- */

static void
test_failover(void **state)
{
	(void)state;
	expect(NULL,
	       RECORDS("remote_host=192.0.2.9\n",
		       "remote_host=four.test\nremote_port=587\npriority=2\n",
		       "remote_host=gone.test\npriority=3\n",
		       "remote_host=2001:db8::7\npriority=4\n"),
	       NULL, PLAN_FAILED, " 192.0.2.9:25 192.0.2.1:587 192.0.2.2:587 [2001:db8::7]:25");
}

static void
test_families(void **state)
{
	(void)state;
	expect(NULL, RECORDS("remote_host=both.test\n"), NULL, PLAN_FAILED,
	       " [2001:db8::1]:25 192.0.2.1:25 [2001:db8::2]:25 192.0.2.2:25 192.0.2.3:25");
	expect(NULL, RECORDS("remote_host=twice.test\n"), NULL, PLAN_FAILED,
	       " 192.0.2.1:25 192.0.2.2:25");
}

/* What the kernel can't reach comes last. */
static void
test_sources(void **state)
{
	struct scene *scene = scene_new(NULL, RECORDS("remote_host=both.test\n"));
	struct netaddr list[3], sources[3] = {{.family = AF_UNSPEC}};
	struct plan_entry entry;
	char text[NETADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(netaddr_parse("2001:db8::1", &list[0]), 0);
	assert_int_equal(netaddr_parse("192.0.2.1", &list[1]), 0);
	assert_int_equal(netaddr_parse("192.0.2.2", &list[2]), 0);
	assert_int_equal(netaddr_parse("198.51.100.1", &sources[1]), 0);
	sources[2] = sources[1];
	scene_plan(scene);
	assert_int_equal(plan_next(scene->plan, &entry), PLAN_ADDRESSES);
	assert_string_equal(entry.host, "both.test");
	assert_true(plan_wants_sources(scene->plan));
	plan_addresses(scene->plan, list, sources, 3);
	assert_true(plan_hop_has_way(scene->plan));
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(plan_next(scene->plan, &entry), PLAN_TRY);
		assert_string_equal(netaddr_text(&entry.remote, text),
				    i < 3 ? netaddr_text(&list[i], (char[NETADDR_TEXT_MAX]){0})
					  : "2001:db8::1");
	}
	assert_int_equal(plan_next(scene->plan, &entry), PLAN_END);
	scene_free(scene);
}

/* A name with more addresses than are tried of one hop. */
static void
test_bounded(void **state)
{
	struct scene *scene =
	    scene_new("198.51.100.1&198.51.100.2&198.51.100.3", RECORDS("remote_host=many.test\n"));
	struct netaddr list[100];
	struct plan_entry entry;
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(netaddr_parse("192.0.2.0", &list[i]), 0);
		list[i].bytes[3] = (unsigned char)i;
	}
	scene_plan(scene);
	assert_int_equal(plan_next(scene->plan, &entry), PLAN_ADDRESSES);
	plan_addresses(scene->plan, list, NULL, 100);
	while (plan_next(scene->plan, &entry) == PLAN_TRY)
		assert_int_equal(entry.remote.bytes[3], count++ / 3);
	assert_int_equal(count, PLAN_TRIES_MAX);
	scene_free(scene);
}

static void
test_exchangers(void **state)
{
	static const struct plan_host hosts[] = {
	    {"other.test", 20}, {"gone.test", 5}, {"both.test", 10}, {"192.0.2.77", 30}};
	struct route_local_ips none = {0};
	uint64_t seed = 1;
	struct scene scene = {.said = STRBUF_INIT};
	struct plan_entry entry;
	unsigned hop = 1;

	(void)state;
	scene.plan = plan_new(&(struct plan_options){
	    .hosts = hosts, .host_count = 4, .local_ips = &none, .random = {seeded_below, &seed}});
	while (next_try(&scene, &entry)) {
		assert_null(entry.route);
		hop += entry.hop > hop;
		assert_int_equal(entry.hop, hop);
		assert_string_equal(entry.host, hop == 1   ? "both.test"
						: hop == 2 ? "other.test"
							   : "192.0.2.77");
		say_try(&scene, &entry);
	}
	assert_string_equal(scene.said.data,
			    " [2001:db8::1]:25 192.0.2.1:25 [2001:db8::2]:25 192.0.2.2:25"
			    " 192.0.2.3:25 192.0.2.9:25 192.0.2.77:25");
	plan_free(scene.plan);
	strbuf_clear(&scene.said);
}

/* ---- shares ---- */

/* The 99.99% quantiles for one and two degrees of freedom: a correct plan fails once in ten
 * thousand seeds, and the seed is fixed. */
static void
assert_shares(const unsigned *seen, const double *shares, size_t count, unsigned draws)
{
	static const double quantile[] = {0, 15.14, 18.42};
	double chi = 0;

	for (size_t i = 0; i < count; i++) {
		double expected = shares[i] * draws, off = (double)seen[i] - expected;

		chi += off * off / expected;
	}
	assert_true(chi < quantile[count - 1]);
}

/* big, big, small: two thirds to big, and each hop once in a plan. */
static void
test_shares(void **state)
{
	enum { DRAWS = 10000 };
	static const double shares[] = {2.0 / 3, 1.0 / 3};
	struct scene *scene =
	    scene_new(NULL, RECORDS("remote_host=192.0.2.1\n", "remote_host=192.0.2.1\n",
				    "remote_host=192.0.2.2\n"));
	unsigned seen[2] = {0};

	(void)state;
	scene->seed = 2;
	for (int i = 0; i < DRAWS; i++) {
		struct plan_entry first, second, none;

		scene_plan(scene);
		assert_true(next_try(scene, &first));
		assert_true(next_try(scene, &second));
		assert_false(next_try(scene, &none));
		assert_false(netaddr_equal(&first.remote, &second.remote));
		seen[first.remote.bytes[3] - 1]++;
	}
	assert_shares(seen, shares, 2, DRAWS);
	scene_free(scene);
}

/* ---- local IPs ---- */

static void
test_local_failover(void **state)
{
	static const char local[] = "198.51.100.2&2001:db8::a&198.51.100.1";

	(void)state;
	expect(local, RECORDS("remote_host=both.test\n"), NULL, PLAN_FAILED,
	       " [2001:db8::1]:25<2001:db8::a 192.0.2.1:25<198.51.100.2 192.0.2.1:25<198.51.100.1"
	       " [2001:db8::2]:25<2001:db8::a 192.0.2.2:25<198.51.100.2 192.0.2.2:25<198.51.100.1"
	       " 192.0.2.3:25<198.51.100.2 192.0.2.3:25<198.51.100.1");
	/* A route's own come before the default. */
	expect(local,
	       RECORDS("remote_host=same.test\nlocal_ips=198.51.100.9\n",
		       "remote_host=same.test\npriority=2\n"),
	       NULL, PLAN_FAILED,
	       " 192.0.2.1:25<198.51.100.9 192.0.2.1:25<198.51.100.2 192.0.2.1:25<198.51.100.1");
}

static void
test_no_family(void **state)
{
	struct scene *scene =
	    scene_new("198.51.100.1",
		      RECORDS("remote_host=six.test\n", "remote_host=both.test\npriority=2\n"));
	struct plan_entry entry;

	(void)state;
	assert_string_equal(walk(scene, PLAN_FAILED),
			    " (family 2001:db8::1) (family 2001:db8::2)"
			    " 192.0.2.1:25<198.51.100.1 192.0.2.2:25<198.51.100.1"
			    " 192.0.2.3:25<198.51.100.1 (family 2001:db8::1) (family 2001:db8::2)");
	scene_plan(scene);
	assert_int_equal(plan_next(scene->plan, &entry), PLAN_ADDRESSES);
	assert_false(plan_wants_sources(scene->plan));
	answer(scene->plan, entry.host);
	assert_int_equal(plan_next(scene->plan, &entry), PLAN_SKIP);
	assert_false(plan_hop_has_way(scene->plan));
	scene_free(scene);
}

static void
test_local_round_robin(void **state)
{
	enum { DRAWS = 12000 };
	static const double shares[] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
	struct scene *scene =
	    scene_new("198.51.100.1|198.51.100.2|198.51.100.3", RECORDS("remote_host=four.test\n"));
	unsigned first[3] = {0}, later[3] = {0}, same = 0;

	(void)state;
	scene->seed = 10;
	for (int i = 0; i < DRAWS; i++) {
		struct plan_entry entry;
		unsigned local[6], sum[2] = {0};

		scene_plan(scene);
		for (unsigned j = 0; j < 6; j++) {
			assert_true(next_try(scene, &entry));
			assert_int_equal(entry.remote.bytes[3], j < 3 ? 1 : 2);
			local[j] = entry.local.bytes[3] - 1U;
			sum[j / 3] += 1U << local[j];
		}
		assert_false(next_try(scene, &entry));
		/* All three, one after the other. */
		assert_int_equal(sum[0], 7);
		assert_int_equal(sum[1], 7);
		first[local[0]]++;
		later[local[3]]++;
		same += local[0] == local[3];
	}
	assert_shares(first, shares, 3, DRAWS);
	assert_shares(later, shares, 3, DRAWS);
	assert_true(same > DRAWS / 4 && same < DRAWS / 2);
	scene_free(scene);
}

/* ---- health ---- */

static void
test_suspended(void **state)
{
	static const char *const two[] = {"remote_host=four.test\n",
					  "remote_host=other.test\npriority=2\n", NULL};

	(void)state;
	expect(NULL, two, " 192.0.2.1 - ", PLAN_FAILED,
	       " (suspended 192.0.2.1) 192.0.2.2:25 192.0.2.9:25");
	expect(NULL, two, " 192.0.2.1 -  192.0.2.2 - ", PLAN_FAILED,
	       " (suspended 192.0.2.1) (suspended 192.0.2.2) 192.0.2.9:25");
	/* All of it: all the same, in the order of the plan. */
	expect(NULL, two, " 192.0.2.1 -  192.0.2.2 -  192.0.2.9 - ", PLAN_FAILED,
	       " (suspended 192.0.2.1) (suspended 192.0.2.2) (suspended 192.0.2.9)"
	       " 192.0.2.1:25! 192.0.2.2:25! 192.0.2.9:25!");
	/* A pair is of two. */
	expect("198.51.100.1&198.51.100.2", RECORDS("remote_host=same.test\n"),
	       " 192.0.2.1 198.51.100.1 ", PLAN_FAILED,
	       " (suspended 192.0.2.1) 192.0.2.1:25<198.51.100.2");
	/* What can't be tried at all does not count as tried. */
	expect("198.51.100.1",
	       RECORDS("remote_host=same.test\n", "remote_host=gone.test\npriority=2\n",
		       "remote_host=2001:db8::1\npriority=3\n"),
	       " 192.0.2.1 198.51.100.1 ", PLAN_FAILED,
	       " (suspended 192.0.2.1) (family 2001:db8::1) 192.0.2.1:25!<198.51.100.1");
}

/* It is asked at each step: what fell ill or recovered meanwhile counts. */
static void
test_health_changes(void **state)
{
	struct scene *scene = scene_new(
	    NULL, RECORDS("remote_host=four.test\n", "remote_host=other.test\npriority=2\n"));
	struct plan_entry entry;

	(void)state;
	scene_plan(scene);
	assert_true(next_try(scene, &entry));
	assert_int_equal(entry.remote.bytes[3], 1);
	scene->suspended = " 192.0.2.2 - ";
	assert_true(next_try(scene, &entry));
	assert_int_equal(entry.remote.bytes[3], 9);
	scene->suspended = NULL;
	/* Something was tried: what was left out stays so. */
	assert_false(next_try(scene, &entry));
	scene_free(scene);
}

/* ---- what has failed ---- */

static void
test_failed_connect(void **state)
{
	/* Without a connection, name, login and policy do not matter; the port does. */
	static const char *const records[] = {
	    "remote_host=same.test\n",
	    "remote_host=alias.test\npriority=2\ntls=none\n",
	    "remote_host=alias.test\npriority=3\nremote_login=l\nremote_password=p\n",
	    "remote_host=alias.test\npriority=4\nremote_port=587\n",
	    "remote_host=alias.test\npriority=5\nlocal_ips=198.51.100.1\n",
	    NULL};

	(void)state;
	expect(NULL, records, NULL, PLAN_FAILED_CONNECT,
	       " 192.0.2.1:25 (failed 192.0.2.1) (failed 192.0.2.1) 192.0.2.1:587"
	       " 192.0.2.1:25<198.51.100.1");
}

static void
test_failed_dialogue(void **state)
{
	(void)state;
	/* The same by another name is the same, where the name is not what is checked. */
	expect(NULL,
	       RECORDS("remote_host=same.test\n", "remote_host=alias.test\npriority=2\n",
		       "remote_host=alias.test\npriority=3\ntls=require\n",
		       "remote_host=same.test\npriority=4\ntls=require\n",
		       "remote_host=alias.test\npriority=5\ntls=verify\n",
		       "remote_host=same.test\npriority=6\ntls=verify\n"),
	       NULL, PLAN_FAILED,
	       " 192.0.2.1:25 (failed 192.0.2.1) 192.0.2.1:25 (failed 192.0.2.1) 192.0.2.1:25"
	       " 192.0.2.1:25");
	/* Another login may be welcome. */
	expect(
	    NULL,
	    RECORDS(
		"remote_host=same.test\nremote_login=a\nremote_password=p\ntls=may\n",
		"remote_host=same.test\nremote_login=b\nremote_password=p\npriority=2\ntls=may\n",
		"remote_host=alias.test\nremote_login=b\nremote_password=p\npriority=3\ntls=may\n",
		"remote_host=1.test\nremote_login=b\nremote_password=q\npriority=4\ntls=may\n",
		"remote_host=alias.test\npriority=5\n"),
	    NULL, PLAN_FAILED,
	    " 192.0.2.1:25 192.0.2.1:25 (failed 192.0.2.1) 192.0.2.1:25 192.0.2.1:25");
}

/* A local IP that this host has not: nothing is tried from it again, and it was no try. */
static void
test_absent(void **state)
{
	struct scene *scene =
	    scene_new("198.51.100.1&198.51.100.2",
		      RECORDS("remote_host=four.test\n", "remote_host=other.test\npriority=2\n"));
	struct plan_entry entry;

	(void)state;
	scene->suspended =
	    " 192.0.2.1 198.51.100.2  192.0.2.2 198.51.100.2  192.0.2.9 198.51.100.2 ";
	scene_plan(scene);
	while (next_try(scene, &entry)) {
		say_try(scene, &entry);
		if (entry.local.bytes[3] == 1)
			plan_failed(scene->plan, &entry, PLAN_FAILED_ABSENT);
	}
	assert_string_equal(scene->said.data,
			    " 192.0.2.1:25<198.51.100.1 (suspended 192.0.2.1) (absent 192.0.2.2)"
			    " (suspended 192.0.2.2) (absent 192.0.2.9) (suspended 192.0.2.9)"
			    " 192.0.2.1:25!<198.51.100.2 192.0.2.2:25!<198.51.100.2"
			    " 192.0.2.9:25!<198.51.100.2");
	scene_free(scene);
}

/* ---- races ---- */

static void
test_rival(void **state)
{
	struct scene *scene =
	    scene_new("198.51.100.1&198.51.100.2",
		      RECORDS("remote_host=four.test\n", "remote_host=other.test\npriority=2\n"));
	struct plan_entry first, rival, more, entry;

	(void)state;
	/* To another address, from its first local IP; of two addresses there is no third. */
	scene_plan(scene);
	assert_true(next_try(scene, &first));
	assert_true(plan_rival(scene->plan, &rival));
	assert_int_equal(rival.remote.bytes[3], 2);
	assert_int_equal(rival.local.bytes[3], 1);
	assert_int_equal(rival.hop, first.hop);
	assert_false(plan_rival(scene->plan, &more));
	/* The first was never tried: its turn comes. The rival has failed. */
	plan_return(scene->plan, &first);
	assert_true(next_try(scene, &entry));
	assert_true(netaddr_equal(&entry.remote, &first.remote));
	assert_true(netaddr_equal(&entry.local, &first.local));
	/* The first address again, so the second one is a rival, from the local IP that is left. */
	assert_true(plan_rival(scene->plan, &rival));
	assert_int_equal(rival.remote.bytes[3], 2);
	assert_int_equal(rival.local.bytes[3], 2);
	plan_failed(scene->plan, &rival, PLAN_FAILED_CONNECT);
	assert_false(plan_rival(scene->plan, &more));
	/* The rest: the first address from its second local IP, then the other hop. */
	assert_true(next_try(scene, &entry));
	assert_int_equal(entry.remote.bytes[3], 1);
	assert_int_equal(entry.local.bytes[3], 2);
	assert_false(plan_rival(scene->plan, &more));
	assert_true(next_try(scene, &entry));
	assert_int_equal(entry.remote.bytes[3], 9);
	/* Never of another hop. */
	assert_false(plan_rival(scene->plan, &more));
	assert_true(next_try(scene, &entry));
	assert_false(next_try(scene, &entry));
	scene_free(scene);
}

/* Neither suspended ones nor what failed before are rivals; in the second pass suspended ones are.
 */
static void
test_rival_health(void **state)
{
	struct scene *scene = scene_new(NULL, RECORDS("remote_host=four.test\n"));
	struct plan_entry entry, rival;

	(void)state;
	scene->suspended = " 192.0.2.2 - ";
	scene_plan(scene);
	assert_true(next_try(scene, &entry));
	assert_false(plan_rival(scene->plan, &rival));
	scene->suspended = " 192.0.2.1 -  192.0.2.2 - ";
	scene_plan(scene);
	assert_true(next_try(scene, &entry));
	assert_true(entry.suspended);
	assert_true(plan_rival(scene->plan, &rival));
	assert_true(rival.suspended);
	assert_int_equal(rival.remote.bytes[3], 2);
	assert_false(next_try(scene, &entry));
	scene_free(scene);
}

/* ---- any plan ---- */

/*
 * Of random groups, local IPs and health: each (hop, remote, local) is tried once or left out,
 * those that are suspended exactly when something else was tried, and in the order of their hops.
 */
static void
test_any(void **state)
{
	static const char *const hosts[] = {"four.test", "both.test", "six.test",  "twice.test",
					    "same.test", "gone.test", "192.0.2.8", "other.test"};
	static const char *const locals[] = {"", "local_ips=198.51.100.1\n",
					     "local_ips=198.51.100.1&2001:db8::a\n",
					     "local_ips=198.51.100.1|198.51.100.2|2001:db8::a\n"};
	static const char everything[] = " 192.0.2.1 -  192.0.2.2 -  192.0.2.3 -  192.0.2.9 - "
					 " 192.0.2.8 -  2001:db8::1 -  2001:db8::2 - ";
	static const char *const sick[] = {" 192.0.2.1 - ", " 192.0.2.1 198.51.100.1 ",
					   " 2001:db8::1 -  2001:db8::2 - ", everything};
	uint64_t seed = 99;

	(void)state;
	for (int round = 0; round < 4000; round++) {
		char *records[7] = {0};
		size_t count = 1 + seeded_below(&seed, 6), tried = 0, again = 0, left_out = 0;
		struct scene *scene;
		struct plan_entry entry;
		size_t last_hop = 0;
		enum plan_step step;

		for (size_t i = 0; i < count; i++)
			records[i] =
			    xasprintf("remote_host=%s\nremote_port=%u\npriority=%zu\n%s",
				      hosts[seeded_below(&seed, 8)], (unsigned)(i * 100 + 1),
				      i / 2 + 1, locals[seeded_below(&seed, 4)]);
		for (size_t i = 0; i < count; i++) {
			/* As records have it: in the order of the fields. */
			struct error why;
			struct route *route = route_decode(1, records[i], strlen(records[i]), &why);
			if (route == NULL)
				fail_msg("%s: %s", records[i], why.text);
			route_unref(route);
		}
		scene = scene_new(NULL, (const char *const *)records);
		scene->seed = seed;
		scene->suspended = sick[seeded_below(&seed, 4)];
		scene_plan(scene);
		while ((step = plan_next(scene->plan, &entry)) != PLAN_END) {
			if (step == PLAN_ADDRESSES) {
				answer(scene->plan, entry.host);
				continue;
			}
			assert_true(entry.suspended || entry.hop >= last_hop);
			last_hop = entry.hop;
			if (step == PLAN_SKIP) {
				left_out += entry.skip == PLAN_SKIP_SUSPENDED;
				assert_true(entry.skip == PLAN_SKIP_SUSPENDED ||
					    entry.skip == PLAN_SKIP_FAMILY);
				continue;
			}
			assert_int_equal(
			    is_suspended(&scene->suspended, &entry.remote, &entry.local),
			    entry.suspended);
			if (entry.suspended) {
				last_hop = again == 0 ? 0 : last_hop;
				again++;
			} else {
				tried++;
			}
			assert_int_equal(entry.remote.port, entry.route->remote_port);
		}
		assert_int_equal(again, tried == 0 ? left_out : 0);
		scene_free(scene);
		for (size_t i = 0; i < count; i++)
			free(records[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_failover),
	    cmocka_unit_test(test_families),
	    cmocka_unit_test(test_sources),
	    cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_exchangers),
	    cmocka_unit_test(test_shares),
	    cmocka_unit_test(test_local_failover),
	    cmocka_unit_test(test_no_family),
	    cmocka_unit_test(test_local_round_robin),
	    cmocka_unit_test(test_suspended),
	    cmocka_unit_test(test_health_changes),
	    cmocka_unit_test(test_failed_connect),
	    cmocka_unit_test(test_failed_dialogue),
	    cmocka_unit_test(test_absent),
	    cmocka_unit_test(test_rival),
	    cmocka_unit_test(test_rival_health),
	    cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
