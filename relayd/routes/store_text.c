/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/store_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/spool/crc32c.h"

int
store_meta_write(const struct store_meta *meta, char text[STORE_META_MAX])
{
	int len = snprintf(text, STORE_META_MAX,
			   "schema=1\nnext_id=%" PRIu64 "\nrevision=%" PRIu64 "\ncount=%" PRIu64
			   "\nsum=%" PRIu64 "\n",
			   meta->next_id, meta->revision, meta->count, meta->sum);
	uint32_t crc = crc32c(0, text, (size_t)len);

	return len + snprintf(text + len, STORE_META_MAX - (size_t)len, "crc=%08" PRIx32 "\n", crc);
}

int
store_meta_read(const char *value, size_t len, struct store_meta *meta, struct error *why)
{
	char text[STORE_META_MAX], again[STORE_META_MAX];
	unsigned schema = 0;

	if (len >= sizeof(text))
		return error_set(why, ERROR_STORAGE, "the meta record is too long");
	memcpy(text, value, len);
	text[len] = '\0';
	if (sscanf(text, "schema=%u", &schema) == 1 && schema > 1)
		return error_set(why, ERROR_STORAGE, "schema %u was written by a later version",
				 schema);
	/* Whatever sscanf lets through: the same values must make the same bytes. */
	if (sscanf(text,
		   "schema=1\nnext_id=%" SCNu64 "\nrevision=%" SCNu64 "\ncount=%" SCNu64
		   "\nsum=%" SCNu64 "\n",
		   &meta->next_id, &meta->revision, &meta->count, &meta->sum) != 4 ||
	    (size_t)store_meta_write(meta, again) != len || memcmp(text, again, len) != 0)
		return error_set(why, ERROR_STORAGE, "the meta record does not check");
	return 0;
}

int
store_key_read(const char *key, size_t len, uint64_t *id)
{
	char text[STORE_KEY_MAX], again[STORE_KEY_MAX];

	if (len == 0 || len >= sizeof(text))
		return -1;
	memcpy(text, key, len);
	text[len] = '\0';
	*id = strtoull(text, NULL, 10);
	snprintf(again, sizeof(again), "%" PRIu64, *id);
	return *id > 0 && strcmp(text, again) == 0 ? 0 : -1;
}
