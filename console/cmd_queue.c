/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_queue.h"

#include <string.h>

#include "common/strbuf.h"
#include "console/pages.h"
#include "console/when.h"

enum { PAGE_MESSAGES = 500 };

/* How a status of the control protocol is shown. */
static const struct {
	const char *status;
	const char *shown;
} statuses[] = {
    {"active", "Delivery in progress"},
    {"scheduled", "Scheduled"},
};

static const char *
shown_status(const json_t *value)
{
	const char *status = json_string_value(value);

	for (size_t i = 0; status != NULL && i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (strcmp(statuses[i].status, status) == 0)
			return statuses[i].shown;
	}
	return status != NULL ? status : "";
}

static void
append_text(const json_t *value, struct strbuf *out)
{
	if (json_is_string(value))
		strbuf_escaped(out, json_string_value(value), json_string_length(value));
}

/* The null reverse-path is shown as SMTP writes it. */
static void
cell_sender(const json_t *row, struct strbuf *out)
{
	const json_t *sender = json_object_get(row, "sender");

	if (json_string_length(sender) == 0)
		strbuf_puts(out, "<>");
	else
		append_text(sender, out);
}

static void
cell_status(const json_t *row, struct strbuf *out)
{
	strbuf_puts(out, shown_status(json_object_get(row, "status")));
}

static void
cell_added(const json_t *row, struct strbuf *out)
{
	when_local(json_string_value(json_object_get(row, "added")), out);
}

static void
cell_next(const json_t *row, struct strbuf *out)
{
	when_local(json_string_value(json_object_get(row, "next_attempt")), out);
}

static const struct output_column queue_columns[] = {
    {.title = "ID", .member = "id", .right = true},
    {.title = "FROM", .cell = cell_sender},
    {.title = "TO", .member = "recipient"},
    {.title = "STATUS", .cell = cell_status},
    {.title = "ADDED", .cell = cell_added, .wide = true},
    {.title = "NEXT ATTEMPT", .cell = cell_next},
    {.title = "TRIES", .member = "attempts", .right = true},
    {.title = "SIZE", .member = "size", .right = true, .wide = true},
    {.title = "LOGIN", .member = "login", .wide = true},
    {.title = "LAST REPLY", .member = "last_reply", .wide = true},
};

static const char *const queue_members[] = {"id",    "sender",       "recipient", "status",
					    "added", "next_attempt", "attempts",  "size",
					    "login", "last_reply",   NULL};

static const struct output_kind queue_kind = {
    .schema = "tmail.queue/1",
    .list = "messages",
    .members = queue_members,
    .columns = queue_columns,
    .column_count = sizeof(queue_columns) / sizeof(queue_columns[0]),
};

/* 12564 - From: a@b - To: c@d - Status: Scheduled - Added: ... - Next delivery process scheduled
 * at: ... */
static void
append_line(const json_t *message, const json_t *recipient, struct strbuf *out)
{
	output_value(json_object_get(message, "id"), out);
	strbuf_puts(out, " - From: ");
	cell_sender(message, out);
	strbuf_puts(out, " - To: ");
	append_text(json_object_get(recipient, "address"), out);
	strbuf_puts(out, " - Status: ");
	cell_status(message, out);
	strbuf_puts(out, " - Added: ");
	cell_added(message, out);
	strbuf_puts(out, " - Next delivery process scheduled at: ");
	cell_next(message, out);
	strbuf_putc(out, '\n');
}

/* One row for each recipient that is still to be delivered. */
static void
put_recipients(struct output *output, const json_t *message)
{
	struct strbuf line = STRBUF_INIT;
	const json_t *recipient;
	const char *state;
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(message, "recipients"), i, recipient)
	{
		state = json_string_value(json_object_get(recipient, "state"));
		if (state == NULL || strcmp(state, "open") != 0)
			continue;
		strbuf_reset(&line);
		append_line(message, recipient, &line);
		output_text(output, line.data, line.len);
		row = json_copy((json_t *)(uintptr_t)message);
		json_object_set(row, "recipient", json_object_get(recipient, "address"));
		json_object_set(row, "last_reply", json_object_get(recipient, "last_reply"));
		output_row(output, row);
		json_decref(row);
	}
	strbuf_clear(&line);
}

static void
put_page(struct output *output, enum output_format format, const json_t *reply, bool first)
{
	json_int_t count = json_integer_value(json_object_get(reply, "count"));
	struct strbuf head = STRBUF_INIT;
	const json_t *message;
	size_t i;

	if (first && count == 0)
		strbuf_puts(&head, "There is no message in queue.\n");
	else if (first)
		strbuf_printf(&head, "%" JSON_INTEGER_FORMAT " messages in queue.\n", count);
	if (head.len > 0)
		output_text(output, head.data, head.len);
	strbuf_clear(&head);
	json_array_foreach(json_object_get(reply, "messages"), i, message)
	{
		/* Those that know lists inside of lists, and ids alone, have a row a message. */
		if (format == OUTPUT_JSON || format == OUTPUT_JSONL || format == OUTPUT_ID)
			output_row(output, message);
		else
			put_recipients(output, message);
	}
}

static int
run_list(struct session *session, const struct command_call *call, struct error *why)
{
	static const struct pages pages = {
	    .method = "queue.list",
	    .limit = PAGE_MESSAGES,
	    .kind = &queue_kind,
	    .put = put_page,
	};

	(void)call;
	return pages_print(session, &pages, why);
}

/* ---- count
 * --------------------------------------------------------------------------------------- */

static const struct output_column count_columns[] = {
    {.title = "MESSAGES", .member = "messages", .right = true},
    {.title = "ACTIVE", .member = "active", .right = true},
};

static const char *const count_members[] = {"messages", "active", NULL};

static const struct output_kind count_kind = {
    .schema = "tmail.queue-count/1",
    .members = count_members,
    .columns = count_columns,
    .column_count = sizeof(count_columns) / sizeof(count_columns[0]),
};

static int
run_count(struct session *session, const struct command_call *call, struct error *why)
{
	struct strbuf line = STRBUF_INIT;
	struct output *output;
	json_t *reply;

	(void)call;
	reply = session_call(session, "queue.count", NULL, false, why);
	if (reply == NULL)
		return -1;
	output_value(json_object_get(reply, "messages"), &line);
	strbuf_putc(&line, '\n');
	output = output_new(session->out, &session->style, &count_kind, -1);
	output_text(output, line.data, line.len);
	output_row(output, reply);
	strbuf_clear(&line);
	json_decref(reply);
	return output_end(output, why);
}

static const int read_exits[] = {0, 2, 6, 7, 8, 70, -1};

static const struct command queue_commands[] = {
    {.verb = "list",
     .help = "list the messages that wait, a line a recipient",
     .operands = "",
     .kind = &queue_kind,
     .examples = {"tmail queue list", "tmail queue list -o json"},
     .exits = read_exits,
     .run = run_list},
    {.verb = "count",
     .help = "how many messages wait",
     .operands = "",
     .no_id = true,
     .kind = &count_kind,
     .examples = {"tmail queue count", "tmail -s /run/relayd/control.sock queue count"},
     .exits = read_exits,
     .run = run_count},
};

const struct command_noun cmd_queue = {
    .word = "queue",
    .help = "the mail that waits for delivery",
    .commands = queue_commands,
    .command_count = sizeof(queue_commands) / sizeof(queue_commands[0]),
};
