/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line: words, aliases, every spelling of a flag, what is refused and with which words
 * and exit code, --help, did-you-mean, passwords and where they come from; what the commands ask
 * the daemon (a child with a script) and what they print of its answers. A refused command line
 * must not have asked anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/xalloc.h"
#include "console/cmd_queue.h"
#include "console/cmd_routes.h"
#include "console/cmd_server.h"
#include "console/command.h"
#include "console/help.h"
#include "console/when.h"
#include "console/words.h"
#include "tests/unit/fake_daemon.h"

static const struct command_noun *const nouns[] = {
    &cmd_routes, &cmd_queue, &cmd_status, &cmd_version, &cmd_reload,
};
static const struct command_set commands = {nouns, sizeof(nouns) / sizeof(nouns[0])};

enum { WORDS_MAX = 40 };

/* What one run of the program did. */
struct run {
	int status;
	char *out;
	char *err;
	char *asked;           /* NULL: there was no daemon */
	char *argv[WORDS_MAX]; /* as the run left it */
	int argc;
};

static char *
contents(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc((size_t)size + 1, 1);

	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	return text;
}

/* `line`: words separated by single spaces; "_" stands for a space inside of a word. */
static void
run_line(struct run *run, const char *line, const char *input, const char *const *script)
{
	struct fake_daemon fake;
	struct session session;
	char *copy = xstrdup(line), *rest = copy, *word;

	*run = (struct run){0};
	while ((word = strsep(&rest, " ")) != NULL) {
		for (char *c = word; *c != '\0'; c++)
			*c = *c == '_' ? ' ' : *c;
		assert_true(run->argc < WORDS_MAX);
		run->argv[run->argc++] = xstrdup(word);
	}
	free(copy);
	session_init(&session);
	session.in = memfd_create("in", MFD_CLOEXEC);
	session.out = memfd_create("out", MFD_CLOEXEC);
	session.err = memfd_create("err", MFD_CLOEXEC);
	session.style.width = 80;
	if (input != NULL) {
		assert_int_equal(write(session.in, input, strlen(input)), strlen(input));
		assert_int_equal(lseek(session.in, 0, SEEK_SET), 0);
	}
	session.socket = "/nonexistent/control.sock";
	if (script != NULL) {
		fake_daemon_start(&fake, script);
		session.socket = fake.path;
	}
	run->status = command_run(&session, &commands, run->argc, run->argv);
	session_clear(&session);
	if (script != NULL)
		run->asked = fake_daemon_stop(&fake);
	close(session.in);
	run->out = contents(session.out);
	run->err = contents(session.err);
}

static void
run_clear(struct run *run)
{
	free(run->out);
	free(run->err);
	free(run->asked);
	for (int i = 0; i < run->argc; i++)
		free(run->argv[i]);
}

static void
assert_begins(const char *text, const char *beginning)
{
	if (strncmp(text, beginning, strlen(beginning)) != 0)
		fail_msg("this does not begin with '%s': %s", beginning, text);
}

/* It fails before anything is asked: with no daemon there it would be 7. */
static void
assert_refused(const char *line, int status, const char *err)
{
	struct run run;

	run_line(&run, line, NULL, NULL);
	assert_string_equal(run.err, err);
	assert_int_equal(run.status, status);
	assert_string_equal(run.out, "");
	run_clear(&run);
}

/* What `routes add` with these words asks for: the members of the route. */
static void
assert_adds(const char *words, const char *input, const char *route)
{
	static const char *const script[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":413,\"routes\":[{\"id\":10}],"
	    "\"lines\":\"10 - a line\\n\"}}",
	    NULL};
	char *asked, *line = xasprintf("routes add %s", words);
	struct run run;

	run_line(&run, line, input, script);
	asked = xasprintf(
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"routes.add\",\"params\":{\"route\":%s}}\n",
	    route);
	assert_string_equal(run.asked, asked);
	assert_string_equal(run.err, "");
	assert_string_equal(run.out, "10 - a line\n");
	assert_int_equal(run.status, 0);
	free(asked);
	free(line);
	run_clear(&run);
}

static void
test_spellings(void **state)
{
	static const char *const remote[] = {"-rh a.example",           "--rh a.example",
					     "-rh=a.example",           "--rh=a.example",
					     "--remoteHost a.example",  "-remoteHost a.example",
					     "--remote-host a.example", "--remote-host=a.example",
					     "--remote_host a.example", "--remote_host=a.example"};

	(void)state;
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		assert_adds(remote[i], NULL, "{\"remote_host\":\"a.example\"}");
	assert_adds(
	    "-d B.Example -rh a.example -rp 587 -p 2 -w 3 -l 192.0.2.1|192.0.2.2 -u Joe -f "
	    "x@Y.example "
	    "-rl login -rpwd passwd --tls require --comment two_words",
	    NULL,
	    "{\"destination\":\"b.example\",\"remote_host\":\"a.example\",\"remote_port\":\"587\","
	    "\"priority\":\"2\",\"weight\":\"3\",\"local_ips\":\"192.0.2.1|192.0.2.2\",\"user\":"
	    "\"joe\","
	    "\"mail_from\":\"x@y.example\",\"remote_login\":\"login\",\"tls\":\"require\","
	    "\"comment\":\"two words\",\"remote_password\":\"passwd\"}");
	assert_adds(
	    "--destination b.example --remotePort 26 --priority 2 --weight 2 --localIp 192.0.2.1 "
	    "--smtpUser joe --mailFrom y.example --remoteLogin l --remotePasswd p -rh a.example",
	    NULL,
	    "{\"destination\":\"b.example\",\"remote_host\":\"a.example\",\"remote_port\":\"26\","
	    "\"priority\":\"2\",\"weight\":\"2\",\"local_ips\":\"192.0.2.1\",\"user\":\"joe\","
	    "\"mail_from\":\"y.example\",\"remote_login\":\"l\",\"remote_password\":\"p\"}");
	assert_adds(
	    "--remote-port 26 --local-ip 192.0.2.1 --smtp-user joe --mail-from y.example "
	    "--remote-login l --remote-passwd p -rh a.example",
	    NULL,
	    "{\"remote_host\":\"a.example\",\"remote_port\":\"26\",\"local_ips\":\"192.0.2.1\","
	    "\"user\":\"joe\",\"mail_from\":\"y.example\",\"remote_login\":\"l\",\"remote_"
	    "password\":\"p\"}");
}

/* A value may look like a flag, and words behind "--" are no flags. */
static void
test_dashes(void **state)
{
	(void)state;
	assert_adds("-rh a.example -rl l -rpwd -secret", NULL,
		    "{\"remote_host\":\"a.example\",\"remote_login\":\"l\",\"remote_password\":\"-"
		    "secret\"}");
	assert_refused("queue list -- -o json", 2, "tmail: queue list: unexpected argument '-o'\n");
	assert_refused("routes del -- -5", 2, "tmail: -5: a route id is a number\n");
}

static void
test_wrong_words(void **state)
{
	(void)state;
	assert_refused("routes ad -d x", 2,
		       "tmail: unknown command 'routes ad'. Did you mean 'routes add'?\n");
	assert_refused("route ad", 2,
		       "tmail: unknown command 'route ad'. Did you mean 'routes add'?\n");
	assert_refused("rotues lst", 2,
		       "tmail: unknown command 'rotues lst'. Did you mean 'routes list'?\n");
	assert_refused("add -d x", 2, "tmail: unknown command 'add'. Did you mean 'routes add'?\n");
	assert_refused("frobnicate", 2,
		       "tmail: unknown command 'frobnicate'; see 'tmail --help'\n");
	assert_refused("routes frobnicate 1", 2,
		       "tmail: unknown command 'routes frobnicate'; see 'tmail --help'\n");
	assert_refused("routes", 2,
		       "tmail: routes: a verb is missing; see 'tmail routes --help'\n");
	assert_refused("-q", 2, "tmail: a command is missing; see 'tmail --help'\n");
	/* No abbreviation: a new flag must not break a script. */
	assert_refused(
	    "routes add --remote x", 2,
	    "tmail: routes add: unknown flag '--remote'. Did you mean '--remote-host'?\n");
	assert_refused("routes add -rpp=2", 2,
		       "tmail: routes add: unknown flag '-rpp'. Did you mean '-rp'?\n");
	assert_refused("routes add -rh a --dry-rum", 2,
		       "tmail: routes add: unknown flag '--dry-rum'. Did you mean '--dry-run'?\n");
	assert_refused("routes del 1 --expect-revision x", 2,
		       "tmail: --expect-revision x: that is not a number\n");
	/* Of those that change routes alone. */
	assert_refused(
	    "queue list --expect-revision 5", 2,
	    "tmail: queue list: unknown flag '--expect-revision'; see 'tmail queue list --help'\n");
	assert_refused("-z routes list", 2, "tmail: unknown flag '-z'; see 'tmail --help'\n");
	/* Never clusters. */
	assert_refused("routes del -qy 1", 2,
		       "tmail: routes del: unknown flag '-qy'; see 'tmail routes del --help'\n");
	assert_refused("routes add -d x -d y -rh z", 2, "tmail: -d is given twice\n");
	assert_refused("routes add -rh", 2, "tmail: -rh: its value REMOTE is missing\n");
	assert_refused("routes add -d x", 2, "tmail: routes add: -rh REMOTE is missing\n");
	assert_refused("routes del", 2, "tmail: routes del: ROUTE_ID is missing\n");
	assert_refused("queue list x", 2, "tmail: queue list: unexpected argument 'x'\n");
	assert_refused("routes del -y=1 2", 2, "tmail: -y takes no value\n");
	assert_refused("queue list --timeout 0", 2,
		       "tmail: --timeout 0: it is a number of seconds up to 86400\n");
	assert_refused("queue list --color red", 2,
		       "tmail: --color red: it is one of auto, always or never\n");
	assert_refused("-o xml queue list", 2,
		       "tmail: -o xml: it is one of text, table, wide, json, jsonl, csv, tsv, id, "
		       "commands or template=\n");
	assert_refused("status -o id", 2, "tmail: -o id: status has no ids\n");
}

/* Syntax is 2; what is understood and can't be is 5, here as from the daemon. */
static void
test_wrong_values(void **state)
{
	(void)state;
	assert_refused("routes add -rh a -rp 70000", 5,
		       "tmail: -rp 70000: the port must be 1-65535\n");
	assert_refused("routes add -rh a --remotePort=0", 5,
		       "tmail: --remotePort 0: the port must be 1-65535\n");
	assert_refused("routes add -rh a -rp abc", 2, "tmail: -rp abc: that is not a number\n");
	assert_refused("routes add -rh a -p -1", 2, "tmail: -p -1: that is not a number\n");
	assert_refused("routes add -rh a -p 0", 5, "tmail: -p 0: the priority must be 1-65535\n");
	assert_refused("routes add -rh a -l 192.0.2.1&192.0.2.2|192.0.2.3", 5,
		       "tmail: -l 192.0.2.1&192.0.2.2|192.0.2.3: the local IPs must be joined by | "
		       "(round robin) or by & "
		       "(failover), never both\n");
	assert_refused("routes add -rh a --tls maybe", 2,
		       "tmail: --tls maybe: it is one of none, may, require, verify or implicit\n");
	assert_refused("routes add -rh a -rl login", 2,
		       "tmail: -rl login: a login needs a password; add -rpwd\n");
	assert_refused("routes add -rh a -rpwd x", 2,
		       "tmail: -rpwd: a password needs a login; add -rl\n");
	assert_refused("routes add -rh a -rl b -rpwd x --remote-passwd-file y", 2,
		       "tmail: -rpwd and --remote-passwd-file: only one password is needed\n");
	assert_refused("routes del 1 x", 2, "tmail: x: a route id is a number\n");
	assert_refused("routes del 99999999999999999999", 2,
		       "tmail: 99999999999999999999: a route id is a number\n");
	assert_refused("routes del 9223372036854775808", 3,
		       "tmail: no route 9223372036854775808\n");
}

static void
test_errors_as_json(void **state)
{
	(void)state;
	assert_refused("routes add --bogus -o json", 2,
		       "{\"error\":\"usage\",\"code\":2,\"message\":\"routes add: unknown flag "
		       "'--bogus'; see 'tmail routes "
		       "add --help'\",\"hint\":\"tmail routes add --help\"}\n");
	assert_refused("-o json routes add -rh a -rp 70000", 5,
		       "{\"error\":\"refused\",\"code\":5,\"message\":\"-rp 70000: the port must "
		       "be 1-65535\",\"hint\":null}\n");
	assert_refused("routes list -o json", 7,
		       "{\"error\":\"no_daemon\",\"code\":7,\"message\":\"no daemon at "
		       "/nonexistent/control.sock: No such file "
		       "or directory; start relayd or name its socket with -s\",\"hint\":\"start "
		       "relayd or name its socket "
		       "with -s\"}\n");
}

static void
test_no_daemon(void **state)
{
	static const char no_daemon[] =
	    "tmail: no daemon at /nonexistent/control.sock: No such file or "
	    "directory; start relayd or name its socket with -s\n";

	(void)state;
	assert_refused("routes list", 7, no_daemon);
	assert_refused("routes add -rh a", 7, no_daemon);
	assert_refused("routes del 1", 7, no_daemon);
	assert_refused("queue list", 7, no_daemon);
	assert_refused("queue count", 7, no_daemon);
	assert_refused("status", 7, no_daemon);
	assert_refused("reload", 7, no_daemon);
	assert_refused("-s /nowhere/x status", 7,
		       "tmail: no daemon at /nowhere/x: No such file or directory; start relayd or "
		       "name its socket with -s\n");
}

/* ---- passwords
 * ----------------------------------------------------------------------------------- */

static void
test_password_is_hidden(void **state)
{
	static const char *const script[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":1,\"routes\":[{\"id\":1}],"
	    "\"lines\":\"\"}}",
	    NULL};
	static const char *const lines[] = {
	    "route add -rh a.example -rl l -rpwd geheim",
	    "route add -rh a.example -rl l --remotePasswd=geheim",
	    "route add --bogus -rh a.example -rl l -rpwd geheim",
	};
	struct run run;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		run_line(&run, lines[i], NULL, i < 2 ? script : NULL);
		assert_int_equal(run.status, i < 2 ? 0 : 2);
		if (i < 2)
			assert_non_null(strstr(run.asked, "\"remote_password\":\"geheim\""));
		for (int word = 0; word < run.argc; word++)
			assert_null(strstr(run.argv[word], "geheim"));
		/* Standard error is no terminal: no warning. */
		if (i < 2)
			assert_string_equal(run.err, "");
		assert_null(strstr(run.err, "geheim"));
		run_clear(&run);
	}
}

static void
test_password_from_elsewhere(void **state)
{
	static const char with[] =
	    "{\"remote_host\":\"a\",\"remote_login\":\"l\",\"remote_password\":\"@from here\"}";
	char file[] = "/tmp/tmail-test-XXXXXX";
	int fd = mkstemp(file);
	char *words;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "@from here\nnot this\n", 20), 20);
	assert_adds("-rh a -rl l -rpwd -", "@from here\nnot this\n", with);
	assert_adds("-rh a -rl l -rpwd -", "@from here", with);
	assert_adds("-rh a -rl l -rpwd -", "@from here\r\n", with);
	words = xasprintf("-rh a -rl l -rpwd @%s", file);
	assert_adds(words, NULL, with);
	free(words);
	words = xasprintf("-rh a -rl l --remote-passwd-file %s", file);
	assert_adds(words, NULL, with);
	free(words);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	words = xasprintf("-rh a -rl l -rpwd @fd:%d", fd);
	assert_adds(words, NULL, with);
	free(words);
	close(fd);
	unlink(file);
	assert_adds("-rh a -rl l -rpwd @route:2", NULL,
		    "{\"remote_host\":\"a\",\"remote_login\":\"l\",\"remote_password_from\":2}");
}

static void
test_no_password_there(void **state)
{
	char file[] = "/tmp/tmail-test-XXXXXX";
	int fd = mkstemp(file);
	char *words, *err;

	(void)state;
	assert_true(fd >= 0);
	words = xasprintf("routes add -rh a -rl l -rpwd @%s", file);
	err = xasprintf("tmail: -rpwd %s: there is no password in the first line\n", file);
	assert_refused(words, 2, err);
	free(err);
	fchmod(fd, 0644);
	err = xasprintf("tmail: -rpwd %s: others can read this file: do chmod 600 on it\n", file);
	assert_refused(words, 2, err);
	free(err);
	free(words);
	unlink(file);
	close(fd);
	assert_refused("routes add -rh a -rl l -rpwd @/nonexistent", 2,
		       "tmail: -rpwd /nonexistent: No such file or directory\n");
	assert_refused("routes add -rh a -rl l -rpwd -", 2,
		       "tmail: -rpwd -: there is no password in the first line\n");
	assert_refused("routes add -rh a -rl l -rpwd=", 2, "tmail: -rpwd: the password is empty\n");
	assert_refused("routes add -rh a -rl l -rpwd @fd:x", 2,
		       "tmail: -rpwd @fd:x: that is no descriptor\n");
	assert_refused("routes add -rh a -rl l -rpwd @route:x", 2,
		       "tmail: -rpwd @route:x: that is no route id\n");
}

/* ---- what the commands do
 * ------------------------------------------------------------------------ */

static void
test_list(void **state)
{
	static const char *const empty[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":0,\"count\":0,"
	    "\"lines\":\"\",\"next\":null}}",
	    NULL};
	static const char *const pages[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":7,\"count\":3,\"lines\":\"1 - "
	    "x\\n2 - y\\n\","
	    "\"next\":2}}",
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"revision\":7,\"count\":3,\"lines\":\"9 - "
	    "z\\n\","
	    "\"next\":null}}",
	    NULL};
	static const char *const objects[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":7,\"count\":2,\"routes\":[{"
	    "\"id\":1,\"destination\":"
	    "\"*\",\"user\":null,\"mail_from\":null,\"priority\":1,\"weight\":1,\"remote_host\":"
	    "\"2001:db8::1\","
	    "\"remote_port\":25,\"local_ips\":null,\"remote_login\":null,\"has_password\":false,"
	    "\"tls\":null,"
	    "\"enabled\":false,\"comment\":null}],\"next\":1}}",
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"revision\":8,\"count\":2,\"routes\":[],"
	    "\"next\":null}}",
	    NULL};
	static const char *const ids[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":7,\"count\":2,\"lines\":"
	    "\"1\\n9\\n\",\"next\":null}}",
	    NULL};
	struct run run;

	(void)state;
	run_line(&run, "route list", NULL, empty);
	assert_string_equal(
	    run.out,
	    "There is no routes configurated, all mails are routed following MX records\n");
	assert_int_equal(run.status, 0);
	run_clear(&run);
	run_line(&run, "routes list", NULL, pages);
	assert_string_equal(run.out, "1 - x\n2 - y\n9 - z\n");
	assert_string_equal(run.asked, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"routes.list\","
				       "\"params\":{\"after\":0,\"limit\":2000,"
				       "\"form\":\"lines\"}}\n"
				       "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"routes.list\","
				       "\"params\":{\"after\":2,\"limit\":2000,"
				       "\"form\":\"lines\"}}\n");
	run_clear(&run);
	run_line(&run, "routes list -o table", NULL, objects);
	assert_string_equal(
	    run.out, "ID  DESTINATION  USER  MAIL FROM  PRI  REMOTE            LOCAL IPS  STATE\n"
		     " 1  *            -     -            1  [2001:db8::1]:25  default    off\n");
	run_clear(&run);
	run_line(&run, "routes list -o json", NULL, objects);
	assert_begins(run.out,
		      "{\"schema\":\"tmail.routes/1\",\"revision\":7,\"routes\":[\n{\"id\":1,");
	assert_string_equal(run.out + strlen(run.out) - 4, "\n]}\n");
	run_clear(&run);
	/* Ids come as ready lines; of an empty table nothing is said. */
	run_line(&run, "routes list -o id", NULL, ids);
	assert_string_equal(run.out, "1\n9\n");
	assert_non_null(strstr(run.asked, "\"form\":\"ids\""));
	run_clear(&run);
	run_line(&run, "routes list -o id", NULL, empty);
	assert_string_equal(run.out, "");
	run_clear(&run);
}

/* The daemon is lost in the middle of a list: what was said stays said, and the exit code tells. */
static void
test_list_is_cut(void **state)
{
	static const char *const script[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":7,\"count\":3,\"lines\":\"1 - "
	    "x\\n\",\"next\":1}}",
	    FAKE_CLOSE, NULL};
	struct run run;

	(void)state;
	run_line(&run, "routes list", NULL, script);
	assert_int_equal(run.status, 7);
	assert_string_equal(run.err, "tmail: relayd went away without an answer\n");
	run_clear(&run);
}

static void
test_add_prints(void **state)
{
	static const char *const script[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":413,\"routes\":[{\"id\":10,"
	    "\"destination\":\"*\"}],"
	    "\"lines\":\"10 - a line\\n\"}}",
	    NULL};
	struct run run;

	(void)state;
	run_line(&run, "-q routes add -rh a", NULL, script);
	assert_string_equal(run.out, "");
	run_clear(&run);
	run_line(&run, "routes add -rh a -o id", NULL, script);
	assert_string_equal(run.out, "10\n");
	run_clear(&run);
	run_line(&run, "routes add -rh a -o json", NULL, script);
	assert_string_equal(
	    run.out, "{\"schema\":\"tmail.routes/1\",\"revision\":413,\"routes\":[\n{\"id\":10,"
		     "\"destination\":\"*\"}\n]}\n");
	assert_string_equal(run.err, "");
	run_clear(&run);
}

static void
test_del(void **state)
{
	static const char *const gone[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"revision\":8,\"routes\":[]}}", NULL};
	static const char *const missing[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":3,\"message\":\"no route "
	    "42\",\"data\":{\"name\":"
	    "\"not_found\",\"hint\":\"tmail routes list -o id\"}}}",
	    NULL};
	struct run run;

	(void)state;
	run_line(&run, "routes del 3 4", NULL, gone);
	assert_string_equal(run.asked, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"routes.del\","
				       "\"params\":{\"ids\":[3,4]}}\n");
	assert_string_equal(run.out, "");
	assert_string_equal(run.err, "");
	assert_int_equal(run.status, 0);
	run_clear(&run);
	run_line(&run, "routes del 42", NULL, missing);
	assert_string_equal(run.err, "tmail: no route 42\n");
	assert_int_equal(run.status, 3);
	run_clear(&run);
	run_line(&run, "routes del 42 -o json", NULL, missing);
	assert_string_equal(
	    run.err,
	    "{\"error\":\"not_found\",\"code\":3,\"message\":\"no route 42\",\"hint\":\"tmail "
	    "routes list -o id\"}\n");
	run_clear(&run);
}

static void
test_timeout(void **state)
{
	static const char *const script[] = {FAKE_SILENT, NULL};
	struct run run;

	(void)state;
	run_line(&run, "routes del 3 --timeout 0.1", NULL, script);
	assert_int_equal(run.status, 8);
	assert_non_null(strstr(run.err, "the change may have been made"));
	run_clear(&run);
	run_line(&run, "routes list --timeout=0.1", NULL, script);
	assert_int_equal(run.status, 8);
	assert_string_equal(run.err, "tmail: no answer from relayd within 0.1 s\n");
	run_clear(&run);
}

static const char *const queue_script[] = {
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"count\":2,\"messages\":[{\"id\":12564,\"sender\":"
    "\"a@b\",\"login\":null,"
    "\"size\":1000,\"attempts\":1,\"added\":\"2026-01-23T08:10:40Z\",\"next_attempt\":\"2026-01-"
    "23T08:14:40Z\","
    "\"status\":\"scheduled\",\"recipients\":[{\"address\":\"c@d\",\"state\":\"open\",\"last_"
    "reply\":\"450 busy\"},"
    "{\"address\":\"done@d\",\"state\":\"delivered\",\"last_reply\":null},{\"address\":\"e@f\","
    "\"state\":\"open\","
    "\"last_reply\":null}]},{\"id\":12565,\"sender\":\"\",\"login\":null,\"size\":1,\"attempts\":0,"
    "\"added\":"
    "\"2026-01-23T08:10:40Z\",\"next_attempt\":\"2026-01-23T08:10:40Z\",\"status\":\"active\","
    "\"recipients\":[{"
    "\"address\":\"g@h\",\"state\":\"open\",\"last_reply\":null}]}],\"next\":null}}",
    NULL};

static void
test_queue(void **state)
{
	static const char *const empty[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"count\":0,\"messages\":[],\"next\":null}}",
	    NULL};
	static const char *const count[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"messages\":17,\"active\":2}}", NULL};
	struct run run;

	(void)state;
	setenv("TZ", "CET-1", 1);
	tzset();
	run_line(&run, "queue list", NULL, empty);
	assert_string_equal(run.out, "There is no message in queue.\n");
	run_clear(&run);
	run_line(&run, "queue list", NULL, queue_script);
	assert_string_equal(run.out, "2 messages in queue.\n"
				     "12564 - From: a@b - To: c@d - Status: Scheduled - Added: "
				     "2026-01-23 09:10:40 +0100 - Next delivery "
				     "process scheduled at: 2026-01-23 09:14:40 +0100\n"
				     "12564 - From: a@b - To: e@f - Status: Scheduled - Added: "
				     "2026-01-23 09:10:40 +0100 - Next delivery "
				     "process scheduled at: 2026-01-23 09:14:40 +0100\n"
				     "12565 - From: <> - To: g@h - Status: Delivery in progress - "
				     "Added: 2026-01-23 09:10:40 +0100 - Next "
				     "delivery process scheduled at: 2026-01-23 09:10:40 +0100\n");
	run_clear(&run);
	run_line(&run, "queue list -o csv", NULL, queue_script);
	assert_string_equal(
	    run.out,
	    "id,sender,recipient,status,added,next_attempt,attempts,size,login,last_reply\r\n"
	    "12564,a@b,c@d,scheduled,2026-01-23T08:10:40Z,2026-01-23T08:14:40Z,1,1000,,450 busy\r\n"
	    "12564,a@b,e@f,scheduled,2026-01-23T08:10:40Z,2026-01-23T08:14:40Z,1,1000,,\r\n"
	    "12565,,g@h,active,2026-01-23T08:10:40Z,2026-01-23T08:10:40Z,0,1,,\r\n");
	run_clear(&run);
	run_line(&run, "queue list -o id", NULL, queue_script);
	assert_string_equal(run.out, "12564\n12565\n");
	run_clear(&run);
	run_line(&run, "queue list -o json", NULL, queue_script);
	assert_begins(run.out, "{\"schema\":\"tmail.queue/1\",\"messages\":[\n{\"id\":12564,");
	run_clear(&run);
	run_line(&run, "queue count", NULL, count);
	assert_string_equal(run.out, "17\n");
	run_clear(&run);
	run_line(&run, "queue count -o json", NULL, count);
	assert_string_equal(run.out,
			    "{\"schema\":\"tmail.queue-count/1\",\"messages\":17,\"active\":2}\n");
	run_clear(&run);
}

static void
test_server(void **state)
{
	static const char *const status[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"hostname\":\"mx1.example\",\"version\":"
	    "\"0.1.0\",\"pid\":1,"
	    "\"started\":\"2026-01-23T08:10:40Z\",\"uptime_s\":273129,\"revision\":413,\"routes\":"
	    "10,\"queue_messages\":1,"
	    "\"queue_active\":0,\"delivered\":812,\"deferred\":3,\"failed\":1,\"spool_messages\":1,"
	    "\"spool_bytes\":1000,"
	    "\"spool_disk_bytes\":67108864,\"spool_segments\":1,\"spool_failures\":0,\"connections_"
	    "in\":4,"
	    "\"connections_out\":2}}",
	    NULL};
	static const char *const version[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"version\":\"9.9\"}}", NULL};
	static const char *const reload[] = {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", NULL};
	struct run run;

	(void)state;
	setenv("TZ", "CET-1", 1);
	tzset();
	run_line(&run, "status", NULL, status);
	assert_string_equal(run.out,
			    "hostname     mx1.example\n"
			    "version      0.1.0\n"
			    "uptime       3d 03:52:09, since 2026-01-23 09:10:40 +0100\n"
			    "routes       10, revision 413\n"
			    "queue        1 message, 0 being delivered\n"
			    "recipients   812 delivered, 3 deferrals, 1 failed, since the start\n"
			    "spool        1000 bytes in use, 64.0 MiB on disk in 1 segment\n"
			    "connections  4 in, 2 out\n");
	run_clear(&run);
	run_line(&run, "version", NULL, version);
	assert_string_equal(run.out, "tmail " PACKAGE_VERSION "\nrelayd 9.9\n");
	run_clear(&run);
	run_line(&run, "version", NULL, NULL);
	assert_string_equal(run.out, "tmail " PACKAGE_VERSION "\n");
	assert_int_equal(run.status, 7);
	run_clear(&run);
	run_line(&run, "--version", NULL, NULL);
	assert_string_equal(run.out, "tmail " PACKAGE_VERSION "\n");
	assert_int_equal(run.status, 0);
	run_clear(&run);
	run_line(&run, "reload", NULL, reload);
	assert_string_equal(run.out, "");
	assert_string_equal(
	    run.asked,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.reload\",\"params\":{}}\n");
	run_clear(&run);
}

/* A reader that has gone is no error to tell anybody. */
static void
test_closed_pipe(void **state)
{
	struct session session;
	int ends[2], err = memfd_create("err", MFD_CLOEXEC);
	char words[] = "--help", *argv[] = {words};
	char *text;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	session_init(&session);
	session.out = ends[1];
	session.err = err;
	assert_int_equal(command_run(&session, &commands, 1, argv), 141);
	session_clear(&session);
	close(ends[1]);
	text = contents(err);
	assert_string_equal(text, "");
	free(text);
}

/* ---- help
 * ---------------------------------------------------------------------------------------- */

static void
assert_help(const char *line, const char *has)
{
	struct run run;
	size_t len;

	run_line(&run, line, NULL, NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.err, "");
	if (strstr(run.out, has) == NULL)
		fail_msg("the help of '%s' has no '%s':\n%s", line, has, run.out);
	for (const char *at = run.out; *at != '\0'; at += len + 1) {
		len = strcspn(at, "\n");
		if (len > 80)
			fail_msg("%zu columns: %.*s", len, (int)len, at);
	}
	run_clear(&run);
}

static void
test_help(void **state)
{
	struct strbuf line = STRBUF_INIT;

	(void)state;
	assert_help("--help", "routes add");
	assert_help("help", "routes add");
	assert_help("routes --help", "routes del");
	assert_help("routes add --help",
		    "-rh, --remote-host, --remoteHost, --\"remote host\" REMOTE");
	assert_help("routes add -h", "--remote-passwd-file FILE");
	assert_help("help routes add", "-p, --priority PRIORITY");
	/* Nothing else on the line matters then. */
	assert_help("routes add -rp 70000 --bogus --help", "-rp PORT");
	/* Every command: usage, two examples, exit codes. */
	for (size_t i = 0; i < commands.count; i++) {
		for (size_t j = 0; j < nouns[i]->command_count; j++) {
			const struct command *command = &nouns[i]->commands[j];

			strbuf_reset(&line);
			strbuf_printf(&line, "%s%s%s --help", nouns[i]->word,
				      command->verb != NULL ? " " : "",
				      command->verb != NULL ? command->verb : "");
			assert_help(line.data, "Usage: tmail ");
			assert_help(line.data, "Exit codes:\n  0   done\n");
			assert_help(line.data, command->help);
			for (size_t k = 0; k < 2; k++) {
				assert_non_null(command->examples[k]);
				assert_help(line.data, command->examples[k]);
			}
		}
	}
	strbuf_clear(&line);
}

/* No two flags of a command, its own and the common ones, have one name. */
static void
test_tables(void **state)
{
	const struct command_flag *flag;
	size_t total, len;
	const char *names[128];
	size_t lengths[128];

	(void)state;
	for (size_t i = 0; i < commands.count; i++) {
		for (size_t j = 0; j < nouns[i]->command_count; j++) {
			const struct command *command = &nouns[i]->commands[j];

			total = 0;
			for (size_t k = 0; k < command->flag_count + COMMON_FLAGS; k++) {
				flag = k < command->flag_count
					   ? &command->flags[k]
					   : &command_common_flags[k - command->flag_count];
				assert_non_null(flag->help);
				for (const char *name = flag->names;; name += len + 1) {
					name += strspn(name, "-");
					len = strcspn(name, ",");
					for (size_t l = 0; l < total; l++)
						assert_false(lengths[l] == len &&
							     memcmp(names[l], name, len) == 0);
					names[total] = name;
					lengths[total++] = len;
					if (name[len] == '\0')
						break;
				}
			}
		}
	}
}

/* ---- words and times
 * ----------------------------------------------------------------------------- */

static void
test_distance(void **state)
{
	struct words_search search;
	uint64_t number;

	(void)state;
	assert_int_equal(words_distance("", ""), 0);
	assert_int_equal(words_distance("add", "add"), 0);
	assert_int_equal(words_distance("ad", "add"), 1);
	assert_int_equal(words_distance("rotues", "routes"), 1);
	assert_int_equal(words_distance("kitten", "sitting"), 3);
	assert_int_equal(words_distance("abc", ""), 3);
	words_search_init(&search, "cou");
	words_offer(&search, "list");
	words_offer(&search, "count");
	assert_string_equal(search.best, "count");
	words_search_init(&search, "xyz");
	words_offer(&search, "list");
	words_offer(&search, "-");
	assert_null(search.best);
	assert_int_equal(words_number("18446744073709551615", &number), 0);
	assert_true(number == UINT64_MAX);
	assert_int_equal(words_number("18446744073709551616", &number), -1);
	assert_int_equal(words_number("", &number), -1);
	assert_int_equal(words_number("1 ", &number), -1);
	assert_int_equal(words_number("-1", &number), -1);
}

static void
test_when(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* 0: it is none */
	} spans[] = {{"90s", 90}, {"5m", 300},  {"2h", 7200}, {"1d", 86400}, {"45", 45},
		     {"0", 0},    {"0m", 0},    {"", 0},      {"m", 0},      {"5 m", 0},
		     {"5mm", 0},  {"1h30m", 0}, {"-5m", 0},   {"1.5h", 0},   {"9999999999", 0},
		     {"5w", 0},   {"soon", 0}};
	struct strbuf out = STRBUF_INIT;
	int64_t span_ms;

	(void)state;
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	when_local("2026-07-23T08:10:40Z", &out);
	assert_string_equal(out.data, "2026-07-23 10:10:40 +0200");
	strbuf_reset(&out);
	when_local("yesterday\033", &out);
	assert_string_equal(out.data, "yesterday\\x1b");
	strbuf_reset(&out);
	when_span(59, &out);
	assert_string_equal(out.data, "00:00:59");
	strbuf_reset(&out);
	when_span(86400 + 3600 * 23 + 61, &out);
	assert_string_equal(out.data, "1d 23:01:01");
	strbuf_clear(&out);
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		span_ms = -1;
		assert_int_equal(when_parse_span(spans[i].text, &span_ms),
				 spans[i].seconds > 0 ? 0 : -1);
		if (spans[i].seconds > 0)
			assert_int_equal(span_ms, spans[i].seconds * 1000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spellings),
	    cmocka_unit_test(test_dashes),
	    cmocka_unit_test(test_wrong_words),
	    cmocka_unit_test(test_wrong_values),
	    cmocka_unit_test(test_errors_as_json),
	    cmocka_unit_test(test_no_daemon),
	    cmocka_unit_test(test_password_is_hidden),
	    cmocka_unit_test(test_password_from_elsewhere),
	    cmocka_unit_test(test_no_password_there),
	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_list_is_cut),
	    cmocka_unit_test(test_add_prints),
	    cmocka_unit_test(test_del),
	    cmocka_unit_test(test_timeout),
	    cmocka_unit_test(test_queue),
	    cmocka_unit_test(test_server),
	    cmocka_unit_test(test_closed_pipe),
	    cmocka_unit_test(test_help),
	    cmocka_unit_test(test_tables),
	    cmocka_unit_test(test_distance),
	    cmocka_unit_test(test_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
