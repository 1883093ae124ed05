/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/settings: the defaults, every key, and for every kind of mistake the file, the line and
 * the word that is named; lines are right among comments of all kinds; what needs TLS or AUTH is
 * refused; reading again after a failure; times and sizes.
 */
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/xalloc.h"
#include "relayd/settings.h"
#include "relayd/settings_text.h"

static char *
write_file(const char *text, size_t len)
{
	const char *tmp = getenv("TMPDIR");
	char *path = xasprintf("%s/test-settings-XXXXXX", tmp != NULL ? tmp : "/tmp");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
	return path;
}

/* What is wrong with `text`, the path of the file replaced by "F"; "" if nothing is. The result is
 * owned by the caller. */
static char *
verdict_of(const char *text, size_t len)
{
	char *path = write_file(text, len);
	struct error why = {0};
	struct settings *settings = settings_read(path, &why);
	char *result;

	if (settings != NULL) {
		result = xstrdup("");
	} else {
		if (strncmp(why.text, path, strlen(path)) != 0)
			fail_msg("no file is named: %s", why.text);
		assert_int_equal(why.code, ERROR_USAGE);
		result = xasprintf("F%s", why.text + strlen(path));
	}
	settings_free(settings);
	unlink(path);
	free(path);
	return result;
}

static void
check(const char *text, const char *wanted)
{
	char *verdict = verdict_of(text, strlen(text));

	assert_string_equal(verdict, wanted);
	free(verdict);
}

/* With what a file needs at least put in front, on one line. */
static void
check_key(const char *text, const char *wanted)
{
	char *whole = xasprintf("hostname = h.test listen \"127.0.0.1:2525\" {}\n%s", text);

	check(whole, wanted);
	free(whole);
}

static struct settings *
read_text(const char *text)
{
	char *path = write_file(text, strlen(text));
	struct error why = {0};
	struct settings *settings = settings_read(path, &why);

	if (settings == NULL)
		print_error("%s\n", why.text);
	assert_non_null(settings);
	unlink(path);
	free(path);
	return settings;
}

static void
the_least_file_has_all_defaults(void **state)
{
	struct settings *s = read_text("state_dir = \"/tmp/state\"\n"
				       "control_socket = \"/tmp/state/sock\"\n"
				       "listen \"127.0.0.1:2525\" {}\n");
	char text[NETADDR_TEXT_MAX];

	(void)state;
	assert_string_equal(s->state_dir, "/tmp/state");
	assert_string_equal(s->control_socket, "/tmp/state/sock");
	assert_true(strlen(s->hostname) > 0);
	assert_null(s->user);
	assert_int_equal(s->relay_from_count, 2);
	assert_string_equal(netaddr_text(&s->relay_from[0].address, text), "127.0.0.0");
	assert_int_equal(s->relay_from[0].bits, 8);
	assert_string_equal(netaddr_text(&s->relay_from[1].address, text), "::1");
	assert_int_equal(s->relay_from[1].bits, 128);
	assert_int_equal(s->relay_domains_count, 0);
	assert_null(s->local_ips);
	assert_int_equal(s->message_size, 50 * 1024 * 1024);
	assert_int_equal(s->queue_lifetime_ms, 5 * 86400000LL);
	assert_int_equal(s->retry_count, 4);
	assert_int_equal(s->retry_ms[0], 60000);
	assert_int_equal(s->retry_ms[1], 300000);
	assert_int_equal(s->retry_ms[2], 900000);
	assert_int_equal(s->retry_ms[3], 3600000);
	assert_int_equal(s->dns_servers_count, 0);
	assert_int_equal(s->shutdown_grace_ms, 30000);
	assert_int_equal(s->log_level, LOG_LEVEL_INFO);
	assert_int_equal(s->log_format, LOG_FORMAT_TEXT);
	assert_int_equal(s->listener_count, 1);
	assert_string_equal(netaddr_text_port(&s->listeners[0].address, text), "127.0.0.1:2525");
	assert_int_equal(s->listeners[0].line, 3);
	assert_int_equal(s->limits.connections, 2000);
	assert_int_equal(s->limits.connections_per_client, 50);
	assert_int_equal(s->limits.recipients, 1000);
	assert_int_equal(s->limits.errors, 20);
	assert_int_equal(s->limits.outbound, 1000);
	assert_int_equal(s->limits.outbound_per_host, 50);
	assert_null(s->tls.ca);
	assert_int_equal(s->timeouts.command_ms, 300000);
	assert_int_equal(s->timeouts.data_ms, 600000);
	assert_int_equal(s->timeouts.connect_ms, 30000);
	assert_int_equal(s->timeouts.remote_command_ms, 300000);
	settings_free(s);
	s = read_text("listen \"127.0.0.1:2525\" {}\n");
	assert_non_null(strstr(s->state_dir, "/lib/relayd"));
	assert_non_null(strstr(s->control_socket, "/relayd/control.sock"));
	settings_free(s);
}

static void
every_key_is_taken(void **state)
{
	const struct passwd *self = getpwuid(getuid());
	char *text = xasprintf(
	    "hostname = \"Mail.Example.ORG\"\nstate_dir = /srv/relayd\n"
	    "control_socket = '/srv/relayd/sock'\nuser = \"%s\"\n"
	    "relay_from = {\"10.0.0.0/8\", 192.0.2.7}\n"
	    "relay_domains = {Example.org, \".sub.example.com\", \"*.example.net\"}\n"
	    "local_ips = \"192.0.2.1|192.0.2.2\"\nmessage_size = 10M\nqueue_lifetime = 0\n"
	    "retry = {500ms, 90, \"2h\"}\ndns_servers = {\"127.0.0.1\", \"192.0.2.5@5353\", "
	    "\"::1@54\"}\n"
	    "shutdown_grace = 5s\nlog_level = debug\nlog_format = json\n"
	    "listen \"0.0.0.0:25\" { auth = never submission = false tls = none }\n"
	    "listen \"[::]:25\" { auth = \"tls\" }\n"
	    "limits { connections = 1 connections_per_client = 2 recipients = 3 errors = 4\n"
	    "outbound = 5 outbound_per_host = 1000000 }\n"
	    "timeouts { command = 1s data = 2m connect = 3s remote_command = 1d }\n"
	    "tls { ca = \"/etc/ssl/own.pem\" }\n",
	    self->pw_name);
	struct settings *s = read_text(text);
	char ip[NETADDR_TEXT_MAX];

	(void)state;
	assert_string_equal(s->hostname, "mail.example.org");
	assert_string_equal(s->state_dir, "/srv/relayd");
	assert_string_equal(s->control_socket, "/srv/relayd/sock");
	assert_string_equal(s->tls.ca, "/etc/ssl/own.pem");
	assert_string_equal(s->user, self->pw_name);
	assert_int_equal(s->relay_from_count, 2);
	assert_int_equal(s->relay_from[1].bits, 32);
	assert_int_equal(s->relay_domains_count, 3);
	assert_string_equal(s->relay_domains[0], "example.org");
	assert_string_equal(s->relay_domains[1], ".sub.example.com");
	assert_string_equal(s->relay_domains[2], ".example.net");
	assert_string_equal(s->local_ips, "192.0.2.1|192.0.2.2");
	assert_int_equal(s->message_size, 10 * 1024 * 1024);
	assert_int_equal(s->queue_lifetime_ms, 0);
	assert_int_equal(s->retry_count, 3);
	assert_int_equal(s->retry_ms[0], 500);
	assert_int_equal(s->retry_ms[1], 90000);
	assert_int_equal(s->retry_ms[2], 7200000);
	assert_int_equal(s->dns_servers_count, 3);
	assert_string_equal(s->dns_servers[0], "127.0.0.1@53");
	assert_string_equal(s->dns_servers[1], "192.0.2.5@5353");
	assert_string_equal(s->dns_servers[2], "::1@54");
	assert_int_equal(s->shutdown_grace_ms, 5000);
	assert_int_equal(s->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(s->log_format, LOG_FORMAT_JSON);
	assert_int_equal(s->listener_count, 2);
	assert_string_equal(netaddr_text_port(&s->listeners[1].address, ip), "[::]:25");
	assert_int_equal(s->limits.connections, 1);
	assert_int_equal(s->limits.outbound_per_host, 1000000);
	assert_int_equal(s->timeouts.command_ms, 1000);
	assert_int_equal(s->timeouts.remote_command_ms, 86400000);
	settings_free(s);
	free(text);
}

static void
lists_grow_and_are_replaced(void **state)
{
	struct settings *s = read_text("hostname = h.test listen 127.0.0.1:25 {}\n"
				       "relay_from += {\"10.0.0.0/8\"}\nrelay_domains = one.test\n"
				       "relay_domains += {two.test}\ndns_servers = {}\n");

	(void)state;
	assert_int_equal(s->relay_from_count, 3);
	assert_int_equal(s->relay_domains_count, 2);
	assert_int_equal(s->dns_servers_count, 0);
	settings_free(s);
	s = read_text("hostname = h.test listen 127.0.0.1:25 {}\nrelay_from = {}\n");
	assert_int_equal(s->relay_from_count, 0); /* nobody: not the default */
	settings_free(s);
	s = read_text("listen 127.0.0.1:25 {}\nhostname = a.test\nhostname = b.test\n");
	assert_string_equal(s->hostname, "b.test"); /* the last counts */
	settings_free(s);
}

static void
bad_words_are_named(void **state)
{
	(void)state;
	check_key("log_level = loud",
		  "F:2: log_level: \"loud\" is not one of debug, info, notice, warning, error");
	check_key("log_format = xml", "F:2: log_format: \"xml\" is not one of text, json");
	check_key("limits {\n connections = many\n}",
		  "F:3: limits.connections: \"many\" is not a number from 1 to 1000000");
	check_key("limits { errors = 0 }",
		  "F:2: limits.errors: \"0\" is not a number from 1 to 1000000");
	check_key("limits { errors = 1000001 }",
		  "F:2: limits.errors: \"1000001\" is not a number from 1 to 1000000");
	check_key("limits { errors = -1 }",
		  "F:2: limits.errors: \"-1\" is not a number from 1 to 1000000");
	check_key(
	    "limits { errors = 99999999999999999999999 }",
	    "F:2: limits.errors: \"99999999999999999999999\" is not a number from 1 to 1000000");
	check_key("timeouts { data = 5x }", "F:2: timeouts.data: \"5x\" is not a time from 100ms "
					    "to 1d (90 or 90s, 5m, 1h, 5d; 500ms)");
	check_key("timeouts { data = 0 }", "F:2: timeouts.data: \"0\" is not a time from 100ms to "
					   "1d (90 or 90s, 5m, 1h, 5d; 500ms)");
	check_key(
	    "\n\nretry = {1m,\n 5m,\n \"soon\"}",
	    "F:6: retry: \"soon\" is not a time from 100ms to 30d (90 or 90s, 5m, 1h, 5d; 500ms)");
	check_key("\nretry = {}", "F:3: retry: the list is empty");
	check_key("message_size = 50Q",
		  "F:2: message_size: \"50Q\" is not a size from 1K to 1T (as in 64K, 50M, 1G)");
	check_key("message_size = 1023",
		  "F:2: message_size: \"1023\" is not a size from 1K to 1T (as in 64K, 50M, 1G)");
	check_key("state_dir = spool", "F:2: state_dir: \"spool\" is not an absolute path");
	check_key("user = \"no such user\"",
		  "F:2: user: \"no such user\" is no user of this system");
	check_key("dns_servers = {\"ns.example.org\"}",
		  "F:2: dns_servers: \"ns.example.org\" is not ADDRESS or ADDRESS@PORT");
	check_key("dns_servers = {\"127.0.0.1@0\"}",
		  "F:2: dns_servers: \"127.0.0.1@0\" is not ADDRESS or ADDRESS@PORT");
}

/* Where the sentence is someone else's, its beginning. */
static void
check_begin(const char *text, const char *wanted)
{
	char *whole = xasprintf("hostname = h.test listen \"127.0.0.1:2525\" {}\n%s", text);
	char *verdict = verdict_of(whole, strlen(whole));

	verdict[strlen(wanted) < strlen(verdict) ? strlen(wanted) : strlen(verdict)] = '\0';
	assert_string_equal(verdict, wanted);
	free(verdict);
	free(whole);
}

static void
bad_addresses_and_domains(void **state)
{
	(void)state;
	check_begin("relay_from = {\"10.0.0.0/8\", \"10.0.0.0/33\"}",
		    "F:2: relay_from: \"10.0.0.0/33\": ");
	check_begin("relay_from = {\"10.0.0.1/8\"}", "F:2: relay_from: \"10.0.0.1/8\": ");
	check_begin("relay_domains = {ok.test, \"bad..test\"}",
		    "F:2: relay_domains: \"bad..test\": ");
	check_begin("relay_domains = {\"*\"}", "F:2: relay_domains: \"*\": ");
	check_begin("hostname = \"a b\"", "F:2: hostname: \"a b\": ");
	check_begin("local_ips = \"192.0.2.1|x\"", "F:2: local_ips: \"192.0.2.1|x\": ");
	check_begin("hostname = \"x\\ny\"", "F:2: hostname: \"x\\x0ay\": "); /* made harmless */
}

static void
unknown_keys_and_syntax(void **state)
{
	(void)state;
	check_key("conections = 5", "F:2: unknown key \"conections\"");
	check_key("limits { conections = 5 }", "F:2: limits: unknown key \"conections\"");
	check("\nlisten \"127.0.0.1:25\" {\n\n port = 5 }", "F:4: listen: unknown key \"port\"");
	check_begin("log_level info", "F:2: missing equal sign");
	check_begin("listen { }", "F:2: missing title");
	check_begin("hostname = \"x", "F:3: ");
	check_key("limits {\n\n", "F:2: a brace that is not closed");
	check_key("limits {\n\n listen = {", "F:4: limits: unknown key \"listen\"");
	check_begin("}", "F:2: unexpected closing brace");
	check_begin("log_level += {info}", "F:2: attempt to append");
	check("", "F: no listen section: there is nothing to listen on");
}

static void
listeners(void **state)
{
	(void)state;
	check("hostname = h.test\nlisten \"127.0.0.1:25\" {}\n\nlisten \"127.0.0.1:25\" {}",
	      "F:4: listen \"127.0.0.1:25\": a second listener on one address");
	check("hostname = h.test\nlisten \"[::1]:25\" {}\nlisten\n\"[0::1]:25\"\n{\n}",
	      "F:3: listen \"[0::1]:25\": a second listener on one address ([::1]:25, line 2)");
	check(
	    "hostname = h.test\nlisten \"0.0.0.0:25\" {}\n\nlisten \"127.0.0.1:25\" {}",
	    "F:4: listen \"127.0.0.1:25\": a second listener on one address (0.0.0.0:25, line 2)");
	check("hostname = h.test\nlisten \"0.0.0.0:25\" {}\nlisten \"[::]:25\" {}\n"
	      "listen \"127.0.0.1:26\" {}",
	      "");
	check("hostname = h.test\nlisten \"127.0.0.1\" {}",
	      "F:2: listen \"127.0.0.1\": the port is missing");
	check("hostname = h.test\nlisten \"mail:25\" {}",
	      "F:2: listen \"mail:25\": \"mail\" is not an IP address");
	check("hostname = h.test\n\nlisten \"127.0.0.1:0\" {}",
	      "F:3: listen \"127.0.0.1:0\": not ADDRESS:PORT or [IPv6]:PORT");
	check("hostname = h.test\nlisten \"127.0.0.1:65536\" {}",
	      "F:2: listen \"127.0.0.1:65536\": not ADDRESS:PORT or [IPv6]:PORT");
}

static void
what_this_version_lacks(void **state)
{
	static const char lacks[] = " is not supported by this version";
	char *wanted;

	(void)state;
	wanted = xasprintf("F:2: listen.auth: \"always\"%s", lacks);
	check("\nlisten \"127.0.0.1:25\" { auth = \"always\" }", wanted);
	free(wanted);
	wanted = xasprintf("F:3: listen.submission: \"true\"%s", lacks);
	check("\nlisten \"127.0.0.1:25\" {\n submission = true }", wanted);
	free(wanted);
	wanted = xasprintf("F:1: listen.tls: \"implicit\"%s", lacks);
	check("listen \"127.0.0.1:25\" { tls = \"implicit\" }", wanted);
	free(wanted);
	wanted = xasprintf("F:1: listen.tls: \"starttls\"%s", lacks);
	check("listen \"127.0.0.1:25\" { tls = starttls }", wanted);
	free(wanted);
	wanted = xasprintf("F:3: tls.certificate: \"/etc/x.pem\"%s", lacks);
	check_key("tls {\n certificate = \"/etc/x.pem\" key = \"/etc/y.pem\" }", wanted);
	free(wanted);
	wanted = xasprintf("F:2: tls.key: \"/etc/y.pem\"%s", lacks);
	check_key("tls { ca = \"/etc/ca.pem\" key = \"/etc/y.pem\" }", wanted);
	free(wanted);
	check("listen \"127.0.0.1:25\" { auth = \"maybe\" }",
	      "F:1: listen.auth: \"maybe\" is not one of tls, always, never");
	check("listen \"127.0.0.1:25\" { submission = 7 }",
	      "F:1: listen.submission: \"7\" is not true or false");
	check("listen \"127.0.0.1:25\" { tls = 7 }",
	      "F:1: listen.tls: \"7\" is not one of none, starttls, implicit");
}

static void
lines_are_right_among_comments(void **state)
{
	(void)state;
	check("# one\n// two\n/* three\n four */ bad = 5\n", "F:4: unknown key \"bad\"");
	check("hostname = \"a.test\" # one # more\nlog_level = info // two\n"
	      "state_dir = //not a word\n/tmp/x//y\nlog_level = 'x#y'\n",
	      "F:5: log_level: \"x#y\" is not one of debug, info, notice, warning, error");
	check_begin("# c\nhostname = \"a\\\"#.test\" # d\n", "F:3: hostname: \"a\"#.test\": ");
	check("# listen\nhostname = listen\nlimits { }\nlisten \"127.0.0.1:25\" { # c\n}\n\n"
	      "listen \"listen\" {}",
	      "F:7: listen \"listen\": \"listen\" is not an IP address");
}

static void
odd_files(void **state)
{
	struct error why = {0};
	char dir[] = "/tmp/test-settings-XXXXXX";
	char *verdict;
	char *path, *large;

	(void)state;
	assert_null(settings_read("/nonexistent/relayd.conf", &why));
	assert_int_equal(why.code, ERROR_NOT_FOUND);
	assert_non_null(strstr(why.text, "/nonexistent/relayd.conf"));
	assert_non_null(mkdtemp(dir));
	assert_null(settings_read(dir, &why));
	assert_non_null(strstr(why.text, "is a directory"));
	rmdir(dir);
	verdict = verdict_of("log\0level", 9);
	assert_non_null(strstr(verdict, "NUL byte"));
	free(verdict);
	large = xcalloc(1, 1200 * 1024);
	memset(large, '\n', 1200 * 1024);
	verdict = verdict_of(large, 1200 * 1024);
	assert_non_null(strstr(verdict, "1 MiB"));
	free(verdict);
	free(large);
	/* without a newline at its end, and with CRLF */
	path = write_file("listen 127.0.0.1:25 {}\r\nhostname = h.test", 41);
	settings_free(settings_read(path, &why));
	unlink(path);
	free(path);
}

/* The scanner of libconfuse keeps its state between files. */
static void
reading_again_after_a_failure(void **state)
{
	(void)state;
	check_begin("hostname = \"never closed", "F:3: ");
	check_key("log_level = debug", "");
	check_begin("hostname = 'never closed", "F:");
	check_key("log_level = debug", "");
	check_key("\n/* never closed *\n\n", "F:3: a comment that does not end");
	check_key("/* closed */", "");
	check_key("log_level = loud",
		  "F:2: log_level: \"loud\" is not one of debug, info, notice, warning, error");
}

static void
durations_and_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} times[] = {{"90", 90000},
		     {"0", 0},
		     {"500ms", 500},
		     {"30s", 30000},
		     {"5m", 300000},
		     {"1h", 3600000},
		     {"5d", 432000000},
		     {"2w", 1209600000},
		     {"", -1},
		     {"m", -1},
		     {"5 m", -1},
		     {"-5m", -1},
		     {"5M", -1},
		     {"1.5h", -1},
		     {"1h30m", -1},
		     {"99999999999999999999", -1},
		     {"9223372036854775807d", -1}};
	static const struct {
		const char *text;
		int64_t octets;
	} sizes[] = {{"1000", 1000},     {"64K", 65536},
		     {"64k", 65536},     {"50M", 52428800},
		     {"1G", 1073741824}, {"1T", 1099511627776},
		     {"", -1},           {"K", -1},
		     {"1KB", -1},        {"9223372036854775807K", -1}};
	uint64_t octets;
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		ms = -1;
		assert_int_equal(settings_duration(times[i].text, &ms), times[i].ms < 0 ? -1 : 0);
		assert_int_equal(ms, times[i].ms);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		octets = (uint64_t)-1;
		assert_int_equal(settings_size(sizes[i].text, &octets),
				 sizes[i].octets < 0 ? -1 : 0);
		assert_int_equal(octets, (uint64_t)sizes[i].octets);
	}
}

/* The example that is installed says nothing but the defaults. */
static void
the_example_is_good(void **state)
{
	static const char here[] = __FILE__;
	const char *build = here[0] == '/' ? NULL : getenv("BUILD_DIR");
	const char *name = strrchr(here, '/') + 1;
	char *path = xasprintf("%s%s%.*s../../doc/relayd.conf.example", build != NULL ? build : "",
			       build != NULL ? "/" : "", (int)(name - here), here);
	struct settings *least = read_text("listen \"0.0.0.0:25\" {}\n");
	struct error why = {0};
	struct settings *s = settings_read(path, &why);

	(void)state;
	if (s == NULL)
		fail_msg("%s", why.text);
	assert_int_equal(s->listener_count, 1);
	assert_true(netaddr_equal(&s->listeners[0].address, &least->listeners[0].address));
	assert_string_equal(s->state_dir, least->state_dir);
	assert_string_equal(s->control_socket, least->control_socket);
	assert_string_equal(s->hostname, least->hostname);
	assert_null(s->user);
	assert_null(s->local_ips);
	assert_int_equal(s->relay_from_count, least->relay_from_count);
	assert_int_equal(s->relay_domains_count, 0);
	assert_int_equal(s->message_size, least->message_size);
	assert_int_equal(s->queue_lifetime_ms, least->queue_lifetime_ms);
	assert_int_equal(s->retry_count, least->retry_count);
	assert_memory_equal(s->retry_ms, least->retry_ms, s->retry_count * sizeof(*s->retry_ms));
	assert_int_equal(s->dns_servers_count, 0);
	assert_int_equal(s->shutdown_grace_ms, least->shutdown_grace_ms);
	assert_int_equal(s->log_level, least->log_level);
	assert_int_equal(s->log_format, least->log_format);
	assert_memory_equal(&s->limits, &least->limits, sizeof(s->limits));
	assert_memory_equal(&s->timeouts, &least->timeouts, sizeof(s->timeouts));
	settings_free(s);
	settings_free(least);
	free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_least_file_has_all_defaults),
	    cmocka_unit_test(every_key_is_taken),
	    cmocka_unit_test(lists_grow_and_are_replaced),
	    cmocka_unit_test(bad_words_are_named),
	    cmocka_unit_test(bad_addresses_and_domains),
	    cmocka_unit_test(unknown_keys_and_syntax),
	    cmocka_unit_test(listeners),
	    cmocka_unit_test(what_this_version_lacks),
	    cmocka_unit_test(lines_are_right_among_comments),
	    cmocka_unit_test(odd_files),
	    cmocka_unit_test(reading_again_after_a_failure),
	    cmocka_unit_test(durations_and_sizes),
	    cmocka_unit_test(the_example_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
