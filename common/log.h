/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Log lines on a descriptor: one event a line, "ID EVENT key=value key=value", or one JSON object
 * a line. Values that hold spaces, quotes, '=' or control characters are quoted and escaped (\xNN):
 * no remote text can forge a line or drive a terminal. Every recipient's fate is one line, so that
 * `grep ID` tells a message's life.
 *
 * Under journald (JOURNAL_STREAM set) a line begins with <N>, the syslog level of sd-daemon(3);
 * elsewhere with the UTC time in RFC 3339 form with milliseconds, and the level's name.
 *
 * A line is written with one write(2). A failed write is dropped: logging never stops mail.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log;

struct log_field {
	const char *key; /* NULL ends the list */
	enum { LOG_FIELD_STRING, LOG_FIELD_SIGNED, LOG_FIELD_UNSIGNED } type;
	const char *string; /* NULL: the field is left out */
	int64_t sign;
	uint64_t number;
};

#define LOG_S(k, v) {.key = (k), .type = LOG_FIELD_STRING, .string = (v)}
#define LOG_D(k, v) {.key = (k), .type = LOG_FIELD_SIGNED, .sign = (v)}
#define LOG_U(k, v) {.key = (k), .type = LOG_FIELD_UNSIGNED, .number = (v)}

/* `fd` stays the caller's. */
struct log *log_new(int fd, enum log_level least, enum log_format format);
void log_free(struct log *log);

/* On reload. */
void log_configure(struct log *log, enum log_level least, enum log_format format);

bool log_wants(const struct log *log, enum log_level level);

/* `id` is the queue id, 0 for none (shown as "-"). `event` is one word. `log` may be NULL: nothing. */
void log_fields(struct log *log, enum log_level level, uint64_t id, const char *event,
    const struct log_field *fields);

#define log_event(log, level, id, event, ...)                                                      \
	log_fields((log), (level), (id), (event), (const struct log_field[]){__VA_ARGS__, {.key = NULL}})

/* "info" and the like; -1 for another word. */
int log_level_of(const char *name, enum log_level *level);

/* For the end of the process alone: lost memory, a broken invariant, start-up. Writes one line to
 * standard error and calls abort(). */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
