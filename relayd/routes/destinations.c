/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/routes/destinations.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* RFC 4291 §2.7 and RFC 6724 §3.1. */
enum scope { SCOPE_LINK = 0x2, SCOPE_SITE = 0x5, SCOPE_GLOBAL = 0xe };

/* The default policy table, RFC 6724 §2.1, the longest prefix first. */
static const struct policy {
	unsigned char prefix[16];
	unsigned bits;
	unsigned precedence;
	unsigned label;
} policies[] = {
    {{[15] = 1}, 128, 50, 0},                /* ::1 */
    {{[10] = 0xff, [11] = 0xff}, 96, 35, 4}, /* ::ffff:0:0, which is how IPv4 stands here */
    {{0}, 96, 1, 3},                         /* ::/96 */
    {{0x20, 0x01, 0, 0}, 32, 5, 5},          /* 2001::/32, Teredo */
    {{0x20, 0x02}, 16, 30, 2},               /* 2002::/16, 6to4 */
    {{0x3f, 0xfe}, 16, 1, 12},               /* 3ffe::/16 */
    {{0xfe, 0xc0}, 10, 1, 11},               /* fec0::/10 */
    {{0xfc}, 7, 3, 13},                      /* fc00::/7 */
    {{0}, 0, 40, 1},                         /* ::/0 */
};

/* What the rules look at, worked out once for each address. */
struct rated {
	struct destination destination;
	size_t at; /* in the order given */
	bool reachable, same_scope, same_label;
	unsigned precedence;
	enum scope scope;
	unsigned common_bits;
};

static void
as_ipv6(const struct netaddr *address, unsigned char bytes[16])
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (address->family == AF_INET6) {
		memcpy(bytes, address->bytes, 16);
		return;
	}
	memcpy(bytes, mapped, sizeof mapped);
	memcpy(bytes + 12, address->bytes, 4);
}

/* How many bits a and b have in common from the left, of the first `max`. */
static unsigned
common_bits(const unsigned char *a, const unsigned char *b, unsigned max)
{
	unsigned bits = 0;

	while (bits < max && ((a[bits / 8] ^ b[bits / 8]) & (0x80U >> bits % 8)) == 0)
		bits++;
	return bits;
}

static const struct policy *
policy_of(const unsigned char bytes[16])
{
	const struct policy *policy = policies;

	while (common_bits(policy->prefix, bytes, policy->bits) < policy->bits)
		policy++;
	return policy;
}

static enum scope
scope_of(const struct netaddr *address)
{
	const unsigned char *b = address->bytes;

	if (address->family != AF_INET6) {
		/* RFC 6724 §3.2: private addresses are of global scope. */
		bool link = b[0] == 127 || (b[0] == 169 && b[1] == 254);
		return link ? SCOPE_LINK : SCOPE_GLOBAL;
	}
	if (b[0] == 0xff)
		return (enum scope)(b[1] & 0x0f);
	if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return SCOPE_LINK;
	if (b[0] == 0xfe && (b[1] & 0xc0) == 0xc0)
		return SCOPE_SITE;
	/* ::1 counts as link-local, RFC 4007 §4. */
	for (unsigned i = 0; i < 15; i++) {
		if (b[i] != 0)
			return SCOPE_GLOBAL;
	}
	return b[15] == 1 ? SCOPE_LINK : SCOPE_GLOBAL;
}

static struct rated
rate(const struct destination *destination, size_t at)
{
	struct rated rated = {.destination = *destination, .at = at};
	unsigned char remote[16], source[16];
	const struct policy *policy;

	as_ipv6(&destination->address, remote);
	policy = policy_of(remote);
	rated.precedence = policy->precedence;
	rated.scope = scope_of(&destination->address);
	rated.reachable = destination->source.family != AF_UNSPEC;
	if (!rated.reachable)
		return rated;
	as_ipv6(&destination->source, source);
	rated.same_scope = scope_of(&destination->source) == rated.scope;
	rated.same_label = policy_of(source)->label == policy->label;
	if (destination->address.family == AF_INET6)
		rated.common_bits = common_bits(remote, source, 64);
	return rated;
}

/* Negative: a is tried before b. */
static int
compare_rated(const void *one, const void *other)
{
	const struct rated *a = one, *b = other;

	if (a->reachable != b->reachable)
		return a->reachable ? -1 : 1;
	if (a->same_scope != b->same_scope)
		return a->same_scope ? -1 : 1;
	if (a->same_label != b->same_label)
		return a->same_label ? -1 : 1;
	if (a->precedence != b->precedence)
		return a->precedence > b->precedence ? -1 : 1;
	if (a->scope != b->scope)
		return a->scope < b->scope ? -1 : 1;
	if (a->destination.address.family == b->destination.address.family &&
	    a->common_bits != b->common_bits)
		return a->common_bits > b->common_bits ? -1 : 1;
	return a->at < b->at ? -1 : 1;
}

/* The first at or behind *at that is (not) of `family`; `count` when there is none. */
static size_t
next_of_family(const struct rated *rated, size_t count, size_t at, int family, bool is)
{
	while (at < count && (rated[at].destination.address.family == family) != is)
		at++;
	return at;
}

static void
interleave(const struct rated *rated, size_t count, struct destination *out)
{
	int family = rated[0].destination.address.family;
	size_t at[2] = {count, count}, written = 0;
	bool first = true;

	at[1] = next_of_family(rated, count, 0, family, true);
	at[0] = next_of_family(rated, count, 0, family, false);
	while (written < count) {
		if (at[first] == count)
			first = !first; /* one family is used up: the rest is the other's */
		out[written++] = rated[at[first]].destination;
		at[first] = next_of_family(rated, count, at[first] + 1, family, first);
		first = !first;
	}
}

void
destinations_sort(struct destination *list, size_t count)
{
	struct rated *rated;
	size_t reachable = 0;

	if (count < 2)
		return;
	rated = xreallocarray(NULL, count, sizeof(*rated));
	for (size_t i = 0; i < count; i++)
		rated[i] = rate(&list[i], i);
	qsort(rated, count, sizeof(*rated), compare_rated);
	while (reachable < count && rated[reachable].reachable)
		reachable++;
	if (reachable > 0)
		interleave(rated, reachable, list);
	for (size_t i = reachable; i < count; i++)
		list[i] = rated[i].destination;
	free(rated);
}
