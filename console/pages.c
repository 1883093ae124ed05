/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/pages.h"

#include <string.h>

/* How far a list has come. */
struct progress {
	json_int_t after;
	json_int_t cursor; /* of a list that the daemon keeps; 0: none */
	uint64_t rows;     /* counted where the list is bounded */
};

/* Rows that may still come. */
static uint64_t
room(const struct pages *pages, const struct progress *progress)
{
	uint64_t left = pages->most > 0 ? pages->most - progress->rows : UINT64_MAX;

	return left < (uint64_t)pages->limit ? left : (uint64_t)pages->limit;
}

static int
ask(struct session *session, const struct pages *pages, const struct progress *progress,
    struct error *why)
{
	struct client *client = session_client(session, why);
	json_t *params;

	if (client == NULL)
		return -1;
	params = json_pack("{s:I, s:I}", "after", progress->after, "limit",
			   (json_int_t)room(pages, progress));
	if (pages->params != NULL)
		json_object_update(params, (json_t *)(uintptr_t)pages->params);
	if (progress->cursor > 0)
		json_object_set_new(params, "cursor", json_integer(progress->cursor));
	if (pages->form != NULL)
		json_object_set_new(params, "form", json_string(pages->form));
	return client_send(client, pages->method, params, false, why);
}

static uint64_t
count_rows(const struct pages *pages, const json_t *reply)
{
	const json_t *lines = json_object_get(reply, "lines");
	const char *at = json_string_value(lines);
	uint64_t count = 0;

	if (at == NULL)
		return json_array_size(json_object_get(reply, pages->kind->list));
	for (; (at = strchr(at, '\n')) != NULL; at++)
		count++;
	return count;
}

/* Is there another page? Then ask for it. -1 if that fails. */
static int
go_on(struct session *session, const struct pages *pages, struct progress *progress,
      const json_t *reply, bool *more, struct error *why)
{
	const json_t *next = json_object_get(reply, "next");

	*more = json_is_integer(next);
	progress->after = json_integer_value(next);
	progress->cursor = json_integer_value(json_object_get(reply, "cursor"));
	if (pages->most > 0) {
		progress->rows += count_rows(pages, reply);
		*more = *more && progress->rows < pages->most;
	}
	return *more ? ask(session, pages, progress, why) : 0;
}

int
pages_print(struct session *session, const struct pages *pages, struct error *why)
{
	struct progress progress = {0};
	struct output *output = NULL;
	bool more, first = true;
	const json_t *revision;
	json_t *reply;

	if (ask(session, pages, &progress, why) != 0)
		return -1;
	do {
		reply = session_receive(session, why);
		if (reply == NULL || go_on(session, pages, &progress, reply, &more, why) != 0) {
			json_decref(reply);
			if (output != NULL)
				output_abandon(output);
			return -1;
		}
		if (first) {
			revision = json_object_get(reply, "revision");
			output = output_new(session->out, &session->style, pages->kind,
					    revision != NULL ? json_integer_value(revision) : -1);
		}
		pages->put(output, session->style.format, reply, first);
		json_decref(reply);
		first = false;
	} while (more && !output_failed(output));
	return output_end(output, why);
}
