/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/lint: each finding, its severity, the other route it names, and that what only
 * looks like one is left alone. Whole tables are in tests/system/test_tmail_read.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/strbuf.h"
#include "relayd/routes/lint.h"

static struct strbuf told;
static enum stats_state state_of_all;

static void
found(void *ctx, const struct lint_finding *finding)
{
	assert_null(ctx);
	assert_true(strlen(finding->text) > 10);
	strbuf_printf(&told, "%s %s", lint_severity_name(finding->severity), finding->name);
	if (finding->other != 0)
		strbuf_printf(&told, " %u", (unsigned)finding->other);
	strbuf_puts(&told, "; ");
}

/* 127/8 is ours, and nothing else. */
static bool
is_own(void *ctx, const struct netaddr *address)
{
	assert_null(ctx);
	return address->family == AF_INET && address->bytes[0] == 127;
}

static void
look(void *ctx, const struct route *route, struct filter_facts *out)
{
	assert_null(ctx);
	(void)route;
	*out = (struct filter_facts){.state = state_of_all};
}

static struct netaddr listeners[2];

static struct lint_environment
environment(const struct table *table)
{
	assert_int_equal(netaddr_parse("127.0.0.5", &listeners[0]), 0);
	assert_int_equal(netaddr_parse("0.0.0.0", &listeners[1]), 0);
	listeners[0].port = 25;
	listeners[1].port = 587;
	return (struct lint_environment){.table = table,
					 .source = {.look = look},
					 .hostname = "relay.example",
					 .listeners = listeners,
					 .listener_count = 2,
					 .is_own = is_own};
}

/* "remote_host=x;local_ips=y" */
static void
put(struct table *table, uint64_t id, const char *fields)
{
	struct route *route = route_new();
	char text[256], *field, *rest = text, *value;
	enum route_field name;
	struct error why;

	route->id = id;
	snprintf(text, sizeof(text), "%s", fields);
	while ((field = strsep(&rest, ";")) != NULL) {
		value = strchr(field, '=');
		*value++ = '\0';
		assert_int_equal(route_field_of(field, &name), 0);
		if (route_set(route, name, value, &why) != 0)
			fail_msg("%s: %s", value, why.text);
	}
	table_put(table, route);
	route_unref(route);
}

static void
assert_told(const struct lint_environment *around, uint64_t id, const char *expected)
{
	strbuf_reset(&told);
	lint_route(around, table_get(around->table, id), found, NULL);
	assert_string_equal(told.len > 0 ? told.data : "", expected);
}

static void
test_alone(void **state)
{
	static const struct {
		const char *fields, *expected;
	} cases[] = {
	    {"remote_host=x", ""},
	    {"remote_host=x;user=joe", "warning no_authentication; "},
	    {"remote_host=x;mail_from=a.example", "warning no_authentication; "},
	    {"remote_host=x;remote_login=l;remote_password=p", ""},
	    {"remote_host=x;remote_login=l;remote_password=p;tls=none", "warning clear_login; "},
	    {"remote_host=x;remote_login=l;remote_password=p;tls=may", "warning clear_login; "},
	    {"remote_host=x;remote_login=l;remote_password=p;tls=require",
	     "notice unverified_login; "},
	    {"remote_host=x;remote_login=l;remote_password=p;tls=implicit", ""},
	    {"remote_host=x;tls=none", ""},
	    {"remote_host=127.0.0.5", "error ourselves; "},
	    {"remote_host=127.0.0.5;remote_port=26", ""},
	    {"remote_host=127.0.0.6", ""},
	    {"remote_host=127.0.0.6;remote_port=587", "error ourselves; "},
	    {"remote_host=192.0.2.1;remote_port=587", ""},
	    {"remote_host=relay.example;remote_port=587", "error ourselves; "},
	    {"remote_host=relay.example", "error ourselves; "},
	    {"remote_host=relay.example;remote_port=26", ""},
	    {"remote_host=x;local_ips=127.0.0.1|127.0.0.2", ""},
	    {"remote_host=x;local_ips=127.0.0.1|192.0.2.1", "warning no_local_ip; "},
	    {"remote_host=x;local_ips=192.0.2.1",
	     "warning no_local_ip; error no_local_ip_at_all; "},
	    {"remote_host=2001:db8::1;local_ips=127.0.0.1", "error no_family; "},
	    {"remote_host=192.0.2.9;local_ips=127.0.0.1", ""},
	    {"remote_host=127.0.0.5;enabled=no", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct table *table = table_new();
		struct lint_environment around = environment(table);

		state_of_all = STATS_UP;
		put(table, 1, cases[i].fields);
		assert_told(&around, 1, cases[i].expected);
		around.authentication = true;
		strbuf_reset(&told);
		lint_route(&around, table_get(table, 1), found, NULL);
		assert_null(told.len > 0 ? strstr(told.data, "no_authentication") : NULL);
		table_free(table);
	}
}

static void
test_group(void **state)
{
	struct table *table = table_new();
	struct lint_environment around = environment(table);

	(void)state;
	state_of_all = STATS_UP;
	put(table, 1, "destination=a;remote_host=x;priority=2");
	put(table, 2, "destination=a;remote_host=x;priority=2");
	put(table, 3, "destination=a;remote_host=x;priority=3");
	put(table, 4, "destination=a;remote_host=x;priority=2;remote_port=26");
	put(table, 5, "destination=b;remote_host=x;priority=3");
	put(table, 6, "destination=a;remote_host=x;remote_login=l;remote_password=p");
	put(table, 7, "destination=a;remote_host=x;remote_login=l;remote_password=q");
	put(table, 8, "destination=a;remote_host=y;enabled=no");
	put(table, 9, "destination=a;remote_host=y");
	assert_told(&around, 1, "");
	assert_told(&around, 2, "notice twin 1; ");
	assert_told(&around, 3, "warning never_tried 1; ");
	assert_told(&around, 4, "");
	assert_told(&around, 5, "");
	assert_told(&around, 6, "");
	assert_told(&around, 7, "");
	assert_told(&around, 9, "");
	table_free(table);
}

static void
test_down(void **state)
{
	struct table *table = table_new();
	struct lint_environment around = environment(table);

	(void)state;
	put(table, 1, "destination=a;remote_host=x");
	put(table, 2, "destination=b;remote_host=x;priority=2");
	put(table, 3, "destination=b;remote_host=y");
	state_of_all = STATS_DOWN;
	assert_told(&around, 1, "warning group_down; ");
	/* Once for a group: at the one that is tried first. */
	assert_told(&around, 2, "");
	assert_told(&around, 3, "warning group_down; ");
	state_of_all = STATS_SLOW;
	assert_told(&around, 1, "");
	state_of_all = STATS_DOWN;
	around.source.look = NULL;
	assert_told(&around, 1, "");
	table_free(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alone),
	    cmocka_unit_test(test_group),
	    cmocka_unit_test(test_down),
	};
	int result = cmocka_run_group_tests(tests, NULL, NULL);

	strbuf_clear(&told);
	return result;
}
