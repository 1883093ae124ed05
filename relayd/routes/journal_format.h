/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of routes.journal, for journal.c, which describes them, and journal_reader.c alone. */
#ifndef RELAYD_ROUTES_JOURNAL_FORMAT_H
#define RELAYD_ROUTES_JOURNAL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "relayd/routes/journal.h"

enum {
	JOURNAL_LINE_MAX = 80,
	JOURNAL_HEAD_BYTES = 12,
	JOURNAL_SEAL_BYTES = JOURNAL_HEAD_BYTES + 8
};

#define JOURNAL_PAYLOAD_MAX 0x40000000u

enum journal_kind { JOURNAL_CHANGE = 'C', JOURNAL_SEAL = 'S' };

/* The first line, with its newline. Returns its length. */
size_t journal_line(uint64_t follows, char line[JOURNAL_LINE_MAX]);

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
int journal_reader_open_path(const char *path, uint64_t end, struct journal_reader **reader,
    struct error *why);

#endif
