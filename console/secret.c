/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "console/words.h"

enum { SECRET_MAX = 1024 };

/* The first line of a descriptor, byte by byte: what follows belongs to whoever reads next. */
static int
read_first_line(int fd, const char *spelled, const char *source, struct secret *secret,
		struct error *why)
{
	char line[SECRET_MAX + 1], c;
	size_t len = 0;
	ssize_t n;
	int result = -1;

	for (;;) {
		n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_sys(why, ERROR_USAGE, "%s %s", spelled, source);
			goto out;
		}
		if (n == 0 || c == '\n')
			break;
		if (len == SECRET_MAX || c == '\0') {
			error_set(why, ERROR_USAGE,
				  "%s %s: a password is a line of at most %d bytes", spelled,
				  source, SECRET_MAX);
			goto out;
		}
		line[len++] = c;
	}
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0) {
		error_set(why, ERROR_USAGE, "%s %s: there is no password in the first line",
			  spelled, source);
		goto out;
	}
	secret->text = xstrndup(line, len);
	result = 0;
out:
	explicit_bzero(line, sizeof(line));
	return result;
}

/*
 * Wait until the terminal has a line, or a signal is there that would end or stop us: then the
 * terminal must get its echo back first. Returns the signal, 0 for a line.
 */
static int
wait_for_line(int terminal, int signals)
{
	struct pollfd pollers[2] = {
	    {.fd = terminal, .events = POLLIN},
	    {.fd = signals, .events = POLLIN},
	};
	struct signalfd_siginfo info;

	while (poll(pollers, 2, -1) < 0) {
		if (errno != EINTR)
			return 0;
	}
	if (pollers[1].revents != 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		return (int)info.ssi_signo;
	return 0;
}

static int
prompt(const struct session *session, const char *spelled, const char *whose, struct secret *secret,
       struct error *why)
{
	const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
	struct strbuf question = STRBUF_INIT;
	struct termios before, silent;
	sigset_t caught, mask;
	int signals, signo, result = -1;

	sigemptyset(&caught);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaddset(&caught, ending[i]);
	strbuf_puts(&question, "Password for ");
	strbuf_escaped(&question, whose, strlen(whose));
	strbuf_puts(&question, ": ");
again:
	signo = 0;
	sigprocmask(SIG_BLOCK, &caught, &mask);
	signals = signalfd(-1, &caught, SFD_CLOEXEC);
	if (signals < 0 || tcgetattr(session->in, &before) != 0) {
		error_sys(why, ERROR_BUG, "the terminal");
		goto out;
	}
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(session->in, TCSAFLUSH, &silent) != 0) {
		error_sys(why, ERROR_BUG, "the terminal");
		goto out;
	}
	(void)output_write(session->err, question.data, question.len, NULL);
	signo = wait_for_line(session->in, signals);
	if (signo == 0)
		result = read_first_line(session->in, spelled, "-", secret, why);
	(void)tcsetattr(session->in, TCSAFLUSH, &before);
	(void)output_write(session->err, "\n", 1, NULL);
out:
	if (signals >= 0)
		(void)close(signals);
	/* A signal that waits takes effect with the old mask; after a stop we are asked again. */
	if (signo != 0)
		(void)raise(signo);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (signo != 0)
		goto again;
	strbuf_clear(&question);
	return result;
}

int
secret_read_file(const char *spelled, const char *path, struct secret *secret, struct error *why)
{
	struct stat status;
	int fd, result = -1;

	*secret = (struct secret){0};
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_sys(why, ERROR_USAGE, "%s %s", spelled, path);
	if (fstat(fd, &status) != 0) {
		error_sys(why, ERROR_USAGE, "%s %s", spelled, path);
		goto out;
	}
	if ((status.st_mode & (S_IRGRP | S_IROTH)) != 0) {
		error_set(why, ERROR_USAGE, "%s %s: others can read this file: do chmod 600 on it",
			  spelled, path);
		goto out;
	}
	result = read_first_line(fd, spelled, path, secret, why);
out:
	/* It was only read. */
	(void)close(fd);
	return result;
}

int
secret_read(const struct session *session, const char *spelled, const char *value,
	    const char *whose, struct secret *secret, struct error *why)
{
	uint64_t number;

	*secret = (struct secret){0};
	if (strcmp(value, "-") == 0) {
		if (isatty(session->in))
			return prompt(session, spelled, whose, secret, why);
		return read_first_line(session->in, spelled, "-", secret, why);
	}
	if (strncmp(value, "@fd:", 4) == 0) {
		if (words_number(value + 4, &number) != 0 || number > INT_MAX)
			return error_set(why, ERROR_USAGE, "%s %s: that is no descriptor", spelled,
					 value);
		return read_first_line((int)number, spelled, value, secret, why);
	}
	if (strncmp(value, "@route:", 7) == 0) {
		if (words_number(value + 7, &secret->route_id) != 0)
			return error_set(why, ERROR_USAGE, "%s %s: that is no route id", spelled,
					 value);
		return 0;
	}
	if (value[0] == '@')
		return secret_read_file(spelled, value + 1, secret, why);
	if (value[0] == '\0')
		return error_set(why, ERROR_USAGE, "%s: the password is empty", spelled);
	secret->text = xstrdup(value);
	return 0;
}

void
secret_clear(struct secret *secret)
{
	free_secret(secret->text);
	*secret = (struct secret){0};
}
