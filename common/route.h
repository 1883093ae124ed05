/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One outbound route: its fields, their defaults, what is valid, the line `tmail routes list`
 * prints, and the text record in which it is stored. Knows nothing of tables, lookups or sockets.
 *
 * A route in the live table is never changed in place: an edit makes a new one. It is therefore
 * counted by references (one thread owns them all): delivery keeps the routes of its plan while the
 * table moves on.
 */
#ifndef COMMON_ROUTE_H
#define COMMON_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/netaddr.h"
#include "common/strbuf.h"

enum route_tls {
	ROUTE_TLS_DEFAULT, /* not written: route_effective_tls() says what it means */
	ROUTE_TLS_NONE,
	ROUTE_TLS_MAY,
	ROUTE_TLS_REQUIRE,
	ROUTE_TLS_VERIFY,
	ROUTE_TLS_IMPLICIT
};

/* The fields, for `set`, errors that name a field, and records. */
enum route_field {
	ROUTE_DESTINATION,
	ROUTE_REMOTE_HOST,
	ROUTE_REMOTE_PORT,
	ROUTE_PRIORITY,
	ROUTE_WEIGHT,
	ROUTE_LOCAL_IPS,
	ROUTE_USER,
	ROUTE_MAIL_FROM,
	ROUTE_REMOTE_LOGIN,
	ROUTE_REMOTE_PASSWORD,
	ROUTE_TLS,
	ROUTE_ENABLED,
	ROUTE_COMMENT,
	ROUTE_FIELDS /* how many */
};

struct route {
	uint64_t id;           /* 0: not yet assigned */
	char *destination;     /* "*", "example.com", ".example.com", "[192.0.2.1]"; never NULL */
	char *remote_host;     /* name or IP without brackets; NULL only while being built */
	uint16_t remote_port;
	uint16_t priority;     /* 1 .. 65535, lowest first */
	uint16_t weight;       /* 1 .. 1000 */
	char *local_ips;       /* "a|b" or "a&b" as canonical text; NULL: the configured default */
	char *user;            /* login or domain; NULL: any client */
	char *mail_from;       /* address or domain; NULL: any sender */
	char *remote_login;    /* both or neither */
	char *remote_password; /* secret: never logged, listed or sent to a console */
	enum route_tls tls;
	bool enabled;
	char *comment;         /* NULL: none */
	uint64_t revision;     /* of the change that made it so; 0: not known */
	unsigned references;
	unsigned block_bytes; /* so many bytes from here on hold texts too: route_copy() */
};

/* With the defaults, no remote host, one reference. */
struct route *route_new(void);
/* One reference, same id. The copy lies in one block of memory with its texts: many routes are
 * smaller so, and sooner read. */
struct route *route_copy(const struct route *route);
struct route *route_ref(const struct route *route);
/* Note which change made it so: no part of what a route says, nor of its record. */
void route_set_revision(const struct route *route, uint64_t revision);
void route_unref(struct route *route); /* NULL is allowed; the password is wiped */

/*
 * Set one field from the text a person or a record gives, validating and normalising it: domains to
 * A-labels in lower case, "*.example.com" to ".example.com", IPs to canonical text, "" clears an
 * optional field to its default. On failure `route` is unchanged and `why` (ERROR_REFUSED) reads
 * as the rest of a sentence that begins with the value: "the port must be 1-65535".
 */
int route_set(struct route *route, enum route_field field, const char *value, struct error *why);

/* A login, or a domain of logins, in the form in which it is stored and compared: lower case, the
 * domain's labels as A-labels. Owned by the caller. */
char *route_user_normalise(const char *user);

/* Wipe and give back a text of `route`, wherever it lies, before another one takes its place. NULL is
 * allowed. For what works on the members themselves. */
void route_drop_text(const struct route *route, char *text);

/* The rules between fields: remote host given, login and password both or neither. */
int route_validate(const struct route *route, struct error *why);

/* "remote_port" and the like: the names used in records, JSON and errors. */
const char *route_field_name(enum route_field field);
int route_field_of(const char *name, enum route_field *field);

/* A field as text, as route_set takes it; NULL where it has its default or is unset. The password
 * comes out too: for records only. `scratch` holds numbers. */
const char *route_get(const struct route *route, enum route_field field, char scratch[24]);

enum route_tls route_effective_tls(const struct route *route);
const char *route_tls_name(enum route_tls tls); /* "none", "may", ... */

/* Same hop: remote host, port, login and password, local IPs and TLS policy alike. */
bool route_same_hop(const struct route *a, const struct route *b);

/* Local IPs in parts. Returns how many there are (0: the default). */
struct route_local_ips {
	size_t count;
	bool failover; /* '&': in the order written; else '|': in random order */
	struct netaddr address[16];
};
int route_local_ips_parse(const char *text, struct route_local_ips *out, struct error *why);

/*
 * The frozen line of `tmail routes list`, without the newline, the misspelling included:
 * ID - Destination host: D - if user: U - if mail from: F - Prority: P - Local IPs: L -
 * Remote host: LOGIN:********@HOST:PORT - TLS: T - Weight: W - disabled - Comment: C
 * (optional parts only where the route has them; an IPv6 remote stands in brackets).
 */
void route_line(const struct route *route, struct strbuf *out);

/*
 * The stored record: "field=value\n" for each field that differs from its default, in the order of
 * enum route_field, without the id (that is the record's key). Reading refuses unknown fields and
 * values that do not validate.
 */
void route_encode(const struct route *route, struct strbuf *out);
struct route *route_decode(uint64_t id, const char *record, size_t len, struct error *why);

#endif
