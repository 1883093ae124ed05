/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sessions that can be resumed, as opaque bytes by key: the newest of each key, at most
 * `max_entries`; the one that was not used for longest gives way. They are secrets, and are overwritten when they go.
 */
#ifndef RELAYD_NET_TLS_CACHE_H
#define RELAYD_NET_TLS_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct tls_cache;

struct tls_cache *tls_cache_new(size_t max_entries);
void tls_cache_free(struct tls_cache *cache); /* NULL is allowed */

/* Copies key and bytes. `expires_s`: of any clock, the one that tls_cache_get is asked with. */
void tls_cache_put(struct tls_cache *cache, const char *key, const unsigned char *bytes, size_t len,
    int64_t expires_s);

/* NULL: there is none, or no longer. Valid until the next call that changes the cache. */
const unsigned char *tls_cache_get(struct tls_cache *cache, const char *key, int64_t now_s,
    size_t *len);

void tls_cache_drop(struct tls_cache *cache, const char *key);
size_t tls_cache_count(const struct tls_cache *cache);

#endif
