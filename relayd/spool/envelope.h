/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The envelope of a queued message (RFC 5321 §2.3.1) and what has become of its recipients so far:
 * a plain value, and its stored form. A queue of a million of these must fit: strings are owned,
 * exact in length, and absent ones are NULL.
 */
#ifndef RELAYD_SPOOL_ENVELOPE_H
#define RELAYD_SPOOL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"

enum recipient_state {
	RECIPIENT_OPEN,      /* still to be delivered */
	RECIPIENT_DELIVERED, /* a next hop took it */
	RECIPIENT_FAILED     /* for good; the report, if one was due, is in the queue */
};

struct recipient {
	char *address; /* canonical (common/address.h) */
	/* Why it is still open: "mail.example.org[192.0.2.1]:25: 450 4.2.0 busy"; NULL: none */
	char *last_reply;
	enum recipient_state state;
};

struct spool_segment;
struct spool_memory;
struct spool_entry;

/*
 * Where the message lies: the spool's own, nobody else looks inside. The spool keeps the envelope's
 * address while the message is alive (see spool.h) and moves this when it moves the message, so
 * that it needs no table of its own.
 */
struct spool_place {
	struct spool_segment *segment; /* that holds the message's record; NULL: not committed */
	struct spool_segment *progress_in; /* the same for its progress; NULL: none */
	struct spool_memory *memory;       /* the body, while it is kept for the first delivery */
	struct spool_entry *pending;       /* progress that is not on stable storage yet */
	uint32_t offset;                   /* of the message's record */
	uint32_t progress_at;              /* of its progress, in its segment */
	uint32_t slot;                     /* among the messages of the segment */
	uint32_t length;                   /* of the message's record */
	bool large;                        /* the body is a file of its own */
};

struct envelope {
	uint64_t id;             /* the queue id, shown in decimal, never reused */
	int64_t arrived_ms;      /* wall time, ms since 1970 */
	int64_t next_attempt_ms; /* wall time; 0: at once */
	uint64_t size;     /* octets of the body as stored: CRLF line ends, trace header included */
	uint32_t attempts; /* made so far */
	bool has_8bit;     /* the body holds octets above 127 (RFC 6152) */
	char *sender;      /* canonical; "" is the null reverse-path */
	char *login;       /* the client's, NULL if it did not authenticate */
	size_t recipient_count;
	struct recipient *recipients;
	struct spool_place place;
};

struct envelope *envelope_new(void);
void envelope_free(struct envelope *env); /* NULL is allowed */
void envelope_add_recipient(struct envelope *env, const char *address);
size_t envelope_open_recipients(const struct envelope *env); /* how many are still open */

/*
 * Stored forms: tagged, length-counted fields, so that later versions can add some. `fixed` never
 * changes after the message was accepted; `progress` (attempts, next attempt, each recipient's
 * state and last reply) is written anew after each attempt. Decoding refuses damage with
 * ERROR_STORAGE.
 */
void envelope_encode_fixed(const struct envelope *env, struct strbuf *out);
void envelope_encode_progress(const struct envelope *env, struct strbuf *out);
struct envelope *envelope_decode_fixed(const char *bytes, size_t len, struct error *why);
int envelope_decode_progress(struct envelope *env, const char *bytes, size_t len,
			     struct error *why);

#endif
