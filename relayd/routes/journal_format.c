/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/journal_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relayd/spool/crc32c.h"

/* 0xf5 stands in no UTF-8 text, and so in no payload of ours. */
static const unsigned char magic[3] = {0xf5, 'R', 'J'};

static void
put_32(unsigned char *bytes, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t
get_32(const unsigned char *bytes)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value |= (uint32_t)bytes[i] << (8 * i);
	return value;
}

const struct journal_type journal_type_journal = {
    .name = "relayd-routes-journal", .version = 2, .least_version = 1};
const struct journal_type journal_type_history = {
    .name = "relayd-routes-history", .version = 1, .least_version = 1};

size_t
journal_line(const struct journal_type *type, unsigned version, uint64_t follows,
	     char line[JOURNAL_LINE_MAX])
{
	return (size_t)snprintf(line, JOURNAL_LINE_MAX, "%s %u follows=%" PRIu64 "\n", type->name,
				version, follows);
}

void
journal_head_put(unsigned char head[JOURNAL_HEAD_BYTES], enum journal_kind kind, uint32_t len,
		 uint32_t crc)
{
	memcpy(head, magic, sizeof(magic));
	head[3] = (unsigned char)kind;
	put_32(head + 4, len);
	put_32(head + 8, crc32c(crc, head, 8));
}

int
journal_head_get(const unsigned char head[JOURNAL_HEAD_BYTES], enum journal_kind *kind,
		 uint32_t *len)
{
	if (memcmp(head, magic, sizeof(magic)) != 0)
		return -1;
	if (head[3] != JOURNAL_CHANGE && head[3] != JOURNAL_CONFIRM && head[3] != JOURNAL_SEAL)
		return -1;
	*kind = (enum journal_kind)head[3];
	*len = get_32(head + 4);
	return *len <= JOURNAL_PAYLOAD_MAX ? 0 : -1;
}

int
journal_head_check(const unsigned char head[JOURNAL_HEAD_BYTES], uint32_t payload_crc)
{
	return crc32c(payload_crc, head, 8) == get_32(head + 8) ? 0 : -1;
}

void
journal_seal_put(unsigned char seal[JOURNAL_SEAL_BYTES], uint64_t revision)
{
	unsigned char *payload = seal + JOURNAL_HEAD_BYTES;

	put_32(payload, (uint32_t)revision);
	put_32(payload + 4, (uint32_t)(revision >> 32));
	journal_head_put(seal, JOURNAL_SEAL, 8, crc32c(0, payload, 8));
}
