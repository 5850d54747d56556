/* SPDX-License-Identifier: BSD-2-Clause */
/* A channel that has taken over from OpenSSL, what it has received and what it sends. */
#ifndef UNIT_TLS_SIDE_H
#define UNIT_TLS_SIDE_H

#include "common/tls_channel.h"
#include "tests/unit/tls_pair.h"

#define SIDE_SIZE (256u << 10)

struct side {
	struct tls_channel channel;
	uint8_t received[SIDE_SIZE], sent[SIDE_SIZE];
	size_t start, end, made;
};

/* Goes on where END is. */
void side_take_over(struct side *side, struct end *end, size_t most);

/* LENGTH bytes come, behind what is there. */
void side_receive(struct side *side, const void *bytes, size_t length);
/* What END has sent comes. */
void side_receive_from(struct side *side, struct end *end);

/* As tls_channel_read(); what that has to say is sent at once. */
int64_t side_read_into(struct side *side, const struct iovec *iov, unsigned count);
int64_t side_read(struct side *side, void *to, size_t size);

void side_write(struct side *side, const void *bytes, size_t length);
/* What the channel has made reaches END... */
void side_send_to(struct side *side, struct end *end);
/* ...which makes that of it. */
void side_assert_heard(struct end *end, const char *text);

#endif
