/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/answers.h"

#include <stddef.h>

static const struct {
	unsigned code;
	const char *status; /* enhanced; NULL where RFC 2034 has none */
	const char *text;
} answers[] = {
    [ANSWER_OK] = {250, "2.0.0", "Ok"},
    [ANSWER_SENDER_OK] = {250, "2.1.0", "Sender ok"},
    [ANSWER_RECIPIENT_OK] = {250, "2.1.5", "Recipient ok"},
    [ANSWER_BYE] = {221, "2.0.0", "Bye"},
    [ANSWER_HELP] = {214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"},
    [ANSWER_CANNOT_VERIFY] = {252, "2.0.0", "Not verified; send a message to find out"},
    [ANSWER_START_DATA] = {354, NULL, "End data with <CR><LF>.<CR><LF>"},

    [ANSWER_TOO_MANY_CONNECTIONS] = {421, "4.7.0", "Too many connections, try again later"},
    [ANSWER_TOO_MANY_FROM_CLIENT] = {421, "4.7.0", "Too many connections from your address"},
    [ANSWER_TOO_MANY_ERRORS] = {421, "4.7.0", "Too many errors"},
    [ANSWER_STOPPING] = {421, "4.3.2", "Shutting down, try again later"},
    [ANSWER_TIMEOUT] = {421, "4.4.2", "Waited too long for you"},

    [ANSWER_STORAGE] = {451, "4.3.0", "The message could not be stored, try again later"},
    [ANSWER_STORAGE_FULL] = {452, "4.3.1", "No space to store the message, try again later"},
    [ANSWER_TOO_MANY_RECIPIENTS] = {452, "4.5.3", "Too many recipients, send again for this one"},

    [ANSWER_UNKNOWN_COMMAND] = {500, "5.5.1", "Unknown command"},
    [ANSWER_CONTROLS] = {500, "5.5.2", "A command may not hold control characters"},
    [ANSWER_LINE_TOO_LONG] = {500, "5.5.2", "The command line is too long"},
    [ANSWER_BARE_IN_COMMAND] = {550, "5.6.11", "Bare CR or LF: lines end with CRLF"},
    [ANSWER_HELO_FIRST] = {503, "5.5.1", "Send EHLO or HELO first"},
    [ANSWER_MAIL_FIRST] = {503, "5.5.1", "Send MAIL first"},
    [ANSWER_NESTED_MAIL] = {503, "5.5.1", "A sender was given already; send RSET to start over"},
    [ANSWER_NO_RECIPIENTS] = {554, "5.5.1", "No valid recipients"},

    [ANSWER_ARGUMENT_MISSING] = {501, "5.5.4", "An argument is missing"},
    [ANSWER_NO_ARGUMENT_ALLOWED] = {501, "5.5.4", "This command takes no argument"},
    [ANSWER_NOT_A_FROM] = {501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]"},
    [ANSWER_NOT_A_TO] = {501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]"},
    [ANSWER_BAD_SENDER] = {501, "5.1.7", "Bad sender address syntax"},
    [ANSWER_BAD_RECIPIENT] = {501, "5.1.3", "Bad recipient address syntax"},
    [ANSWER_BAD_PARAMETER] = {501, "5.5.4", "A parameter is malformed or given twice"},
    [ANSWER_UNKNOWN_PARAMETER] = {555, "5.5.4", "A parameter is not known here"},

    [ANSWER_RELAYING_DENIED] = {550, "5.7.1", "Relaying denied"},
    [ANSWER_MESSAGE_TOO_LARGE] = {552, "5.3.4", "The message is too large"},
    [ANSWER_TEXT_LINE_TOO_LONG] = {550, "5.6.0", "The message holds a line that is too long"},
    [ANSWER_BARE_IN_DATA] = {550, "5.6.11", "The message holds a bare CR or LF"},
    [ANSWER_LOOP] = {554, "5.4.6", "Too many Received fields: the message is in a loop"},
};

_Static_assert(sizeof(answers) / sizeof(answers[0]) == ANSWER_LAST + 1, "an answer without a text");

unsigned
answer_code(enum answer answer)
{
	return answers[answer].code;
}

bool
answer_is_refusal(enum answer answer)
{
	return answers[answer].code >= 400;
}

void
answer_put(enum answer answer, const char *hostname, struct strbuf *out)
{
	strbuf_printf(out, "%u ", answers[answer].code);
	if (answers[answer].status != NULL)
		strbuf_printf(out, "%s ", answers[answer].status);
	if (answers[answer].code == 421)
		strbuf_printf(out, "%s ", hostname);
	strbuf_puts(out, answers[answer].text);
	strbuf_puts(out, "\r\n");
}
