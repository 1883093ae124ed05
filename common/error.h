/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A failure as a value: a code, the errno behind it where there is one, and one sentence for a
 * person. A function that can fail takes `struct error *why` last and returns -1 (or NULL); the
 * caller turns it into a log line, an SMTP reply or console text. `why` may be NULL where the
 * caller does not care.
 *
 * The codes are the exit codes of tmail(1), so that an error keeps its meaning from the disk to
 * the shell of the person who reads it.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stdarg.h>

enum error_code {
	ERROR_NONE = 0,
	ERROR_DIFFERS = 1,    /* a question was answered "no" */
	ERROR_USAGE = 2,      /* the words are wrong; nothing was sent */
	ERROR_NOT_FOUND = 3,  /* no such route, revision, queue id */
	ERROR_CONFLICT = 4,   /* the table changed meanwhile, or a twin exists */
	ERROR_REFUSED = 5,    /* valid words, refused data */
	ERROR_DENIED = 6,     /* not allowed on the socket */
	ERROR_NO_DAEMON = 7,  /* the socket is absent or refuses */
	ERROR_TIMEOUT = 8,    /* no answer; the change may have been made */
	ERROR_STORAGE = 10,   /* disk full, I/O error, damaged file; nothing was changed */
	ERROR_BUG = 70        /* internal error */
};

struct error {
	enum error_code code;
	int sys;        /* errno behind it, 0 where there is none */
	char text[512]; /* one sentence without a full stop, no control characters, UTF-8 */
};

/* Fill in `why` and return -1. */
int error_set(struct error *why, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, with errno kept in `sys` and ": " strerror(errno) appended. */
int error_sys(struct error *why, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "FORMAT: " before the sentence that is there. Returns -1. */
int error_prefix(struct error *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The name of a code in JSON output: "not_found", "refused", ... Never NULL. */
const char *error_name(enum error_code code);

/* The code of such a name; ERROR_BUG for one that is not known. */
enum error_code error_code_of(const char *name);

#endif
