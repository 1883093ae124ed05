/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/smtp/clients.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"

enum { BUCKETS_LEAST = 64 };

struct client_count {
	struct client_count *next;
	int family;
	uint64_t network; /* the address's bytes that count */
	unsigned count;
};

struct clients {
	struct client_count **buckets;
	size_t bucket_count; /* a power of two */
	size_t used;
};

static uint64_t
network_of(const struct netaddr *address)
{
	uint64_t network = 0;

	memcpy(&network, address->bytes, address->family == AF_INET ? 4 : 8);
	return network;
}

/* A client that picks colliding networks gains no more than a walk along its own connections. */
static size_t
bucket_of(const struct clients *clients, uint64_t network)
{
	return (size_t)(network * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (clients->bucket_count - 1);
}

struct clients *
clients_new(void)
{
	struct clients *clients = xcalloc(1, sizeof(*clients));

	clients->bucket_count = BUCKETS_LEAST;
	clients->buckets = xcalloc(clients->bucket_count, sizeof(*clients->buckets));
	return clients;
}

void
clients_free(struct clients *clients)
{
	struct client_count *next;

	for (size_t i = 0; i < clients->bucket_count; i++) {
		for (struct client_count *at = clients->buckets[i]; at != NULL; at = next) {
			next = at->next;
			free(at);
		}
	}
	free(clients->buckets);
	free(clients);
}

/* The link that leads to the client, or the one at the end of its chain. */
static struct client_count **
find(const struct clients *clients, const struct netaddr *address)
{
	uint64_t network = network_of(address);
	struct client_count **link = &clients->buckets[bucket_of(clients, network)];

	while (*link != NULL && ((*link)->network != network || (*link)->family != address->family))
		link = &(*link)->next;
	return link;
}

static void
grow(struct clients *clients)
{
	struct client_count **old = clients->buckets, *next, **link;
	size_t old_count = clients->bucket_count;

	clients->bucket_count *= 2;
	clients->buckets = xcalloc(clients->bucket_count, sizeof(*clients->buckets));
	for (size_t i = 0; i < old_count; i++) {
		for (struct client_count *at = old[i]; at != NULL; at = next) {
			next = at->next;
			link = &clients->buckets[bucket_of(clients, at->network)];
			at->next = *link;
			*link = at;
		}
	}
	free(old);
}

unsigned
clients_count(const struct clients *clients, const struct netaddr *address)
{
	const struct client_count *at = *find(clients, address);

	return at != NULL ? at->count : 0;
}

void
clients_add(struct clients *clients, const struct netaddr *address)
{
	struct client_count **link = find(clients, address), *added;

	if (*link != NULL) {
		(*link)->count++;
		return;
	}
	added = xcalloc(1, sizeof(*added));
	added->family = address->family;
	added->network = network_of(address);
	added->count = 1;
	*link = added;
	if (++clients->used > clients->bucket_count)
		grow(clients);
}

void
clients_remove(struct clients *clients, const struct netaddr *address)
{
	struct client_count **link = find(clients, address), *at = *link;

	if (at == NULL)
		fatal("clients: a connection ended that never began");
	if (--at->count > 0)
		return;
	*link = at->next;
	free(at);
	clients->used--;
}
