/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/xalloc.h"

enum {
	ACCEPT_BATCH = 32, /* then others have their turn */
	SHORTAGE_PAUSE_MS = 1000
};

struct listener {
	struct loop *loop;
	struct log *log;
	int fd;
	struct watch *watch;
	struct timer *pause;
	listener_accepted *accepted;
	void *ctx;
	struct netaddr address;
	char *path; /* UNIX alone */
	dev_t path_dev;
	ino_t path_ino;
	bool started;
	bool shortage; /* said so already */
	bool freed;
};

static const char *
listener_name(const struct listener *listener, char text[NETADDR_TEXT_MAX])
{
	return listener->path != NULL ? listener->path
				      : netaddr_text_port(&listener->address, text);
}

static bool
is_shortage(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOBUFS || sys == ENOMEM;
}

/* The connection stays in the kernel's queue: level-triggered readiness would spin. */
static void
listener_pause(struct listener *listener, int sys)
{
	char text[NETADDR_TEXT_MAX];

	watch_set(listener->watch, 0);
	timer_set(listener->pause, SHORTAGE_PAUSE_MS);
	if (listener->shortage)
		return;
	listener->shortage = true;
	log_event(listener->log, LOG_LEVEL_ERROR, 0, "accept-paused",
		  LOG_S("listener", listener_name(listener, text)), LOG_S("reason", strerror(sys)),
		  LOG_D("retry_ms", SHORTAGE_PAUSE_MS));
}

static void
listener_resume(void *ctx)
{
	struct listener *listener = ctx;

	if (listener->started)
		watch_set(listener->watch, WATCH_READ);
}

static void
listener_hand_over(struct listener *listener, int fd, const struct sockaddr_storage *ss)
{
	struct netaddr remote = {.family = AF_UNSPEC};

	if (ss->ss_family == AF_INET || ss->ss_family == AF_INET6)
		netaddr_from_sockaddr(&remote, (const struct sockaddr *)ss);
	listener->accepted(listener->ctx, fd, &remote);
}

static void
listener_ready(void *ctx, int what)
{
	struct listener *listener = ctx;

	(void)what;
	for (int i = 0; i < ACCEPT_BATCH && listener->started && !listener->freed; i++) {
		struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
		socklen_t len = sizeof(ss);
		int fd = accept4(listener->fd, (struct sockaddr *)&ss, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			listener_hand_over(listener, fd, &ss);
			continue;
		}
		if (is_shortage(errno)) {
			listener_pause(listener, errno);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			listener->shortage = false;
			return;
		}
		/* EINTR, ECONNABORTED and the network errors of accept(2): of one connection */
	}
}

static struct listener *
listener_make(struct loop *loop, int fd, struct log *log, listener_accepted *accepted, void *ctx)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));

	listener->loop = loop;
	listener->log = log;
	listener->fd = fd;
	listener->accepted = accepted;
	listener->ctx = ctx;
	listener->watch = watch_new(loop, fd, listener_ready, listener);
	listener->pause = timer_new(loop, listener_resume, listener);
	return listener;
}

/* After a failure whose `why` is set. */
static void
close_quietly(int fd)
{
	int sys = errno;

	if (fd >= 0 && close(fd) < 0)
		fatal("listener: can't close a socket");
	errno = sys;
}

static enum error_code
bind_error_code(int sys)
{
	return sys == EACCES || sys == EPERM ? ERROR_DENIED : ERROR_REFUSED;
}

struct listener *
listener_tcp(struct loop *loop, const struct netaddr *addr, struct log *log,
	     listener_accepted *accepted, void *ctx, struct error *why)
{
	char text[NETADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(addr, &ss);
	struct listener *listener;
	int on = 1;
	int fd;

	/* listen(2) at once: with SO_REUSEADDR, bind(2) alone would not see a second relayd. */
	fd = socket(addr->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (addr->family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, (const struct sockaddr *)&ss, len) < 0 || listen(fd, SOMAXCONN) < 0) {
		error_sys(why, bind_error_code(errno), "can't listen on %s",
			  netaddr_text_port(addr, text));
		close_quietly(fd);
		return NULL;
	}
	listener = listener_make(loop, fd, log, accepted, ctx);
	listener->address = *addr;
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		netaddr_from_sockaddr(&listener->address, (const struct sockaddr *)&ss);
	return listener;
}

/* Does somebody answer at this socket? 0: no, it is stale; -1 and `why`: yes, or it can't be told.
 */
static int
socket_is_stale(const struct sockaddr_un *sun, struct error *why)
{
	struct stat st;
	int fd, rc = 0;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : error_sys(why, ERROR_REFUSED, "%s", sun->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(why, ERROR_REFUSED, "%s is there and is not a socket",
				 sun->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(why, ERROR_REFUSED, "can't make a socket");
	/* EAGAIN: someone listens, with a full queue. */
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN)
		rc = error_set(why, ERROR_REFUSED, "%s: another process is listening there",
			       sun->sun_path);
	else if (errno != ECONNREFUSED && errno != ENOENT)
		rc = error_sys(why, ERROR_REFUSED, "%s", sun->sun_path);
	close_quietly(fd);
	return rc;
}

static int
socket_bind_unix(int fd, const struct sockaddr_un *sun, struct error *why)
{
	if (bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return error_sys(why, bind_error_code(errno), "can't make the socket %s",
				 sun->sun_path);
	if (socket_is_stale(sun, why) < 0)
		return -1;
	if ((unlink(sun->sun_path) < 0 && errno != ENOENT) ||
	    bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0)
		return error_sys(why, bind_error_code(errno), "can't replace the stale socket %s",
				 sun->sun_path);
	return 0;
}

/* Owner and mode are set before listen(2): until then nobody can connect. */
static int
socket_open_unix(const struct sockaddr_un *sun, mode_t mode, gid_t gid, struct stat *st,
		 struct error *why)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_sys(why, ERROR_REFUSED, "can't make a socket");
	if (socket_bind_unix(fd, sun, why) < 0) {
		close_quietly(fd);
		return -1;
	}
	if ((gid == (gid_t)-1 || chown(sun->sun_path, (uid_t)-1, gid) == 0) &&
	    chmod(sun->sun_path, mode) == 0 && lstat(sun->sun_path, st) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	error_sys(why, bind_error_code(errno), "can't set up the socket %s", sun->sun_path);
	if (unlink(sun->sun_path) < 0 && errno != ENOENT)
		error_prefix(why, "it was left there");
	close_quietly(fd);
	return -1;
}

struct listener *
listener_unix(struct loop *loop, const char *path, mode_t mode, gid_t gid, struct log *log,
	      listener_accepted *accepted, void *ctx, struct error *why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct listener *listener;
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		error_set(why, ERROR_REFUSED, "%s: a socket's path has %zu bytes at most", path,
			  sizeof(sun.sun_path) - 1);
		return NULL;
	}
	strcpy(sun.sun_path, path);
	fd = socket_open_unix(&sun, mode, gid, &st, why);
	if (fd < 0)
		return NULL;
	listener = listener_make(loop, fd, log, accepted, ctx);
	listener->address.family = AF_UNSPEC;
	listener->path = xstrdup(path);
	listener->path_dev = st.st_dev;
	listener->path_ino = st.st_ino;
	return listener;
}

void
listener_start(struct listener *listener)
{
	listener->started = true;
	watch_set(listener->watch, WATCH_READ);
}

void
listener_stop(struct listener *listener)
{
	listener->started = false;
	watch_set(listener->watch, 0);
	timer_cancel(listener->pause);
}

/* Another relayd may have replaced it since. */
static void
listener_unlink(struct listener *listener)
{
	struct stat st;

	if (lstat(listener->path, &st) < 0 || st.st_dev != listener->path_dev ||
	    st.st_ino != listener->path_ino)
		return;
	if (unlink(listener->path) < 0)
		log_event(listener->log, LOG_LEVEL_NOTICE, 0, "socket-left",
			  LOG_S("path", listener->path), LOG_S("reason", strerror(errno)));
}

static void
listener_release(void *ctx)
{
	free(ctx);
}

void
listener_free(struct listener *listener)
{
	if (listener == NULL || listener->freed)
		return;
	listener->freed = true;
	listener_stop(listener);
	watch_free(listener->watch);
	timer_free(listener->pause);
	if (listener->path != NULL)
		listener_unlink(listener);
	close_quietly(listener->fd);
	free(listener->path);
	/* `accepted` may be the caller. */
	loop_defer(listener->loop, listener_release, listener);
}

const struct netaddr *
listener_address(const struct listener *listener)
{
	return &listener->address;
}

int
listener_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, struct error *why)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return error_sys(why, ERROR_DENIED, "can't tell who is on the other end");
	*uid = peer.uid;
	*gid = peer.gid;
	*pid = peer.pid;
	return 0;
}
