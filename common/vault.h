/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A secret while it is in use: in pages of its own that are not swapped out (where the limit on
 * locked memory allows it), are left out of core dumps, and are overwritten when it is done
 * with. It costs a page each: for the few that are being used, not for tables of them.
 */
#ifndef COMMON_VAULT_H
#define COMMON_VAULT_H

/* A copy of the text; NULL gives NULL. */
char *vault_keep(const char *text);

/* Overwrite and give back. NULL is allowed. */
void vault_drop(char *kept);

#endif
