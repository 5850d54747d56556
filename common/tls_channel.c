/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls_channel.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "common/tls_watch.h"

int tls_channel_init(struct tls_channel *channel, const struct tls_watch *watch, size_t most)
{
	unsigned suite = tls_watch_suite(watch);
	int result;

	*channel = (struct tls_channel){ .state = TLS_CHANNEL_OPEN };
	result = tls_record_init(&channel->in, false, suite, &watch->in.secret, watch->in.records, most);
	if (result == 0)
		result = tls_record_init(&channel->out, true, suite, &watch->out.secret, watch->out.records, most);
	if (result < 0)
		tls_channel_destroy(channel);
	return result;
}

void tls_channel_destroy(struct tls_channel *channel)
{
	tls_record_destroy(&channel->in);
	tls_record_destroy(&channel->out);
	OPENSSL_cleanse(channel, sizeof(*channel));
}

/* --- What comes */

static void fail(struct tls_channel *channel, uint8_t alert, const char *reason)
{
	channel->state = TLS_CHANNEL_FAILED;
	channel->alert = alert;
	channel->reason = reason;
}

static void fail_record(struct tls_channel *channel, int error)
{
	switch (error) {
	case -EBADMSG:
		fail(channel, SSL_AD_BAD_RECORD_MAC, "a record that cannot be opened");
		break;
	case -EMSGSIZE:
		fail(channel, SSL_AD_RECORD_OVERFLOW, "a record that is too large");
		break;
	default:
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "what is no record of data, or has no type");
	}
}

static void handle_alert(struct tls_channel *channel, const uint8_t *alert, size_t length)
{
	if (length != 2) {
		fail(channel, SSL_AD_DECODE_ERROR, "an alert of the wrong length");
	} else if (alert[1] == SSL_AD_CLOSE_NOTIFY) {
		channel->state = TLS_CHANNEL_ENDED;
	} else if (alert[1] != SSL_AD_USER_CANCELLED) {
		fail(channel, 0, SSL_alert_desc_string_long(alert[1]));
		channel->theirs = true;
	}
}

/* The message is whole. */
static void update_key(struct tls_channel *channel)
{
	uint8_t wanted = channel->message[TLS_KEY_UPDATE - 1];

	channel->have = 0;
	channel->share = 0;
	if (wanted > SSL_KEY_UPDATE_REQUESTED) {
		fail(channel, SSL_AD_ILLEGAL_PARAMETER, "a key update that asks for what there isn't");
		return;
	}
	if (tls_record_update(&channel->in) < 0)
		fail(channel, SSL_AD_INTERNAL_ERROR, "no memory for a key update");
	/* However often they ask: one answer is right for all since the last. */
	channel->update |= wanted == SSL_KEY_UPDATE_REQUESTED;
}

/* Part of a message, or more than one. */
static void handle_handshake(struct tls_channel *channel, const uint8_t *bytes, size_t length)
{
	static const uint8_t head[] = { SSL3_MT_KEY_UPDATE, 0, 0, 1 };
	size_t part = TLS_KEY_UPDATE - channel->have, known;

	if (part > length)
		part = length;
	memcpy(channel->message + channel->have, bytes, part);
	channel->have += part;
	known = channel->have < sizeof(head) ? channel->have : sizeof(head);
	if (channel->message[0] != SSL3_MT_KEY_UPDATE)
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "a message of the handshake, which is over");
	else if (memcmp(channel->message, head, known) != 0)
		fail(channel, SSL_AD_DECODE_ERROR, "a key update of the wrong length");
	else if (part < length)
		/* What follows is sealed with the next key. */
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "more behind a key update in its record");
	else if (channel->have == TLS_KEY_UPDATE)
		update_key(channel);
}

/* A record of TYPE with LENGTH BYTES has been opened. */
static void handle(struct tls_channel *channel, uint8_t type, const uint8_t *bytes, size_t length)
{
	channel->idle = type == TLS_DATA && length ? 0 : channel->idle + 1;
	if (channel->idle > TLS_MOST_IDLE)
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "too many records without data");
	else if (type != TLS_DATA && length == 0)
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "an empty record that isn't of data");
	else if (type == TLS_HANDSHAKE)
		handle_handshake(channel, bytes, length);
	else if (channel->have)
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "something else inside a message of the handshake");
	else if (type == TLS_ALERT)
		handle_alert(channel, bytes, length);
	else if (type != TLS_DATA)
		fail(channel, SSL_AD_UNEXPECTED_MESSAGE, "a record of a type that there isn't");
}

/* Opens the record of SIZE at BYTES: into TO, if it fits, or where it is.  How much data is in TO then. */
static size_t open_record(struct tls_channel *channel, uint8_t *bytes, size_t size, uint8_t *to, size_t room)
{
	bool fits = tls_record_room(size) <= room;
	uint8_t *at = fits ? to : bytes + TLS_HEADER, type;
	int length = tls_record_open(&channel->in, bytes, size, at, &type);

	if (channel->share)
		channel->share--;
	if (length < 0)
		fail_record(channel, length);
	else
		handle(channel, type, at, (size_t)length);
	if (length < 0 || type != TLS_DATA || channel->state != TLS_CHANNEL_OPEN)
		return 0;
	channel->fed |= length > 0;
	if (fits)
		return (size_t)length;
	channel->data = at;
	channel->length = (size_t)length;
	return 0;
}

/* Fills ROOM bytes of TO as far as it goes: how many. */
static size_t fill(struct tls_channel *channel, uint8_t *bytes, size_t length, size_t *used, uint8_t *to, size_t room)
{
	size_t done = 0;

	while (done < room && channel->state == TLS_CHANNEL_OPEN) {
		int size;

		if (channel->length) {
			size_t part = channel->length < room - done ? channel->length : room - done;

			memcpy(to + done, channel->data, part);
			channel->data += part;
			channel->length -= part;
			done += part;
			channel->fed = true;
			continue;
		}
		if (channel->fed && channel->share == 0)
			break;
		size = tls_record_size(bytes + *used, length - *used);
		if (size < 0)
			fail_record(channel, size);
		if (size <= 0 || (size_t)size > length - *used)
			break;
		done += open_record(channel, bytes + *used, (size_t)size, to + done, room - done);
		*used += (size_t)size;
	}
	return done;
}

int64_t tls_channel_read(struct tls_channel *channel, uint8_t *bytes, size_t length, size_t *used, const struct iovec *iov,
			 unsigned count)
{
	int64_t total = 0;

	*used = 0;
	channel->share = TLS_MOST_AT_ONCE;
	channel->fed = false;
	for (unsigned i = 0; i < count; i++) {
		size_t done = fill(channel, bytes, length, used, iov[i].iov_base, iov[i].iov_len);

		total += (int64_t)done;
		if (done < iov[i].iov_len)
			break;
	}
	if (total || channel->state == TLS_CHANNEL_OPEN)
		return total;
	channel->told = true;
	return channel->state == TLS_CHANNEL_ENDED ? -1 : -EPROTO;
}

/* --- What goes */

/* The record's size; 0: there is none, and won't be any more. */
static size_t seal(struct tls_channel *channel, uint8_t type, struct tls_place *place, size_t length, uint8_t *to)
{
	int size = tls_record_seal(&channel->out, type, place, length, to);

	if (size < 0)
		fail(channel, 0, "the cipher has failed");
	return size < 0 ? 0 : (size_t)size;
}

/* What isn't data. */
static size_t say(struct tls_channel *channel, uint8_t type, const uint8_t *bytes, size_t length, uint8_t *to)
{
	const struct iovec piece = { (void *)(uintptr_t)bytes, length };
	struct tls_place place = { &piece, 0 };

	return seal(channel, type, &place, length, to);
}

static bool needs_update(const struct tls_channel *channel)
{
	return channel->update || channel->out.blocks >= TLS_MOST_BLOCKS;
}

static size_t say_update(struct tls_channel *channel, uint8_t *to)
{
	static const uint8_t message[TLS_KEY_UPDATE] = { SSL3_MT_KEY_UPDATE, 0, 0, 1, SSL_KEY_UPDATE_NOT_REQUESTED };
	size_t size = say(channel, TLS_HANDSHAKE, message, sizeof(message), to);

	channel->update = false;
	if (size && tls_record_update(&channel->out) < 0) {
		fail(channel, 0, "no memory for a key update");
		return 0;
	}
	return size;
}

/* An alert is the last word: what came before it is seen to first. */
static bool has_alert(const struct tls_channel *channel)
{
	return channel->alert && channel->told;
}

bool tls_channel_has_answer(const struct tls_channel *channel)
{
	return channel->update || has_alert(channel);
}

size_t tls_channel_answer(struct tls_channel *channel, uint8_t *to)
{
	const uint8_t alert[] = { SSL3_AL_FATAL, channel->alert };

	if (!has_alert(channel))
		return channel->update ? say_update(channel, to) : 0;
	channel->update = false;
	channel->alert = 0;
	return say(channel, TLS_ALERT, alert, sizeof(alert), to);
}

int64_t tls_channel_write(struct tls_channel *channel, struct tls_place *place, size_t length, uint8_t *to, size_t room,
			  size_t *made)
{
	int64_t total = 0;

	*made = 0;
	while (length && room - *made > TLS_LEAST_ROOM + TLS_RECORD_EXTRA) {
		size_t part = room - *made - TLS_LEAST_ROOM - TLS_RECORD_EXTRA, size;

		if (needs_update(channel)) {
			size = say_update(channel, to + *made);
			if (size == 0)
				return -EPROTO;
			*made += size;
		}
		if (part > channel->out.most)
			part = channel->out.most;
		if (part > length)
			part = length;
		size = seal(channel, TLS_DATA, place, part, to + *made);
		if (size == 0)
			return -EPROTO;
		*made += size;
		length -= part;
		total += (int64_t)part;
	}
	return total;
}

size_t tls_channel_close(struct tls_channel *channel, uint8_t *to)
{
	static const uint8_t alert[] = { SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY };

	return say(channel, TLS_ALERT, alert, sizeof(alert), to);
}
