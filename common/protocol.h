/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control protocol between tmail and relayd: JSON-RPC 2.0, one object a line, on a UNIX stream
 * socket. This file makes and reads those lines; what a method does is the business of
 * relayd/control, what a person sees that of console.
 *
 *   -> {"jsonrpc":"2.0","id":1,"method":"routes.add","params":{"route":{...}}}
 *   <- {"jsonrpc":"2.0","id":1,"result":{...}}
 *   <- {"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"no route 42","data":{"name":"not_found","hint":"..."}}}
 *
 * Error codes are those of common/error.h; JSON-RPC's own (-32700 parse error, -32600 invalid
 * request, -32601 method not found, -32602 invalid params) are kept for broken clients.
 *
 * json_t is jansson's value and the currency of this protocol: the control and console rooms use
 * jansson's own calls on it. The usual reference rules: "stolen" means given away.
 */
#ifndef COMMON_PROTOCOL_H
#define COMMON_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/route.h"
#include "common/strbuf.h"

enum {
	PROTOCOL_LINE_MAX = 64 * 1024 * 1024, /* bytes of one line; more is a broken peer */
	PROTOCOL_PARSE_ERROR = -32700,
	PROTOCOL_INVALID_REQUEST = -32600,
	PROTOCOL_METHOD_NOT_FOUND = -32601,
	PROTOCOL_INVALID_PARAMS = -32602
};

struct protocol_request {
	json_t *id;         /* borrowed from root; NULL: a notification */
	const char *method; /* borrowed */
	json_t *params;     /* borrowed, an object; never NULL */
	json_t *root;       /* owned */
};

/* Read one line (no newline). On failure the code to answer with is in *rpc_code, and the id, as far as
 * there was one, in request->id. protocol_request_clear() in both cases. */
int protocol_read_request(const char *line, size_t len, struct protocol_request *request,
    int *rpc_code, struct error *why);
void protocol_request_clear(struct protocol_request *request);

/* Append one line with its newline. `result` is stolen. */
void protocol_write_request(struct strbuf *out, int64_t id, const char *method, json_t *params_stolen);
void protocol_write_result(struct strbuf *out, const json_t *id, json_t *result_stolen);
void protocol_write_error(struct strbuf *out, const json_t *id, const struct error *why, const char *hint);
/* With further members in the error's "data" (an object, borrowed; NULL: none). */
void protocol_write_error_data(struct strbuf *out, const json_t *id, const struct error *why,
    const char *hint, json_t *data);
void protocol_write_rpc_error(struct strbuf *out, const json_t *id, int rpc_code, const char *message);

/* Read a reply line: the result (owned) or NULL with `why` (and `hint`, owned, may be NULL). */
json_t *protocol_read_reply(const char *line, size_t len, int64_t id, struct error *why, char **hint);
/* As that; *data becomes the "data" of an error (owned), NULL where there is none. */
json_t *protocol_read_reply_data(const char *line, size_t len, int64_t id, struct error *why,
    char **hint, json_t **data);

/*
 * A route as the object of tmail-formats: every member is always there, null where unset, the
 * password only as "has_password". Members that the daemon adds (group_rank, state, revision ...)
 * are put in by the caller.
 */
json_t *protocol_route_object(const struct route *route);

/*
 * Fields of `object` into `route`: strings, numbers and booleans by route_set; null clears; "id" and
 * members that only describe (group_rank, has_password, state, ...) are ignored, an unknown member is
 * refused by name. `why` names the member.
 */
bool protocol_route_describes(const char *name); /* a member of the second kind */
int protocol_route_from_object(const json_t *object, struct route *route, struct error *why);

#endif
