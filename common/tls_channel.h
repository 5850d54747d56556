/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection of TLS 1.3 after its handshake: data in both directions, and
 * what else is said there: alerts and key updates.  No I/O: bytes that were
 * received go in, bytes to be sent come out.
 *
 * Whatever is wrong with what comes is the end, as is an alert but
 * "close_notify", which is the other side's goodbye, and "user_canceled",
 * which precedes one.  Of messages there is the key update alone: it is
 * answered if it asks for that.  More than TLS_MOST_IDLE records in a row
 * without data are too much.  Small records and key updates cost more than
 * they weigh: a call that has data opens no more than TLS_MOST_AT_ONCE, and
 * none behind a key update.
 */
#ifndef COMMON_TLS_CHANNEL_H
#define COMMON_TLS_CHANNEL_H

#include "common/tls_record.h"

struct tls_watch;

#define TLS_MOST_IDLE 32
#define TLS_MOST_AT_ONCE 64
/* A key update, of type, length and a byte; the largest thing to say beside data. */
#define TLS_KEY_UPDATE 5
#define TLS_LEAST_ROOM (TLS_RECORD_EXTRA + TLS_KEY_UPDATE)

enum tls_channel_state { TLS_CHANNEL_OPEN, TLS_CHANNEL_ENDED, TLS_CHANNEL_FAILED };

struct tls_channel {
	struct tls_record in, out;
	enum tls_channel_state state;
	const uint8_t *data;             /* opened where it was received, and not all of it was taken... */
	size_t length;                   /* ...so many bytes weren't */
	uint8_t message[TLS_KEY_UPDATE]; /* of the handshake, as far as it is there... */
	size_t have;                     /* ...in bytes */
	unsigned idle;                   /* records in a row that brought no data */
	unsigned share;                  /* records that the call under way may still open... */
	bool fed;                        /* ...once it has brought data */
	bool update;                     /* the other side wants a key update of ours */
	uint8_t alert;                   /* to be sent, since the channel has failed; 0: none */
	bool theirs;                     /* it is their alert that ended it */
	bool told;                       /* tls_channel_read() has said that it is over */
	const char *reason;              /* why it failed, for people */
};

/*
 * Goes on where the OpenSSL is that WATCH knows all of, and which is done with all that was received.  Records have at most
 * MOST bytes of data, TLS_MOST_DATA or less.  Fails as tls_secret_keys() does, and leaves nothing behind.
 */
int tls_channel_init(struct tls_channel *channel, const struct tls_watch *watch, size_t most);

/* Wipes it.  One that was never set up is allowed, if it is zero. */
void tls_channel_destroy(struct tls_channel *channel);

/*
 * Fills IOV with data from the LENGTH BYTES that were received, and what it has from the call before: how much, perhaps not
 * all that there is; 0: there isn't any yet; -1: the other side has ended it; -EPROTO: it has failed.  *USED of BYTES are done
 * with, and may be overwritten once 0 is returned, as the rest, of a record that isn't whole, may be moved then.
 */
int64_t tls_channel_read(struct tls_channel *channel, uint8_t *bytes, size_t length, size_t *used, const struct iovec *iov,
			 unsigned count);

/* Whether something is to be sent beside data; that goes into TO, which has TLS_LEAST_ROOM bytes: how many. */
bool tls_channel_has_answer(const struct tls_channel *channel);
size_t tls_channel_answer(struct tls_channel *channel, uint8_t *to);

/*
 * Makes records of LENGTH bytes from PLACE on, as far as there is ROOM in TO: how many bytes, and PLACE is behind them; *MADE:
 * of the room.  -EPROTO.
 */
int64_t tls_channel_write(struct tls_channel *channel, struct tls_place *place, size_t length, uint8_t *to, size_t room,
			  size_t *made);

/* Says goodbye, in TO, which has TLS_LEAST_ROOM bytes: how many. */
size_t tls_channel_close(struct tls_channel *channel, uint8_t *to);

#endif
