/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/cmd_import.h"

#include <inttypes.h>
#include <string.h>

#include "console/change_flags.h"
#include "console/cmd_list.h"
#include "console/row_sender.h"

#define FORMAT_FLAG                                                                                \
	{                                                                                          \
		.names = "--format", .value = "FORMAT", .type = FLAG_WORD,                         \
		.choices = "json|jsonl|csv|tsv",                                                   \
		.help =                                                                            \
		    "what FILE is: json, jsonl, csv or tsv; else it is seen from its beginning"    \
	}

const struct command_flag cmd_diff_flags[DIFF_FLAGS] = {
    [DIFF_FORMAT] = FORMAT_FLAG,
};

const struct command_flag cmd_import_flags[IMPORT_FLAGS] = {
    [IMPORT_FORMAT] = FORMAT_FLAG,
    [IMPORT_PRUNE] = {.names = "--prune", .help = "delete the routes whose id is not in FILE"},
};

static enum route_file_format
format_of(const char *name)
{
	if (name == NULL)
		return FILE_ANY;
	if (strcmp(name, "json") == 0)
		return FILE_JSON;
	if (strcmp(name, "jsonl") == 0)
		return FILE_JSONL;
	return strcmp(name, "csv") == 0 ? FILE_CSV : FILE_TSV;
}

/* ---- export
 * -------------------------------------------------------------------------------------- */

int
cmd_export_run(struct session *session, const struct command_call *call, struct error *why)
{
	/* The lines of the list can't be read back. */
	if (session->style.format == OUTPUT_TEXT)
		session->style.format = OUTPUT_JSON;
	return cmd_list_run(session, call, why);
}

/* ---- import
 * -------------------------------------------------------------------------------------- */

static const char *const import_members[] = {"revision", "dry_run", "added",
					     "changed",  "deleted", NULL};

static const struct output_column import_columns[] = {
    {.title = "REVISION", .member = "revision", .right = true},
    {.title = "ADDED", .member = "added", .right = true},
    {.title = "CHANGED", .member = "changed", .right = true},
    {.title = "DELETED", .member = "deleted", .right = true},
};

static const struct output_kind import_kind = {
    .schema = "tmail.import/1",
    .members = import_members,
    .columns = import_columns,
    .column_count = sizeof(import_columns) / sizeof(import_columns[0]),
};

static int
say_imported(struct session *session, json_t *reply, struct error *why)
{
	struct output *output;

	/* The changes say the same. */
	json_object_del(reply, "routes");
	json_object_del(reply, "lines");
	if (session->style.format != OUTPUT_TEXT && !session->quiet) {
		output = output_new(session->out, &session->style, &import_kind, -1);
		output_row(output, reply);
		if (output_end(output, why) != 0)
			return -1;
	}
	change_flags_say_counts(session, reply);
	return 0;
}

static int
import_file(struct session *session, const struct command_call *call, struct route_file *file,
	    struct error *why)
{
	struct row_sender sender;
	json_t *params, *reply = NULL;
	int rc = row_sender_run(&sender, session, file, "routes.import", why);

	if (rc == 0)
		rc = row_sender_check(&sender, why);
	if (rc != 0)
		goto out;
	params = row_sender_last(&sender);
	if (call->values[IMPORT_PRUNE] != NULL)
		json_object_set_new(params, "prune", json_true());
	rc = -1;
	reply = change_flags_call(session, call, "routes.import", json_incref(params), why);
	row_sender_wipe(params);
	if (reply == NULL && session->client != NULL)
		row_sender_refused(&sender, why);
	else if (reply != NULL)
		rc = change_flags_dry_run(call) ? 0 : say_imported(session, reply, why);
out:
	row_sender_clear(&sender);
	json_decref(reply);
	return rc;
}

int
cmd_import_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct route_file file;
	int rc = route_file_open(&file, session, call->operands[0],
				 format_of(call->values[IMPORT_FORMAT]), why);

	if (rc == 0)
		rc = import_file(session, call, &file, why);
	route_file_close(&file);
	return rc;
}

/* ---- diff
 * ---------------------------------------------------------------------------------------- */

/* The pages behind the first one, too. Returns how many differences there are, or -1. */
static json_int_t
print_pages(struct session *session, json_t *reply, struct error *why)
{
	json_int_t count = json_integer_value(json_object_get(reply, "added")) +
			   json_integer_value(json_object_get(reply, "changed")) +
			   json_integer_value(json_object_get(reply, "deleted"));
	struct output *output = output_new(session->out, &session->style, &change_flags_kind,
					   json_integer_value(json_object_get(reply, "revision")));
	json_t *next;

	for (;;) {
		if (!session->quiet)
			change_flags_put(output, reply);
		next = json_object_get(reply, "next");
		if (!json_is_integer(next) || session->quiet || output_failed(output))
			break;
		next = json_pack("{s:O}", "from", next);
		json_decref(reply);
		reply = session_call(session, "routes.diff", next, false, why);
		if (reply == NULL) {
			output_abandon(output);
			return -1;
		}
	}
	json_decref(reply);
	if (session->quiet)
		output_abandon(output);
	else if (output_end(output, why) != 0)
		return -1;
	return count;
}

static int
diff_file(struct session *session, struct route_file *file, struct error *why)
{
	struct row_sender sender;
	json_t *params, *reply;
	json_int_t count = -1;
	int rc = row_sender_run(&sender, session, file, "routes.diff", why);

	if (rc == 0)
		rc = row_sender_check(&sender, why);
	if (rc != 0)
		goto out;
	params = row_sender_last(&sender);
	json_object_set_new(params, "prune", json_true());
	reply = session_call(session, "routes.diff", json_incref(params), false, why);
	row_sender_wipe(params);
	if (reply != NULL)
		count = print_pages(session, reply, why);
	else if (session->client != NULL)
		row_sender_refused(&sender, why);
	rc = count == 0 ? 0 : -1;
	/* What differs has been printed. */
	if (count > 0)
		error_set(why, ERROR_DIFFERS, "%s", "");
out:
	row_sender_clear(&sender);
	return rc;
}

int
cmd_diff_run(struct session *session, const struct command_call *call, struct error *why)
{
	struct route_file file;
	int rc = route_file_open(&file, session, call->operands[0],
				 format_of(call->values[DIFF_FORMAT]), why);

	if (rc == 0)
		rc = diff_file(session, &file, why);
	route_file_close(&file);
	return rc;
}
