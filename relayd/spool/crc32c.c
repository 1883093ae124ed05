/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/spool/crc32c.h"

#ifdef __x86_64__
#include <nmmintrin.h>
#endif
#include <string.h>

#include "relayd/spool/number.h"

/*
 * slices[k][b] is what the octet b does to the checksum k octets later. It is linear over XOR, so
 * that each slice follows from what its eight single bits do; the compiler works the tables out.
 */
#define BIT(n, b, value) (((n) >> (b)&1U) != 0 ? (value) : 0U)
#define ENTRY(n, v0, v1, v2, v3, v4, v5, v6, v7)                                                   \
	(BIT(n, 0, v0) ^ BIT(n, 1, v1) ^ BIT(n, 2, v2) ^ BIT(n, 3, v3) ^ BIT(n, 4, v4) ^           \
	 BIT(n, 5, v5) ^ BIT(n, 6, v6) ^ BIT(n, 7, v7))
#define ROW4(n, ...)                                                                               \
	ENTRY((n), __VA_ARGS__), ENTRY((n) + 1U, __VA_ARGS__), ENTRY((n) + 2U, __VA_ARGS__),       \
	    ENTRY((n) + 3U, __VA_ARGS__)
#define ROW16(n, ...)                                                                              \
	ROW4((n), __VA_ARGS__), ROW4((n) + 4U, __VA_ARGS__), ROW4((n) + 8U, __VA_ARGS__),          \
	    ROW4((n) + 12U, __VA_ARGS__)
#define ROW64(n, ...)                                                                              \
	ROW16((n), __VA_ARGS__), ROW16((n) + 16U, __VA_ARGS__), ROW16((n) + 32U, __VA_ARGS__),     \
	    ROW16((n) + 48U, __VA_ARGS__)
#define SLICE(...)                                                                                 \
	{                                                                                          \
		ROW64(0U, __VA_ARGS__), ROW64(64U, __VA_ARGS__), ROW64(128U, __VA_ARGS__),         \
		    ROW64(192U, __VA_ARGS__)                                                       \
	}

static const uint32_t slices[8][256] = {
    SLICE(0xf26b8303U, 0xe13b70f7U, 0xc79a971fU, 0x8ad958cfU, 0x105ec76fU, 0x20bd8edeU, 0x417b1dbcU,
	  0x82f63b78U),
    SLICE(0x13a29877U, 0x274530eeU, 0x4e8a61dcU, 0x9d14c3b8U, 0x3fc5f181U, 0x7f8be302U, 0xff17c604U,
	  0xfbc3faf9U),
    SLICE(0xa541927eU, 0x4f6f520dU, 0x9edea41aU, 0x38513ec5U, 0x70a27d8aU, 0xe144fb14U, 0xc76580d9U,
	  0x8b277743U),
    SLICE(0xdd45aab8U, 0xbf672381U, 0x7b2231f3U, 0xf64463e6U, 0xe964b13dU, 0xd725148bU, 0xaba65fe7U,
	  0x52a0c93fU),
    SLICE(0x38116facU, 0x7022df58U, 0xe045beb0U, 0xc5670b91U, 0x8f2261d3U, 0x1ba8b557U, 0x37516aaeU,
	  0x6ea2d55cU),
    SLICE(0xef306b19U, 0xdb8ca0c3U, 0xb2f53777U, 0x6006181fU, 0xc00c303eU, 0x85f4168dU, 0x0e045bebU,
	  0x1c08b7d6U),
    SLICE(0x68032cc8U, 0xd0065990U, 0xa5e0c5d1U, 0x4e2dfd53U, 0x9c5bfaa6U, 0x3d5b83bdU, 0x7ab7077aU,
	  0xf56e0ef4U),
    SLICE(0x493c7d27U, 0x9278fa4eU, 0x211d826dU, 0x423b04daU, 0x847609b4U, 0x0d006599U, 0x1a00cb32U,
	  0x34019664U),
};

uint32_t
crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	crc = ~crc;
	for (; len >= 8; len -= 8, at += 8) {
		uint32_t low = crc ^ number_get32(at);
		uint32_t high = number_get32(at + 4);

		crc = slices[7][low & 255U] ^ slices[6][low >> 8 & 255U] ^
		      slices[5][low >> 16 & 255U] ^ slices[4][low >> 24] ^ slices[3][high & 255U] ^
		      slices[2][high >> 8 & 255U] ^ slices[1][high >> 16 & 255U] ^
		      slices[0][high >> 24];
	}
	for (; len > 0; len--)
		crc = crc >> 8 ^ slices[0][(crc ^ *at++) & 255U];
	return ~crc;
}

#ifdef __x86_64__

__attribute__((target("sse4.2"))) static uint32_t
crc32c_instruction(uint32_t crc, const unsigned char *at, size_t len)
{
	uint64_t sum = ~crc;

	for (; len >= 8; len -= 8, at += 8) {
		uint64_t eight;

		memcpy(&eight, at, sizeof(eight));
		sum = _mm_crc32_u64(sum, eight);
	}
	crc = (uint32_t)sum;
	for (; len > 0; len--)
		crc = _mm_crc32_u8(crc, *at++);
	return ~crc;
}

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_instruction(crc, bytes, len);
	return crc32c_portable(crc, bytes, len);
}

#else

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return crc32c_portable(crc, bytes, len);
}

#endif
