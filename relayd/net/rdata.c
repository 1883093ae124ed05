/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/net/rdata.h"

#include <netinet/in.h>
#include <string.h>

enum { LABEL_MAX = 63 };

static bool
is_host_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

bool
name_is_possible(const char *name)
{
	size_t len = strlen(name);
	size_t label = 0;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > RDATA_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!is_host_octet(name[i]) || ++label > LABEL_MAX) {
			return false;
		}
	}
	return label > 0;
}

int
rdata_address(const char *rdata, size_t len, struct netaddr *address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};

	if (len == sizeof(sin.sin_addr)) {
		memcpy(&sin.sin_addr, rdata, len);
		netaddr_from_sockaddr(address, (const struct sockaddr *)&sin);
		return 0;
	}
	if (len == sizeof(sin6.sin6_addr)) {
		memcpy(&sin6.sin6_addr, rdata, len);
		netaddr_from_sockaddr(address, (const struct sockaddr *)&sin6);
		return 0;
	}
	return -1;
}

/* One label of `len` octets, in lower case, behind what stands in `host`. */
static int
host_add_label(char host[RDATA_NAME_MAX + 1], size_t *used, const char *label, size_t len)
{
	size_t at = *used;

	if (at > 0) {
		if (at >= RDATA_NAME_MAX)
			return -1;
		host[at++] = '.';
	}
	if (len > RDATA_NAME_MAX - at)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (!is_host_octet(label[i]))
			return -1;
		host[at++] =
		    label[i] >= 'A' && label[i] <= 'Z' ? (char)(label[i] - 'A' + 'a') : label[i];
	}
	*used = at;
	return 0;
}

int
rdata_mx(const char *rdata, size_t len, uint16_t *preference, char host[RDATA_NAME_MAX + 1])
{
	const unsigned char *bytes = (const unsigned char *)rdata;
	size_t at = 2, used = 0;

	if (len < 3)
		return -1;
	while (at < len && bytes[at] != 0) {
		size_t label = bytes[at++];

		/* more than 63: a compression pointer or nothing that is defined */
		if (label > LABEL_MAX || label > len - at ||
		    host_add_label(host, &used, rdata + at, label) < 0)
			return -1;
		at += label;
	}
	if (at != len - 1) /* the root label is the last octet */
		return -1;
	host[used] = '\0';
	*preference = (uint16_t)(bytes[0] << 8 | bytes[1]);
	return 0;
}
