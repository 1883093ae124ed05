/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/job.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/xalloc.h"

const char *
client_stage_name(enum client_stage stage)
{
	switch (stage) {
	case CLIENT_STAGE_CONNECT:
		return "connect";
	case CLIENT_STAGE_GREETING:
		return "greeting";
	case CLIENT_STAGE_HELLO:
		return "EHLO";
	case CLIENT_STAGE_STARTTLS:
		return "STARTTLS";
	case CLIENT_STAGE_TLS:
		return "TLS";
	case CLIENT_STAGE_AUTH:
		return "AUTH";
	case CLIENT_STAGE_MAIL:
		return "MAIL";
	case CLIENT_STAGE_RCPT:
		return "RCPT";
	case CLIENT_STAGE_DATA:
		return "DATA";
	case CLIENT_STAGE_BODY:
		return "body";
	case CLIENT_STAGE_DOT:
		return "final dot";
	}
	return "?";
}

void
client_recipient_settle(struct client_recipient *recipient, enum client_verdict verdict,
			enum client_stage stage, bool from_remote, const char *status,
			const char *reply)
{
	if (recipient->verdict != CLIENT_OPEN)
		return;
	recipient->verdict = verdict;
	recipient->stage = stage;
	recipient->from_remote = from_remote;
	(void)snprintf(recipient->status, sizeof recipient->status, "%s", status);
	free(recipient->reply);
	recipient->reply = xstrdup(reply);
}

void
client_job_settle(struct client_job *job, enum client_verdict verdict, enum client_stage stage,
		  bool from_remote, const char *status, const char *reply)
{
	size_t i;

	for (i = 0; i < job->count; i++)
		client_recipient_settle(&job->recipients[i], verdict, stage, from_remote, status,
					reply);
}

size_t
client_job_open(const struct client_job *job)
{
	size_t i, open = 0;

	for (i = 0; i < job->count; i++)
		open += job->recipients[i].verdict == CLIENT_OPEN;
	return open;
}

void
client_job_clear(struct client_job *job)
{
	size_t i;

	for (i = 0; i < job->count; i++) {
		free(job->recipients[i].reply);
		job->recipients[i].reply = NULL;
	}
}
