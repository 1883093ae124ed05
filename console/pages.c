/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/pages.h"

static int
ask(struct session *session, const struct pages *pages, json_int_t after, struct error *why)
{
	struct client *client = session_client(session, why);
	json_t *params;

	if (client == NULL)
		return -1;
	params = json_pack("{s:I, s:i}", "after", after, "limit", pages->limit);
	if (pages->form != NULL)
		json_object_set_new(params, "form", json_string(pages->form));
	return client_send(client, pages->method, params, false, why);
}

int
pages_print(struct session *session, const struct pages *pages, struct error *why)
{
	struct output *output = NULL;
	const json_t *next, *revision;
	bool more, first = true;
	json_t *reply;

	if (ask(session, pages, 0, why) != 0)
		return -1;
	do {
		reply = session_receive(session, why);
		next = json_object_get(reply, "next");
		more = json_is_integer(next);
		if (reply == NULL ||
		    (more && ask(session, pages, json_integer_value(next), why) != 0)) {
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
