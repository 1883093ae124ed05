/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each field of a route accepts, and the form in which it is kept. */
#include "common/route.h"

#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/domain.h"
#include "common/hostport.h"
#include "common/utf8.h"
#include "common/xalloc.h"

/* Octets. Bounds of a person's typing, far above what any server takes. */
enum { LOGIN_MAX = 512, PASSWORD_MAX = 1024, COMMENT_MAX = 1024 };

enum { WEIGHT_MAX = 1000 };

/* A number as port_parse reads it, up to `most`; the default for "". */
static int
set_number(uint16_t *place, const char *value, uint16_t standard, uint16_t most, const char *name,
	   struct error *why)
{
	uint16_t number = standard;

	if (value[0] != '\0' && (port_parse(value, &number) == -1 || number > most))
		return error_set(why, ERROR_REFUSED, "the %s must be 1-%u", name, (unsigned)most);
	*place = number;
	return 0;
}

/* Text of one line, kept as it is. */
static char *
plain_text(const char *value, size_t most, const char *name, struct error *why)
{
	size_t len = strlen(value);

	if (len > most) {
		error_set(why, ERROR_REFUSED, "the %s must not be longer than %zu octets", name,
			  most);
		return NULL;
	}
	if (!utf8_is_plain(value, len)) {
		error_set(why, ERROR_REFUSED,
			  "the %s must be one line of UTF-8 without control characters", name);
		return NULL;
	}
	return xstrndup(value, len);
}

static char *
destination_text(const char *value, struct error *why)
{
	const char *parent = value;
	char *name, *suffix;

	if (strcmp(value, "*") == 0)
		return xstrdup(value);
	if (value[0] == '*' && value[1] == '.')
		parent = value + 2;
	else if (value[0] == '.')
		parent = value + 1;
	if (parent != value && parent[0] == '[') {
		error_set(why, ERROR_REFUSED, "an address literal has no subdomains");
		return NULL;
	}
	name = domain_normalise(parent, why);
	if (name == NULL || parent == value)
		return name;
	suffix = xasprintf(".%s", name);
	free(name);
	return suffix;
}

static char *
remote_host_text(const char *value, struct error *why)
{
	char text[NETADDR_TEXT_MAX];
	size_t len = strlen(value);
	struct netaddr address;

	if (len == 0) {
		error_set(why, ERROR_REFUSED, "a route needs a remote host");
		return NULL;
	}
	/* No host name ends so: the look spares the attempt for nearly all of them. */
	if (strchr("0123456789]:", value[len - 1]) != NULL || strchr(value, ':') != NULL) {
		if (netaddr_parse(value, &address) == 0)
			return xstrdup(netaddr_text(&address, text));
		if (strchr(value, ':') != NULL || value[0] == '[') {
			error_set(why, ERROR_REFUSED,
				  "the remote host must be a host name, an IPv4 address or [IPv6]; "
				  "the port "
				  "is a field of its own");
			return NULL;
		}
	}
	return domain_normalise(value, why);
}

/* ASCII alone: what else the case of a letter may be depends on a language. */
static void
lower_case(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text | 0x20);
	}
}

static char *
joined(const char *start, size_t len, const char *rest)
{
	size_t rest_size = strlen(rest) + 1;
	char *text = xmalloc(len + rest_size);

	memcpy(text, start, len);
	memcpy(text + len, rest, rest_size);
	return text;
}

char *
route_user_normalise(const char *user)
{
	const char *at = strrchr(user, '@');
	char *domain = NULL, *result;

	/* A word without '@' and without a dot is a login, whatever its letters are. */
	if (at != NULL)
		domain = domain_normalise(at + 1, NULL);
	else if (strchr(user, '.') != NULL)
		domain = domain_normalise(user, NULL);
	if (domain == NULL)
		result = xstrdup(user);
	else if (at != NULL)
		result = joined(user, (size_t)(at - user) + 1, domain);
	else
		result = xstrdup(domain);
	lower_case(result);
	free(domain);
	return result;
}

static char *
user_text(const char *value, struct error *why)
{
	char *plain, *user;

	if (value[0] == '@') {
		error_set(why, ERROR_REFUSED, "the user must be a login, or a domain without '@'");
		return NULL;
	}
	plain = plain_text(value, LOGIN_MAX, "user", why);
	if (plain == NULL)
		return NULL;
	user = route_user_normalise(plain);
	free(plain);
	return user;
}

static char *
mail_from_text(const char *value, struct error *why)
{
	if (strchr(value, '@') != NULL)
		return address_parse(value, strlen(value), true, why);
	return domain_normalise(value, why);
}

int
route_local_ips_parse(const char *text, struct route_local_ips *out, struct error *why)
{
	const size_t most = sizeof(out->address) / sizeof(out->address[0]);
	static const unsigned char nowhere[16] = {0};
	char part[NETADDR_TEXT_MAX];
	struct route_local_ips read;
	size_t len;

	memset(&read, 0, sizeof(read));
	read.failover = strchr(text, '&') != NULL;
	if (read.failover && strchr(text, '|') != NULL)
		return error_set(why, ERROR_REFUSED,
				 "the local IPs must be joined by | (round robin) or by & "
				 "(failover), never both");
	for (; text[0] != '\0' || read.count > 0; text += len + 1) {
		len = strcspn(text, "|&");
		if (read.count == most)
			return error_set(why, ERROR_REFUSED, "there may be %zu local IPs at most",
					 most);
		if (len < sizeof(part)) {
			memcpy(part, text, len);
			part[len] = '\0';
		}
		if (len >= sizeof(part) || netaddr_parse(part, &read.address[read.count]) == -1)
			return error_set(why, ERROR_REFUSED,
					 "the local IP '%.*s' is not an IP address",
					 (int)(len < sizeof(part) ? len : sizeof(part)), text);
		if (memcmp(read.address[read.count].bytes, nowhere, sizeof(nowhere)) == 0)
			return error_set(why, ERROR_REFUSED, "%s is not an address to send from",
					 part);
		read.count++;
		if (text[len] == '\0')
			break;
	}
	*out = read;
	return 0;
}

static char *
local_ips_text(const char *value, struct error *why)
{
	struct strbuf joined = STRBUF_INIT;
	char text[NETADDR_TEXT_MAX];
	struct route_local_ips ips;

	if (route_local_ips_parse(value, &ips, why) == -1)
		return NULL;
	for (size_t i = 0; i < ips.count; i++) {
		if (i > 0)
			strbuf_putc(&joined, ips.failover ? '&' : '|');
		strbuf_puts(&joined, netaddr_text(&ips.address[i], text));
	}
	return strbuf_take(&joined);
}

static int
set_tls(struct route *route, const char *value, struct error *why)
{
	if (value[0] == '\0') {
		route->tls = ROUTE_TLS_DEFAULT;
		return 0;
	}
	for (int tls = ROUTE_TLS_NONE; tls <= ROUTE_TLS_IMPLICIT; tls++) {
		if (strcmp(value, route_tls_name((enum route_tls)tls)) == 0) {
			route->tls = (enum route_tls)tls;
			return 0;
		}
	}
	return error_set(why, ERROR_REFUSED,
			 "the TLS policy must be none, may, require, verify or implicit");
}

static int
set_enabled(struct route *route, const char *value, struct error *why)
{
	if (value[0] == '\0' || strcmp(value, "yes") == 0 || strcmp(value, "true") == 0)
		route->enabled = true;
	else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0)
		route->enabled = false;
	else
		return error_set(why, ERROR_REFUSED, "enabled must be yes or no");
	return 0;
}

static char **
text_place(struct route *route, enum route_field field)
{
	switch (field) {
	case ROUTE_DESTINATION:
		return &route->destination;
	case ROUTE_REMOTE_HOST:
		return &route->remote_host;
	case ROUTE_LOCAL_IPS:
		return &route->local_ips;
	case ROUTE_USER:
		return &route->user;
	case ROUTE_MAIL_FROM:
		return &route->mail_from;
	case ROUTE_REMOTE_LOGIN:
		return &route->remote_login;
	case ROUTE_REMOTE_PASSWORD:
		return &route->remote_password;
	case ROUTE_COMMENT:
		return &route->comment;
	default:
		return NULL;
	}
}

/* The form of a text field that is kept; NULL and `why` where it is refused. */
static char *
field_text(enum route_field field, const char *value, struct error *why)
{
	switch (field) {
	case ROUTE_DESTINATION:
		return destination_text(value, why);
	case ROUTE_REMOTE_HOST:
		return remote_host_text(value, why);
	case ROUTE_LOCAL_IPS:
		return local_ips_text(value, why);
	case ROUTE_USER:
		return user_text(value, why);
	case ROUTE_MAIL_FROM:
		return mail_from_text(value, why);
	case ROUTE_REMOTE_LOGIN:
		return plain_text(value, LOGIN_MAX, "remote login", why);
	case ROUTE_REMOTE_PASSWORD:
		return plain_text(value, PASSWORD_MAX, "remote password", why);
	default:
		return plain_text(value, COMMENT_MAX, "comment", why);
	}
}

int
route_set(struct route *route, enum route_field field, const char *value, struct error *why)
{
	char **place = text_place(route, field), *text = NULL;

	if (field == ROUTE_REMOTE_PORT)
		return set_number(&route->remote_port, value, 25, UINT16_MAX, "port", why);
	if (field == ROUTE_PRIORITY)
		return set_number(&route->priority, value, 1, UINT16_MAX, "priority", why);
	if (field == ROUTE_WEIGHT)
		return set_number(&route->weight, value, 1, WEIGHT_MAX, "weight", why);
	if (field == ROUTE_TLS)
		return set_tls(route, value, why);
	if (field == ROUTE_ENABLED)
		return set_enabled(route, value, why);
	if (place == NULL)
		return error_set(why, ERROR_BUG, "a route has no field %d", (int)field);

	if (value[0] == '\0' && field == ROUTE_DESTINATION)
		text = xstrdup("*");
	else if (value[0] != '\0' || field == ROUTE_REMOTE_HOST)
		text = field_text(field, value, why);
	if (text == NULL && (value[0] != '\0' || field == ROUTE_REMOTE_HOST))
		return -1;
	route_drop_text(route, *place);
	*place = text;
	return 0;
}
