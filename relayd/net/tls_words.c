/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What OpenSSL means, in words for the person who reads the log. Where its own reason is plain
 * enough it is passed on.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "common/netaddr.h"
#include "relayd/net/tls_private.h"

/* Reasons from here on are alerts of the peer (RFC 8446 §6.2). */
enum { ALERTS = SSL_AD_REASON_OFFSET };

struct words {
	long code;
	const char *text;
};

static const struct words reasons[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "what came is not TLS"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "what came is not TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "the peer has no TLS 1.2 or later"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, "this system allows no TLS 1.2 or later"},
};

/* Order does not matter; those that are missing have OpenSSL's own words. */
static const struct words faults[] = {
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "its root is not among the trusted ones"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "its issuer is not known here"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "its issuer is not known here"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "its issuer is not known here"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "not valid yet"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "its signature is wrong"},
    {X509_V_ERR_INVALID_PURPOSE, "not one for a server"},
};

static const char *
words_of(const struct words *table, size_t count, long code)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].code == code)
			return table[i].text;
	return NULL;
}

/* The oldest that the kernel or the protocol told; else the oldest, which ciphers and parsers told
 * and which says less. */
static unsigned long
telling_error(void)
{
	unsigned long oldest = ERR_peek_error(), error;

	while ((error = ERR_get_error()) != 0)
		if (ERR_SYSTEM_ERROR(error) || ERR_GET_LIB(error) == ERR_LIB_SSL)
			break;
	ERR_clear_error();
	return error != 0 ? error : oldest;
}

const char *
tls_words(char *text, size_t size)
{
	unsigned long error = telling_error();
	int reason = ERR_GET_REASON(error);
	const char *words = NULL;

	if (error == 0) {
		(void)snprintf(text, size, "OpenSSL does not say why");
		return text;
	}
	if (ERR_SYSTEM_ERROR(error)) {
		(void)snprintf(text, size, "%s", strerror(reason));
		return text;
	}
	if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= ALERTS) {
		(void)snprintf(text, size, "the peer refuses: %s",
			       SSL_alert_desc_string_long(reason - ALERTS));
		return text;
	}
	if (ERR_GET_LIB(error) == ERR_LIB_SSL)
		words = words_of(reasons, sizeof(reasons) / sizeof(reasons[0]), reason);
	if (words == NULL)
		words = ERR_reason_error_string(error);
	if (words != NULL)
		(void)snprintf(text, size, "%s", words);
	else
		(void)snprintf(text, size, "OpenSSL's error %lx", error);
	return text;
}

const char *
tls_certificate_words(long result, const char *name, char *text, size_t size)
{
	const char *words = words_of(faults, sizeof(faults) / sizeof(faults[0]), result);

	if (result == X509_V_ERR_HOSTNAME_MISMATCH)
		(void)snprintf(text, size, "certificate: the name \"%s\" is not in it", name);
	else if (result == X509_V_ERR_IP_ADDRESS_MISMATCH)
		(void)snprintf(text, size, "certificate: the address %s is not in it", name);
	else
		(void)snprintf(text, size, "certificate: %s",
			       words != NULL ? words : X509_verify_cert_error_string(result));
	return text;
}
