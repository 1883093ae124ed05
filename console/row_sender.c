/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/row_sender.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "common/xalloc.h"
#include "console/secret.h"

enum {
	PIECE_BYTES = 1 << 20,
	PIECES_AHEAD = 3 /* sent before the first of them is answered */
};

/* A cell that the row does not give, relayd-control(7). */
static const char absent[] = "\x1a";

/* ---- what is wrong on this side ---- */

static void
fail_here(struct row_sender *sender, size_t at, const struct error *why)
{
	struct failures *failures = &sender->failures;
	size_t line, column;

	sender->clumsy = true;
	if (failures->count < FAILURES_TOLD)
		sender->failed_rows[failures->count] = sender->rows;
	route_file_place(sender->file, at, &line, &column);
	failures_add(failures, line, column, why);
}

static bool
is_plain(const struct route_cell *cell)
{
	for (size_t i = 0; i < cell->len; i++) {
		unsigned char c = (unsigned char)cell->text[i];

		if (c < 0x20 || c >= 0x7f)
			return utf8_is_plain(cell->text, cell->len);
	}
	return true;
}

static void
append_cell(struct row_sender *sender, unsigned column, const struct route_cell *cell)
{
	struct error why;

	if (!cell->given) {
		strbuf_puts(&sender->lines, absent);
	} else if (is_plain(cell)) {
		strbuf_append(&sender->lines, cell->text, cell->len);
	} else {
		error_set(&why, ERROR_REFUSED,
			  "%s must be one line of UTF-8 without control characters",
			  route_file_column(column));
		fail_here(sender, cell->at, &why);
		strbuf_puts(&sender->lines, absent);
	}
}

/* "@FILE" and its like: the password takes the place of the word. "@route:7" becomes 7. */
static void
resolve_password(struct row_sender *sender, struct route_cell *cells, struct secret *secret)
{
	struct route_cell *from = &cells[FILE_PASSWORD_FROM];
	size_t at = from->at;
	struct error why;
	char *word;

	if (!from->given || from->len == 0 || from->text[0] != '@')
		return;
	word = xstrndup(from->text, from->len);
	if (secret_read(sender->session, "remote_password_from", word, "", secret, &why) != 0) {
		fail_here(sender, at, &why);
		*from = (struct route_cell){.text = NULL};
	} else if (secret->text != NULL) {
		*from = (struct route_cell){.text = NULL};
		cells[ROUTE_REMOTE_PASSWORD] = (struct route_cell){
		    .text = secret->text, .len = strlen(secret->text), .at = at, .given = true};
	} else {
		word = xreallocarray(word, 1, 24);
		from->len = (size_t)snprintf(word, 24, "%" PRIu64, secret->route_id);
		secret->text = word;
		from->text = word;
		word = NULL;
	}
	free(word);
}

/* ---- pieces ---- */

/* The columns and the lines, which are gone then. */
static json_t *
take_piece(struct row_sender *sender)
{
	json_t *columns = json_array();
	json_t *params;

	for (unsigned i = 0; i < FILE_COLUMNS; i++) {
		if ((sender->columns & 1u << i) != 0)
			json_array_append_new(columns, json_string(route_file_column(i)));
	}
	/* Every cell was found to be UTF-8. */
	params = json_pack("{s:o, s:o}", "columns", columns, "lines",
			   json_stringn_nocheck(sender->lines.len > 0 ? sender->lines.data : "",
						sender->lines.len));
	if (sender->lines.len > 0)
		explicit_bzero(sender->lines.data, sender->lines.len);
	strbuf_reset(&sender->lines);
	return params;
}

void
row_sender_wipe(json_t *params)
{
	const json_t *lines = json_object_get(params, "lines");

	/* jansson would give the memory back as it is. */
	if (lines != NULL)
		explicit_bzero((char *)(uintptr_t)json_string_value(lines),
			       json_string_length(lines));
	json_decref(params);
}

static int
receive(struct row_sender *sender, struct error *why)
{
	json_t *reply = session_receive(sender->session, why);

	sender->unanswered--;
	json_decref(reply);
	return reply != NULL ? 0 : -1;
}

static int
send_piece(struct row_sender *sender, struct error *why)
{
	struct client *client = session_client(sender->session, why);
	json_t *params = take_piece(sender);
	int rc;

	if (client == NULL) {
		row_sender_wipe(params);
		return -1;
	}
	json_object_set_new(params, "more", json_true());
	/* Nothing is changed before the last piece. */
	rc = client_send(client, sender->method, json_incref(params), false, why);
	row_sender_wipe(params);
	if (rc != 0)
		return -1;
	sender->unanswered++;
	return sender->unanswered > PIECES_AHEAD ? receive(sender, why) : 0;
}

static int
append_row(struct row_sender *sender, struct route_cell *cells, struct error *why)
{
	struct secret secret = {0};
	unsigned given = 0;
	bool first = true;

	resolve_password(sender, cells, &secret);
	for (unsigned i = 0; i < FILE_COLUMNS; i++)
		given |= cells[i].given ? 1u << i : 0;
	if ((given & ~sender->columns) != 0) {
		if (sender->lines.len > 0 && send_piece(sender, why) != 0) {
			secret_clear(&secret);
			return -1;
		}
		sender->columns |= given;
	}
	for (unsigned i = 0; i < FILE_COLUMNS; i++) {
		if ((sender->columns & 1u << i) == 0)
			continue;
		if (!first)
			strbuf_putc(&sender->lines, '\t');
		first = false;
		append_cell(sender, i, &cells[i]);
	}
	strbuf_putc(&sender->lines, '\n');
	sender->rows++;
	secret_clear(&secret);
	return sender->lines.len >= PIECE_BYTES ? send_piece(sender, why) : 0;
}

int
row_sender_run(struct row_sender *sender, struct session *session, struct route_file *file,
	       const char *method, struct error *why)
{
	struct route_cell cells[FILE_COLUMNS];
	struct error broken;
	int rc;

	*sender = (struct row_sender){
	    .session = session, .file = file, .method = method, .failures = {.file = file->name}};
	rc = route_file_begin(file, &broken);
	while (rc >= 0 && (rc = route_file_next(file, cells, &broken)) > 0) {
		if (append_row(sender, cells, why) != 0)
			return -1;
	}
	/* From there on the file can't be read at all. */
	if (rc < 0)
		fail_here(sender, file->failed_at, &broken);
	while (sender->unanswered > 0) {
		if (receive(sender, why) != 0)
			return -1;
	}
	return 0;
}

json_t *
row_sender_last(struct row_sender *sender)
{
	return sender->lines.len > 0 ? take_piece(sender) : json_object();
}

/* ---- what is wrong on the other side ---- */

static bool
failed_here(const struct row_sender *sender, size_t row)
{
	for (size_t i = 0; i < sender->failures.count && i < FAILURES_TOLD; i++) {
		if (sender->failed_rows[i] == row)
			return true;
	}
	return false;
}

/* One failure, with the cells of its row. `start`: of the row. */
static void
fail_there(struct row_sender *sender, const json_t *failure, const struct route_cell *cells,
	   size_t start)
{
	const char *member = json_string_value(json_object_get(failure, "member"));
	const char *message = json_string_value(json_object_get(failure, "message"));
	struct strbuf shown = STRBUF_INIT;
	size_t line, column, at = start;
	struct error why;

	while (at < sender->file->len && strchr(" \t\r\n", sender->file->text[at]) != NULL)
		at++;
	for (unsigned i = 0; member != NULL && i < FILE_COLUMNS; i++) {
		if (strcmp(route_file_column(i), member) != 0 || !cells[i].given)
			continue;
		at = cells[i].at;
		if (i != ROUTE_REMOTE_PASSWORD && cells[i].len > 0)
			strbuf_putc(&shown, ' ');
		if (i != ROUTE_REMOTE_PASSWORD)
			strbuf_escaped(&shown, cells[i].text,
				       cells[i].len < 80 ? cells[i].len : 80);
	}
	error_set(&why, (enum error_code)json_integer_value(json_object_get(failure, "code")),
		  "%s%s%s%s", member != NULL ? member : "", shown.len > 0 ? shown.data : "",
		  member != NULL ? ": " : "", message != NULL ? message : "");
	route_file_place(sender->file, at, &line, &column);
	failures_add(&sender->failures, line, column, &why);
	strbuf_clear(&shown);
}

int
row_sender_refused(struct row_sender *sender, struct error *why)
{
	const json_t *data = client_error_data(sender->session->client);
	const json_t *failures = json_object_get(data, "failures"), *failure;
	size_t told = json_array_size(failures), row = 0, start, i;
	json_int_t all = json_integer_value(json_object_get(data, "failure_count"));
	struct route_cell cells[FILE_COLUMNS];
	struct error ignored;

	if (told == 0 && sender->failures.count == 0)
		return -1;
	if (told == 0 || route_file_begin(sender->file, &ignored) != 0)
		return failures_end(&sender->failures, sender->session, "row", why);
	json_array_foreach(failures, i, failure)
	{
		size_t wanted = (size_t)json_integer_value(json_object_get(failure, "at"));

		/* They need not come in the order of the rows. */
		if (wanted < row && route_file_begin(sender->file, &ignored) == 0)
			row = 0;
		do
			start = sender->file->at;
		while (route_file_next(sender->file, cells, &ignored) > 0 && row++ < wanted);
		if (!failed_here(sender, wanted))
			fail_there(sender, failure, cells, start);
	}
	if (all > (json_int_t)told)
		sender->failures.count += (size_t)all - told;
	return failures_end(&sender->failures, sender->session, "row", why);
}

int
row_sender_check(struct row_sender *sender, struct error *why)
{
	struct error refused;
	json_t *params, *reply;

	if (!sender->clumsy)
		return 0;
	/* A difference changes nothing. */
	params = row_sender_last(sender);
	reply = session_call(sender->session, "routes.diff", json_incref(params), false, &refused);
	row_sender_wipe(params);
	if (reply == NULL && sender->session->client != NULL)
		return row_sender_refused(sender, why);
	json_decref(reply);
	return failures_end(&sender->failures, sender->session, "row", why);
}

void
row_sender_clear(struct row_sender *sender)
{
	if (sender->lines.data != NULL)
		explicit_bzero(sender->lines.data, sender->lines.len);
	strbuf_clear(&sender->lines);
	failures_clear(&sender->failures);
}
