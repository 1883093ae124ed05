/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/smtp/answers.h"
#include "relayd/smtp/syntax.h"
#include "relayd/smtp/transaction.h"

enum server_state {
	SERVER_GREETED,    /* The client was greeted and has not said who it is. */
	SERVER_READY,      /* It has; no transaction is open. */
	SERVER_SENDER,     /* MAIL was accepted, no RCPT yet. */
	SERVER_RECIPIENTS, /* At least one RCPT was accepted. */
	SERVER_DATA,       /* 354 was said: what comes is message, up to the end of data. */
	SERVER_COMMIT,     /* All data is here; its reply waits for the disk. Nothing is fed. */
	SERVER_CLOSED      /* The last word is said and `finish` was called. */
};

enum {
	/* Legal states, as a mask. */
	IN_GREETED = 1 << SERVER_GREETED,
	IN_READY = 1 << SERVER_READY,
	IN_SENDER = 1 << SERVER_SENDER,
	IN_RECIPIENTS = 1 << SERVER_RECIPIENTS,
	IN_ANY = IN_GREETED | IN_READY | IN_SENDER | IN_RECIPIENTS,

	OUTPUT_MAX = 16 * 1024, /* replies gathered before the owner gets to look */
	LOGGED_COMMAND_MAX = 256
};

/* A name, and what a verb that is not legal in it is refused with. */
static const struct {
	const char *name;
	enum answer out_of_sequence;
} states[] = {
    [SERVER_GREETED] = {"greeted", ANSWER_HELO_FIRST},
    [SERVER_READY] = {"ready", ANSWER_MAIL_FIRST},
    [SERVER_SENDER] = {"sender", ANSWER_NESTED_MAIL},
    [SERVER_RECIPIENTS] = {"recipients", ANSWER_NESTED_MAIL},
    [SERVER_DATA] = {"data", ANSWER_NONE},
    [SERVER_COMMIT] = {"commit", ANSWER_NONE},
    [SERVER_CLOSED] = {"closed", ANSWER_NONE},
};

/* What of a spoilt command line is still to be skipped. */
enum server_skip {
	SKIP_NOTHING,
	SKIP_REFUSED, /* the refusal was said when the fault was seen */
	SKIP_TOO_LONG /* it is due at the end of the line */
};

struct server {
	const struct server_shared *shared;
	struct server_io io;
	void *io_ctx;
	struct netaddr remote;
	enum server_state state;
	enum server_skip skip;
	char *helo; /* NULL before EHLO or HELO */
	bool is_esmtp;
	struct transaction *transaction;
	char *named_sender; /* what the present command names, for the log */
	char *named_recipient;
	unsigned errors;
	bool has_progress; /* since the deadline was set */
	bool is_behind;    /* the disk is; nothing is fed */
	bool is_stopping;
	struct strbuf out;
};

static void
set_state(struct server *server, enum server_state state)
{
	char client[NETADDR_TEXT_MAX];

	if (server->state != state && log_wants(server->shared->log, LOG_LEVEL_DEBUG))
		log_event(server->shared->log, LOG_LEVEL_DEBUG, 0, "session",
			  LOG_S("client", netaddr_text_port(&server->remote, client)),
			  LOG_S("old", states[server->state].name),
			  LOG_S("new", states[state].name));
	server->state = state;
}

/* ---- saying ---- */

static void
flush(struct server *server)
{
	if (server->out.len > 0)
		server->io.send(server->io_ctx, server->out.data, server->out.len);
	strbuf_reset(&server->out);
}

/* How long to wait, by the state that was reached. */
static void
set_deadline(struct server *server)
{
	const struct server_shared *shared = server->shared;

	server->has_progress = false;
	if (server->state == SERVER_CLOSED)
		return;
	if (server->state == SERVER_COMMIT || server->is_behind)
		server->io.set_deadline(server->io_ctx, -1);
	else
		server->io.set_deadline(server->io_ctx, server->state == SERVER_DATA
							    ? shared->data_ms
							    : shared->command_ms);
}

static void
end_transaction(struct server *server)
{
	transaction_free(server->transaction);
	server->transaction = NULL;
}

static void
close_session(struct server *server)
{
	end_transaction(server);
	set_state(server, SERVER_CLOSED);
	flush(server);
	server->io.finish(server->io_ctx);
}

static void
say(struct server *server, enum answer answer)
{
	answer_put(answer, server->shared->hostname, &server->out);
}

static void
log_refusal(const struct server *server, const char *event, const char *reply, const char *command)
{
	const struct transaction *transaction = server->transaction;
	const char *sender = server->named_sender, *recipient = server->named_recipient;
	const char *why = NULL;
	char client[NETADDR_TEXT_MAX];
	uint64_t id = 0;

	if (transaction != NULL) {
		id = transaction_id(transaction);
		why = transaction_why(transaction);
		if (sender == NULL)
			sender = transaction_sender(transaction);
		if (recipient == NULL)
			recipient = transaction_recipient(transaction);
	}
	log_event(server->shared->log, LOG_LEVEL_INFO, id, event, LOG_S("reply", reply),
		  LOG_S("client", netaddr_text(&server->remote, client)),
		  LOG_S("helo", server->helo), LOG_S("from", sender), LOG_S("rcpt", recipient),
		  LOG_S("command", command), LOG_S("why", why));
}

static void
say_and_log(struct server *server, enum answer answer, const char *command)
{
	struct strbuf reply = STRBUF_INIT;

	answer_put(answer, server->shared->hostname, &reply);
	strbuf_append(&server->out, reply.data, reply.len);
	strbuf_truncate(&reply, reply.len - 2);
	log_refusal(server, "refused", reply.data, command);
	strbuf_clear(&reply);
}

/* Say no, and to a client that goes on earning it: good bye, but not in place of the answer that is
 * due. A 4xx is not the client's error. */
static void
refuse(struct server *server, enum answer answer, const char *command, size_t len)
{
	char *shown = NULL;

	if (command != NULL)
		shown = xstrndup(command, len < LOGGED_COMMAND_MAX ? len : LOGGED_COMMAND_MAX);
	say_and_log(server, answer, shown);
	free(shown);
	if (answer_code(answer) >= 500 && ++server->errors >= server->shared->errors) {
		say_and_log(server, ANSWER_TOO_MANY_ERRORS, NULL);
		close_session(server);
	}
}

/* ---- verbs ---- */

static void
do_hello(struct server *server, const char *argument, size_t len, bool is_esmtp)
{
	/* §4.1.4: a second one is a RSET too. */
	end_transaction(server);
	free(server->helo);
	server->helo = xstrndup(argument, len);
	server->is_esmtp = is_esmtp;
	set_state(server, SERVER_READY);
}

static enum answer
do_ehlo(struct server *server, const char *argument, size_t len)
{
	do_hello(server, argument, len, true);
	strbuf_printf(&server->out, "250-%s\r\n", server->shared->hostname);
	strbuf_printf(&server->out, "250-SIZE %" PRIu64 "\r\n", server->shared->message_size);
	strbuf_puts(&server->out, "250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
	return ANSWER_NONE;
}

static enum answer
do_helo(struct server *server, const char *argument, size_t len)
{
	do_hello(server, argument, len, false);
	strbuf_printf(&server->out, "250 %s\r\n", server->shared->hostname);
	return ANSWER_NONE;
}

static enum answer
do_mail(struct server *server, const char *argument, size_t len)
{
	const struct transaction_client client = {
	    .address = server->remote, .helo = server->helo, .is_esmtp = server->is_esmtp};
	struct syntax_mail mail;
	enum answer refusal = syntax_mail(argument, len, &mail);

	if (refusal != ANSWER_NONE)
		return refusal;
	if (mail.has_size && mail.size > server->shared->message_size) {
		server->named_sender = mail.sender;
		return ANSWER_MESSAGE_TOO_LARGE;
	}
	server->transaction = transaction_new(server->shared, &client, mail.sender);
	set_state(server, SERVER_SENDER);
	return ANSWER_SENDER_OK;
}

static enum answer
do_rcpt(struct server *server, const char *argument, size_t len)
{
	struct syntax_rcpt rcpt;
	enum answer answer = syntax_rcpt(argument, len, &rcpt);

	if (answer != ANSWER_NONE)
		return answer;
	server->named_recipient = rcpt.recipient;
	answer = transaction_add_recipient(server->transaction, rcpt.recipient);
	if (answer == ANSWER_RECIPIENT_OK)
		set_state(server, SERVER_RECIPIENTS);
	return answer;
}

static enum answer
do_data(struct server *server, const char *argument, size_t len)
{
	(void)argument;
	(void)len;
	/* The sender is not kept for a later attempt: the client begins anew with MAIL. */
	if (server->state == SERVER_SENDER)
		return ANSWER_NO_RECIPIENTS;
	transaction_begin_data(server->transaction);
	set_state(server, SERVER_DATA);
	return ANSWER_START_DATA;
}

static enum answer
do_rset(struct server *server, const char *argument, size_t len)
{
	(void)argument;
	(void)len;
	end_transaction(server);
	if (server->state != SERVER_GREETED)
		set_state(server, SERVER_READY);
	return ANSWER_OK;
}

static enum answer
do_noop(struct server *server, const char *argument, size_t len)
{
	(void)server;
	(void)argument;
	(void)len;
	return ANSWER_OK;
}

static enum answer
do_vrfy(struct server *server, const char *argument, size_t len)
{
	(void)server;
	(void)argument;
	(void)len;
	return ANSWER_CANNOT_VERIFY;
}

static enum answer
do_help(struct server *server, const char *argument, size_t len)
{
	(void)server;
	(void)argument;
	(void)len;
	return ANSWER_HELP;
}

static enum answer
do_quit(struct server *server, const char *argument, size_t len)
{
	(void)argument;
	(void)len;
	say(server, ANSWER_BYE);
	close_session(server);
	return ANSWER_NONE;
}

struct verb {
	const char *name;
	int states; /* it is legal in */
	enum { ARGUMENT_NONE, ARGUMENT_NEEDED, ARGUMENT_OPTIONAL } argument;
	/* What to answer with; ANSWER_NONE: it has answered. A refusal changes no state, but see
	 * execute. */
	enum answer (*run)(struct server *server, const char *argument, size_t len);
};

static const struct verb verbs[] = {
    {"EHLO", IN_ANY, ARGUMENT_NEEDED, do_ehlo},
    {"HELO", IN_ANY, ARGUMENT_NEEDED, do_helo},
    {"MAIL", IN_READY, ARGUMENT_NEEDED, do_mail},
    {"RCPT", IN_SENDER | IN_RECIPIENTS, ARGUMENT_NEEDED, do_rcpt},
    {"DATA", IN_SENDER | IN_RECIPIENTS, ARGUMENT_NONE, do_data},
    {"RSET", IN_ANY, ARGUMENT_NONE, do_rset},
    {"NOOP", IN_ANY, ARGUMENT_OPTIONAL, do_noop},
    {"VRFY", IN_ANY, ARGUMENT_NEEDED, do_vrfy},
    {"HELP", IN_ANY, ARGUMENT_OPTIONAL, do_help},
    {"QUIT", IN_ANY, ARGUMENT_NONE, do_quit},
};

static enum answer
run_verb(struct server *server, const struct syntax_command *command)
{
	const struct verb *verb = NULL;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && verb == NULL; i++) {
		if (syntax_is_verb(command, verbs[i].name))
			verb = &verbs[i];
	}
	if (verb == NULL)
		return ANSWER_UNKNOWN_COMMAND;
	if ((verb->states & 1 << server->state) == 0)
		return states[server->state].out_of_sequence;
	if (verb->argument == ARGUMENT_NEEDED && command->argument_len == 0)
		return ANSWER_ARGUMENT_MISSING;
	if (verb->argument == ARGUMENT_NONE && command->argument_len > 0)
		return ANSWER_NO_ARGUMENT_ALLOWED;
	return verb->run(server, command->argument, command->argument_len);
}

static void
execute(struct server *server, const char *line, size_t len)
{
	struct syntax_command command;
	enum answer answer = syntax_split(line, len, &command);

	if (answer == ANSWER_NONE)
		answer = run_verb(server, &command);
	if (answer_is_refusal(answer))
		refuse(server, answer, line, len);
	else if (answer != ANSWER_NONE)
		say(server, answer);
	free(server->named_sender);
	free(server->named_recipient);
	server->named_sender = server->named_recipient = NULL;
	/* Nothing of it may be left for the next message to meet. */
	if (answer == ANSWER_NO_RECIPIENTS && server->state != SERVER_CLOSED) {
		end_transaction(server);
		set_state(server, SERVER_READY);
	}
}

/* ---- the end of a message ---- */

static void
settle(struct server *server, enum answer answer)
{
	if (answer == ANSWER_OK)
		strbuf_printf(&server->out, "250 2.0.0 Ok: queued as %" PRIu64 "\r\n",
			      transaction_id(server->transaction));
	else
		refuse(server, answer, NULL, 0);
	if (server->state == SERVER_CLOSED)
		return;
	end_transaction(server);
	set_state(server, SERVER_READY);
	if (server->is_stopping) {
		say(server, ANSWER_STOPPING);
		close_session(server);
	}
}

static void
on_committed(void *ctx, enum answer answer)
{
	struct server *server = ctx;

	settle(server, answer);
	if (server->state == SERVER_CLOSED)
		return;
	flush(server);
	set_deadline(server);
	server->io.resume(server->io_ctx);
}

static void
on_relieved(void *ctx)
{
	struct server *server = ctx;

	server->is_behind = false;
	set_deadline(server);
	server->io.resume(server->io_ctx);
}

/* ---- bytes ---- */

static size_t
feed_data(struct server *server, const char *bytes, size_t len)
{
	size_t taken = transaction_feed(server->transaction, bytes, len);
	enum answer refusal;

	server->has_progress = true;
	if (transaction_has_all(server->transaction)) {
		refusal = transaction_commit(server->transaction, on_committed, server);
		if (refusal != ANSWER_NONE) {
			settle(server, refusal);
		} else {
			set_state(server, SERVER_COMMIT);
			server->io.pause(server->io_ctx);
		}
	} else if (transaction_must_wait(server->transaction, on_relieved, server)) {
		server->is_behind = true;
		server->io.pause(server->io_ctx);
	}
	return taken;
}

static size_t
feed_command(struct server *server, const char *bytes, size_t len)
{
	size_t used;

	switch (syntax_line(bytes, len, &used)) {
	case SYNTAX_LINE_PART:
		break;
	case SYNTAX_LINE_WHOLE:
		server->has_progress = true;
		execute(server, bytes, used - 2);
		break;
	case SYNTAX_LINE_BARE:
		/* Now, not at the line's end: a client that knows no CRLF would never get there. */
		server->skip = SKIP_REFUSED;
		refuse(server, ANSWER_BARE_IN_COMMAND, bytes, used - 1);
		break;
	case SYNTAX_LINE_TOO_LONG:
		server->skip = SKIP_TOO_LONG;
		break;
	}
	return used;
}

static size_t
feed_skip(struct server *server, const char *bytes, size_t len)
{
	enum server_skip skip = server->skip;
	bool ended;
	size_t used = syntax_skip_line(bytes, len, &ended);

	if (ended) {
		server->skip = SKIP_NOTHING;
		server->has_progress = true;
		if (skip == SKIP_TOO_LONG)
			refuse(server, ANSWER_LINE_TOO_LONG, NULL, 0);
	}
	return used;
}

size_t
server_feed(struct server *server, const char *bytes, size_t len)
{
	size_t used = 0, taken;

	while (used < len && server->state != SERVER_COMMIT && server->state != SERVER_CLOSED &&
	       !server->is_behind && server->out.len < OUTPUT_MAX) {
		if (server->state == SERVER_DATA)
			taken = feed_data(server, bytes + used, len - used);
		else if (server->skip != SKIP_NOTHING)
			taken = feed_skip(server, bytes + used, len - used);
		else
			taken = feed_command(server, bytes + used, len - used);
		if (taken == 0)
			break;
		used += taken;
	}
	flush(server);
	if (server->has_progress)
		set_deadline(server);
	return used;
}

/* ---- life ---- */

struct server *
server_new(const struct server_shared *shared, const struct server_io *io, void *io_ctx,
	   const struct netaddr *remote)
{
	struct server *server = xcalloc(1, sizeof(*server));

	server->shared = shared;
	server->io = *io;
	server->io_ctx = io_ctx;
	server->remote = *remote;
	server->state = SERVER_GREETED;
	strbuf_printf(&server->out, "220 %s ESMTP relayd\r\n", shared->hostname);
	flush(server);
	set_deadline(server);
	return server;
}

void
server_timed_out(struct server *server)
{
	if (server->state == SERVER_CLOSED || server->state == SERVER_COMMIT || server->is_behind)
		return;
	log_refusal(server, "timeout", NULL, NULL);
	say(server, ANSWER_TIMEOUT);
	close_session(server);
}

void
server_shut_down(struct server *server)
{
	if (server->state == SERVER_CLOSED)
		return;
	server->is_stopping = true;
	if (server->state == SERVER_DATA || server->state == SERVER_COMMIT)
		return;
	say(server, ANSWER_STOPPING);
	close_session(server);
}

void
server_free(struct server *server)
{
	if (server->state == SERVER_DATA)
		log_refusal(server, "lost", NULL, NULL);
	end_transaction(server);
	strbuf_clear(&server->out);
	free(server->helo);
	free(server);
}
