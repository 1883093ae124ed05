/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/vault.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "common/log.h"

/* The mapping begins with its length, the text follows. */
struct vault {
	size_t bytes;
	char text[];
};

char *
vault_keep(const char *text)
{
	size_t len, bytes;
	struct vault *vault;

	if (text == NULL)
		return NULL;
	len = strlen(text) + 1;
	bytes = offsetof(struct vault, text) + len;
	vault = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vault == MAP_FAILED)
		fatal("out of memory for a secret");
	/* Both are a second line of defence: without them the secret is as safe as the rest of our
	 * memory. */
	(void)mlock(vault, bytes);
	(void)madvise(vault, bytes, MADV_DONTDUMP);
	vault->bytes = bytes;
	memcpy(vault->text, text, len);
	return vault->text;
}

void
vault_drop(char *kept)
{
	struct vault *vault;

	if (kept == NULL)
		return;
	vault = (struct vault *)(void *)(kept - offsetof(struct vault, text));
	explicit_bzero(vault->text, vault->bytes - offsetof(struct vault, text));
	if (munmap(vault, vault->bytes) < 0)
		fatal("vault: not a kept secret");
}
