/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/script.h"

#include <stdint.h>

#include "common/utf8.h"

enum {
	COMMON = 0, /* digits, hyphen: part of every script */
	LATIN = 1 << 0,
	GREEK = 1 << 1,
	CYRILLIC = 1 << 2,
	ARMENIAN = 1 << 3,
	HEBREW = 1 << 4,
	ARABIC = 1 << 5,
	DEVANAGARI = 1 << 6,
	BENGALI = 1 << 7,
	GURMUKHI = 1 << 8,
	GUJARATI = 1 << 9,
	ORIYA = 1 << 10,
	TAMIL = 1 << 11,
	TELUGU = 1 << 12,
	KANNADA = 1 << 13,
	MALAYALAM = 1 << 14,
	SINHALA = 1 << 15,
	THAI = 1 << 16,
	LAO = 1 << 17,
	TIBETAN = 1 << 18,
	MYANMAR = 1 << 19,
	GEORGIAN = 1 << 20,
	HANGUL = 1 << 21,
	ETHIOPIC = 1 << 22,
	KHMER = 1 << 23,
	MONGOLIAN = 1 << 24,
	KANA = 1 << 25,
	BOPOMOFO = 1 << 26,
	HAN = 1 << 27
};

/* By Unicode block, in ascending order. Blocks hold punctuation too: IDNA2008 has refused that
 * before a label gets here. */
static const struct {
	uint32_t first, last;
	int script;
} blocks[] = {
    {'-', '-', COMMON},
    {'0', '9', COMMON},
    {'A', 'Z', LATIN},
    {'_', '_', COMMON},
    {'a', 'z', LATIN},
    {0x00b7, 0x00b7, LATIN}, /* l·l in Catalan */
    {0x00c0, 0x024f, LATIN},
    {0x0370, 0x03ff, GREEK},
    {0x0400, 0x052f, CYRILLIC},
    {0x0530, 0x058f, ARMENIAN},
    {0x0590, 0x05ff, HEBREW},
    {0x0600, 0x06ff, ARABIC},
    {0x0750, 0x077f, ARABIC},
    {0x08a0, 0x08ff, ARABIC},
    {0x0900, 0x097f, DEVANAGARI},
    {0x0980, 0x09ff, BENGALI},
    {0x0a00, 0x0a7f, GURMUKHI},
    {0x0a80, 0x0aff, GUJARATI},
    {0x0b00, 0x0b7f, ORIYA},
    {0x0b80, 0x0bff, TAMIL},
    {0x0c00, 0x0c7f, TELUGU},
    {0x0c80, 0x0cff, KANNADA},
    {0x0d00, 0x0d7f, MALAYALAM},
    {0x0d80, 0x0dff, SINHALA},
    {0x0e00, 0x0e7f, THAI},
    {0x0e80, 0x0eff, LAO},
    {0x0f00, 0x0fff, TIBETAN},
    {0x1000, 0x109f, MYANMAR},
    {0x10a0, 0x10ff, GEORGIAN},
    {0x1200, 0x139f, ETHIOPIC},
    {0x1780, 0x17ff, KHMER},
    {0x1800, 0x18af, MONGOLIAN},
    {0x1e00, 0x1eff, LATIN},
    {0x1f00, 0x1fff, GREEK},
    {0x2d80, 0x2ddf, ETHIOPIC},
    {0x3005, 0x3007, HAN},
    {0x3041, 0x30ff, KANA},
    {0x3105, 0x312f, BOPOMOFO},
    {0x31a0, 0x31bf, BOPOMOFO},
    {0x31f0, 0x31ff, KANA},
    {0x3400, 0x4dbf, HAN},
    {0x4e00, 0x9fff, HAN},
    {0xac00, 0xd7a3, HANGUL},
    {0x20000, 0x3134f, HAN},
};

/* -1: in no table. */
static int
script_of(uint32_t character)
{
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (character >= blocks[i].first && character <= blocks[i].last)
			return blocks[i].script;
	}
	return -1;
}

bool
script_is_single(const char *text, size_t len)
{
	static const int together[] = {
	    LATIN | HAN | KANA,
	    LATIN | HAN | BOPOMOFO,
	    LATIN | HAN | HANGUL,
	};
	int seen = 0, script;
	uint32_t character;
	size_t size;

	for (size_t at = 0; at < len; at += size) {
		size = utf8_read(text + at, len - at, &character);
		if (size == 0 || (script = script_of(character)) == -1)
			return false;
		seen |= script;
	}
	if ((seen & (seen - 1)) == 0)
		return true;
	for (size_t i = 0; i < sizeof(together) / sizeof(together[0]); i++) {
		if ((seen & ~together[i]) == 0)
			return true;
	}
	return false;
}
