/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/platter/detach.h"
#include "client/platter/device.h"
#include "client/platter/service.h"
#include "client/platter/supervisor.h"
#include "client/platter/verify.h"
#include "common/clock.h"
#include "common/log.h"

#define SECOND UINT64_C(1000000000)
/* More of them than processors are spares for the kernel, and each costs the server one. */
#define USUAL_CONNECTIONS 4
/* What the kernel is told for "as long as it takes": its time in jiffies, 1000 in a second at most, has to fit a long. */
#define ALMOST_FOR_EVER UINT64_C(3153600000)
/* Between two tries to reach a server that hasn't been there yet. */
#define PATIENCE_NS SECOND
/* Of the thread that makes sure of a new device: all memory of ours is locked. */
#define STACK (256u << 10)

static bool is_same(const struct settings *settings, const struct state *state)
{
	char *wanted = uri_canonical(&settings->uri), *there = uri_canonical(&state->settings.uri);
	bool same = wanted && there && strcmp(wanted, there) == 0;

	free(wanted);
	free(there);
	return same;
}

static int find_same(const struct settings *settings, struct state *state, struct problem *problem)
{
	if (state_find(state, settings->name, problem) < 0)
		return -1;
	if (is_same(settings, state))
		return 0;
	problem_set(problem, STATUS_OTHER, "%s: that name is attached to %s, as /dev/nbd%u; choose another one (--name), or detach it", settings->name,
		    state->settings.uri_text, state->index);
	state_free(state);
	return -1;
}

int attach_find(const struct settings *settings, char *path, struct problem *problem)
{
	struct state state;
	int fd;

	if (find_same(settings, &state, problem) < 0)
		return -1;
	device_path(path, state.index);
	fd = inquiry_open(state.index);
	state_free(&state);
	if (fd < 0)
		return problem_set(problem, STATUS_NOT_ATTACHED, "%s: nobody keeps %s alive", settings->name, path);
	close(fd);
	return 0;
}

/* --- New */

/* Of no use are more of them than the kernel has queues; and without MULTI_CONN a second one would not see what the first wrote. */
static unsigned connections_of(const struct settings *settings, uint16_t flags)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned usual = processors > 0 && processors < USUAL_CONNECTIONS ? (unsigned)processors : USUAL_CONNECTIONS;

	if (flags & NBD_FLAG_CAN_MULTI_CONN)
		return settings->connections ? settings->connections : usual;
	if (settings->connections > 1)
		log_warning("%s: one connection, not %u: the server can't keep several of them coherent (no CAN_MULTI_CONN)", settings->name,
			    settings->connections);
	return 1;
}

static int make_backend(struct state *state, struct problem *problem)
{
	char *uri = uri_canonical(&state->settings.uri);
	int result = uri ? asprintf(&state->backend, "%s%s%s", uri, state->identity[0] ? "#" : "", state->identity) : -1;

	free(uri);
	if (result < 0) {
		state->backend = NULL;
		return problem_memory(problem);
	}
	/* sysfs shows a page of it, and what isn't shown whole can't be compared. */
	if ((size_t)result >= 4000)
		return problem_set(problem, STATUS_USAGE, "the export's name is too long for the kernel: with it the URI has %d bytes", result);
	return 0;
}

/* The first connection says what the export is, and the others have to say the same. */
static int open_links(struct supervisor *supervisor, int *sockets, struct problem *problem)
{
	struct state *state = &supervisor->state;
	struct link link = { .fd = -1 };

	if (dial_resolve(&supervisor->addresses, &state->settings.uri, problem) < 0)
		return -1;
	state->links = 1;
	for (unsigned i = 0; i < state->links; i++) {
		if (link_open(&link, &supervisor->addresses, &state->settings.uri, HANDSHAKE_GO, supervisor->signals, problem) < 0 ||
		    (i == 0 ? verify_new(state, &link, problem) : verify_same(state, state->size, &link, problem)) < 0) {
			link_close(&link);
			return -1;
		}
		if (i == 0)
			state->links = connections_of(&state->settings, state->flags);
		memcpy(supervisor->links[i].peer, link.peer, sizeof(link.peer));
		memcpy(supervisor->links[i].tls, link.tls, sizeof(link.tls));
		sockets[i] = link.fd;
		link.fd = -1;
		link_close(&link);
	}
	return make_backend(state, problem);
}

static uint64_t dead_timeout(const struct settings *settings)
{
	return settings->dead_timeout == SETTINGS_FOR_EVER ? ALMOST_FOR_EVER : settings->dead_timeout;
}

/* Its supervisor knows that. */
static bool is_being_detached(unsigned index)
{
	struct problem ignored;
	int fd = inquiry_open(index);
	json_t *answer = fd < 0 ? NULL : inquiry_ask(fd, "status", &ignored);
	bool detaching = json_is_true(json_object_get(answer, "detaching"));

	json_decref(answer);
	if (fd >= 0)
		close(fd);
	return detaching;
}

/* One that was asked for is waited for only while somebody detaches it. */
static int wait_for_device(int index, struct problem *problem)
{
	char backend[DEVICE_BACKEND];

	if (index < 0 || !device_is_attached((unsigned)index))
		return 0;
	if (is_being_detached((unsigned)index) && device_wait_gone((unsigned)index, clock_ns() + DETACH_SECONDS * SECOND))
		return 0;
	if (!device_backend((unsigned)index, backend))
		strcpy(backend, "another program's");
	return problem_set(problem, STATUS_BUSY, "/dev/nbd%d is taken: it is %.*s; detach that, or choose another device (--device)", index,
			   (int)strcspn(backend, "#"), backend);
}

static int connect_device(struct supervisor *supervisor, const int *sockets, struct problem *problem)
{
	struct state *state = &supervisor->state;
	const struct netlink_device device = {
		.index = state->settings.device,
		.size = state->size,
		.block_size = state->minimum,
		.flags = state->flags,
		.timeout = state->settings.timeout,
		.dead_timeout = dead_timeout(&state->settings),
		.backend = state->backend,
	};
	int index;

	if (wait_for_device(device.index, problem) < 0)
		return -1;
	index = netlink_connect(supervisor->netlink, &device, sockets, state->links, problem);
	if (index < 0)
		return -1;
	state->index = (unsigned)index;
	return 0;
}

/* What was begun is undone when it can't be finished. */
static int finish_device(struct supervisor *supervisor, struct problem *problem)
{
	struct state *state = &supervisor->state;
	struct problem ignored;

	if (state_write(state, problem) == 0 && inquiry_listen(&supervisor->inquiry, state->index, problem) == 0)
		return 0;
	netlink_disconnect(supervisor->netlink, state->index, &ignored);
	state_remove(state->index);
	return -1;
}

/* Under the lock: of those who want the same name one comes first. */
static int attach_sockets(struct supervisor *supervisor, const int *sockets, struct problem *problem)
{
	int lock = state_lock(problem), result = -1;
	struct state found;

	if (lock < 0)
		return -1;
	if (find_same(&supervisor->state.settings, &found, problem) == 0) {
		problem_set(problem, STATUS_OTHER, "%s: somebody else has just attached it", found.settings.name);
		state_free(&found);
	} else if (problem->status == STATUS_NOT_ATTACHED && connect_device(supervisor, sockets, problem) == 0) {
		result = finish_device(supervisor, problem);
	}
	close(lock);
	return result;
}

static int attach_new(struct supervisor *supervisor, struct problem *problem)
{
	int sockets[SETTINGS_MOST_CONNECTIONS];
	int result;

	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++)
		sockets[i] = -1;
	result = open_links(supervisor, sockets, problem);
	if (result == 0)
		result = attach_sockets(supervisor, sockets, problem);
	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++) {
		if (sockets[i] >= 0 && result == 0)
			supervisor_keep(supervisor, i, sockets[i]);
		else if (sockets[i] >= 0)
			close(sockets[i]);
	}
	if (result == 0)
		device_tune(supervisor->state.index, supervisor->state.maximum);
	return result;
}

/* --- One that is there */

/* It took over what the state says, and a setting that is wanted now but isn't what was attached comes with the next attach. */
static int adopt(struct supervisor *supervisor, struct state *found, struct problem *problem)
{
	int sockets[SETTINGS_MOST_CONNECTIONS];
	int lock, result;
	bool all = true;

	state_free(&supervisor->state);
	supervisor->state = *found;
	found->backend = NULL;
	settings_init(&found->settings);
	lock = state_lock(problem);
	if (lock < 0)
		return -1;
	result = inquiry_listen(&supervisor->inquiry, supervisor->state.index, problem);
	close(lock);
	if (result < 0)
		return -1;
	service_take(sockets, SETTINGS_MOST_CONNECTIONS);
	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++) {
		if (sockets[i] >= 0 && i < supervisor->state.links)
			supervisor_keep(supervisor, i, sockets[i]);
		else if (sockets[i] >= 0)
			close(sockets[i]);
		else
			all = all && i >= supervisor->state.links;
	}
	/* The resolver's answer is needed only once something has died. */
	if (dial_resolve(&supervisor->addresses, &supervisor->state.settings.uri, problem) < 0)
		log_notice("%s: %s", supervisor->state.settings.name, problem->text);
	log_notice("%s: keeps /dev/nbd%u alive from here on", supervisor->state.settings.name, supervisor->state.index);
	if (!all)
		supervisor_adopt(supervisor);
	return 0;
}

/* --- Both */

static int attach_or_adopt(struct supervisor *supervisor, struct settings *settings, bool *adopts, struct problem *problem)
{
	struct state found;
	int result;

	*adopts = find_same(settings, &found, problem) == 0;
	if (*adopts)
		return adopt(supervisor, &found, problem);
	if (problem->status != STATUS_NOT_ATTACHED)
		return -1;
	supervisor->state.settings = *settings;
	result = attach_new(supervisor, problem);
	/* After a failure they are the caller's again, for another try. */
	settings_init(result < 0 ? &supervisor->state.settings : settings);
	return result;
}

/* Nothing of ours may need the device that it is there to bring back: no page that isn't in memory, no cache to be written. */
static void become_dependable(void)
{
	static const char adjustment[] = "-900";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, adjustment, sizeof(adjustment) - 1);
		close(fd);
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_info("its memory can't be locked: %s", strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_info("the kernel doesn't treat it as one that disks depend on: %s", strerror(errno));
	(void)!chdir("/");
}

/* Whether a signal came meanwhile. */
static bool wait_or_end(const struct supervisor *supervisor)
{
	struct pollfd slot = { .fd = supervisor->signals, .events = POLLIN };
	const struct timespec pause = clock_timespec(PATIENCE_NS);

	return ppoll(&slot, 1, &pause, NULL) != 0;
}

static int prepare_and_attach(struct supervisor *supervisor, struct attach *attach, bool *adopts, struct problem *problem)
{
	for (;;) {
		if (supervisor_prepare(supervisor, problem) < 0)
			return -1;
		if (attach_or_adopt(supervisor, &attach->settings, adopts, problem) == 0)
			return 0;
		if (!attach->patient || problem->status != STATUS_UNREACHABLE || wait_or_end(supervisor))
			return -1;
		log_notice("%s: %s; trying again", attach->settings.name, problem->text);
		service_status("%s; trying again", problem->text);
		supervisor_free(supervisor);
	}
}

/* Its number may have become another's already, who doesn't lose what is his. */
static void leave(struct supervisor *supervisor)
{
	unsigned index = supervisor->state.index;
	struct problem ignored;
	int lock;

	/* Whoever has the lock may want to be the next supervisor. */
	inquiry_refuse(&supervisor->inquiry);
	lock = state_lock(&ignored);
	if (!device_is_attached(index)) {
		state_remove(index);
		service_forget(supervisor->state.settings.name);
	}
	inquiry_close(&supervisor->inquiry, index);
	if (lock >= 0)
		close(lock);
}

/* --- Whether it can be used */

/* What makes sure of it, beside its supervisor: to be read it may need another connection. */
struct settling {
	pthread_t thread;
	const struct attach *attach;
	unsigned index;
	const char *name;
	bool adopted;            /* in use perhaps, and known to be usable */
	int result;              /* PROBLEM, if that isn't 0 */
	struct problem problem;
};

/* Its supervisor ends when it has gone. */
static void give_up(unsigned index)
{
	struct netlink *netlink = NULL;
	struct problem problem;

	if (netlink_open(&netlink, &problem) < 0 || netlink_disconnect(netlink, index, &problem) < 0)
		log_error("/dev/nbd%u: %s", index, problem.text);
	netlink_close(netlink);
}

static void *settle(void *argument)
{
	struct settling *settling = argument;
	const struct attach *attach = settling->attach;
	char path[DEVICE_PATH];

	device_path(path, settling->index);
	if (settling->adopted)
		attach->report(attach->argument, path, NULL);
	settling->result = device_settle(settling->index, settling->name, clock_ns() + ATTACH_SETTLE_SECONDS * SECOND, &settling->problem);
	if (settling->adopted && settling->result < 0)
		log_warning("%s: %s", settling->name, settling->problem.text);
	else if (settling->result < 0 && settling->problem.status != STATUS_NOT_ATTACHED)
		give_up(settling->index);
	else if (settling->result == 0 && !settling->adopted)
		attach->report(attach->argument, path, NULL);
	return NULL;
}

static bool settle_begin(struct settling *settling)
{
	pthread_attr_t attributes;
	int result;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	result = pthread_create(&settling->thread, &attributes, settle, settling);
	pthread_attr_destroy(&attributes);
	return result == 0;
}

/* Until the device has gone, or a signal came. */
static enum status supervise(struct supervisor *supervisor, const struct attach *attach, bool adopted)
{
	struct settling settling = {
		.attach = attach,
		.index = supervisor->state.index,
		.name = supervisor->state.settings.name,
		.adopted = adopted,
	};
	bool beside = settle_begin(&settling);

	/* With no thread there is nobody to help it meanwhile, which it seldom needs. */
	if (!beside)
		settle(&settling);
	supervisor_run(supervisor);
	leave(supervisor);
	if (beside)
		pthread_join(settling.thread, NULL);
	if (settling.result == 0 || adopted)
		return STATUS_OK;
	attach->report(attach->argument, NULL, &settling.problem);
	return settling.problem.status;
}

enum status attach_run(struct attach *attach)
{
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));
	struct problem problem = { .status = STATUS_FAILED };
	bool adopts = false;

	if (!supervisor) {
		problem_memory(&problem);
		attach->report(attach->argument, NULL, &problem);
		return problem.status;
	}
	if (prepare_and_attach(supervisor, attach, &adopts, &problem) == 0) {
		become_dependable();
		problem.status = supervise(supervisor, attach, adopts);
	} else {
		attach->report(attach->argument, NULL, &problem);
	}
	supervisor_free(supervisor);
	free(supervisor);
	settings_free(&attach->settings);
	return problem.status;
}
