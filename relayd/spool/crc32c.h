/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The checksum of the spool: CRC-32C (Castagnoli), as RFC 3720 appendix B.4 has it. It finds every
 * burst of up to 32 bits, and all but one in 2^32 of other damage.
 */
#ifndef RELAYD_SPOOL_CRC32C_H
#define RELAYD_SPOOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of what `crc` is the checksum of, followed by these bytes. 0 is the checksum of nothing. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same without the CPU's instruction; crc32c takes it where there is none. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
