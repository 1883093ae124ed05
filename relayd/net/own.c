/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/own.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool
own_address(const struct netaddr *address)
{
	struct sockaddr_storage storage;
	struct netaddr any_port = *address;
	socklen_t len;
	bool own = true;
	int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno != EAFNOSUPPORT;
	any_port.port = 0;
	len = netaddr_to_sockaddr(&any_port, &storage);
	if (bind(fd, (const struct sockaddr *)&storage, len) != 0)
		own = errno != EADDRNOTAVAIL;
	/* Nothing was written to it that could be lost. */
	(void)close(fd);
	return own;
}
