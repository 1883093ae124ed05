/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The server's side of AUTH for tests, by the library's own server code. */
#ifndef TESTS_UNIT_SASL_SERVER_H
#define TESTS_UNIT_SASL_SERVER_H

struct sasl_server;

/* Who may log in. The strings must outlive it. NULL: it does not know the mechanism. */
struct sasl_server *sasl_server_new(const char *mechanism, const char *login, const char *password);
void sasl_server_free(struct sasl_server *server);

/* The reply to a line of the client ("": none yet): "334 ...", or the last one: "235 ..." or
 * "535 ...". Readable until the next call. */
const char *sasl_server_reply(struct sasl_server *server, const char *line);

#endif
