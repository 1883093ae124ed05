/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/source.h"

#include <string.h>
#include <unistd.h>

/* A port is needed to connect, and none is special: the discard service's. */
enum { ANY_PORT = 9 };

/* Connecting a datagram socket again gives it another peer, but it may keep the source it has got
 * (Linux does): so each address has a socket of its own. */
static void
source_find(const struct netaddr *remote, struct netaddr *source)
{
	struct netaddr peer = *remote;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd = socket(remote->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*source = (struct netaddr){.family = AF_UNSPEC};
	if (fd < 0)
		return;
	peer.port = ANY_PORT;
	len = netaddr_to_sockaddr(&peer, &ss);
	if (connect(fd, (const struct sockaddr *)&ss, len) == 0) {
		len = sizeof ss;
		if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0) {
			netaddr_from_sockaddr(source, (const struct sockaddr *)&ss);
			source->port = 0;
		}
	}
	(void)close(fd); /* nothing was written: nothing can be lost */
}

void
sources_find(const struct netaddr *remotes, size_t count, struct netaddr *sources)
{
	for (size_t i = 0; i < count; i++)
		source_find(&remotes[i], &sources[i]);
}
