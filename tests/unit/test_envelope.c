/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The envelope's stored form: what goes in comes out; every cut is refused, no flipped bit is a
 * danger, fields of a later version are passed over, and a refused progress changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/spool/envelope.h"

static struct envelope *
sample(void)
{
	struct envelope *env = envelope_new();

	env->id = UINT64_C(0x8877665544332211);
	env->arrived_ms = 1700000000123;
	env->next_attempt_ms = -5;
	env->size = UINT64_C(0x1122334455);
	env->attempts = 7;
	env->has_8bit = true;
	env->sender = xstrdup("\"a b\"@example.org");
	env->login = xstrdup("user@example.org");
	envelope_add_recipient(env, "one@example.net");
	envelope_add_recipient(env, "two@example.net");
	envelope_add_recipient(env, "three@example.net");
	env->recipients[1].state = RECIPIENT_DELIVERED;
	env->recipients[2].last_reply = xstrdup("mail.example.net[192.0.2.1]:25: 450 4.2.0 busy");
	return env;
}

static void
assert_same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void
assert_same(const struct envelope *a, const struct envelope *b)
{
	assert_true(a->id == b->id && a->arrived_ms == b->arrived_ms && a->size == b->size);
	assert_true(a->next_attempt_ms == b->next_attempt_ms && a->attempts == b->attempts);
	assert_int_equal(a->has_8bit, b->has_8bit);
	assert_same_text(a->sender, b->sender);
	assert_same_text(a->login, b->login);
	assert_int_equal(a->recipient_count, b->recipient_count);
	for (size_t i = 0; i < a->recipient_count; i++) {
		assert_string_equal(a->recipients[i].address, b->recipients[i].address);
		assert_same_text(a->recipients[i].last_reply, b->recipients[i].last_reply);
		assert_int_equal(a->recipients[i].state, b->recipients[i].state);
	}
}

static void
comes_out_as_it_went_in(void **state)
{
	struct strbuf fixed = STRBUF_INIT, progress = STRBUF_INIT;
	struct envelope *env = sample(), *again;

	(void)state;
	envelope_encode_fixed(env, &fixed);
	envelope_encode_progress(env, &progress);
	again = envelope_decode_fixed(fixed.data, fixed.len, NULL);
	assert_non_null(again);
	assert_int_equal(envelope_open_recipients(again), 3);
	assert_int_equal(envelope_decode_progress(again, progress.data, progress.len, NULL), 0);
	assert_same(env, again);
	assert_int_equal(envelope_open_recipients(again), 2);
	envelope_free(again);

	/* The least there can be: null sender, no login, one recipient, nothing done. */
	envelope_free(env);
	env = envelope_new();
	env->sender = xstrdup("");
	envelope_add_recipient(env, "a@b");
	strbuf_reset(&fixed);
	envelope_encode_fixed(env, &fixed);
	again = envelope_decode_fixed(fixed.data, fixed.len, NULL);
	assert_non_null(again);
	assert_same(env, again);
	envelope_free(again);
	envelope_free(env);
	strbuf_clear(&fixed);
	strbuf_clear(&progress);
}

/* Progress replaces what was there before, replies too. */
static void
progress_replaces(void **state)
{
	struct strbuf first = STRBUF_INIT, second = STRBUF_INIT;
	struct envelope *env = sample();

	(void)state;
	envelope_encode_progress(env, &first);
	free(env->recipients[2].last_reply);
	env->recipients[2].last_reply = NULL;
	env->recipients[2].state = RECIPIENT_FAILED;
	env->attempts = 8;
	envelope_encode_progress(env, &second);
	assert_int_equal(envelope_decode_progress(env, first.data, first.len, NULL), 0);
	assert_int_equal(env->recipients[2].state, RECIPIENT_OPEN);
	assert_non_null(env->recipients[2].last_reply);
	assert_int_equal(envelope_decode_progress(env, second.data, second.len, NULL), 0);
	assert_int_equal(env->recipients[2].state, RECIPIENT_FAILED);
	assert_null(env->recipients[2].last_reply);
	assert_int_equal(env->attempts, 8);
	envelope_free(env);
	strbuf_clear(&first);
	strbuf_clear(&second);
}

/* Exact-size copies, so that ASan sees a read beyond the end. */
static struct envelope *
decode_copy(const char *bytes, size_t len, struct error *why)
{
	char *copy = malloc(len == 0 ? 1 : len);
	struct envelope *env;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	env = envelope_decode_fixed(copy, len, why);
	free(copy);
	return env;
}

static void
a_cut_is_refused(void **state)
{
	struct strbuf fixed = STRBUF_INIT, progress = STRBUF_INIT;
	struct envelope *env = sample();
	struct error why;

	(void)state;
	env->recipients[1].last_reply = xstrdup("gone");
	envelope_encode_fixed(env, &fixed);
	envelope_encode_progress(env, &progress);
	/* Cut between two recipients it is whole: the record's length guards that, not the form. */
	for (size_t len = 0; len < fixed.len; len++) {
		struct envelope *cut = decode_copy(fixed.data, len, &why);

		if (cut == NULL)
			assert_int_equal(why.code, ERROR_STORAGE);
		else
			assert_in_range(cut->recipient_count, 1, 2);
		envelope_free(cut);
	}
	for (size_t len = 0; len < 24; len++) {
		assert_int_equal(envelope_decode_progress(env, progress.data, len, &why), -1);
		assert_int_equal(why.code, ERROR_STORAGE);
		assert_string_equal(env->recipients[1].last_reply, "gone");
	}
	envelope_free(env);
	strbuf_clear(&fixed);
	strbuf_clear(&progress);
}

static void
flipped_bits_do_no_harm(void **state)
{
	struct strbuf fixed = STRBUF_INIT, progress = STRBUF_INIT;
	struct envelope *env = sample();

	(void)state;
	envelope_encode_fixed(env, &fixed);
	envelope_encode_progress(env, &progress);
	for (size_t bit = 0; bit < fixed.len * 8; bit++) {
		fixed.data[bit / 8] = (char)(fixed.data[bit / 8] ^ 1 << bit % 8);
		envelope_free(decode_copy(fixed.data, fixed.len, NULL));
		fixed.data[bit / 8] = (char)(fixed.data[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t bit = 0; bit < progress.len * 8; bit++) {
		progress.data[bit / 8] = (char)(progress.data[bit / 8] ^ 1 << bit % 8);
		(void)envelope_decode_progress(env, progress.data, progress.len, NULL);
		progress.data[bit / 8] = (char)(progress.data[bit / 8] ^ 1 << bit % 8);
	}
	envelope_free(env);
	strbuf_clear(&fixed);
	strbuf_clear(&progress);
}

static void
refusals(void **state)
{
	static const char unknown[] = {0x70, 0x12, 3, 0, 0, 0, 'x', 0, 'y'};
	static const char second_id[] = {1, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
	static const char nul_inside[] = {7, 0, 3, 0, 0, 0, 'a', 0, 'b'};
	static const char nobody[] = {35, 0, 5, 0, 0, 0, 3, 0, 0, 0, 1};
	static const char state_3[] = {35, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3};
	struct strbuf fixed = STRBUF_INIT, progress = STRBUF_INIT;
	struct envelope *env = sample(), *again;
	size_t fixed_len, progress_len;

	(void)state;
	envelope_encode_fixed(env, &fixed);
	fixed_len = fixed.len;
	strbuf_append(&fixed, unknown, sizeof(unknown));
	again = envelope_decode_fixed(fixed.data, fixed.len, NULL);
	assert_non_null(again);
	envelope_free(again);
	strbuf_truncate(&fixed, fixed_len);
	strbuf_append(&fixed, second_id, sizeof(second_id));
	assert_null(envelope_decode_fixed(fixed.data, fixed.len, NULL));
	strbuf_truncate(&fixed, fixed_len);
	strbuf_append(&fixed, nul_inside, sizeof(nul_inside));
	assert_null(envelope_decode_fixed(fixed.data, fixed.len, NULL));

	envelope_encode_progress(env, &progress);
	progress_len = progress.len;
	strbuf_append(&progress, unknown, sizeof(unknown));
	assert_int_equal(envelope_decode_progress(env, progress.data, progress.len, NULL), 0);
	strbuf_truncate(&progress, progress_len);
	strbuf_append(&progress, nobody, sizeof(nobody));
	assert_int_equal(envelope_decode_progress(env, progress.data, progress.len, NULL), -1);
	strbuf_truncate(&progress, progress_len);
	strbuf_append(&progress, state_3, sizeof(state_3));
	assert_int_equal(envelope_decode_progress(env, progress.data, progress.len, NULL), -1);
	/* One in the other's place. */
	assert_null(envelope_decode_fixed(progress.data, progress_len, NULL));
	assert_int_equal(envelope_decode_progress(env, fixed.data, fixed_len, NULL), -1);
	envelope_free(env);
	strbuf_clear(&fixed);
	strbuf_clear(&progress);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_out_as_it_went_in),
	    cmocka_unit_test(progress_replaces),
	    cmocka_unit_test(a_cut_is_refused),
	    cmocka_unit_test(flipped_bits_do_no_harm),
	    cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
