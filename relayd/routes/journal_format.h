/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The bytes of routes.journal, which journal.c describes, and of routes.history.*, which are made
 * of the same records (history.c). For the files that read and write them alone.
 */
#ifndef RELAYD_ROUTES_JOURNAL_FORMAT_H
#define RELAYD_ROUTES_JOURNAL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "relayd/routes/journal.h"

enum {
	JOURNAL_LINE_MAX = 80,
	JOURNAL_HEAD_BYTES = 12,
	JOURNAL_SEAL_BYTES = JOURNAL_HEAD_BYTES + 8
};

#define JOURNAL_PAYLOAD_MAX 0x40000000u

enum journal_kind { JOURNAL_CHANGE = 'C', JOURNAL_CONFIRM = 'K', JOURNAL_SEAL = 'S' };

/* What a file is. */
struct journal_type {
	const char *name;       /* of the type, in the first line */
	unsigned version;       /* as it is written */
	unsigned least_version; /* what can still be read */
};
extern const struct journal_type journal_type_journal;
extern const struct journal_type journal_type_history;

/* The first line, with its newline. Returns its length. */
size_t journal_line(const struct journal_type *type, unsigned version, uint64_t follows,
    char line[JOURNAL_LINE_MAX]);

/* The head of a record whose payload has `len` bytes and the CRC-32C `crc`. */
void journal_head_put(unsigned char head[JOURNAL_HEAD_BYTES], enum journal_kind kind, uint32_t len,
    uint32_t crc);

/* Kind and length, if these bytes begin a record; else -1. The checksum comes with the payload. */
int journal_head_get(const unsigned char head[JOURNAL_HEAD_BYTES], enum journal_kind *kind,
    uint32_t *len);
int journal_head_check(const unsigned char head[JOURNAL_HEAD_BYTES], uint32_t payload_crc);

/* A whole seal behind the change of that revision. */
void journal_seal_put(unsigned char seal[JOURNAL_SEAL_BYTES], uint64_t revision);

/* Read a file under any name; as journal_reader_open(). */
int journal_reader_open_path(const char *path, const struct journal_type *type, uint64_t end,
    struct journal_reader **reader, struct error *why);

/* Go on at `offset`, where the record of the change behind `revision` begins. */
void journal_reader_seek(struct journal_reader *reader, uint64_t offset, uint64_t revision);

/* Where the change that was read last begins, and how long its record is. */
uint64_t journal_reader_begun(const struct journal_reader *reader);

/* ---- writing a record ---- */

/* A record on its way into a file: text waits until there is enough of it for one write. */
struct journal_output {
	int fd;
	uint64_t begin; /* of the record */
	uint64_t at;    /* where the text goes */
	uint64_t len;
	uint32_t crc;
	struct strbuf text;
};

/* All return -1 with errno set. After a failure, and at the end, journal_output_clear(). */
void journal_output_begin(struct journal_output *output, int fd, uint64_t offset,
    const struct journal_change *change);
int journal_output_step(struct journal_output *output, const struct journal_text *step);
/* The head comes last: without it the record is none. Returns where the record ends in *end. */
int journal_output_end(struct journal_output *output, enum journal_kind kind, uint64_t *end);
void journal_output_clear(struct journal_output *output);

#endif
