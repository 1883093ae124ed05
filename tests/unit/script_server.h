/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A scripted SMTP server for tests, with TLS and AUTH: listens on a loopback address, each
 * connection served by a thread of its own with plain blocking sockets, so that it shares
 * nothing with what is tested. Behaves well, except where its script says otherwise.
 */
#ifndef TESTS_UNIT_SCRIPT_SERVER_H
#define TESTS_UNIT_SCRIPT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/netaddr.h"

struct tls_identity;

enum script_stage {
	AT_GREETING,
	AT_EHLO,
	AT_HELO,
	AT_STARTTLS,
	AT_TLS,  /* the handshake, after that or before the greeting; what is said stands in its place */
	AT_AUTH, /* after the command, and after each line that follows a 334 */
	AT_MAIL,
	AT_RCPT,
	AT_DATA,
	AT_BODY, /* after the first line of a message, before its end */
	AT_DOT,
	AT_RSET,
	AT_IDLE, /* unasked, right after the reply to the final dot */
	SCRIPT_STAGES
};

/*
 * What is said at each stage; NULL: what a server that is well says (at AT_BODY and AT_IDLE:
 * nothing). Several, with '|' between them, are for the first, second, ... time in this connection;
 * the last repeats. One of
 *
 *   "450 4.2.0 busy"    the reply, CRLF is added; '\n' becomes CRLF; 421: and close
 *   "raw:TEXT"          as it stands
 *   "bytes:REPLY"       octet by octet
 *   "hold:REPLY"        kept back until the next reply that isn't
 *   "silence"           nothing; reads on until the client closes
 *   "deaf"              nothing; does not even read
 *   "drop" "reset"      close in order, or with a reset
 *   "endless"           lines of a reply, without end
 */
struct script {
	const char
	    *features; /* keywords of the EHLO reply, '\n' between them; NULL: "PIPELINING" */
	const char *at[SCRIPT_STAGES];
	const char *secure_features;         /* of the one under TLS; NULL: the same */
	const struct tls_identity *identity; /* NULL: it knows no TLS */
	bool implicit;                       /* TLS from the first byte */
	const char *login, *password;        /* who may log in; NULL: AUTH is refused */
};

struct script_server;

/* The strings must outlive it. The first connection follows the first, ...; the last repeats. */
struct script_server *script_server_new(const char *address, const struct script *scripts,
					size_t count);
/* The same at a port that is known (where something else listened before); 0: any. */
struct script_server *script_server_at(const char *address, uint16_t port,
				       const struct script *scripts, size_t count);

/* Ends every connection. Fails the test if a client spoke where it had to wait. */
void script_server_free(struct script_server *server);

struct netaddr script_server_address(const struct script_server *server);

size_t script_server_connections(struct script_server *server); /* accepted so far */
size_t script_server_open(struct script_server *server);        /* open now */
size_t script_server_most_open(struct script_server *server);   /* at one time, so far */
size_t script_server_messages(struct script_server *server); /* whole ones, whatever their reply */

/* The address the client's end of connection `number` has had. */
struct netaddr script_server_peer(struct script_server *server, size_t number);

/* The message's data as it travelled, without its final dot; valid until the server is freed. */
const char *script_server_message(struct script_server *server, size_t number, size_t *len);

/*
 * All commands so far, "CONNECTION COMMAND\n" each, and "CONNECTION .\n" for a final dot; owned by
 * the caller. And how often `needle` is in it.
 */
char *script_server_transcript(struct script_server *server);
size_t script_server_heard(struct script_server *server, const char *needle);

#endif
