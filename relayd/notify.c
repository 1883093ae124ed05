/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void
notify_manager(struct log *log, const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = path != NULL ? strlen(path) : 0;
	struct timespec now;
	char text[128];
	int fd;

	if (len < 2 || len >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* the abstract namespace */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	/* Type=notify-reload wants the time with RELOADING=1; elsewhere it does no harm. */
	(void)snprintf(text, sizeof text, "%s\nMONOTONIC_USEC=%lld", state,
		       (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_event(log, LOG_LEVEL_WARNING, 0, "notify-failed", LOG_S("socket", path),
			  LOG_S("reason", strerror(errno)));
	if (fd >= 0)
		(void)close(fd);
}
