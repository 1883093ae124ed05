/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd.conf(5) as a plain value: read by libconfuse (this is the one room that sees it), checked
 * whole, every default filled in. An unknown key, a bad value or two listeners on one address is an
 * error that names file and line and the wrong word.
 */
#ifndef RELAYD_SETTINGS_H
#define RELAYD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/netaddr.h"

struct settings_listener {
	struct netaddr address;
	unsigned line; /* in the file, for errors */
};

struct settings {
	char *hostname;       /* default: the FQDN (getaddrinfo AI_CANONNAME of the host name), else the host name */
	char *state_dir;
	char *control_socket;
	char *user;           /* NULL: stay who we are */
	struct netprefix *relay_from;
	size_t relay_from_count;
	char **relay_domains; /* normalised; ".example.com" means every subdomain */
	size_t relay_domains_count;
	char *local_ips;      /* NULL: the kernel's choice; checked as a route's are */
	uint64_t message_size;  /* octets */
	int64_t queue_lifetime_ms;
	int64_t *retry_ms;      /* at least one */
	size_t retry_count;
	char **dns_servers;     /* "ADDRESS@PORT" */
	size_t dns_servers_count;
	int64_t shutdown_grace_ms;
	enum log_level log_level;
	enum log_format log_format;
	struct settings_listener *listeners; /* at least one */
	size_t listener_count;
	struct {
		char *ca; /* a file of certificates in PEM; NULL: the system's store */
	} tls;
	struct {
		unsigned connections;            /* 2000 */
		unsigned connections_per_client; /* 50 */
		unsigned recipients;             /* 1000, per message */
		unsigned errors;                 /* 20, per session */
		unsigned outbound;               /* 1000 */
		unsigned outbound_per_host;      /* 50 */
	} limits;
	struct {
		int64_t command_ms;        /* 5m: waiting for a command */
		int64_t data_ms;           /* 10m: the whole of a message's data may take this long between two blocks of it */
		int64_t connect_ms;        /* 30s */
		int64_t remote_command_ms; /* 5m */
	} timeouts;
};

/* NULL and `why` ("relayd.conf:12: log_level: \"loud\" is not one of debug, info, ..."). */
struct settings *settings_read(const char *file, struct error *why);
void settings_free(struct settings *settings);

/* "5m", "30s", "1h", "5d", "2w", "500ms", "90" (seconds) to milliseconds; "50M", "64K", "1G", "1T",
 * "1000" to octets (powers of 1024). -1 for anything else. */
int settings_duration(const char *text, int64_t *ms);
int settings_size(const char *text, uint64_t *octets);

#endif
