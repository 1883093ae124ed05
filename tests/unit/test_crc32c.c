/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRC-32C: the vectors of RFC 3720 appendix B.4, with the CPU's instruction and without; pieces of
 * every length at every alignment give what the whole gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "relayd/spool/crc32c.h"

static void
check(const void *bytes, size_t len, uint32_t expected)
{
	assert_int_equal(crc32c(0, bytes, len), expected);
	assert_int_equal(crc32c_portable(0, bytes, len), expected);
}

static void
vectors_of_the_rfc(void **state)
{
	static const unsigned char read_command[48] = {
	    0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
	    0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
	    0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
	unsigned char bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	check(bytes, sizeof(bytes), 0x8a9136aaU);
	memset(bytes, 0xff, sizeof(bytes));
	check(bytes, sizeof(bytes), 0x62a8ab43U);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (unsigned char)i;
	check(bytes, sizeof(bytes), 0x46dd794eU);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(31 - i);
	check(bytes, sizeof(bytes), 0x113fdb5cU);
	check(read_command, sizeof(read_command), 0xd9963a56U);
	check("123456789", 9, 0xe3069283U);
	check("", 0, 0);
}

static void
pieces_make_the_whole(void **state)
{
	unsigned char bytes[300];
	uint32_t whole;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 167 + i / 7);
	whole = crc32c_portable(0, bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		uint32_t crc = crc32c(0, bytes, cut);

		assert_int_equal(crc, crc32c_portable(0, bytes, cut));
		assert_int_equal(crc32c(crc, bytes + cut, sizeof(bytes) - cut), whole);
		assert_int_equal(crc32c_portable(crc, bytes + cut, sizeof(bytes) - cut), whole);
	}
}

static void
every_single_bit_shows(void **state)
{
	unsigned char bytes[100] = {0};
	uint32_t whole = crc32c(0, bytes, sizeof(bytes));

	(void)state;
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
		assert_int_not_equal(crc32c(0, bytes, sizeof(bytes)), whole);
		bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vectors_of_the_rfc),
	    cmocka_unit_test(pieces_make_the_whole),
	    cmocka_unit_test(every_single_bit_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
