/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/net/resolver (with rdata and hosts) against a scripted name server on loopback, served by
 * the same loop: A and AAAA together, MX in order, null MX, CNAMEs, names that do not exist,
 * servers that fail, are silent or lie, the cache, cancelling and freeing, and that libunbound
 * prints nothing. Then once more against a real unbound, where that is installed.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/hosts.h"
#include "relayd/net/rdata.h"
#include "relayd/net/resolver.h"

enum { A = 1, CNAME = 5, SOA = 6, MX = 15, AAAA = 28 };

/* What the scripted server knows. rcode 0 with no data: such a name exists. */
struct record {
	const char *name;
	int type;
	const char *data; /* address, name, or "PREFERENCE NAME"; NULL: nothing of this type */
	int rcode;        /* -1: no answer at all */
};

static const struct record zone[] = {
    {"both.test", A, "192.0.2.1", 0},
    {"both.test", A, "192.0.2.2", 0},
    {"both.test", AAAA, "2001:db8::1", 0},
    {"four.test", A, "192.0.2.4", 0},
    {"mapped.test", AAAA, "::ffff:192.0.2.9", 0},
    {"halfbad.test", A, "192.0.2.5", 0},
    {"halfbad.test", AAAA, NULL, 2},
    {"slow6.test", A, "192.0.2.6", 0},
    {"slow6.test", AAAA, NULL, -1},
    {"empty.test", SOA, "", 0},
    {"servfail.test", A, NULL, 2},
    {"servfail.test", AAAA, NULL, 2},
    {"servfail.test", MX, NULL, 2},
    {"refused.test", MX, NULL, 5},
    {"silent.test", MX, NULL, -1},
    {"alias.test", CNAME, "both.test", 0},
    {"mail.test", MX, "20 Backup.Mail.TEST", 0},
    {"mail.test", MX, "5 first.mail.test", 0},
    {"mail.test", MX, "20 other.mail.test", 0},
    {"mail.test", MX, "10 second.mail.test", 0},
    {"mailalias.test", CNAME, "mail.test", 0},
    {"null.test", MX, "0 .", 0},
    {"nullandmore.test", MX, "0 .", 0},
    {"nullandmore.test", MX, "10 real.test", 0},
    {"strange.test", MX, "10 bad|host.test", 0},
    {"strange.test", MX, "20 good.test", 0},
    {"nousable.test", MX, "10 b\xc3\xbc.test", 0},
    {"host.home.arpa", A, "192.0.2.7", 0},
};

struct fixture {
	struct loop *loop;
	struct resolver *resolver;
	struct watch *watch;
	int server;
	char address[64];
	int queries;
	bool dead; /* the server answers nobody */
	int done;
	enum lookup_status status;
	size_t count;
	struct netaddr addresses[16];
	char hosts[16][256];
	uint16_t preferences[16];
	char why[512];
	bool free_in_done;
	bool again_in_done;
	char *dir;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
until(struct fixture *f, int wanted)
{
	int64_t end = now_ms() + 30000;

	while (f->done < wanted && now_ms() < end)
		assert_int_equal(loop_once(f->loop, 100), 0);
	assert_int_equal(f->done, wanted);
}

/* ---- the scripted server ----------------------------------------------------------------------*/

static void
put16(struct strbuf *out, unsigned value)
{
	strbuf_putc(out, (char)(value >> 8));
	strbuf_putc(out, (char)value);
}

static void
put_name(struct strbuf *out, const char *name)
{
	while (*name != '\0' && strcmp(name, ".") != 0) {
		size_t label = strcspn(name, ".");

		strbuf_putc(out, (char)label);
		strbuf_append(out, name, label);
		name += label + (name[label] == '.');
	}
	strbuf_putc(out, '\0');
}

static void
put_record(struct strbuf *out, const char *name, int type, const char *data)
{
	struct strbuf rdata = STRBUF_INIT;
	struct netaddr address;

	if (type == A || type == AAAA) {
		/* by hand: netaddr would turn a mapped address into IPv4 */
		if (strcmp(data, "::ffff:192.0.2.9") == 0)
			strbuf_append(&rdata, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\x9", 16);
		else if (netaddr_parse(data, &address) == 0)
			strbuf_append(&rdata, address.bytes, type == A ? 4 : 16);
	} else if (type == MX) {
		put16(&rdata, (unsigned)atoi(data));
		put_name(&rdata, strchr(data, ' ') + 1);
	} else {
		put_name(&rdata, data);
	}
	put_name(out, name);
	put16(out, (unsigned)type);
	put16(out, 1);
	put16(out, 0);
	put16(out, 300);
	put16(out, (unsigned)rdata.len);
	strbuf_append(out, rdata.data, rdata.len);
	strbuf_clear(&rdata);
}

/* The answer section; returns how many records. *rcode is 3 unless the name is known. */
static unsigned
put_answers(struct strbuf *out, const char *name, int type, int *rcode)
{
	unsigned count = 0;

	*rcode = 3;
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		const struct record *r = &zone[i];
		int ignored;

		if (strcasecmp(r->name, name) != 0)
			continue;
		if (*rcode == 3)
			*rcode = 0;
		if (r->type == type && r->data == NULL) {
			*rcode = r->rcode;
			return 0;
		}
		if (r->type == type || r->type == CNAME) {
			put_record(out, name, r->type, r->data);
			count++;
		}
		if (r->type == CNAME)
			count += put_answers(out, r->data, type, &ignored);
	}
	return count;
}

static void
put_soa(struct strbuf *out)
{
	put_name(out, "test");
	put16(out, SOA);
	put16(out, 1);
	put16(out, 0);
	put16(out, 60);
	put16(out, 22);
	strbuf_append(out, "\0\0", 2);
	for (int i = 0; i < 5; i++) {
		put16(out, 0);
		put16(out, 60);
	}
}

static void
server_answer(struct fixture *f, const unsigned char *query, size_t len, const struct sockaddr *to,
	      socklen_t to_len)
{
	struct strbuf answers = STRBUF_INIT, out = STRBUF_INIT;
	char name[256] = "";
	size_t at = 12, used = 0;
	unsigned count;
	int type, rcode;

	while (at < len && query[at] != 0) {
		memcpy(name + used, query + at + 1, query[at]);
		used += query[at];
		name[used++] = '.';
		at += 1U + query[at];
	}
	name[used > 0 ? used - 1 : 0] = '\0';
	type = query[at + 1] << 8 | query[at + 2];
	at += 5;
	count = put_answers(&answers, name, type, &rcode);
	if (rcode >= 0) {
		strbuf_append(&out, query, 2);
		put16(&out, 0x8580U | (unsigned)rcode);
		put16(&out, 1);
		put16(&out, count);
		put16(&out, count == 0 && (rcode == 0 || rcode == 3));
		put16(&out, 0);
		strbuf_append(&out, query + 12, at - 12);
		strbuf_append(&out, answers.data != NULL ? answers.data : "", answers.len);
		if (count == 0 && (rcode == 0 || rcode == 3))
			put_soa(&out);
		assert_int_equal(sendto(f->server, out.data, out.len, 0, to, to_len), out.len);
	}
	strbuf_clear(&answers);
	strbuf_clear(&out);
}

static void
server_ready(void *ctx, int what)
{
	struct fixture *f = ctx;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	unsigned char query[1500];
	ssize_t n;

	(void)what;
	n = recvfrom(f->server, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from,
		     &from_len);
	if (n < 17)
		return;
	f->queries++;
	if (!f->dead)
		server_answer(f, query, (size_t)n, (struct sockaddr *)&from, from_len);
}

static void
server_open(struct fixture *f)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);

	f->server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->server, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(f->server, (struct sockaddr *)&sin, &len), 0);
	snprintf(f->address, sizeof(f->address), "127.0.0.1@%d", ntohs(sin.sin_port));
	f->watch = watch_new(f->loop, f->server, server_ready, f);
	watch_set(f->watch, WATCH_READ);
}

/* ---- asking -----------------------------------------------------------------------------------*/

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	const char *servers[1] = {f->address};
	struct resolver_options options = {
	    .servers = servers, .server_count = 1, .hosts_file = "/dev/null"};
	struct error why;

	f->loop = loop_new(NULL);
	server_open(f);
	f->resolver = resolver_new(f->loop, &options, &why);
	*state = f;
	return f->resolver == NULL;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->resolver);
	watch_free(f->watch);
	if (f->server >= 0)
		close(f->server);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void
note_why(struct fixture *f, const char *why)
{
	if (f->status == LOOKUP_FAILED) {
		assert_non_null(why);
		snprintf(f->why, sizeof(f->why), "%s", why);
	} else {
		assert_null(why);
	}
}

static void
finish_done(struct fixture *f)
{
	f->done++;
	if (f->free_in_done) {
		resolver_free(f->resolver);
		f->resolver = NULL;
	}
}

static void
on_hosts(void *ctx, const struct lookup_hosts *answer)
{
	struct fixture *f = ctx;

	f->status = answer->status;
	f->count = answer->count;
	assert_int_equal(answer->count > 0, answer->status == LOOKUP_OK);
	for (size_t i = 0; i < answer->count && i < 16; i++) {
		f->addresses[i] = answer->addresses[i];
		assert_int_equal(f->addresses[i].port, 0);
	}
	note_why(f, answer->why);
	finish_done(f);
}

static void
on_mx(void *ctx, const struct lookup_mx *answer)
{
	struct fixture *f = ctx;

	f->status = answer->status;
	f->count = answer->count;
	assert_int_equal(answer->count > 0, answer->status == LOOKUP_OK);
	for (size_t i = 0; i < answer->count && i < 16; i++) {
		snprintf(f->hosts[i], sizeof(f->hosts[i]), "%s", answer->hosts[i].host);
		f->preferences[i] = answer->hosts[i].preference;
	}
	note_why(f, answer->why);
	if (f->again_in_done) {
		f->again_in_done = false;
		resolver_mx(f->resolver, "mail.test", on_mx, f);
	}
	finish_done(f);
}

static void
ask_hosts(struct fixture *f, const char *name)
{
	int before = f->done;

	f->status = LOOKUP_FAILED;
	assert_non_null(resolver_hosts(f->resolver, name, on_hosts, f));
	assert_int_equal(f->done, before); /* never before it returns */
	until(f, before + 1);
}

static void
ask_mx(struct fixture *f, const char *name)
{
	int before = f->done;

	f->status = LOOKUP_FAILED;
	assert_non_null(resolver_mx(f->resolver, name, on_mx, f));
	assert_int_equal(f->done, before);
	until(f, before + 1);
}

static bool
has_address(const struct fixture *f, const char *text)
{
	struct netaddr wanted;

	assert_int_equal(netaddr_parse(text, &wanted), 0);
	for (size_t i = 0; i < f->count; i++) {
		if (netaddr_equal(&f->addresses[i], &wanted))
			return true;
	}
	return false;
}

/* ---- tests ------------------------------------------------------------------------------------*/

static void
addresses_of_both_families(void **state)
{
	struct fixture *f = *state;

	ask_hosts(f, "both.test");
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 3);
	assert_int_equal(f->addresses[0].family, AF_INET6); /* first */
	assert_true(has_address(f, "2001:db8::1"));
	assert_true(has_address(f, "192.0.2.1"));
	assert_true(has_address(f, "192.0.2.2"));
	ask_hosts(f, "Four.Test."); /* case and a final dot make no difference */
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 1);
	assert_true(has_address(f, "192.0.2.4"));
	ask_hosts(f, "mapped.test");
	assert_int_equal(f->count, 1);
	assert_true(has_address(f, "192.0.2.9"));
	ask_hosts(f, "alias.test");
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 3);
	ask_hosts(f, "host.home.arpa");
	assert_true(has_address(f, "192.0.2.7"));
}

static void
names_without_addresses(void **state)
{
	struct fixture *f = *state;

	ask_hosts(f, "empty.test");
	assert_int_equal(f->status, LOOKUP_NONE);
	ask_hosts(f, "mail.test");
	assert_int_equal(f->status, LOOKUP_NONE);
	ask_hosts(f, "nosuch.test");
	assert_int_equal(f->status, LOOKUP_NXDOMAIN);
	ask_hosts(f, "servfail.test");
	assert_int_equal(f->status, LOOKUP_FAILED);
	assert_non_null(strstr(f->why, "servfail.test"));
	assert_non_null(strstr(f->why, "SERVFAIL"));
}

static void
one_family_is_enough(void **state)
{
	struct fixture *f = *state;
	int64_t begin = now_ms();

	ask_hosts(f, "halfbad.test");
	assert_int_equal(f->status, LOOKUP_OK);
	assert_true(has_address(f, "192.0.2.5"));
	begin = now_ms();
	ask_hosts(f, "slow6.test"); /* nobody answers for AAAA: not waited for to the end */
	assert_int_equal(f->status, LOOKUP_OK);
	assert_true(has_address(f, "192.0.2.6"));
	assert_true(now_ms() - begin < 8000);
}

static void
mail_exchangers_in_order(void **state)
{
	static const char *const hosts[] = {"first.mail.test", "second.mail.test"};
	struct fixture *f = *state;

	ask_mx(f, "mail.test");
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 4);
	for (int i = 0; i < 2; i++)
		assert_string_equal(f->hosts[i], hosts[i]);
	assert_int_equal(f->preferences[0], 5);
	assert_int_equal(f->preferences[1], 10);
	assert_int_equal(f->preferences[2], 20);
	assert_int_equal(f->preferences[3], 20);
	/* lower case, whichever of the two comes first */
	assert_true(strcmp(f->hosts[2], "backup.mail.test") == 0 ||
		    strcmp(f->hosts[3], "backup.mail.test") == 0);
	ask_mx(f, "mailalias.test");
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 4);
}

static void
null_and_strange_exchangers(void **state)
{
	struct fixture *f = *state;

	ask_mx(f, "null.test");
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 1);
	assert_string_equal(f->hosts[0], "");
	assert_int_equal(f->preferences[0], 0);
	ask_mx(f, "nullandmore.test");
	assert_int_equal(f->count, 1);
	assert_string_equal(f->hosts[0], "real.test");
	ask_mx(f, "strange.test");
	assert_int_equal(f->count, 1);
	assert_string_equal(f->hosts[0], "good.test");
	ask_mx(f, "nousable.test");
	assert_int_equal(f->status, LOOKUP_FAILED);
	assert_non_null(strstr(f->why, "usable"));
}

static void
no_mail_exchangers(void **state)
{
	struct fixture *f = *state;

	ask_mx(f, "both.test");
	assert_int_equal(f->status, LOOKUP_NONE);
	ask_mx(f, "nosuch.test");
	assert_int_equal(f->status, LOOKUP_NXDOMAIN);
	ask_mx(f, "servfail.test");
	assert_int_equal(f->status, LOOKUP_FAILED);
	ask_mx(f, "refused.test");
	assert_int_equal(f->status, LOOKUP_FAILED);
}

static void
impossible_names_are_not_asked_for(void **state)
{
	static const char *const names[] = {
	    "",
	    ".",
	    "a..test",
	    ".test",
	    "a b.test",
	    "a\\.test",
	    "b\xc3\xbc.test",
	    "x\n.test",
	    "0123456789012345678901234567890123456789012345678901234567890123.test"};
	struct fixture *f = *state;
	char longest[300] = "";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ask_mx(f, names[i]);
		assert_int_equal(f->status, LOOKUP_NXDOMAIN);
		ask_hosts(f, names[i]);
		assert_int_equal(f->status, LOOKUP_NXDOMAIN);
	}
	for (int i = 0; i < 124; i++)
		strcat(longest, "a.");
	strcat(longest, "tests"); /* 253 */
	assert_true(name_is_possible(longest));
	strcat(longest, "t");
	ask_mx(f, longest);
	assert_int_equal(f->status, LOOKUP_NXDOMAIN);
	assert_int_equal(f->queries, 0);
}

static void
answers_are_cached(void **state)
{
	struct fixture *f = *state;
	int queries;

	ask_mx(f, "mail.test");
	ask_hosts(f, "both.test");
	ask_mx(f, "nosuch.test");
	queries = f->queries;
	assert_true(queries > 0);
	for (int i = 0; i < 20; i++) {
		ask_mx(f, "mail.test");
		ask_hosts(f, "both.test");
		ask_mx(f, "nosuch.test");
	}
	assert_int_equal(f->queries, queries);
}

static void
many_at_once(void **state)
{
	enum { MANY = 500 };
	struct fixture *f = *state;
	char name[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		resolver_mx(f->resolver, name, on_mx, f);
		resolver_hosts(f->resolver, "both.test", on_hosts, f);
	}
	until(f, 2 * MANY);
}

static void
asks_again_inside_done(void **state)
{
	struct fixture *f = *state;

	f->again_in_done = true;
	resolver_mx(f->resolver, "null.test", on_mx, f);
	until(f, 2);
	assert_int_equal(f->count, 4);
}

static void
cancelled_lookups_are_silent(void **state)
{
	struct fixture *f = *state;
	struct lookup *lookups[6];

	lookups[0] = resolver_mx(f->resolver, "mail.test", on_mx, f);
	lookups[1] = resolver_hosts(f->resolver, "both.test", on_hosts, f);
	lookups[2] = resolver_hosts(f->resolver, "192.0.2.1", on_hosts, f); /* settled already */
	lookups[3] = resolver_mx(f->resolver, "a..b", on_mx, f);
	lookups[4] = resolver_mx(f->resolver, "silent.test", on_mx, f);
	lookups[5] = resolver_mx(f->resolver, "null.test", on_mx, f);
	for (int i = 0; i < 5; i++)
		lookup_cancel(lookups[i]);
	until(f, 1); /* the last one */
	for (int i = 0; i < 10; i++)
		loop_once(f->loop, 10);
	assert_int_equal(f->done, 1);
	assert_string_equal(f->hosts[0], "");
}

static void
freed_with_lookups_in_flight(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++) {
		resolver_mx(f->resolver, "silent.test", on_mx, f);
		resolver_hosts(f->resolver, "both.test", on_hosts, f);
	}
	loop_once(f->loop, 5);
	f->done = 0;
	resolver_free(f->resolver);
	f->resolver = NULL;
	for (int i = 0; i < 5; i++)
		loop_once(f->loop, 5);
	assert_int_equal(f->done, 0);
}

static void
freed_inside_done(void **state)
{
	struct fixture *f = *state;

	resolver_mx(f->resolver, "silent.test", on_mx, f);
	resolver_mx(f->resolver, "mail.test", on_mx, f);
	resolver_hosts(f->resolver, "both.test", on_hosts, f);
	f->free_in_done = true;
	until(f, 1);
	for (int i = 0; i < 5; i++)
		loop_once(f->loop, 5);
	assert_int_equal(f->done, 1);
	assert_null(f->resolver);
}

/* Bounded, told, and forgotten when the server is back; nothing on standard error meanwhile. */
static void
silent_server(void **state)
{
	struct fixture *f = *state;
	const char *servers[1] = {f->address};
	struct resolver_options options = {
	    .servers = servers, .server_count = 1, .hosts_file = "/dev/null", .timeout_ms = 1500};
	struct error why;
	FILE *said = tmpfile();
	int saved = dup(STDERR_FILENO);
	int64_t begin = now_ms(), end;

	fflush(stderr);
	dup2(fileno(said), STDERR_FILENO);
	resolver_free(f->resolver);
	f->resolver = resolver_new(f->loop, &options, &why);
	f->dead = true;
	ask_mx(f, "mail.test");
	end = now_ms();
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(lseek(fileno(said), 0, SEEK_END), 0);
	fclose(said);
	assert_int_equal(f->status, LOOKUP_FAILED);
	assert_non_null(strstr(f->why, "mail.test"));
	assert_in_range(end - begin, 1400, 10000);

	f->dead = false;
	end = now_ms() + 60000;
	do
		ask_mx(f, "mail.test");
	while (f->status == LOOKUP_FAILED && now_ms() < end);
	assert_int_equal(f->status, LOOKUP_OK);
}

static void
literals_and_the_hosts_file(void **state)
{
	struct fixture *f = *state;
	char file[] = "/tmp/test-hosts-XXXXXX";
	const char *servers[1] = {f->address};
	struct resolver_options options = {
	    .servers = servers, .server_count = 1, .hosts_file = file};
	struct error why;
	FILE *out;
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	out = fdopen(fd, "w");
	fputs("# comment\n127.0.0.1\tlocalhost\n10.0.0.1 one.test  Alias.Test # both.test\n"
	      "fe80::1%lo0 scoped.test\nnonsense\n::1 one.test\n10.0.0.2 mail.test",
	      out);
	fclose(out);
	resolver_free(f->resolver);
	f->resolver = resolver_new(f->loop, &options, &why);
	ask_hosts(f, "192.0.2.200");
	assert_true(has_address(f, "192.0.2.200"));
	ask_hosts(f, "2001:db8::5");
	assert_true(has_address(f, "2001:db8::5"));
	ask_hosts(f, "ONE.test");
	assert_int_equal(f->count, 2);
	assert_true(has_address(f, "10.0.0.1"));
	assert_true(has_address(f, "::1"));
	ask_hosts(f, "alias.test"); /* not the name server's */
	assert_int_equal(f->count, 1);
	assert_true(has_address(f, "10.0.0.1"));
	assert_int_equal(f->queries, 0);
	ask_hosts(f, "both.test");
	assert_int_equal(f->count, 3);
	ask_hosts(f, "mail.test");
	assert_true(has_address(f, "10.0.0.2"));
	ask_mx(f, "mail.test"); /* not hidden by its line */
	assert_int_equal(f->count, 4);
	ask_hosts(f, "scoped.test");
	assert_int_equal(f->status, LOOKUP_NXDOMAIN);
	unlink(file);
}

static void
hosts_file_is_read_again(void **state)
{
	struct fixture *f = *state;
	char file[] = "/tmp/test-hosts-XXXXXX";
	const struct netaddr *found;
	int64_t end = now_ms() + 10000;
	struct hosts *hosts;
	FILE *out;

	close(mkstemp(file));
	hosts = hosts_new(f->loop, file);
	assert_int_equal(hosts_find(hosts, "new", &found), 0);
	out = fopen(file, "w");
	fputs("192.0.2.1 new\n", out);
	fclose(out);
	while (hosts_find(hosts, "new", &found) == 0 && now_ms() < end)
		loop_once(f->loop, 50);
	assert_int_equal(hosts_find(hosts, "new", &found), 1);
	assert_int_equal(unlink(file), 0);
	while (hosts_find(hosts, "new", &found) != 0 && now_ms() < end)
		loop_once(f->loop, 50);
	assert_int_equal(hosts_find(hosts, "new", &found), 0);
	assert_null(found);
	hosts_free(hosts);
}

#define RDATA(bytes) bytes, sizeof(bytes) - 1

static void
mx_rdata_is_read_strictly(void **state)
{
	char host[RDATA_NAME_MAX + 1];
	char longest[300] = "\0\1";
	uint16_t preference;
	size_t len = 2;

	(void)state;
	assert_int_equal(rdata_mx(RDATA("\1\2\3MxA\4test\0"), &preference, host), 0);
	assert_int_equal(preference, 258);
	assert_string_equal(host, "mxa.test");
	assert_int_equal(rdata_mx(RDATA("\0\0\0"), &preference, host), 0);
	assert_string_equal(host, "");
	assert_int_equal(rdata_mx(RDATA(""), &preference, host), -1);
	assert_int_equal(rdata_mx(RDATA("\0\1"), &preference, host), -1);
	assert_int_equal(rdata_mx(RDATA("\0\1\4test"), &preference, host), -1);    /* no root */
	assert_int_equal(rdata_mx(RDATA("\0\1\5test\0"), &preference, host), -1);  /* too long */
	assert_int_equal(rdata_mx(RDATA("\0\1\4test\0x"), &preference, host), -1); /* trailing */
	assert_int_equal(rdata_mx(RDATA("\0\1\xc0\x0c"), &preference, host), -1);  /* pointer */
	assert_int_equal(rdata_mx(RDATA("\0\1\4te.t\0"), &preference, host), -1);  /* dot inside */
	assert_int_equal(rdata_mx(RDATA("\0\1\4te\0t\0"), &preference, host), -1); /* NUL inside */
	for (int i = 0; i < 126; i++) {
		longest[len++] = 1;
		longest[len++] = 'a';
	}
	longest[len++] = 1;
	longest[len++] = 'a';
	longest[len++] = 0; /* 127 labels: 253 octets */
	assert_int_equal(rdata_mx(longest, len, &preference, host), 0);
	assert_int_equal(strlen(host), 253);
	longest[len - 1] = 1;
	longest[len++] = 'a';
	longest[len++] = 0;
	assert_int_equal(rdata_mx(longest, len, &preference, host), -1);
}

static void
bad_servers_are_refused(void **state)
{
	struct fixture *f = *state;
	const char *servers[1] = {"not an address"};
	struct resolver_options options = {.servers = servers, .server_count = 1};
	struct error why = {0};

	assert_null(resolver_new(f->loop, &options, &why));
	assert_non_null(strstr(why.text, "not an address"));
}

static void
system_resolvers_by_default(void **state)
{
	struct fixture *f = *state;
	struct resolver_options options = {0};
	struct error why;

	resolver_free(f->resolver);
	f->resolver = resolver_new(f->loop, &options, &why);
	assert_non_null(f->resolver);
	ask_hosts(f, "localhost"); /* of /etc/hosts, or RFC 6761's */
	assert_int_equal(f->status, LOOKUP_OK);
	assert_true(has_address(f, "127.0.0.1"));
}

/* ---- a real name server -----------------------------------------------------------------------*/

static const char unbound_conf[] = "server:\n"
				   "  directory: \"%s\"\n  chroot: \"\"\n  username: \"\"\n"
				   "  pidfile: \"\"\n  use-syslog: no\n  logfile: \"log\"\n"
				   "  interface: 127.0.0.1\n  port: %d\n  do-daemonize: no\n"
				   "  access-control: 127.0.0.0/8 allow\n  num-threads: 1\n"
				   "  local-zone: \"example.\" static\n"
				   "  local-data: \"mail.example. MX 20 b.mail.example.\"\n"
				   "  local-data: \"mail.example. MX 10 a.mail.example.\"\n"
				   "  local-data: \"a.mail.example. A 192.0.2.10\"\n"
				   "  local-data: \"a.mail.example. AAAA 2001:db8::10\"\n"
				   "  local-data: \"nomail.example. MX 0 .\"\n"
				   "remote-control:\n  control-enable: no\n";

/* Unpacked by tests/peers/fetch, or installed; NULL: neither. Owned by the caller. */
static char *
unbound_path(void)
{
	const char *peers = getenv("PEERS_DIR");
	char *path = peers != NULL ? xasprintf("%s/unbound/usr/sbin/unbound", peers) : NULL;

	if (path != NULL && access(path, X_OK) == 0)
		return path;
	free(path);
	return access("/usr/sbin/unbound", X_OK) == 0 ? xasprintf("/usr/sbin/unbound") : NULL;
}

/* In the child: what the unpacked program needs and this host has not installed. */
static void
unbound_find_libraries(void)
{
	const char *peers = getenv("PEERS_DIR");
	char *path, line[4096] = "";
	FILE *in;

	if (peers == NULL)
		return;
	path = xasprintf("%s/unbound/library-path", peers);
	in = fopen(path, "r");
	if (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		setenv("LD_LIBRARY_PATH", line, 1);
	}
	if (in != NULL)
		fclose(in);
	free(path);
}

static pid_t
unbound_start(struct fixture *f, const char *program, const char *dir)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char *file = xasprintf("%s/unbound.conf", dir);
	FILE *out = fopen(file, "w");
	pid_t pid;

	/* a port that is free for the moment */
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	snprintf(f->address, sizeof(f->address), "127.0.0.1@%d", ntohs(sin.sin_port));
	fprintf(out, unbound_conf, dir, ntohs(sin.sin_port));
	fclose(out);
	pid = fork();
	if (pid == 0) {
		unbound_find_libraries();
		execl(program, "unbound", "-d", "-c", file, (char *)NULL);
		_exit(127);
	}
	free(file);
	return pid;
}

static void
a_real_unbound(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/test-unbound-XXXXXX";
	const char *servers[1] = {f->address};
	struct resolver_options options = {
	    .servers = servers, .server_count = 1, .hosts_file = "/dev/null"};
	int64_t end = now_ms() + 30000;
	struct error why;
	char *command, *program = unbound_path();
	pid_t pid;

	if (program == NULL) {
		print_message("skipped: no unbound under PEERS_DIR, none installed\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	pid = unbound_start(f, program, dir);
	free(program);
	assert_true(pid > 0);
	do { /* until it listens; a fresh resolver each time has no memory of failures */
		resolver_free(f->resolver);
		f->resolver = resolver_new(f->loop, &options, &why);
		ask_mx(f, "mail.example");
	} while (f->status == LOOKUP_FAILED && now_ms() < end);
	assert_int_equal(f->status, LOOKUP_OK);
	assert_int_equal(f->count, 2);
	assert_string_equal(f->hosts[0], "a.mail.example");
	ask_hosts(f, "a.mail.example");
	assert_int_equal(f->count, 2);
	ask_hosts(f, "mail.example");
	assert_int_equal(f->status, LOOKUP_NONE);
	ask_mx(f, "nosuch.example");
	assert_int_equal(f->status, LOOKUP_NXDOMAIN);
	ask_mx(f, "nomail.example");
	assert_string_equal(f->hosts[0], "");
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	command = xasprintf("rm -r %s", dir);
	assert_int_equal(system(command), 0);
	free(command);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(addresses_of_both_families),
	    TEST(names_without_addresses),
	    TEST(one_family_is_enough),
	    TEST(mail_exchangers_in_order),
	    TEST(null_and_strange_exchangers),
	    TEST(no_mail_exchangers),
	    TEST(impossible_names_are_not_asked_for),
	    TEST(answers_are_cached),
	    TEST(many_at_once),
	    TEST(asks_again_inside_done),
	    TEST(cancelled_lookups_are_silent),
	    TEST(freed_with_lookups_in_flight),
	    TEST(freed_inside_done),
	    TEST(silent_server),
	    TEST(literals_and_the_hosts_file),
	    TEST(hosts_file_is_read_again),
	    cmocka_unit_test(mx_rdata_is_read_strictly),
	    TEST(bad_servers_are_refused),
	    TEST(system_resolvers_by_default),
	    TEST(a_real_unbound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
