/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/queue/report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/queue/bounce.h"

enum { HEADERS_MAX = 64 * 1024 };

struct report {
	struct spool *spool;
	struct timer *start;
	char *hostname;
	int64_t wall_ms;
	const struct envelope *env;
	struct recipient_fate *fates;
	struct bounce_recipient *failed;
	size_t failed_count;
	struct spool_reader *reader;
	struct strbuf headers;
	struct envelope *made;
	bool canceled; /* while a commit is on its way */
	bool committing;
	void (*done)(void *ctx, struct envelope *made, const struct error *why);
	void *ctx;
};

static void
report_free(struct report *report)
{
	size_t i;

	for (i = 0; i < report->failed_count; i++)
		recipient_fate_clear(&report->fates[i]);
	free(report->fates);
	free(report->failed);
	if (report->reader != NULL)
		spool_reader_free(report->reader);
	strbuf_clear(&report->headers);
	envelope_free(report->made);
	timer_free(report->start);
	free(report->hostname);
	free(report);
}

static void
report_committed(void *ctx, const struct error *why)
{
	struct report *report = ctx;
	struct envelope *made = report->made;

	report->committing = false;
	if (!report->canceled) {
		if (why == NULL)
			report->made = NULL;
		report->done(report->ctx, why == NULL ? made : NULL, why);
	}
	report_free(report);
}

/* Keep whole lines only: what is cut short is cut between two of them. */
static void
headers_trim(struct strbuf *headers, bool whole)
{
	const char *end = headers->len ? memmem(headers->data, headers->len, "\r\n\r\n", 4) : NULL;
	size_t len;

	if (end == NULL && headers->len > HEADERS_MAX) {
		strbuf_truncate(headers, HEADERS_MAX);
		whole = false;
	}
	if (end != NULL)
		strbuf_truncate(headers, (size_t)(end + 2 - headers->data));
	else if (!whole) {
		for (len = headers->len; len > 0 && headers->data[len - 1] != '\n';)
			len--;
		strbuf_truncate(headers, len);
	}
}

static void
report_commit(struct report *report)
{
	struct spool_draft *draft = spool_begin(report->spool);
	struct bounce_facts facts = {
	    .hostname = report->hostname,
	    .report_id = spool_draft_id(draft),
	    .now_ms = report->wall_ms,
	    .original = report->env,
	    .failed = report->failed,
	    .failed_count = report->failed_count,
	    .headers = report->headers.len ? report->headers.data : "",
	    .headers_len = report->headers.len,
	};
	struct strbuf text = STRBUF_INIT;
	struct error why;

	arc4random_buf(&facts.nonce, sizeof facts.nonce);
	bounce_compose(&facts, &text);
	report->made = envelope_new();
	report->made->arrived_ms = report->wall_ms;
	report->made->sender = xstrdup("");
	envelope_add_recipient(report->made, report->env->sender);
	report->committing = true;
	if (spool_write(draft, text.data, text.len, &why) != 0) {
		spool_abort(draft);
		report_committed(report, &why);
	} else {
		spool_commit(draft, report->made, report_committed, report);
	}
	strbuf_clear(&text);
}

static void
report_read(void *ctx, const char *bytes, size_t len, const struct error *why)
{
	struct report *report = ctx;
	bool end = len == 0 || why != NULL;

	/* A message that can't be read any more is reported without its header. */
	strbuf_append(&report->headers, bytes, why != NULL ? 0 : len);
	if (!end && report->headers.len < HEADERS_MAX &&
	    memmem(report->headers.data, report->headers.len, "\r\n\r\n", 4) == NULL) {
		spool_reader_next(report->reader, report_read, report);
		return;
	}
	headers_trim(&report->headers, end);
	report_commit(report);
}

static void
report_begin(void *ctx)
{
	struct report *report = ctx;

	report->reader = spool_reader_new(report->spool, report->env, NULL);
	if (report->reader != NULL)
		spool_reader_next(report->reader, report_read, report);
	else
		report_commit(report);
}

static void
report_copy_fates(struct report *report, const struct recipient_fate *fates)
{
	const struct envelope *env = report->env;
	size_t i;

	report->fates = xcalloc(env->recipient_count, sizeof *report->fates);
	report->failed = xcalloc(env->recipient_count, sizeof *report->failed);
	for (i = 0; i < env->recipient_count; i++) {
		struct recipient_fate *fate = &report->fates[report->failed_count];

		if (fates[i].fate != FATE_FAILED)
			continue;
		*fate = fates[i];
		fate->remote = xstrdup(fates[i].remote);
		fate->remote_name = xstrdup(fates[i].remote_name);
		fate->reply = xstrdup(fates[i].reply);
		report->failed[report->failed_count++] =
		    (struct bounce_recipient){.address = env->recipients[i].address, .fate = fate};
	}
}

struct report *
report_new(const struct report_options *options, const struct envelope *env,
	   const struct recipient_fate *fates,
	   void (*done)(void *ctx, struct envelope *made, const struct error *why), void *ctx)
{
	struct report *report = xcalloc(1, sizeof *report);

	report->spool = options->spool;
	report->hostname = xstrdup(options->hostname);
	report->wall_ms = loop_wall_ms(options->loop);
	report->env = env;
	report->done = done;
	report->ctx = ctx;
	report_copy_fates(report, fates);
	report->start = timer_new(options->loop, report_begin, report);
	timer_set(report->start, 0);
	return report;
}

void
report_cancel(struct report *report)
{
	if (report == NULL)
		return;
	report->canceled = true;
	if (!report->committing)
		report_free(report);
}
