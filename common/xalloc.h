/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocation that ends the process when memory is lost: none of these returns NULL. */
#ifndef COMMON_XALLOC_H
#define COMMON_XALLOC_H

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);             /* zeroed; overflow is fatal */
void *xreallocarray(void *old, size_t count, size_t size); /* overflow is fatal */
char *xstrdup(const char *text);                      /* NULL gives NULL */
char *xstrndup(const char *text, size_t length);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Overwrite with zeroes in a way the compiler keeps, then free: for secrets. NULL is allowed. */
void free_secret(char *text);

#endif
