/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/receiver.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>
/* Not the C library's netinet/tcp.h, whose tcp_info may lack what came. */
#include <linux/tcp.h>

/* A receiver that is only late has read by then. */
#define STUCK 2
/* What is on its way on a connection that is given up waits for the device's timeout: this is how many looks a better moment may take. */
#define PATIENCE 8
/* The last that happened is an answer, and so many milliseconds ago. */
#define QUIET_MS 20

void receiver_look(int fd, struct receiver_look *look)
{
	struct tcp_info info = { 0 };
	char layer[16] = "";
	socklen_t length = sizeof(info), layer_length = sizeof(layer) - 1;
	int waiting = 0;

	/* In this order, so that what comes in between counts as read less, never as read more. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0) {
		look->came = info.tcpi_bytes_received;
		look->busy = info.tcpi_last_data_sent < QUIET_MS || info.tcpi_last_data_recv > info.tcpi_last_data_sent;
	}
	if (ioctl(fd, SIOCINQ, &waiting) == 0 && waiting > 0)
		look->waiting = (uint64_t)waiting;
	look->layered = getsockopt(fd, IPPROTO_TCP, TCP_ULP, layer, &layer_length) == 0 && strcmp(layer, "tls") == 0;
}

static void compare(struct receivers *receivers, const struct receiver_look *look, unsigned which)
{
	struct receiver_look *last = &receivers->last[which];
	bool same = look->alive && last->alive && look->since_ns == last->since_ns;
	/* Where nobody counts what came, it is less than nothing when more waits than before: not stuck, but not read, either. */
	int64_t read = (int64_t)((look->came - look->waiting) - (last->came - last->waiting));

	receivers->runs[which] = same && (receivers->runs[which] || (read > 0 && !look->layered));
	if (same && !receivers->runs[which] && last->waiting && look->waiting && read == 0)
		receivers->stuck[which]++;
	else
		receivers->stuck[which] = 0;
	*last = *look;
}

/*
 * All that wait in the rescuer wait for the same one, and that was queued before them: to give up what has lived longest, one by
 * one, comes to it in the end, and what is made anew is younger than whatever still waits, so it ends.
 *
 * One that is stuck itself is never given up.  Its receiver is still pending, and has only the connection's number: before Linux
 * 6.7 it would later read from the substitute's socket, beside the substitute's own receiver.
 */
int receiver_judge(struct receivers *receivers, const struct receiver_look *looks, unsigned count, unsigned *waits)
{
	int oldest = -1, starved = -1;

	for (unsigned i = 0; i < count; i++) {
		compare(receivers, &looks[i], i);
		if (looks[i].alive && (oldest < 0 || looks[i].since_ns < looks[oldest].since_ns))
			oldest = (int)i;
		if (receivers->stuck[i] >= STUCK && (starved < 0 || receivers->stuck[i] > receivers->stuck[starved]))
			starved = (int)i;
	}
	if (starved < 0 || receivers->stuck[oldest])
		return -1;
	if ((looks[oldest].busy || looks[oldest].waiting) && receivers->stuck[starved] < PATIENCE)
		return -1;
	/* Whatever was stuck has its chance before the next one is given up. */
	memset(receivers->stuck, 0, sizeof(receivers->stuck));
	*waits = (unsigned)starved;
	return oldest;
}

bool receiver_settled(const struct receivers *receivers, unsigned count)
{
	unsigned alive = 0, run = 0;

	for (unsigned i = 0; i < count; i++) {
		alive += receivers->last[i].alive;
		run += receivers->last[i].alive && receivers->runs[i];
	}
	return alive < 2 || run == alive;
}
