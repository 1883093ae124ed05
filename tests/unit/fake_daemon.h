/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For tests of the console: a child process that listens on a control socket in a directory of its
 * own, takes one connection, and answers each request line with the next line of a script. What it
 * was asked can be read afterwards.
 */
#ifndef TESTS_UNIT_FAKE_DAEMON_H
#define TESTS_UNIT_FAKE_DAEMON_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a script: instead of an answer. */
#define FAKE_CLOSE "close"   /* hang up */
#define FAKE_SILENT "silent" /* say nothing, keep the connection */

struct fake_daemon {
	char directory[64];
	char path[96];
	pid_t pid;
	FILE *asked; /* the request lines, when the child has ended */
};

/* One request line, kept. 0 at the end. */
static inline int
fake_daemon_hear(FILE *from, FILE *asked)
{
	int c, any = 0;

	while ((c = getc(from)) != EOF) {
		any = 1;
		putc(c, asked);
		if (c == '\n')
			break;
	}
	fflush(asked);
	return any;
}

static inline void
fake_daemon_serve(int listener, FILE *asked, const char *const *script)
{
	int fd = accept(listener, NULL, NULL);
	FILE *from = fdopen(fd, "r");
	size_t len, sent;
	ssize_t n;

	if (fd < 0 || from == NULL)
		_exit(1);
	for (; *script != NULL; script++) {
		if (!fake_daemon_hear(from, asked))
			_exit(0);
		if (strcmp(*script, FAKE_CLOSE) == 0)
			_exit(0);
		if (strcmp(*script, FAKE_SILENT) == 0)
			continue;
		len = strlen(*script);
		for (sent = 0; sent < len; sent += (size_t)n) {
			n = write(fd, *script + sent, len - sent);
			if (n < 0)
				_exit(1);
		}
		if (write(fd, "\n", 1) != 1)
			_exit(1);
	}
	/* Hear what else is said, until the console hangs up. */
	while (fake_daemon_hear(from, asked))
		;
	_exit(0);
}

/* `script` ends with NULL. */
static inline void
fake_daemon_start(struct fake_daemon *fake, const char *const *script)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(fake->directory, sizeof(fake->directory), "/tmp/tmail-test-XXXXXX");
	if (mkdtemp(fake->directory) == NULL)
		abort();
	snprintf(fake->path, sizeof(fake->path), "%s/control.sock", fake->directory);
	strcpy(address.sun_path, fake->path);
	fake->asked = tmpfile();
	if (listener < 0 || fake->asked == NULL ||
	    bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1) != 0)
		abort();
	fake->pid = fork();
	if (fake->pid < 0)
		abort();
	if (fake->pid == 0)
		fake_daemon_serve(listener, fake->asked, script);
	close(listener);
}

/* Wait for the child (the console must have hung up), and give what it heard, owned by the caller.
 */
static inline char *
fake_daemon_stop(struct fake_daemon *fake)
{
	char *text;
	long size;

	while (waitpid(fake->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (fseek(fake->asked, 0, SEEK_END) != 0)
		abort();
	size = ftell(fake->asked);
	rewind(fake->asked);
	text = calloc((size_t)size + 1, 1);
	if (text == NULL || fread(text, 1, (size_t)size, fake->asked) != (size_t)size)
		abort();
	fclose(fake->asked);
	unlink(fake->path);
	rmdir(fake->directory);
	return text;
}

#endif
