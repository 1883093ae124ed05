/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/record.h"

#include "relayd/spool/crc32c.h"
#include "relayd/spool/number.h"

enum { HEAD_SUMMED = RECORD_HEAD - 4 };

static uint32_t
head_crc(uint64_t offset, const unsigned char *head)
{
	unsigned char where[8];

	number_put64(where, offset);
	return crc32c(crc32c(0, where, sizeof(where)), head, HEAD_SUMMED);
}

void
record_encode(const struct record *record, uint64_t mark, uint64_t offset,
	      unsigned char head[RECORD_HEAD])
{
	number_put64(head, mark);
	number_put64(head + 8, record->id);
	number_put64(head + 16, record->durable);
	number_put64(head + 24, record->body_len);
	number_put32(head + 32, record->body_crc);
	number_put32(head + 36, record->meta_len);
	number_put32(head + 40, record->meta_crc);
	number_put16(head + 44, (uint16_t)record->type);
	number_put16(head + 46, (uint16_t)record->flags);
	number_put32(head + HEAD_SUMMED, head_crc(offset, head));
}

bool
record_decode(struct record *record, uint64_t mark, uint64_t offset,
	      const unsigned char head[RECORD_HEAD])
{
	if (number_get64(head) != mark)
		return false;
	if (number_get32(head + HEAD_SUMMED) != head_crc(offset, head))
		return false;
	*record = (struct record){
	    .type = (enum record_type)number_get16(head + 44),
	    .flags = number_get16(head + 46),
	    .id = number_get64(head + 8),
	    .durable = number_get64(head + 16),
	    .body_len = number_get64(head + 24),
	    .body_crc = number_get32(head + 32),
	    .meta_len = number_get32(head + 36),
	    .meta_crc = number_get32(head + 40),
	};
	return true;
}

uint64_t
record_body_inside(const struct record *record)
{
	return (record->flags & RECORD_LARGE) != 0 ? 0 : record->body_len;
}

uint64_t
record_length(const struct record *record)
{
	return RECORD_HEAD + (uint64_t)record->meta_len + record_body_inside(record);
}
