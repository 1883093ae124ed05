/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/control/upload.h"

#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/net/offload.h"

enum {
	PIECES_AHEAD = 4,   /* not read yet: no further one is asked for */
	SLICE_ROWS = 20000, /* held beside the table before mail has its turn: 5 to 10 ms */
	ROWS_MOST = 20 * 1000 * 1000
};

/* What one thread reads: it touches nothing but this. */
struct piece {
	struct upload *upload;
	struct piece *next;
	json_t *lines;
	unsigned columns[ROWS_COLUMNS];
	size_t column_count;
	struct rows rows;
	bool ready;
};

struct upload {
	const struct control_services *services;
	struct rows rows;
	struct piece *first; /* pieces that are not part of the rows yet, in their order */
	struct piece **last;
	size_t pieces;
	size_t jobs; /* threads that work for us */
	struct call *waiting;
	bool ending; /* it waits for the end */
	bool prune;
	bool gone; /* freed as soon as no thread works for us */
	void (*matched)(struct upload *upload, struct call *call, struct matching *matching);
	struct matching *matching;
	struct timer *slice;
	struct differences *differences;
};

static void slice_fired(void *ctx);
static void advance(struct upload *upload);

struct upload *
upload_new(const struct control_services *services)
{
	struct upload *upload = xcalloc(1, sizeof(*upload));

	upload->services = services;
	upload->last = &upload->first;
	upload->slice = timer_new(services->loop, slice_fired, upload);
	return upload;
}

void
differences_free(struct differences *differences)
{
	if (differences == NULL)
		return;
	for (size_t i = 0; i < differences->count; i++) {
		route_unref((struct route *)(uintptr_t)differences->before[i]);
		route_unref(differences->after[i]);
	}
	free(differences->before);
	free(differences->after);
	free(differences);
}

struct differences *
upload_differences(struct upload *upload)
{
	return upload->differences;
}

void
upload_keep(struct upload *upload, struct differences *differences)
{
	differences_free(upload->differences);
	upload->differences = differences;
}

static void
piece_free(struct piece *piece)
{
	rows_clear(&piece->rows);
	json_decref(piece->lines);
	free(piece);
}

static void
release(struct upload *upload)
{
	struct piece *piece;

	while ((piece = upload->first) != NULL) {
		upload->first = piece->next;
		piece_free(piece);
	}
	rows_clear(&upload->rows);
	matching_free(upload->matching);
	differences_free(upload->differences);
	timer_free(upload->slice);
	free(upload);
}

/* Take the call that waits: it is answered now. */
static struct call *
take_call(struct upload *upload)
{
	struct call *call = upload->waiting;

	upload->waiting = NULL;
	upload->ending = false;
	return call;
}

void
upload_free(struct upload *upload)
{
	struct error why;
	struct call *call;

	if (upload == NULL)
		return;
	call = take_call(upload);
	if (call != NULL) {
		error_set(&why, ERROR_REFUSED, "the console has gone");
		call_refuse(call, &why, NULL);
	}
	upload->gone = true;
	if (upload->jobs == 0)
		release(upload);
}

/* ---- pieces ---- */

static void
piece_work(void *ctx)
{
	struct piece *piece = ctx;
	/* Nobody else looks at the text any more: it can be written over. */
	char *text = (char *)(uintptr_t)json_string_value(piece->lines);

	rows_read(&piece->rows, piece->columns, piece->column_count, text,
		  json_string_length(piece->lines));
}

static void
piece_done(void *ctx)
{
	struct piece *piece = ctx;
	struct upload *upload = piece->upload;

	piece->ready = true;
	upload->jobs--;
	while ((piece = upload->first) != NULL && piece->ready) {
		rows_join(&upload->rows, &piece->rows);
		upload->first = piece->next;
		if (upload->first == NULL)
			upload->last = &upload->first;
		upload->pieces--;
		piece_free(piece);
	}
	if (upload->gone && upload->jobs == 0)
		release(upload);
	else if (!upload->gone)
		advance(upload);
}

void
upload_piece(struct upload *upload, const unsigned *columns, size_t column_count, json_t *lines)
{
	struct piece *piece = xcalloc(1, sizeof(*piece));

	piece->upload = upload;
	piece->lines = json_incref(lines);
	memcpy(piece->columns, columns, column_count * sizeof(columns[0]));
	piece->column_count = column_count;
	*upload->last = piece;
	upload->last = &piece->next;
	upload->pieces++;
	upload->jobs++;
	offload_run(upload->services->offload, piece_work, piece_done, piece);
}

/* ---- all of them ---- */

static json_t *
failure_of(const struct row_failure *row)
{
	const char *member = rows_column_name(row->column);

	return json_pack("{s:I, s:s?, s:i, s:s}", "at", (json_int_t)row->row, "member", member,
			 "code", (int)row->why.code, "message", row->why.text);
}

/* Rows can't be done. The console may be gone when the call is answered, and the upload with it. */
static void
end_refused(struct upload *upload, const struct rows *rows)
{
	size_t count = rows->failure_count < ROWS_FAILURES ? rows->failure_count : ROWS_FAILURES;
	struct error why = rows->failures[0].why;
	struct call *call = take_call(upload);
	json_t *failures = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(failures, failure_of(&rows->failures[i]));
	call_put(call, "failures", failures);
	call_put(call, "failure_count", json_integer((json_int_t)rows->failure_count));
	error_prefix(&why, "row %zu", rows->failures[0].row + 1);
	rows_clear(&upload->rows);
	matching_free(upload->matching);
	upload->matching = NULL;
	call_refuse(call, &why, NULL);
}

static void
slice_fired(void *ctx)
{
	struct upload *upload = ctx;
	struct changes *changes = upload->services->changes;
	struct matching *matching = upload->matching;

	if (!matching_slice(matching, changes_table(changes), changes_revision(changes),
			    SLICE_ROWS)) {
		timer_set(upload->slice, 0);
		return;
	}
	if (matching_rows(matching)->failure_count > 0) {
		end_refused(upload, matching_rows(matching));
		return;
	}
	upload->matching = NULL;
	upload->matched(upload, take_call(upload), matching);
}

static void
seal_work(void *ctx)
{
	struct upload *upload = ctx;

	rows_seal(&upload->rows);
}

static void
seal_done(void *ctx)
{
	struct upload *upload = ctx;

	upload->jobs--;
	if (upload->gone) {
		release(upload);
		return;
	}
	if (upload->rows.failure_count > 0) {
		end_refused(upload, &upload->rows);
		return;
	}
	upload->matching = matching_new(&upload->rows, upload->prune);
	timer_set(upload->slice, 0);
}

/* Do what the call that waits can have now. */
static void
advance(struct upload *upload)
{
	json_int_t rows = (json_int_t)upload->rows.count;
	struct error why;

	if (upload->waiting == NULL)
		return;
	if (upload->rows.count > ROWS_MOST) {
		error_set(&why, ERROR_REFUSED, "more than %d rows", ROWS_MOST);
		rows_clear(&upload->rows);
		call_refuse(take_call(upload), &why, NULL);
	} else if (upload->ending && upload->pieces == 0) {
		upload->jobs++;
		offload_run(upload->services->offload, seal_work, seal_done, upload);
	} else if (!upload->ending && upload->pieces < PIECES_AHEAD) {
		call_answer(take_call(upload), json_pack("{s:I}", "rows", rows));
	}
}

void
upload_continue(struct upload *upload, struct call *call)
{
	upload->waiting = call;
	advance(upload);
}

void
upload_match(struct upload *upload, struct call *call, bool prune,
	     void (*matched)(struct upload *upload, struct call *call, struct matching *matching))
{
	upload->waiting = call;
	upload->ending = true;
	upload->prune = prune;
	upload->matched = matched;
	advance(upload);
}
