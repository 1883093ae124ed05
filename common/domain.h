/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Domain names in one stored form: lower case, A-labels (IDNA2008 by libidn2, the one file that
 * sees it), no final dot; address literals as [192.0.2.1] or [IPv6:2001:db8::1] in canonical text.
 */
#ifndef COMMON_DOMAIN_H
#define COMMON_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/* The stored form of a host or domain name or literal, owned by the caller; NULL and `why` if it is
 * none: empty or over-long labels, characters outside letters, digits, '-', '_', a label that
 * IDNA2008 refuses. */
char *domain_normalise(const char *text, struct error *why);

/* For a terminal that shows UTF-8: the U-label form, owned by the caller. A name that mixes scripts
 * or can't be shown is given back as it is. */
char *domain_display(const char *domain);

/* RFC 5321 Domain or address-literal by its syntax alone (no conversion, `len` bytes). '_' is let through
 * beyond the RFC: hosts that bear it send mail, and every large server takes it. */
bool domain_is_valid(const char *text, size_t len);

#endif
