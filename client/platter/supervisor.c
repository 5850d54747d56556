/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/platter/device.h"
#include "client/platter/service.h"
#include "common/clock.h"
#include "common/ktls.h"
#include "common/log.h"

/* How soon what the kernel hadn't yet found dead is offered again. */
#define AGAIN_NS UINT64_C(20000000)
/* Of a connection that nobody knows about whether it died: for so long it is offered as a substitute. */
#define OFFER_NS UINT64_C(1000000000)
/* How often the export is asked for its size, and the device is looked at where no socket would tell. */
#define PROBE_NS UINT64_C(60000000000)
#define LOOK_NS UINT64_C(1000000000)

static const char *name_of(const struct supervisor *supervisor)
{
	return supervisor->state.settings.name;
}

static void set_state(struct supervised *link, int state)
{
	link->state = state;
	link->since_ns = clock_ns();
}

static void tell_service(const struct supervisor *supervisor)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < supervisor->state.links; i++)
		alive += supervisor->links[i].state == SUPERVISED_ALIVE || supervisor->links[i].state == SUPERVISED_UNKNOWN;
	service_status("/dev/nbd%u is %s, %u of %u connections", supervisor->state.index, supervisor->state.settings.uri_text, alive,
		       supervisor->state.links);
}

/* Of a connection that another supervisor made. */
static void describe_tls(int fd, char *text)
{
	const char *cipher = ktls_cipher(fd);

	snprintf(text, LINK_TLS, "%s%s", cipher ? cipher : "by a relay", cipher ? ", by the kernel" : "");
}

void supervisor_keep(struct supervisor *supervisor, unsigned which, int fd)
{
	struct supervised *link = &supervisor->links[which];

	link->fd = fd;
	set_state(link, SUPERVISED_ALIVE);
	if (!link->peer[0])
		dial_peer(fd, link->peer);
	if (!link->tls[0] && supervisor->state.settings.uri.tls)
		describe_tls(fd, link->tls);
	service_keep(which, fd);
}

static void let_go(struct supervised *link, unsigned which)
{
	if (link->fd < 0)
		return;
	service_drop(which);
	/* So that the kernel's driver knows, too, whatever was wrong with it. */
	shutdown(link->fd, SHUT_RDWR);
	close(link->fd);
	link->fd = -1;
}

static void redial(struct supervisor *supervisor, struct supervised *link)
{
	redial_end(link->redial);
	link->redial = redial_begin(&supervisor->state, &supervisor->addresses, HANDSHAKE_GO, supervisor->bell);
	if (!link->redial)
		log_error("%s: no thread for a new connection", name_of(supervisor));
}

static void end(struct supervisor *supervisor)
{
	if (!supervisor->ending)
		log_notice("%s: /dev/nbd%u is detached", name_of(supervisor), supervisor->state.index);
	supervisor->ending = true;
}

/* Somebody detached it, or attached something else in its place. */
static bool is_gone(const struct supervisor *supervisor)
{
	char backend[DEVICE_BACKEND];

	return !device_backend(supervisor->state.index, backend) || strcmp(backend, supervisor->state.backend) != 0;
}

/* Dials again for a dead one, unless its device is about to go, or has gone. */
static void replace(struct supervisor *supervisor, unsigned which)
{
	struct supervised *link = &supervisor->links[which];

	if (is_gone(supervisor)) {
		end(supervisor);
		return;
	}
	if (inquiry_is_held(&supervisor->inquiry))
		return;
	log_warning("%s: lost connection %u, to %s: %s; dialling again", name_of(supervisor), which, link->peer[0] ? link->peer : "the server",
		    link->reason);
	redial(supervisor, link);
}

static void died(struct supervisor *supervisor, unsigned which, const char *why)
{
	struct supervised *link = &supervisor->links[which];

	let_go(link, which);
	set_state(link, SUPERVISED_DEAD);
	snprintf(link->reason, sizeof(link->reason), "%s", why);
	tell_service(supervisor);
	replace(supervisor, which);
}

static const char *socket_reason(int fd)
{
	int reason = 0;
	socklen_t length = sizeof(reason);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length) == 0 && reason)
		return strerror(reason);
	return "the server ended it";
}

/* --- A new connection for a dead one */

static void is_back(struct supervisor *supervisor, unsigned which)
{
	struct supervised *link = &supervisor->links[which];
	uint64_t lost_ns = clock_ns() - link->since_ns;

	link->reconnects++;
	supervisor->taken_ns = supervisor->receivers_at_ns = clock_ns();
	log_notice("%s: connection %u is back, to %s, after %.1f s", name_of(supervisor), which, link->peer, (double)lost_ns / 1e9);
	set_state(link, SUPERVISED_ALIVE);
	service_keep(which, link->fd);
	tell_service(supervisor);
}

/* The kernel takes a socket only for one that it knows to be dead, which may be a moment later than we do. */
static void offer(struct supervisor *supervisor, unsigned which)
{
	const struct state *state = &supervisor->state;
	struct supervised *link = &supervisor->links[which];
	struct problem problem;

	/* So soon after another one the receivers of both could be pending together, and one thread get both: see receiver.h. */
	if (clock_ns() - supervisor->taken_ns < AGAIN_NS)
		return;
	if (netlink_replace(supervisor->netlink, state->index, state->backend, link->fd, &problem) < 0) {
		if (is_gone(supervisor)) {
			end(supervisor);
			return;
		}
		log_warning("%s: %s", name_of(supervisor), problem.text);
		died(supervisor, which, problem.text);
		return;
	}
	if (!device_took(link->fd, state->settings.timeout))
		return;
	is_back(supervisor, which);
	if (link->uncertain)
		supervisor_adopt(supervisor);
	link->uncertain = false;
}

static void grow(struct supervisor *supervisor, uint64_t size)
{
	const struct state *state = &supervisor->state;
	uint64_t before = device_size(state->index);
	struct problem problem;

	if (size / state->minimum * state->minimum <= before)
		return;
	if (netlink_resize(supervisor->netlink, state->index, state->backend, size, &problem) < 0)
		log_error("%s: %s", name_of(supervisor), problem.text);
	else
		log_notice("%s: the export grew from %llu to %llu bytes, and so did /dev/nbd%u", name_of(supervisor), (unsigned long long)before,
			   (unsigned long long)size, state->index);
}

static void look_at_redial(struct supervisor *supervisor, unsigned which)
{
	struct supervised *link = &supervisor->links[which];
	struct link made;

	if (!link->redial || inquiry_is_held(&supervisor->inquiry) || !redial_is_over(link->redial, &made))
		return;
	redial_end(link->redial);
	link->redial = NULL;
	if (made.fd < 0)
		return;
	link->fd = made.fd;
	memcpy(link->peer, made.peer, sizeof(link->peer));
	memcpy(link->tls, made.tls, sizeof(link->tls));
	made.fd = -1;
	link->state = SUPERVISED_RETURNING;
	link->offered_ns = clock_ns();
	grow(supervisor, made.handshake.export.size);
	link_close(&made);
	offer(supervisor, which);
}

/* A substitute that the kernel has no use for: the connection whose fate wasn't known is alive. */
static void withdraw(struct supervisor *supervisor, unsigned which)
{
	struct supervised *link = &supervisor->links[which];

	log_info("%s: connection %u had not died", name_of(supervisor), which);
	close(link->fd);
	link->fd = -1;
	link->uncertain = false;
	link->peer[0] = '\0';
	set_state(link, SUPERVISED_UNKNOWN);
}

void supervisor_adopt(struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->state.links; i++) {
		struct supervised *link = &supervisor->links[i];

		if (link->state != SUPERVISED_UNKNOWN)
			continue;
		link->uncertain = true;
		redial(supervisor, link);
		return;
	}
}

static void offer_again(struct supervisor *supervisor)
{
	if (inquiry_is_held(&supervisor->inquiry))
		return;
	for (unsigned i = 0; i < supervisor->state.links; i++) {
		struct supervised *link = &supervisor->links[i];

		if (link->state != SUPERVISED_RETURNING)
			continue;
		offer(supervisor, i);
		if (link->state == SUPERVISED_RETURNING && link->uncertain && clock_ns() - link->offered_ns > OFFER_NS)
			withdraw(supervisor, i);
	}
}

/* --- Whether the export has grown */

static void look_at_probe(struct supervisor *supervisor)
{
	struct link made;

	if (!supervisor->probe || !redial_is_over(supervisor->probe, &made))
		return;
	redial_end(supervisor->probe);
	supervisor->probe = NULL;
	if (made.fd >= 0)
		grow(supervisor, made.handshake.export.size);
	link_close(&made);
}

static void begin_probe(struct supervisor *supervisor, uint64_t now)
{
	supervisor->probe_at_ns = now + PROBE_NS;
	if (!supervisor->probe && !inquiry_is_held(&supervisor->inquiry))
		supervisor->probe = redial_begin(&supervisor->state, &supervisor->addresses, HANDSHAKE_INFO, supervisor->bell);
}

/* --- Whether the kernel reads what comes */

static void look_at_receivers(struct supervisor *supervisor, uint64_t now)
{
	struct receiver_look looks[SETTINGS_MOST_CONNECTIONS] = { 0 };
	unsigned count = supervisor->state.links, waits;
	char why[64];
	int given_up;

	/* Even while somebody holds the device: what it is flushed with on the way to a detach has to be answered, too. */
	supervisor->receivers_at_ns = now + RECEIVER_LOOK_NS;
	for (unsigned i = 0; i < count; i++) {
		const struct supervised *link = &supervisor->links[i];

		looks[i].alive = link->state == SUPERVISED_ALIVE;
		looks[i].since_ns = link->since_ns;
		if (looks[i].alive)
			receiver_look(link->fd, &looks[i]);
	}
	given_up = receiver_judge(&supervisor->receivers, looks, count, &waits);
	if (given_up >= 0) {
		snprintf(why, sizeof(why), "it keeps the receiver of connection %u waiting", waits);
		died(supervisor, (unsigned)given_up, why);
	} else if (receiver_settled(&supervisor->receivers, count)) {
		/* Until there is another socket. */
		supervisor->receivers_at_ns = UINT64_MAX;
	}
}

/* --- What is asked */

static json_t *answer(void *argument, struct asker *asker, const char *question, struct problem *problem)
{
	struct supervisor *supervisor = argument;

	if (strcmp(question, "status") == 0)
		return supervisor_status(supervisor);
	if (strcmp(question, "hold") == 0) {
		asker->holds = true;
		return json_object();
	}
	if (strcmp(question, "reconnect") == 0) {
		for (unsigned i = 0; i < supervisor->state.links; i++)
			if (supervisor->links[i].state == SUPERVISED_ALIVE)
				died(supervisor, i, "somebody asked for a new one");
		return json_object();
	}
	problem_set(problem, STATUS_USAGE, "%.100s: not a question", question);
	return NULL;
}

/* Whoever held the device has gone without detaching it. */
static void resume(struct supervisor *supervisor)
{
	if (inquiry_is_held(&supervisor->inquiry))
		return;
	for (unsigned i = 0; i < supervisor->state.links && !supervisor->ending; i++)
		if (supervisor->links[i].state == SUPERVISED_DEAD && !supervisor->links[i].redial)
			replace(supervisor, i);
}

/* --- The loop */

enum { EVENTS, BELL, SIGNALS, INQUIRY, LINKS = INQUIRY + INQUIRY_MOST + 1, SLOTS = LINKS + SETTINGS_MOST_CONNECTIONS };

/* One of which it isn't known which of those it is that another supervisor knew. */
static void one_died(struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->state.links; i++) {
		if (supervisor->links[i].state == SUPERVISED_UNKNOWN) {
			supervisor->links[i].uncertain = false;
			died(supervisor, i, "the kernel says so");
			return;
		}
	}
}

static void take_events(struct supervisor *supervisor)
{
	int index;

	while ((index = netlink_dead(supervisor->netlink)) >= 0)
		if ((unsigned)index == supervisor->state.index)
			one_died(supervisor);
}

static void take_signal(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;

	if (read(supervisor->signals, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGHUP)
		return;
	log_notice("%s: %s: /dev/nbd%u stays, but nobody keeps it alive", name_of(supervisor), strsignal((int)info.ssi_signo),
		   supervisor->state.index);
	supervisor->ending = true;
}

static int wait_ms(const struct supervisor *supervisor, uint64_t now)
{
	uint64_t at = supervisor->probe_at_ns < supervisor->receivers_at_ns ? supervisor->probe_at_ns : supervisor->receivers_at_ns;
	uint64_t ns = at > now ? at - now : 0;

	for (unsigned i = 0; i < supervisor->state.links; i++) {
		uint64_t most = supervisor->links[i].state == SUPERVISED_RETURNING ? AGAIN_NS
				: supervisor->links[i].fd < 0			    ? LOOK_NS
										    : PROBE_NS;

		if (ns > most)
			ns = most;
	}
	return (int)(ns / 1000000) + 1;
}

static void prepare_slots(const struct supervisor *supervisor, struct pollfd *slots)
{
	slots[EVENTS] = (struct pollfd){ .fd = supervisor->events, .events = POLLIN };
	slots[BELL] = (struct pollfd){ .fd = supervisor->bell, .events = POLLIN };
	slots[SIGNALS] = (struct pollfd){ .fd = supervisor->signals, .events = POLLIN };
	inquiry_prepare(&supervisor->inquiry, slots + INQUIRY);
	/* Never POLLIN: what there is to read is the kernel's. */
	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++)
		slots[LINKS + i] = (struct pollfd){ .fd = i < supervisor->state.links ? supervisor->links[i].fd : -1, .events = POLLRDHUP };
}

static void turn(struct supervisor *supervisor)
{
	struct pollfd slots[SLOTS];
	uint64_t rung;

	prepare_slots(supervisor, slots);
	if (poll(slots, SLOTS, wait_ms(supervisor, clock_ns())) < 0)
		return;
	for (unsigned i = 0; i < supervisor->state.links && !supervisor->ending; i++)
		if (slots[LINKS + i].fd >= 0 && slots[LINKS + i].revents)
			died(supervisor, i, socket_reason(slots[LINKS + i].fd));
	if (slots[EVENTS].revents)
		take_events(supervisor);
	if (slots[BELL].revents)
		(void)!read(supervisor->bell, &rung, sizeof(rung));
	if (slots[SIGNALS].revents)
		take_signal(supervisor);
	inquiry_handle(&supervisor->inquiry, slots + INQUIRY);
	resume(supervisor);
}

void supervisor_run(struct supervisor *supervisor)
{
	supervisor->inquiry.answer = answer;
	supervisor->inquiry.argument = supervisor;
	supervisor->probe_at_ns = clock_ns() + PROBE_NS;
	tell_service(supervisor);
	while (!supervisor->ending) {
		uint64_t now;

		turn(supervisor);
		for (unsigned i = 0; i < supervisor->state.links && !supervisor->ending; i++)
			look_at_redial(supervisor, i);
		look_at_probe(supervisor);
		if (!supervisor->ending)
			offer_again(supervisor);
		now = clock_ns();
		if (now >= supervisor->probe_at_ns)
			begin_probe(supervisor, now);
		if (now >= supervisor->receivers_at_ns && !supervisor->ending)
			look_at_receivers(supervisor, now);
		if (is_gone(supervisor))
			end(supervisor);
	}
}

int supervisor_prepare(struct supervisor *supervisor, struct problem *problem)
{
	sigset_t set;

	*supervisor = (struct supervisor){ .events = -1, .bell = -1, .signals = -1, .inquiry.listener = -1 };
	settings_init(&supervisor->state.settings);
	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++)
		supervisor->links[i].fd = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	supervisor->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	supervisor->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (supervisor->signals < 0 || supervisor->bell < 0)
		return problem_set(problem, STATUS_FAILED, "a descriptor for events: %s", strerror(errno));
	if (netlink_open(&supervisor->netlink, problem) < 0)
		return -1;
	supervisor->events = netlink_watch(supervisor->netlink, problem);
	return supervisor->events < 0 ? -1 : 0;
}

void supervisor_free(struct supervisor *supervisor)
{
	redial_end(supervisor->probe);
	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++) {
		redial_end(supervisor->links[i].redial);
		if (supervisor->links[i].fd >= 0)
			close(supervisor->links[i].fd);
	}
	inquiry_close(&supervisor->inquiry, supervisor->state.index);
	netlink_close(supervisor->netlink);
	if (supervisor->bell >= 0)
		close(supervisor->bell);
	if (supervisor->signals >= 0)
		close(supervisor->signals);
	state_free(&supervisor->state);
}
