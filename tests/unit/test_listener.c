/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/net/listener: a free port, accepting only once started, IPv6 alone, an address in use; a
 * UNIX socket's mode, its stale and its living predecessor, its removal and the peer's credentials;
 * the pause when descriptors run out; stopping and freeing inside `accepted`.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/xalloc.h"
#include "relayd/net/listener.h"

enum { CLIENTS = 8 };

struct fixture {
	struct loop *loop;
	struct listener *listener;
	struct log *log;
	FILE *log_file;
	char *dir;
	char *path;
	int accepted;
	int fds[64];
	struct netaddr remote;
	bool free_on_accept;
	bool stop_on_accept;
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
	int64_t end = now_ms() + 20000;

	while (f->accepted < wanted && now_ms() < end)
		assert_int_equal(loop_once(f->loop, 100), 0);
	assert_int_equal(f->accepted, wanted);
}

static void
idle(struct fixture *f)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_once(f->loop, 5), 0);
}

static void
on_accepted(void *ctx, int fd, const struct netaddr *remote)
{
	struct fixture *f = ctx;

	assert_true(f->accepted < 64);
	f->fds[f->accepted++] = fd;
	f->remote = *remote;
	if (f->stop_on_accept)
		listener_stop(f->listener);
	if (f->free_on_accept) {
		listener_free(f->listener);
		f->listener = NULL;
	}
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	f->loop = loop_new(NULL);
	f->dir = xasprintf("%s/test-listener-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	f->path = xasprintf("%s/sock", f->dir);
	f->log_file = tmpfile();
	f->log = log_new(fileno(f->log_file), LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	*state = f;
	return 0;
}

static void
close_accepted(struct fixture *f)
{
	while (f->accepted > 0)
		close(f->fds[--f->accepted]);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	close_accepted(f);
	listener_free(f->listener);
	loop_free(f->loop);
	log_free(f->log);
	fclose(f->log_file);
	unlink(f->path);
	rmdir(f->dir);
	free(f->path);
	free(f->dir);
	free(f);
	return 0;
}

static int
client(const struct netaddr *address)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(address, &ss);
	int fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

static void
unix_address(struct sockaddr_un *sun, const char *path)
{
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_true(strlen(path) < sizeof(sun->sun_path));
	strcpy(sun->sun_path, path);
}

static int
unix_client(const char *path)
{
	struct sockaddr_un sun;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unix_address(&sun, path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
open_tcp(struct fixture *f, const char *ip)
{
	struct netaddr address;
	struct error why;

	assert_int_equal(netaddr_parse(ip, &address), 0);
	f->listener = listener_tcp(f->loop, &address, f->log, on_accepted, f, &why);
	assert_non_null(f->listener);
	assert_int_not_equal(listener_address(f->listener)->port, 0);
	assert_true(netaddr_same_host(listener_address(f->listener), &address));
}

static int
open_unix(struct fixture *f, struct error *why)
{
	f->listener = listener_unix(f->loop, f->path, 0660, (gid_t)-1, f->log, on_accepted, f, why);
	return f->listener == NULL ? -1 : 0;
}

static size_t
log_lines(struct fixture *f, const char *word)
{
	char line[1024];
	size_t count = 0;

	rewind(f->log_file);
	while (fgets(line, sizeof(line), f->log_file) != NULL)
		count += strstr(line, word) != NULL;
	return count;
}

static void
accepts_once_started(void **state)
{
	struct fixture *f = *state;
	int a, b;

	open_tcp(f, "127.0.0.1");
	a = client(listener_address(f->listener)); /* the kernel keeps it */
	idle(f);
	assert_int_equal(f->accepted, 0);
	listener_start(f->listener);
	until(f, 1);
	assert_int_equal(f->remote.family, AF_INET);
	assert_int_not_equal(f->remote.port, 0);
	assert_int_not_equal(fcntl(f->fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_not_equal(fcntl(f->fds[0], F_GETFD) & FD_CLOEXEC, 0);
	listener_stop(f->listener);
	b = client(listener_address(f->listener));
	idle(f);
	assert_int_equal(f->accepted, 1);
	listener_start(f->listener);
	until(f, 2);
	close(a);
	close(b);
}

static bool
host_has_ipv6(void)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static void
ipv6_is_ipv6_alone(void **state)
{
	struct fixture *f = *state;
	struct listener *other;
	struct netaddr address;
	struct error why;
	int fd;

	if (!host_has_ipv6()) {
		print_message("skipped: this host has no IPv6 loopback\n");
		skip();
	}
	open_tcp(f, "::1");
	listener_start(f->listener);
	fd = client(listener_address(f->listener));
	until(f, 1);
	assert_int_equal(f->remote.family, AF_INET6);
	close(fd);
	listener_free(f->listener);
	/* both wildcards on one port do not get into each other's way */
	open_tcp(f, "::");
	address = (struct netaddr){.family = AF_INET, .port = listener_address(f->listener)->port};
	other = listener_tcp(f->loop, &address, f->log, on_accepted, f, &why);
	assert_non_null(other);
	listener_free(other);
}

static void
address_in_use(void **state)
{
	struct fixture *f = *state;
	struct error why = {0};
	char text[NETADDR_TEXT_MAX];
	struct netaddr foreign;

	open_tcp(f, "127.0.0.1");
	assert_null(
	    listener_tcp(f->loop, listener_address(f->listener), f->log, on_accepted, f, &why));
	assert_int_equal(why.sys, EADDRINUSE);
	assert_non_null(strstr(why.text, netaddr_text_port(listener_address(f->listener), text)));
	assert_int_equal(netaddr_parse("192.0.2.77", &foreign), 0);
	assert_null(listener_tcp(f->loop, &foreign, f->log, on_accepted, f, &why));
	assert_int_equal(why.sys, EADDRNOTAVAIL);
}

static void
stop_and_free_inside_accepted(void **state)
{
	struct fixture *f = *state;
	int fds[3];

	open_tcp(f, "127.0.0.1");
	for (int i = 0; i < 3; i++)
		fds[i] = client(listener_address(f->listener));
	f->stop_on_accept = true;
	listener_start(f->listener);
	until(f, 1);
	idle(f);
	assert_int_equal(f->accepted, 1); /* the others wait in the kernel */
	f->stop_on_accept = false;
	f->free_on_accept = true;
	listener_start(f->listener);
	until(f, 2);
	idle(f);
	assert_null(f->listener);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* With no descriptor left: one line in the log, no spinning, and all are served later. */
static void
shortage_of_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, tight;
	int fds[CLIENTS], rounds = 0, next;
	int64_t begin;

	open_tcp(f, "127.0.0.1");
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client(listener_address(f->listener));
	loop_once(f->loop, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	next = dup(0);
	close(next);
	tight = before;
	tight.rlim_cur = (rlim_t)next + 2; /* two more */
	listener_start(f->listener);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	begin = now_ms();
	while (now_ms() - begin < 1500) {
		assert_int_equal(loop_once(f->loop, 2000), 0);
		rounds++;
	}
	assert_int_equal(f->accepted, 2);
	assert_true(rounds < 20);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(log_lines(f, "accept-paused"), 1);
	until(f, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
}

static void
unix_socket_and_its_peer(void **state)
{
	struct fixture *f = *state;
	struct error why = {0};
	struct stat st;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	int fd, closed;

	assert_int_equal(open_unix(f, &why), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(listener_address(f->listener)->family, AF_UNSPEC);
	listener_start(f->listener);
	fd = unix_client(f->path);
	assert_true(fd >= 0);
	until(f, 1);
	assert_int_equal(f->remote.family, AF_UNSPEC);
	assert_int_equal(listener_peer(f->fds[0], &uid, &gid, &pid, &why), 0);
	assert_int_equal(uid, geteuid());
	assert_int_equal(gid, getegid());
	assert_int_equal(pid, getpid());
	closed = dup(fd);
	close(closed);
	assert_int_equal(listener_peer(closed, &uid, &gid, &pid, &why), -1);
	close(fd);
	listener_free(f->listener);
	f->listener = NULL;
	assert_int_equal(stat(f->path, &st), -1);
}

static void
stale_unix_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un sun;
	struct error why = {0};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	unix_address(&sun, f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	assert_int_equal(open_unix(f, &why), 0);
	fd = unix_client(f->path);
	assert_true(fd >= 0);
	close(fd);
}

static void
living_unix_socket_is_refused(void **state)
{
	struct fixture *f = *state;
	struct error why = {0};
	struct listener *first;
	FILE *file;
	int fd;

	assert_int_equal(open_unix(f, &why), 0);
	first = f->listener;
	assert_int_equal(open_unix(f, &why), -1);
	assert_non_null(strstr(why.text, f->path));
	assert_non_null(strstr(why.text, "another process"));
	fd = unix_client(f->path); /* the first was not disturbed */
	assert_true(fd >= 0);
	close(fd);
	/* replaced behind our back: no longer ours to remove */
	assert_int_equal(unlink(f->path), 0);
	file = fopen(f->path, "w");
	assert_non_null(file);
	fclose(file);
	listener_free(first);
	assert_int_equal(access(f->path, F_OK), 0);
	/* and a file that is no socket is not touched */
	assert_int_equal(open_unix(f, &why), -1);
	assert_non_null(strstr(why.text, "not a socket"));
	assert_int_equal(access(f->path, F_OK), 0);
}

static void
unusable_unix_paths(void **state)
{
	struct fixture *f = *state;
	struct error why = {0};
	char *path = f->path;

	f->path = xasprintf("%s/none/sock", f->dir);
	assert_int_equal(open_unix(f, &why), -1);
	assert_int_equal(why.sys, ENOENT);
	free(f->path);
	f->path = xasprintf("%s/%0200d", f->dir, 0);
	assert_int_equal(open_unix(f, &why), -1);
	assert_non_null(strstr(why.text, "107 bytes"));
	free(f->path);
	f->path = path;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(accepts_once_started),
	    TEST(ipv6_is_ipv6_alone),
	    TEST(address_in_use),
	    TEST(stop_and_free_inside_accepted),
	    TEST(shortage_of_descriptors),
	    TEST(unix_socket_and_its_peer),
	    TEST(stale_unix_socket_is_replaced),
	    TEST(living_unix_socket_is_refused),
	    TEST(unusable_unix_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
