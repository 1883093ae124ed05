/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmail: the console of relayd. */
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include "console/cmd_queue.h"
#include "console/cmd_routes.h"
#include "console/cmd_server.h"
#include "console/command.h"
#include "console/session.h"

static const struct command_noun *const nouns[] = {
    &cmd_routes, &cmd_queue, &cmd_status, &cmd_version, &cmd_reload,
};

static const struct command_set commands = {nouns, sizeof(nouns) / sizeof(nouns[0])};

int
main(int argc, char **argv)
{
	struct session session;
	int status;

	/* With one of 0, 1, 2 closed, the socket would get its number and our results. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return ERROR_BUG;
	}
	/* The width of characters; numbers and times stay as they are. */
	(void)setlocale(LC_CTYPE, "");
	session_init(&session);
	status = command_run(&session, &commands, argc > 0 ? argc - 1 : 0, argv + 1);
	session_clear(&session);
	return status;
}
