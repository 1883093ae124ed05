/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing one record. The format stands in journal.c. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "relayd/routes/durable.h"
#include "relayd/routes/journal_format.h"
#include "relayd/spool/crc32c.h"

enum { WRITE_BYTES = 1 << 20 };

static int
flush(struct journal_output *output)
{
	int rc;

	output->crc = crc32c(output->crc, output->text.data, output->text.len);
	output->len += output->text.len;
	rc = durable_write(output->fd, output->text.data, output->text.len, output->at);
	output->at += output->text.len;
	/* Routes hold passwords. */
	explicit_bzero(output->text.data, output->text.len);
	strbuf_reset(&output->text);
	return rc;
}

void
journal_output_begin(struct journal_output *output, int fd, uint64_t offset,
		     const struct journal_change *change)
{
	struct strbuf *text = &output->text;

	*output = (struct journal_output){
	    .fd = fd, .begin = offset, .at = offset + JOURNAL_HEAD_BYTES, .text = STRBUF_INIT};
	strbuf_printf(text,
		      "revision=%" PRIu64 "\ntime=%" PRId64 "\nnext_id=%" PRIu64 "\nsteps=%zu\n",
		      change->revision, change->time_ms, change->next_id, change->step_count);
	strbuf_printf(text, "user=%zu\n%s\n", strlen(change->user), change->user);
	if (change->note != NULL)
		strbuf_printf(text, "note=%zu\n%s\n", strlen(change->note), change->note);
	if (change->undoes != 0)
		strbuf_printf(text, "undoes=%" PRIu64 "\n", change->undoes);
	if (change->confirm_by_ms != 0)
		strbuf_printf(text, "confirm_by=%" PRId64 "\n", change->confirm_by_ms);
}

int
journal_output_step(struct journal_output *output, const struct journal_text *step)
{
	struct strbuf *text = &output->text;

	switch (step->what) {
	case JOURNAL_ADD:
		strbuf_printf(text, "add=%" PRIu64 " %zu\n", step->id, step->after_len);
		break;
	case JOURNAL_SET:
		strbuf_printf(text, "set=%" PRIu64 " %zu %zu\n", step->id, step->before_len,
			      step->after_len);
		break;
	case JOURNAL_DELETE:
		strbuf_printf(text, "delete=%" PRIu64 " %zu\n", step->id, step->before_len);
		break;
	}
	if (step->before_len > 0)
		strbuf_append(text, step->before, step->before_len);
	if (step->after_len > 0)
		strbuf_append(text, step->after, step->after_len);
	return text->len >= WRITE_BYTES ? flush(output) : 0;
}

int
journal_output_end(struct journal_output *output, enum journal_kind kind, uint64_t *end)
{
	unsigned char head[JOURNAL_HEAD_BYTES];

	if (flush(output) < 0)
		return -1;
	if (output->len > JOURNAL_PAYLOAD_MAX) {
		errno = EFBIG;
		return -1;
	}
	journal_head_put(head, kind, (uint32_t)output->len, output->crc);
	if (durable_write(output->fd, head, sizeof(head), output->begin) < 0)
		return -1;
	*end = output->at;
	return 0;
}

void
journal_output_clear(struct journal_output *output)
{
	if (output->text.data != NULL)
		explicit_bzero(output->text.data, output->text.len);
	strbuf_clear(&output->text);
}
