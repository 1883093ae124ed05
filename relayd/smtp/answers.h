/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the server answers: one table of reply code (RFC 5321 §4.2), enhanced status code (RFC 3463)
 * and text. Replies that hold more than that (greeting, EHLO, the queue id) are made where they are
 * sent.
 */
#ifndef RELAYD_SMTP_ANSWERS_H
#define RELAYD_SMTP_ANSWERS_H

#include <stdbool.h>

#include "common/strbuf.h"

enum answer {
	ANSWER_NONE, /* not in the table: nothing to say, or it has been said */

	ANSWER_OK,
	ANSWER_SENDER_OK,
	ANSWER_RECIPIENT_OK,
	ANSWER_BYE,
	ANSWER_HELP,
	ANSWER_CANNOT_VERIFY,
	ANSWER_START_DATA,

	ANSWER_TOO_MANY_CONNECTIONS,
	ANSWER_TOO_MANY_FROM_CLIENT,
	ANSWER_TOO_MANY_ERRORS,
	ANSWER_STOPPING,
	ANSWER_TIMEOUT,

	ANSWER_STORAGE,
	ANSWER_STORAGE_FULL,
	ANSWER_TOO_MANY_RECIPIENTS,

	ANSWER_UNKNOWN_COMMAND,
	ANSWER_CONTROLS,
	ANSWER_LINE_TOO_LONG,
	ANSWER_BARE_IN_COMMAND,
	ANSWER_HELO_FIRST,
	ANSWER_MAIL_FIRST,
	ANSWER_NESTED_MAIL,
	ANSWER_NO_RECIPIENTS,

	ANSWER_ARGUMENT_MISSING,
	ANSWER_NO_ARGUMENT_ALLOWED,
	ANSWER_NOT_A_FROM,
	ANSWER_NOT_A_TO,
	ANSWER_BAD_SENDER,
	ANSWER_BAD_RECIPIENT,
	ANSWER_BAD_PARAMETER,
	ANSWER_UNKNOWN_PARAMETER,

	ANSWER_RELAYING_DENIED,
	ANSWER_MESSAGE_TOO_LARGE,
	ANSWER_TEXT_LINE_TOO_LONG,
	ANSWER_BARE_IN_DATA,
	ANSWER_LOOP,
	ANSWER_LAST = ANSWER_LOOP
};

/* 250, 421, ...; 0 for ANSWER_NONE. */
unsigned answer_code(enum answer answer);

/* 4xx or 5xx. */
bool answer_is_refusal(enum answer answer);

/* Append the reply line with its CRLF. `hostname` goes into 421 (RFC 5321 §4.2.3 has it there). */
void answer_put(enum answer answer, const char *hostname, struct strbuf *out);

#endif
