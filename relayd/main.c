/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arguments, -d, and the exit code; everything else is the daemon's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "relayd/daemon.h"
#include "relayd/settings.h"

static const char usage[] =
    "usage: relayd [-f FILE] [-n] [-d] [-V]\n"
    "  -f FILE  the configuration (else $RELAYD_CONF, else " SYSCONFDIR "/relayd/relayd.conf)\n"
    "  -n       check the configuration and exit\n"
    "  -d       detach once mail can be taken\n"
    "  -V       print the version and exit\n";

struct arguments {
	const char *file;
	bool check, detach, version;
};

static int
read_arguments(int argc, char **argv, struct arguments *arguments)
{
	int option;

	arguments->file = getenv("RELAYD_CONF");
	if (arguments->file == NULL || arguments->file[0] == '\0')
		arguments->file = SYSCONFDIR "/relayd/relayd.conf";
	while ((option = getopt(argc, argv, "f:ndV")) != -1) {
		switch (option) {
		case 'f':
			arguments->file = optarg;
			break;
		case 'n':
			arguments->check = true;
			break;
		case 'd':
			arguments->detach = true;
			break;
		case 'V':
			arguments->version = true;
			break;
		default:
			return -1;
		}
	}
	return optind == argc ? 0 : -1;
}

/* In the parent: wait until the child can take mail, or has failed; its exit code is ours. */
static int
wait_for_child(pid_t child, int fd)
{
	char byte;
	int status;
	ssize_t got;

	do {
		got = read(fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	if (got == 1)
		return EXIT_SUCCESS;
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return EXIT_FAILURE;
	return WEXITSTATUS(status);
}

/*
 * Returns in the child alone, with the descriptor to be written to once it is ready. Forked before
 * any thread or event loop exists. Standard error stays where it points: that is where the log
 * goes.
 */
static int
detach(void)
{
	int ready[2], null;
	pid_t child;

	if (pipe2(ready, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		perror("relayd: can't detach");
		exit(EXIT_FAILURE);
	}
	if (child > 0) {
		(void)close(ready[1]);
		exit(wait_for_child(child, ready[0]));
	}
	(void)close(ready[0]);
	if (setsid() < 0 || (null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0 ||
	    dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
		perror("relayd: can't detach");
		exit(EXIT_FAILURE);
	}
	return ready[1];
}

static void
tell_parent(void *ctx)
{
	const int *fd = ctx;

	if (*fd >= 0 && (write(*fd, "", 1) != 1 || close(*fd) != 0))
		perror("relayd: the parent could not be told");
}

int
main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct settings *settings;
	struct daemon_options options = {0};
	struct error why;
	int ready = -1, result;

	if (read_arguments(argc, argv, &arguments) != 0) {
		(void)fputs(usage, stderr);
		return 2;
	}
	if (arguments.version)
		return printf("relayd %s\n", PACKAGE_VERSION) > 0 && fflush(stdout) == 0
			   ? EXIT_SUCCESS
			   : EXIT_FAILURE;
	settings = settings_read(arguments.file, &why);
	if (settings == NULL) {
		(void)fprintf(stderr, "relayd: %s\n", why.text);
		return EXIT_FAILURE;
	}
	if (arguments.check) {
		result = daemon_check(settings, &why);
		if (result != 0)
			(void)fprintf(stderr, "relayd: %s: %s\n", arguments.file, why.text);
		settings_free(settings);
		return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	(void)umask(027);
	(void)signal(SIGPIPE, SIG_IGN);
	if (arguments.detach)
		ready = detach();
	options.log = log_new(STDERR_FILENO, settings->log_level, settings->log_format);
	options.file = arguments.file;
	options.settings = settings;
	options.ready = tell_parent;
	options.ctx = &ready;
	result = daemon_run(&options, &why);
	if (result != 0)
		log_event(options.log, LOG_LEVEL_ERROR, 0, "failed", LOG_S("reason", why.text));
	log_free(options.log);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
