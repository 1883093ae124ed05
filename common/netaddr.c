/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ::ffff:a.b.c.d becomes a.b.c.d. */
static bool
unmap(struct netaddr *addr)
{
	if (addr->family != AF_INET6 || memcmp(addr->bytes, mapped, sizeof(mapped)) != 0)
		return false;
	memmove(addr->bytes, addr->bytes + sizeof(mapped), 4);
	memset(addr->bytes + 4, 0, sizeof(addr->bytes) - 4);
	addr->family = AF_INET;
	return true;
}

static size_t
family_bytes(int family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

/* inet_pton refuses what inet_aton lets through: "127.1", "010.0.0.1", scope ids. */
static int
parse_plain(const char *text, struct netaddr *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, text, addr->bytes) == 1)
		addr->family = AF_INET;
	else if (inet_pton(AF_INET6, text, addr->bytes) == 1)
		addr->family = AF_INET6;
	else
		return -1;
	return 0;
}

int
netaddr_parse(const char *text, struct netaddr *addr)
{
	char inner[INET6_ADDRSTRLEN];
	struct netaddr read;
	size_t len;

	if (text[0] == '[') {
		len = strlen(text);
		if (text[len - 1] != ']' || len - 2 >= sizeof(inner))
			return -1;
		memcpy(inner, text + 1, len - 2);
		inner[len - 2] = '\0';
		if (parse_plain(inner, &read) == -1 || read.family != AF_INET6)
			return -1;
	} else if (parse_plain(text, &read) == -1) {
		return -1;
	}
	unmap(&read);
	*addr = read;
	return 0;
}

const char *
netaddr_text(const struct netaddr *addr, char *text)
{
	if (family_bytes(addr->family) == 0 ||
	    inet_ntop(addr->family, addr->bytes, text, NETADDR_TEXT_MAX) == NULL)
		snprintf(text, NETADDR_TEXT_MAX, "unknown");
	return text;
}

const char *
netaddr_text_port(const struct netaddr *addr, char *text)
{
	char plain[NETADDR_TEXT_MAX];

	netaddr_text(addr, plain);
	snprintf(text, NETADDR_TEXT_MAX, addr->family == AF_INET6 ? "[%.46s]:%u" : "%.46s:%u",
		 plain, (unsigned)addr->port);
	return text;
}

const char *
netaddr_literal(const struct netaddr *addr, char *text)
{
	char plain[NETADDR_TEXT_MAX];

	netaddr_text(addr, plain);
	snprintf(text, NETADDR_TEXT_MAX, addr->family == AF_INET6 ? "[IPv6:%.46s]" : "[%.46s]",
		 plain);
	return text;
}

int
netaddr_parse_literal(const char *text, size_t len, struct netaddr *addr)
{
	char inner[NETADDR_TEXT_MAX];
	bool tagged;

	if (len < 2 || len > sizeof(inner) || text[0] != '[' || text[len - 1] != ']' ||
	    memchr(text, '\0', len) != NULL)
		return -1;
	text++;
	len -= 2;
	tagged = len > 5 && strncasecmp(text, "IPv6:", 5) == 0;
	if (tagged) {
		text += 5;
		len -= 5;
	}
	memcpy(inner, text, len);
	inner[len] = '\0';
	/* With the tag it must be IPv6, without it IPv4; netaddr reads "[::1]" too, which is no
	 * literal. */
	if (inner[0] == '[' || (strchr(inner, ':') != NULL) != tagged)
		return -1;
	return netaddr_parse(inner, addr);
}

void
netaddr_from_sockaddr(struct netaddr *addr, const struct sockaddr *sa)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	/* Copied, since the caller's bytes may be less aligned than the structs need. */
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_UNSPEC;
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		addr->family = AF_INET;
		addr->port = ntohs(in.sin_port);
		memcpy(addr->bytes, &in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		addr->family = AF_INET6;
		addr->port = ntohs(in6.sin6_port);
		memcpy(addr->bytes, &in6.sin6_addr, 16);
		unmap(addr);
	}
}

socklen_t
netaddr_to_sockaddr(const struct netaddr *addr, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct sockaddr_in in = {.sin_family = AF_INET};

	memset(ss, 0, sizeof(*ss));
	if (addr->family == AF_INET) {
		in.sin_port = htons(addr->port);
		memcpy(&in.sin_addr, addr->bytes, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	if (addr->family == AF_INET6) {
		in6.sin6_port = htons(addr->port);
		memcpy(&in6.sin6_addr, addr->bytes, 16);
		memcpy(ss, &in6, sizeof(in6));
		return sizeof(in6);
	}
	ss->ss_family = AF_UNSPEC;
	return 0;
}

bool
netaddr_same_host(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, family_bytes(a->family)) == 0;
}

bool
netaddr_equal(const struct netaddr *a, const struct netaddr *b)
{
	return a->port == b->port && netaddr_same_host(a, b);
}

/* The prefix length: digits alone, no sign, no leading zero. */
static int
parse_bits(const char *text, unsigned most, unsigned *bits)
{
	unsigned value = 0;

	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > most)
			return -1;
	}
	*bits = value;
	return 0;
}

static bool
bit_at(const unsigned char *bytes, unsigned at)
{
	return (bytes[at / 8] >> (7 - at % 8) & 1) != 0;
}

int
netprefix_parse(const char *text, struct netprefix *prefix, struct error *why)
{
	const char *slash = strchr(text, '/');
	char plain[INET6_ADDRSTRLEN];
	struct netprefix read;
	unsigned most;
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(plain))
		return error_set(why, ERROR_REFUSED, "%s is no IP address or prefix", text);
	memcpy(plain, text, len);
	plain[len] = '\0';
	if (parse_plain(plain, &read.address) == -1)
		return error_set(why, ERROR_REFUSED, "%s is no IP address or prefix", text);
	most = (unsigned)family_bytes(read.address.family) * 8;
	read.bits = most;
	if (slash != NULL && parse_bits(slash + 1, most, &read.bits) == -1)
		return error_set(why, ERROR_REFUSED, "%s: the prefix length must be 0-%u", text,
				 most);
	for (unsigned i = read.bits; i < most; i++) {
		if (bit_at(read.address.bytes, i))
			return error_set(why, ERROR_REFUSED,
					 "%s: the bits behind the first %u must be zero", text,
					 read.bits);
	}
	/* ::ffff:192.0.2.0/120 means 192.0.2.0/24. Bit 95 of a mapped address is set, so that a
	 * prefix shorter than 96 was refused above. */
	if (unmap(&read.address))
		read.bits -= 96;
	*prefix = read;
	return 0;
}

bool
netprefix_contains(const struct netprefix *prefix, const struct netaddr *addr)
{
	unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;

	if (prefix->address.family != addr->family || family_bytes(addr->family) == 0)
		return false;
	if (memcmp(prefix->address.bytes, addr->bytes, whole) != 0)
		return false;
	return rest == 0 || (prefix->address.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest) == 0;
}
