/* SPDX-License-Identifier: BSD-2-Clause */
/* For handshake.c: what each option does. */
#ifndef NBD_OPTION_H
#define NBD_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct export;
struct nbd_session;

/* For all that answer options: a reply's header, LENGTH bytes to follow; a reply without data, or with TEXT for the user. */
void option_reply_header(struct nbd_session *session, uint32_t type, size_t length);
void option_reply(struct nbd_session *session, uint32_t type, const char *text);

/* Whether the client may use EXPORT; a refusal is logged if TELL. */
bool option_may_use(struct nbd_session *session, const struct export *export, bool tell);

/* It may not: NBD_REP_ERR_POLICY. */
void option_refuse_access(struct nbd_session *session);

/* There is none: NBD_REP_ERR_UNKNOWN. */
void option_refuse_unknown(struct nbd_session *session, const char *name, uint32_t length);

/* Whether it is a string of the specification: valid UTF-8, no NUL, not too long. */
bool option_is_string(const uint8_t *bytes, uint32_t length);

/* Answers session->option with its whole data. */
void option_answer(struct nbd_session *session, const uint8_t *data, uint32_t length);

/* Answers session->option, whose data were more than it may have and weren't looked at. */
void option_skipped(struct nbd_session *session);

/* Goes on with EXPORT_NAME, INFO or GO when the disk is open, or couldn't be opened. */
void option_opened(struct nbd_session *session, int result, const char *reason);

/* How much data the option may have; what is longer is skipped. */
uint32_t option_most_data(uint32_t option);

#endif
