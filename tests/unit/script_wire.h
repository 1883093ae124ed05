/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of a scripted server's connection: blocking, in the clear or, from a moment on,
 * with TLS. */
#ifndef TESTS_UNIT_SCRIPT_WIRE_H
#define TESTS_UNIT_SCRIPT_WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct tls_identity;
struct script_wire;

struct script_wire *script_wire_new(int fd); /* which stays the caller's */
void script_wire_free(struct script_wire *wire);

/* As the server of a handshake. 0, or -1 if there is none. */
int script_wire_secure(struct script_wire *wire, const struct tls_identity *identity);
bool script_wire_is_secure(const struct script_wire *wire);

/* > 0, or <= 0 at the end. */
long script_wire_read(struct script_wire *wire, char *bytes, size_t room);
int script_wire_write(struct script_wire *wire, const char *bytes, size_t len); /* all: 0, or -1 */

bool script_wire_has_more(const struct script_wire *wire); /* to be read at once */
void script_wire_farewell(struct script_wire *wire);       /* the orderly end of TLS */

#endif
