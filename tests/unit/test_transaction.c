/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/smtp/transaction: which recipients are taken and in what form, what reaches the spool, and
 * that after each kind of failure nothing does. The spool is a scripted one, below: so a full disk,
 * a slow one and a commit that outlives its session happen at the very moment the test wants.
 */
#include "relayd/smtp/transaction.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/smtp/server.h"

/* ---- the scripted spool: one draft at a time ---- */

struct spool {
	size_t room; /* octets until writing fails; */
	int sys;     /* with this errno */
	bool is_behind;
	int drafts; /* begun and neither aborted nor committed */
	struct strbuf body;
	uint64_t last_id;
	struct envelope *committing;
	void (*done)(void *ctx, const struct error *why);
	void *done_ctx;
	void (*relieved)(void *ctx);
	void *relieved_ctx;
};

struct spool_draft {
	struct spool *spool;
	uint64_t id;
	bool has_failed;
};

struct spool_draft *
spool_begin(struct spool *spool)
{
	struct spool_draft *draft = xcalloc(1, sizeof(*draft));

	draft->spool = spool;
	draft->id = ++spool->last_id;
	spool->drafts++;
	strbuf_reset(&spool->body);
	return draft;
}

uint64_t
spool_draft_id(const struct spool_draft *draft)
{
	return draft->id;
}

int
spool_write(struct spool_draft *draft, const void *bytes, size_t len, struct error *why)
{
	struct spool *spool = draft->spool;

	assert_false(draft->has_failed);
	if (len > spool->room) {
		draft->has_failed = true;
		errno = spool->sys;
		return error_sys(why, ERROR_STORAGE, "no writing");
	}
	spool->room -= len;
	strbuf_append(&spool->body, bytes, len);
	return 0;
}

bool
spool_draft_is_behind(const struct spool_draft *draft)
{
	return draft->spool->is_behind;
}

void
spool_draft_on_relief(struct spool_draft *draft, void (*relieved)(void *ctx), void *ctx)
{
	assert_null(draft->spool->relieved);
	draft->spool->relieved = relieved;
	draft->spool->relieved_ctx = ctx;
}

void
spool_abort(struct spool_draft *draft)
{
	draft->spool->drafts--;
	draft->spool->relieved = NULL;
	free(draft);
}

void
spool_commit(struct spool_draft *draft, struct envelope *env,
	     void (*done)(void *ctx, const struct error *why), void *ctx)
{
	struct spool *spool = draft->spool;

	assert_false(draft->has_failed);
	assert_null(spool->committing);
	env->id = draft->id;
	env->size = spool->body.len;
	spool->committing = env;
	spool->done = done;
	spool->done_ctx = ctx;
	spool->drafts--;
	free(draft);
}

static void
end_commit(struct spool *spool, int sys)
{
	struct error why;

	assert_non_null(spool->committing);
	spool->committing = NULL;
	errno = sys;
	if (sys != 0)
		error_sys(&why, ERROR_STORAGE, "no syncing");
	spool->done(spool->done_ctx, sys != 0 ? &why : NULL);
}

/* ---- the room around it ---- */

static const char *const relay_domains[] = {"example.org", ".example.net", "mx.example.com",
					    "xn--mnchen-3ya.example", "[192.0.2.25]"};

struct room {
	struct spool spool;
	struct server_shared shared;
	struct transaction *transaction;
	struct envelope *accepted;
	unsigned answers;
	enum answer answer;
};

static void
take(void *ctx, struct envelope *env)
{
	struct room *room = ctx;

	assert_null(room->accepted);
	room->accepted = env;
}

static void
settled(void *ctx, enum answer answer)
{
	struct room *room = ctx;

	room->answers++;
	room->answer = answer;
}

static int64_t
clock_ms(void *ctx)
{
	(void)ctx;
	return INT64_C(1704449472345);
}

static struct room *
room_new(void)
{
	struct room *room = xcalloc(1, sizeof(*room));

	room->spool.room = SIZE_MAX;
	room->spool.last_id = 41;
	room->shared = (struct server_shared){
	    .hostname = "mx.example.com",
	    .message_size = 1000,
	    .recipients = 3,
	    .spool = &room->spool,
	    .policy = {.relay_domains = relay_domains,
		       .relay_domains_count = sizeof(relay_domains) / sizeof(relay_domains[0])},
	    .accepted = take,
	    .accepted_ctx = room,
	    .wall_ms = clock_ms,
	};
	return room;
}

static void
begin(struct room *room, const char *recipient)
{
	struct transaction_client client = {.helo = "client.example", .is_esmtp = true};

	assert_int_equal(netaddr_parse("198.51.100.7", &client.address), 0);
	room->transaction = transaction_new(&room->shared, &client, xstrdup("a@sender.example"));
	if (recipient == NULL)
		return;
	assert_int_equal(transaction_add_recipient(room->transaction, recipient),
			 ANSWER_RECIPIENT_OK);
	transaction_begin_data(room->transaction);
}

static void
feed(struct room *room, const char *text)
{
	assert_int_equal(transaction_feed(room->transaction, text, strlen(text)), strlen(text));
}

static void
end(struct room *room)
{
	transaction_free(room->transaction);
	room->transaction = NULL;
}

static void
room_free(struct room *room)
{
	transaction_free(room->transaction);
	assert_int_equal(room->spool.drafts, 0);
	envelope_free(room->accepted);
	strbuf_clear(&room->spool.body);
	free(room);
}

static const char received[] = "Received: from client.example ([198.51.100.7])\r\n"
			       "\tby mx.example.com with ESMTP id 42\r\n"
			       "\tfor <b@example.org>;\r\n"
			       "\tFri, 05 Jan 2024 10:11:12 +0000\r\n";

/* ---- tests ---- */

static void
test_recipients(void **state)
{
	static const struct {
		const char *address;
		enum answer answer;
		const char *stored; /* what the envelope's last one is then */
	} steps[] = {
	    {"b@example.org", ANSWER_RECIPIENT_OK, "b@example.org"},
	    {"b@elsewhere.example", ANSWER_RELAYING_DENIED, "b@example.org"},
	    {"b%elsewhere.example@sub.example.org", ANSWER_RELAYING_DENIED, "b@example.org"},
	    {"\"b@example.org\"@elsewhere.example", ANSWER_RELAYING_DENIED, "b@example.org"},
	    {"b@[198.51.100.99]", ANSWER_RELAYING_DENIED, "b@example.org"},
	    {"b@example.net", ANSWER_RELAYING_DENIED, "b@example.org"},
	    {"b@192.0.2.25", ANSWER_BAD_RECIPIENT, "b@example.org"},
	    {"b@example.org", ANSWER_RECIPIENT_OK, "b@example.org"},
	    {"postmaster", ANSWER_RECIPIENT_OK, "postmaster@mx.example.com"},
	    {"c@sub.example.net", ANSWER_RECIPIENT_OK, "c@sub.example.net"},
	    /* Full: but who is there is still there, and policy still goes first. */
	    {"d@example.org", ANSWER_TOO_MANY_RECIPIENTS, "c@sub.example.net"},
	    {"c@sub.example.net", ANSWER_RECIPIENT_OK, "c@sub.example.net"},
	    {"d@elsewhere.example", ANSWER_RELAYING_DENIED, "c@sub.example.net"},
	};
	struct room *room = room_new();
	struct envelope *env;

	(void)state;
	begin(room, NULL);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_int_equal(transaction_add_recipient(room->transaction, steps[i].address),
				 steps[i].answer);
	transaction_begin_data(room->transaction);
	feed(room, "\r\nhello\r\n.\r\n");
	assert_int_equal(transaction_commit(room->transaction, settled, room), ANSWER_NONE);
	end_commit(&room->spool, 0);
	env = room->accepted;
	assert_int_equal(env->recipient_count, 3);
	assert_string_equal(env->recipients[0].address, "b@example.org");
	assert_string_equal(env->recipients[1].address, "postmaster@mx.example.com");
	assert_string_equal(env->recipients[2].address, "c@sub.example.net");
	/* Several recipients: the trace names none of them to the others. */
	assert_null(strstr(room->spool.body.data, "for <"));
	room_free(room);
}

static void
test_stored_forms(void **state)
{
	static const char *const forms[][2] = {
	    {"b@Example.ORG", "b@example.org"},
	    {"b@[192.0.2.25]", "b@[192.0.2.25]"},
	    {"b@[IPv6:::ffff:192.0.2.25]", "b@[192.0.2.25]"},
	    {"\"b c\"@xn--mnchen-3ya.example", "\"b c\"@xn--mnchen-3ya.example"},
	};
	struct room *room;

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		room = room_new();
		begin(room, forms[i][0]);
		feed(room, ".\r\n");
		assert_int_equal(transaction_commit(room->transaction, settled, room), ANSWER_NONE);
		end_commit(&room->spool, 0);
		assert_string_equal(room->accepted->recipients[0].address, forms[i][1]);
		room_free(room);
	}
}

static void
test_accepted(void **state)
{
	struct room *room = room_new();
	struct strbuf expected = STRBUF_INIT;
	const struct envelope *env;

	(void)state;
	begin(room, "b@example.org");
	assert_int_equal(transaction_id(room->transaction), 42);
	feed(room, "Subject: x\r\n\r\n..\xe4\r\n.\r\n");
	assert_true(transaction_has_all(room->transaction));
	assert_int_equal(transaction_commit(room->transaction, settled, room), ANSWER_NONE);
	assert_int_equal(room->answers, 0);
	assert_null(room->accepted);
	end_commit(&room->spool, 0);
	assert_int_equal(room->answers, 1);
	assert_int_equal(room->answer, ANSWER_OK);
	env = room->accepted;
	assert_non_null(env);
	assert_int_equal(env->id, 42);
	assert_string_equal(env->sender, "a@sender.example");
	assert_null(env->login);
	assert_true(env->has_8bit);
	assert_true(env->arrived_ms == INT64_C(1704449472345));
	strbuf_puts(&expected, received);
	strbuf_puts(&expected, "Subject: x\r\n\r\n.\xe4\r\n");
	assert_string_equal(room->spool.body.data, expected.data);
	strbuf_clear(&expected);
	room_free(room);
}

/* Each is refused at its end, and its draft was gone before that. */
static void
test_refused_data(void **state)
{
	static const struct {
		const char *data;
		enum answer refusal;
	} messages[] = {
	    {"a\nb\r\n.\r\n", ANSWER_BARE_IN_DATA},
	    {"a\r\n.\r\r\n.\r\n", ANSWER_BARE_IN_DATA},
	};
	struct room *room = room_new();
	char *large = xcalloc(1, 2000);

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		begin(room, "b@example.org");
		feed(room, messages[i].data);
		assert_int_equal(room->spool.drafts, 0);
		assert_int_equal(transaction_commit(room->transaction, settled, room),
				 messages[i].refusal);
		end(room);
	}

	begin(room, "b@example.org");
	memset(large, 'x', 1001);
	feed(room, large);
	assert_int_equal(room->spool.drafts, 0);
	feed(room, "\r\n");
	assert_false(transaction_has_all(room->transaction));
	feed(room, ".\r\n");
	assert_int_equal(transaction_commit(room->transaction, settled, room),
			 ANSWER_MESSAGE_TOO_LARGE);
	end(room);

	begin(room, "b@example.org");
	for (int i = 0; i < 51; i++)
		feed(room, "Received: x\r\n");
	feed(room, ".\r\n");
	assert_int_equal(transaction_commit(room->transaction, settled, room), ANSWER_LOOP);
	assert_int_equal(room->answers, 0);
	assert_null(room->accepted);
	free(large);
	room_free(room);
}

static void
test_failing_spool(void **state)
{
	static const struct {
		int sys;
		enum answer refusal;
	} failures[] = {
	    {ENOSPC, ANSWER_STORAGE_FULL},
	    {EDQUOT, ANSWER_STORAGE_FULL},
	    {EIO, ANSWER_STORAGE},
	};
	struct room *room = room_new();

	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		/* While the message comes in; at the very first write; by the sync. */
		room->spool.sys = failures[i].sys;
		room->spool.room = sizeof(received) - 1 + 5;
		begin(room, "b@example.org");
		feed(room, "1234\r\n");
		assert_int_equal(room->spool.drafts, 0);
		feed(room, "swallowed\r\n.\r\n");
		assert_int_equal(transaction_commit(room->transaction, settled, room),
				 failures[i].refusal);
		assert_non_null(strstr(transaction_why(room->transaction), "no writing"));
		end(room);

		room->spool.room = 0;
		begin(room, "b@example.org");
		assert_int_equal(room->spool.drafts, 0);
		feed(room, ".\r\n");
		assert_int_equal(transaction_commit(room->transaction, settled, room),
				 failures[i].refusal);
		end(room);

		room->spool.room = SIZE_MAX;
		begin(room, "b@example.org");
		feed(room, ".\r\n");
		assert_int_equal(transaction_commit(room->transaction, settled, room), ANSWER_NONE);
		end_commit(&room->spool, failures[i].sys);
		assert_int_equal(room->answers, i + 1);
		assert_int_equal(room->answer, failures[i].refusal);
		assert_string_equal(transaction_sender(room->transaction), "a@sender.example");
		assert_non_null(strstr(transaction_why(room->transaction), "no syncing"));
		end(room);
	}
	assert_null(room->accepted);
	room_free(room);
}

/* The session ends while the disk works: the message is accepted all the same, and nobody is told.
 */
static void
test_detached_commit(void **state)
{
	struct room *room = room_new();

	(void)state;
	for (int sys = 0; sys <= EIO; sys += EIO) {
		begin(room, "b@example.org");
		feed(room, "a\r\n.\r\n");
		assert_int_equal(transaction_commit(room->transaction, settled, room), ANSWER_NONE);
		end(room);
		end_commit(&room->spool, sys);
		assert_int_equal(room->answers, 0);
		assert_non_null(room->accepted);
		assert_int_equal(room->accepted->id, 42);
	}
	room_free(room);
}

static void
test_cut_at_any_time(void **state)
{
	struct room *room = room_new();

	(void)state;
	begin(room, NULL);
	end(room);
	begin(room, "b@example.org");
	end(room);
	begin(room, "b@example.org");
	feed(room, "half a mess");
	assert_int_equal(room->spool.drafts, 1);
	end(room);
	assert_int_equal(room->spool.drafts, 0);
	assert_null(room->accepted);
	room_free(room);
}

static void
relieved(void *ctx)
{
	(void)ctx;
}

static void
test_slow_disk(void **state)
{
	struct room *room = room_new();

	(void)state;
	begin(room, "b@example.org");
	feed(room, "a\r\n");
	assert_false(transaction_must_wait(room->transaction, relieved, room));
	room->spool.is_behind = true;
	assert_true(transaction_must_wait(room->transaction, relieved, room));
	assert_ptr_equal(room->spool.relieved, relieved);
	room->spool.relieved = NULL;
	/* A refused message needs no disk. */
	feed(room, "a\nb");
	assert_false(transaction_must_wait(room->transaction, relieved, room));
	assert_null(room->spool.relieved);
	room_free(room);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_recipients),      cmocka_unit_test(test_stored_forms),
	    cmocka_unit_test(test_accepted),        cmocka_unit_test(test_refused_data),
	    cmocka_unit_test(test_failing_spool),   cmocka_unit_test(test_detached_commit),
	    cmocka_unit_test(test_cut_at_any_time), cmocka_unit_test(test_slow_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
