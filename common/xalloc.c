/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void *
xmalloc(size_t size)
{
	/* malloc(0) may give NULL without having failed. */
	void *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL)
		fatal("out of memory (%zu bytes)", size);
	return memory;
}

void *
xcalloc(size_t count, size_t size)
{
	void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (memory == NULL)
		fatal("out of memory (%zu times %zu bytes)", count, size);
	return memory;
}

void *
xreallocarray(void *old, size_t count, size_t size)
{
	/* realloc to no bytes would free the old memory and may give NULL. */
	void *memory = reallocarray(old, count > 0 ? count : 1, size > 0 ? size : 1);

	if (memory == NULL)
		fatal("out of memory (%zu times %zu bytes)", count, size);
	return memory;
}

char *
xstrdup(const char *text)
{
	size_t size;

	if (text == NULL)
		return NULL;
	size = strlen(text) + 1;
	return memcpy(xmalloc(size), text, size);
}

char *
xstrndup(const char *text, size_t length)
{
	size_t size = strnlen(text, length);
	char *copy = xmalloc(size + 1);

	memcpy(copy, text, size);
	copy[size] = '\0';
	return copy;
}

char *
xasprintf(const char *format, ...)
{
	char *text;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		fatal("out of memory or a bad format");
	return text;
}

void
free_secret(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}
