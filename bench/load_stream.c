/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/load_stream.h"

#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

void stream_send_all(const struct stream *stream, const void *from, size_t length)
{
	const struct iovec vector = { (void *)(uintptr_t)from, length };

	/* The negotiation's messages fit into any socket's buffer. */
	if (stream_send(stream, &vector, 1) != (ssize_t)length || stream_is_behind(stream))
		err(1, "send");
}

void stream_receive_all(const struct stream *stream, void *to, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = stream_receive(stream, (uint8_t *)to + done, length - done, 0);

		if (got < 0 && errno == EAGAIN)
			errx(1, "the server doesn't answer during the negotiation");
		if (got < 0)
			err(1, "recv");
		if (got == 0)
			errx(1, "the server hung up during the negotiation");
		done += (size_t)got;
	}
}

ssize_t stream_receive(const struct stream *stream, void *to, size_t size, int flags)
{
	return stream->tls ? tls_receive(stream->tls, to, size, flags) : recv(stream->fd, to, size, flags);
}

ssize_t stream_send(const struct stream *stream, const struct iovec *vector, unsigned count)
{
	const struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)vector, .msg_iovlen = count };

	if (stream->tls)
		return tls_send(stream->tls, vector, count);
	return sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool stream_is_behind(const struct stream *stream)
{
	return stream->tls && tls_is_behind(stream->tls);
}

void stream_close(struct stream *stream)
{
	tls_free(stream->tls);
	close(stream->fd);
}
