/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stored form is a sequence of fields: tag (2 octets), length (4 octets), so many octets.
 * Numbers are little-endian, strings have no NUL. A tag that is not known is passed over.
 *
 *   fixed      1 id (8)  2 arrived_ms (8)  3 size (8)  4 has_8bit (1)  5 sender  6 login, if any
 *              7 a recipient's address; once each, in order
 *   progress  33 attempts (4)  34 next_attempt_ms (8)
 *             35 a recipient: index (4), state (1), last reply; left out while it is open and
 *                has no reply
 *
 * The two have no tag in common: one that was put in the other's place is refused for what it
 * lacks.
 */
#include "relayd/spool/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "relayd/spool/number.h"

enum field_tag {
	FIELD_ID = 1,
	FIELD_ARRIVED = 2,
	FIELD_SIZE = 3,
	FIELD_HAS_8BIT = 4,
	FIELD_SENDER = 5,
	FIELD_LOGIN = 6,
	FIELD_ADDRESS = 7,
	FIELD_ATTEMPTS = 33,
	FIELD_NEXT_ATTEMPT = 34,
	FIELD_RECIPIENT = 35
};

enum { FIELD_HEAD = 6, RECIPIENT_HEAD = 5 };

struct field {
	unsigned tag;
	const char *bytes;
	size_t len;
};

struct envelope *
envelope_new(void)
{
	return xcalloc(1, sizeof(struct envelope));
}

void
envelope_free(struct envelope *env)
{
	if (env == NULL)
		return;
	for (size_t i = 0; i < env->recipient_count; i++) {
		free(env->recipients[i].address);
		free(env->recipients[i].last_reply);
	}
	free(env->recipients);
	free(env->sender);
	free(env->login);
	free(env);
}

void
envelope_add_recipient(struct envelope *env, const char *address)
{
	struct recipient *added;

	env->recipients =
	    xreallocarray(env->recipients, env->recipient_count + 1, sizeof(*env->recipients));
	added = &env->recipients[env->recipient_count++];
	*added = (struct recipient){.address = xstrdup(address), .state = RECIPIENT_OPEN};
}

size_t
envelope_open_recipients(const struct envelope *env)
{
	size_t open = 0;

	for (size_t i = 0; i < env->recipient_count; i++)
		open += env->recipients[i].state == RECIPIENT_OPEN;
	return open;
}

static void
put_head(struct strbuf *out, enum field_tag tag, size_t len)
{
	char head[FIELD_HEAD];

	number_put16(head, (uint16_t)tag);
	number_put32(head + 2, (uint32_t)len);
	strbuf_append(out, head, sizeof(head));
}

static void
put_text(struct strbuf *out, enum field_tag tag, const char *text)
{
	size_t len = strlen(text);

	put_head(out, tag, len);
	strbuf_append(out, text, len);
}

static void
put_number(struct strbuf *out, enum field_tag tag, uint64_t value)
{
	char bytes[8];

	number_put64(bytes, value);
	put_head(out, tag, sizeof(bytes));
	strbuf_append(out, bytes, sizeof(bytes));
}

void
envelope_encode_fixed(const struct envelope *env, struct strbuf *out)
{
	put_number(out, FIELD_ID, env->id);
	put_number(out, FIELD_ARRIVED, (uint64_t)env->arrived_ms);
	put_number(out, FIELD_SIZE, env->size);
	put_head(out, FIELD_HAS_8BIT, 1);
	strbuf_putc(out, env->has_8bit ? 1 : 0);
	put_text(out, FIELD_SENDER, env->sender);
	if (env->login != NULL)
		put_text(out, FIELD_LOGIN, env->login);
	for (size_t i = 0; i < env->recipient_count; i++)
		put_text(out, FIELD_ADDRESS, env->recipients[i].address);
}

void
envelope_encode_progress(const struct envelope *env, struct strbuf *out)
{
	char head[RECIPIENT_HEAD];

	number_put32(head, env->attempts);
	put_head(out, FIELD_ATTEMPTS, 4);
	strbuf_append(out, head, 4);
	put_number(out, FIELD_NEXT_ATTEMPT, (uint64_t)env->next_attempt_ms);
	for (size_t i = 0; i < env->recipient_count; i++) {
		const struct recipient *one = &env->recipients[i];
		size_t len = one->last_reply == NULL ? 0 : strlen(one->last_reply);

		if (one->state == RECIPIENT_OPEN && len == 0)
			continue;
		number_put32(head, (uint32_t)i);
		head[4] = (char)one->state;
		put_head(out, FIELD_RECIPIENT, sizeof(head) + len);
		strbuf_append(out, head, sizeof(head));
		strbuf_append(out, one->last_reply, len);
	}
}

/* Take the next field from the front; false when there is no whole one. */
static bool
field_take(struct field *field, const char **at, size_t *left)
{
	if (*left < FIELD_HEAD)
		return false;
	field->tag = number_get16(*at);
	field->len = number_get32(*at + 2);
	if (field->len > *left - FIELD_HEAD)
		return false;
	field->bytes = *at + FIELD_HEAD;
	*at += FIELD_HEAD + field->len;
	*left -= FIELD_HEAD + field->len;
	return true;
}

static bool
field_is_text(const struct field *field)
{
	return memchr(field->bytes, '\0', field->len) == NULL;
}

static int
damaged(struct error *why, unsigned tag)
{
	if (tag == 0)
		return error_set(why, ERROR_STORAGE, "the envelope is cut short");
	return error_set(why, ERROR_STORAGE, "the envelope's field %u is damaged", tag);
}

/* Does the field hold a number of that many octets, and not the second one? */
static bool
number_is_new(const struct field *field, size_t len, unsigned *seen)
{
	unsigned bit = 1U << (field->tag & 31U);
	bool fresh = (*seen & bit) == 0;

	*seen |= bit;
	return fresh && field->len == len;
}

static bool
text_is_new(const struct field *field, char **text)
{
	if (*text != NULL || !field_is_text(field))
		return false;
	*text = xstrndup(field->bytes, field->len);
	return true;
}

/* `room` is the number of recipients that `recipients` has memory for. */
static bool
fixed_take(struct envelope *env, const struct field *field, size_t room, unsigned *seen)
{
	switch (field->tag) {
	case FIELD_ID:
		if (!number_is_new(field, 8, seen))
			return false;
		env->id = number_get64(field->bytes);
		return true;
	case FIELD_ARRIVED:
		if (!number_is_new(field, 8, seen))
			return false;
		env->arrived_ms = (int64_t)number_get64(field->bytes);
		return true;
	case FIELD_SIZE:
		if (!number_is_new(field, 8, seen))
			return false;
		env->size = number_get64(field->bytes);
		return true;
	case FIELD_HAS_8BIT:
		if (!number_is_new(field, 1, seen))
			return false;
		env->has_8bit = field->bytes[0] != 0;
		return true;
	case FIELD_SENDER:
		return text_is_new(field, &env->sender);
	case FIELD_LOGIN:
		return text_is_new(field, &env->login);
	case FIELD_ADDRESS:
		if (env->recipient_count == room)
			return false;
		return text_is_new(field, &env->recipients[env->recipient_count++].address);
	default:
		return true;
	}
}

static size_t
count_tag(const char *bytes, size_t len, unsigned tag)
{
	struct field field;
	size_t count = 0;

	while (field_take(&field, &bytes, &len))
		count += field.tag == tag;
	return count;
}

struct envelope *
envelope_decode_fixed(const char *bytes, size_t len, struct error *why)
{
	const unsigned all =
	    1U << FIELD_ID | 1U << FIELD_ARRIVED | 1U << FIELD_SIZE | 1U << FIELD_HAS_8BIT;
	size_t room = count_tag(bytes, len, FIELD_ADDRESS);
	struct envelope *env = envelope_new();
	struct field field;
	unsigned seen = 0;

	if (room > 0)
		env->recipients = xcalloc(room, sizeof(*env->recipients));
	while (len > 0) {
		if (!field_take(&field, &bytes, &len)) {
			damaged(why, 0);
			goto fail;
		}
		if (!fixed_take(env, &field, room, &seen)) {
			damaged(why, field.tag);
			goto fail;
		}
	}
	if (seen != all || env->sender == NULL || env->recipient_count == 0) {
		error_set(why, ERROR_STORAGE, "the envelope lacks a field");
		goto fail;
	}
	return env;
fail:
	envelope_free(env);
	return NULL;
}

/* Is the field one that progress_take may use? */
static bool
progress_check(const struct envelope *env, const struct field *field, unsigned *seen)
{
	switch (field->tag) {
	case FIELD_ATTEMPTS:
		return number_is_new(field, 4, seen);
	case FIELD_NEXT_ATTEMPT:
		return number_is_new(field, 8, seen);
	case FIELD_RECIPIENT:
		return field->len >= RECIPIENT_HEAD &&
		       field_is_text(&(struct field){.bytes = field->bytes + RECIPIENT_HEAD,
						     .len = field->len - RECIPIENT_HEAD}) &&
		       number_get32(field->bytes) < env->recipient_count &&
		       (unsigned char)field->bytes[4] <= RECIPIENT_FAILED;
	default:
		return true;
	}
}

static void
progress_take(struct envelope *env, const struct field *field)
{
	struct recipient *one;

	switch (field->tag) {
	case FIELD_ATTEMPTS:
		env->attempts = number_get32(field->bytes);
		break;
	case FIELD_NEXT_ATTEMPT:
		env->next_attempt_ms = (int64_t)number_get64(field->bytes);
		break;
	case FIELD_RECIPIENT:
		one = &env->recipients[number_get32(field->bytes)];
		one->state = (enum recipient_state)field->bytes[4];
		if (field->len > RECIPIENT_HEAD) {
			free(one->last_reply);
			one->last_reply =
			    xstrndup(field->bytes + RECIPIENT_HEAD, field->len - RECIPIENT_HEAD);
		}
		break;
	default:
		break;
	}
}

int
envelope_decode_progress(struct envelope *env, const char *bytes, size_t len, struct error *why)
{
	const unsigned all = 1U << (FIELD_ATTEMPTS & 31) | 1U << (FIELD_NEXT_ATTEMPT & 31);
	const char *at = bytes;
	size_t left = len;
	struct field field;
	unsigned seen = 0;

	/* All is checked before anything is changed. */
	while (left > 0) {
		if (!field_take(&field, &at, &left))
			return damaged(why, 0);
		if (!progress_check(env, &field, &seen))
			return damaged(why, field.tag);
	}
	if (seen != all)
		return error_set(why, ERROR_STORAGE, "the envelope's progress lacks a field");
	for (size_t i = 0; i < env->recipient_count; i++) {
		env->recipients[i].state = RECIPIENT_OPEN;
		free(env->recipients[i].last_reply);
		env->recipients[i].last_reply = NULL;
	}
	while (field_take(&field, &bytes, &len))
		progress_take(env, &field);
	return 0;
}
