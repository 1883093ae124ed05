/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

ssize_t
socket_receive(int fd, char *bytes, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, bytes, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

ssize_t
socket_send(int fd, const char *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

bool
socket_is_again(int sys)
{
	return sys == EAGAIN || sys == EWOULDBLOCK;
}

void
socket_no_delay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return; /* slower, not wrong; the connection may be gone already */
}

void
socket_ack_now(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)) < 0)
		return; /* as above */
}

int
socket_bind(int fd, const struct netaddr *local, struct error *why)
{
	char text[NETADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(local, &ss);

#ifdef IP_BIND_ADDRESS_NO_PORT
	/* The port is chosen when the remote address is known, so that one local address has all
	 * its ports for each next hop. Without it: fewer connections, none wrong. */
	int on = 1;

	if (local->port == 0 &&
	    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
		on = 0;
#endif
	if (bind(fd, (const struct sockaddr *)&ss, len) < 0)
		return error_sys(why, ERROR_REFUSED, "can't send from %s",
				 netaddr_text(local, text));
	return 0;
}

static void
address_of(const struct sockaddr_storage *ss, struct netaddr *address)
{
	address->family = AF_UNSPEC;
	if (ss->ss_family == AF_INET || ss->ss_family == AF_INET6)
		netaddr_from_sockaddr(address, (const struct sockaddr *)ss);
}

void
socket_local(int fd, struct netaddr *local)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		ss.ss_family = AF_UNSPEC;
	address_of(&ss, local);
}

void
socket_remote(int fd, struct netaddr *remote)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		ss.ss_family = AF_UNSPEC;
	address_of(&ss, remote);
}
