/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers in stored forms: little-endian, at any address. */
#ifndef RELAYD_SPOOL_NUMBER_H
#define RELAYD_SPOOL_NUMBER_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void
number_put16(void *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void
number_put32(void *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void
number_put64(void *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint16_t
number_get16(const void *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static inline uint32_t
number_get32(const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t
number_get64(const void *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

#endif
