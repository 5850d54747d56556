/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client is told about an export: size, transmission flags, block sizes. */
#ifndef NBD_INFO_H
#define NBD_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

struct export;
struct nbd_session;
struct disk;

#define INFO_EXPORT_LENGTH 10
#define INFO_BLOCK_SIZE_LENGTH 12
#define INFO_TEXT_SIZE (NBD_MAX_STRING + 1)

/* A known information request as a bit of session->infos; 0 for others. */
unsigned info_bit(uint16_t type);

/* The payloads of NBD_INFO_EXPORT and NBD_INFO_BLOCK_SIZE; both return its length. */
size_t info_export(uint8_t bytes[INFO_EXPORT_LENGTH], const struct nbd_session *session);
size_t info_block_size(uint8_t bytes[INFO_BLOCK_SIZE_LENGTH], struct disk *disk);

/*
 * That of NBD_INFO_DESCRIPTION, and its length: the description, a blank and "uuid=" with the export's identity, which
 * clients take from the end.  What of the description doesn't fit is cut off.
 */
size_t info_description(char text[INFO_TEXT_SIZE], const struct export *export);

/* The transmission flags of the session's export, whose disk is open. */
uint16_t info_flags(const struct nbd_session *session);

#endif
