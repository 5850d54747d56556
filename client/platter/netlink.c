/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>

#include "client/platter/device.h"
#include "client/platter/program.h"
#include "common/clock.h"

/* linux/nbd.h has it, and names that common/wire.h has, too. */
#define NBD_CFLAG_DESTROY_ON_DISCONNECT 1

/* udev opens each device that comes to be: it is busy then. */
#define BUSY_NS UINT64_C(5000000000)
#define GOING_NS UINT64_C(1000000000)
#define BUSY_PAUSE_NS 50000000

struct netlink {
	struct nl_sock *socket, *events;
	int family;
	int index;               /* what CONNECT answers */
	int dead;                /* what an event says */
};

static void load_driver(void)
{
	/* With none of its own making each device is made when it is needed, and nobody finds idle ones to look at. */
	static const char *const words[] = { "modprobe", "-q", "nbd", "nbds_max=0", NULL };

	(void)program_run(words[0], words, NULL, 0, false);
}

static int no_driver(struct problem *problem)
{
	return problem_set(problem, STATUS_KERNEL, "the kernel has no NBD driver, and modprobe nbd brings none%s",
			   geteuid() == 0 ? "; is the package of its modules installed for the kernel that runs?" : ": only root may load it");
}

int netlink_open(struct netlink **ret, struct problem *problem)
{
	struct netlink *netlink = calloc(1, sizeof(*netlink));

	*ret = netlink;
	if (!netlink)
		return problem_memory(problem);
	netlink->socket = nl_socket_alloc();
	if (!netlink->socket)
		return problem_memory(problem);
	if (genl_connect(netlink->socket) < 0)
		return problem_set(problem, STATUS_KERNEL, "the kernel has no generic netlink");
	netlink->family = genl_ctrl_resolve(netlink->socket, NBD_GENL_FAMILY_NAME);
	if (netlink->family < 0) {
		load_driver();
		netlink->family = genl_ctrl_resolve(netlink->socket, NBD_GENL_FAMILY_NAME);
	}
	return netlink->family < 0 ? no_driver(problem) : 0;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	nl_socket_free(netlink->socket);
	nl_socket_free(netlink->events);
	free(netlink);
}

static struct nl_msg *begin(struct netlink *netlink, uint8_t command)
{
	struct nl_msg *message = nlmsg_alloc();

	if (message && !genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, netlink->family, 0, 0, command, NBD_GENL_VERSION)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

static bool put_sockets(struct nl_msg *message, const int *sockets, unsigned count)
{
	struct nlattr *list = nla_nest_start(message, NBD_ATTR_SOCKETS), *item;

	for (unsigned i = 0; i < count && list; i++) {
		item = nla_nest_start(message, NBD_SOCK_ITEM);
		if (!item || nla_put_u32(message, NBD_SOCK_FD, (uint32_t)sockets[i]) < 0)
			return false;
		nla_nest_end(message, item);
	}
	if (list)
		nla_nest_end(message, list);
	return list;
}

static int take_answer(struct nl_msg *message, void *argument)
{
	struct netlink *netlink = argument;
	struct nlattr *attributes[NBD_ATTR_MAX + 1];

	if (genlmsg_parse(nlmsg_hdr(message), 0, attributes, NBD_ATTR_MAX, NULL) == 0 && attributes[NBD_ATTR_INDEX])
		netlink->index = (int)nla_get_u32(attributes[NBD_ATTR_INDEX]);
	return NL_OK;
}

/* Sends MESSAGE, which it takes: 0 or -errno, the kernel's own, which libnl's numbers are put back into. */
static int call(struct netlink *netlink, struct nl_msg *message)
{
	static const struct { int nl, own; } numbers[] = {
		{ NLE_BUSY, EBUSY }, { NLE_PERM, EPERM }, { NLE_NOACCESS, EACCES }, { NLE_INVAL, EINVAL }, { NLE_NOMEM, ENOMEM },
		{ NLE_OBJ_NOTFOUND, ENOENT }, { NLE_EXIST, EEXIST }, { NLE_NODEV, ENODEV }, { NLE_OPNOTSUPP, EOPNOTSUPP },
		{ NLE_RANGE, ERANGE },
	};
	int result;

	nl_socket_modify_cb(netlink->socket, NL_CB_VALID, NL_CB_CUSTOM, take_answer, netlink);
	result = nl_send_sync(netlink->socket, message);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && result < 0; i++)
		if (result == -numbers[i].nl)
			return -numbers[i].own;
	return result < 0 ? -EIO : 0;
}

static int refuse(struct problem *problem, const char *what, int result)
{
	if (result == -EPERM || result == -EACCES)
		return problem_set(problem, STATUS_PERMISSION, "%s: only root may", what);
	if (result == -EBUSY)
		return problem_set(problem, STATUS_BUSY, "%s: it is in use already", what);
	return problem_set(problem, STATUS_KERNEL, "%s: the kernel refuses: %s", what, strerror(-result));
}

static struct nl_msg *connect_message(struct netlink *netlink, const struct netlink_device *device, const int *sockets, unsigned count)
{
	struct nl_msg *message = begin(netlink, NBD_CMD_CONNECT);

	if (!message)
		return NULL;
	if ((device->index < 0 || nla_put_u32(message, NBD_ATTR_INDEX, (uint32_t)device->index) == 0) &&
	    nla_put_u64(message, NBD_ATTR_SIZE_BYTES, device->size) == 0 &&
	    nla_put_u64(message, NBD_ATTR_BLOCK_SIZE_BYTES, device->block_size) == 0 &&
	    nla_put_u64(message, NBD_ATTR_TIMEOUT, device->timeout) == 0 &&
	    nla_put_u64(message, NBD_ATTR_DEAD_CONN_TIMEOUT, device->dead_timeout) == 0 &&
	    nla_put_u64(message, NBD_ATTR_SERVER_FLAGS, device->flags) == 0 &&
	    nla_put_u64(message, NBD_ATTR_CLIENT_FLAGS, NBD_CFLAG_DESTROY_ON_DISCONNECT) == 0 &&
	    nla_put_string(message, NBD_ATTR_BACKEND_IDENTIFIER, device->backend) == 0 && put_sockets(message, sockets, count))
		return message;
	nlmsg_free(message);
	return NULL;
}

/* For how long RESULT may be that of a device that is only looked at, or, after its last connection, about to go, which is EINVAL. */
static uint64_t patience(const struct netlink_device *device, int result)
{
	if (result == -EINVAL && device->index >= 0)
		return GOING_NS;
	return result == -EBUSY && (device->index < 0 || !device_is_attached((unsigned)device->index)) ? BUSY_NS : 0;
}

int netlink_connect(struct netlink *netlink, const struct netlink_device *device, const int *sockets, unsigned count,
		    struct problem *problem)
{
	const struct timespec pause = { 0, BUSY_PAUSE_NS };
	uint64_t begin_ns = clock_ns();
	struct nl_msg *message;
	int result;

	for (;;) {
		message = connect_message(netlink, device, sockets, count);
		if (!message)
			return problem_memory(problem);
		netlink->index = -1;
		result = call(netlink, message);
		if (clock_ns() - begin_ns >= patience(device, result))
			break;
		nanosleep(&pause, NULL);
	}
	if (result < 0)
		return refuse(problem, device->index < 0 ? "a new device" : "the device", result);
	return netlink->index >= 0 ? netlink->index
				   : problem_set(problem, STATUS_KERNEL, "the kernel made a device, but didn't say which");
}

static struct nl_msg *reconfigure(struct netlink *netlink, unsigned index, const char *backend)
{
	struct nl_msg *message = begin(netlink, NBD_CMD_RECONFIGURE);

	if (message && (nla_put_u32(message, NBD_ATTR_INDEX, index) < 0 ||
			nla_put_string(message, NBD_ATTR_BACKEND_IDENTIFIER, backend) < 0)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

int netlink_replace(struct netlink *netlink, unsigned index, const char *backend, int socket, struct problem *problem)
{
	struct nl_msg *message = reconfigure(netlink, index, backend);
	int result;

	if (!message || !put_sockets(message, &socket, 1)) {
		nlmsg_free(message);
		return problem_memory(problem);
	}
	result = call(netlink, message);
	return result < 0 ? refuse(problem, "a new connection", result) : 0;
}

int netlink_resize(struct netlink *netlink, unsigned index, const char *backend, uint64_t size, struct problem *problem)
{
	struct nl_msg *message = reconfigure(netlink, index, backend);
	int result;

	if (!message || nla_put_u64(message, NBD_ATTR_SIZE_BYTES, size) < 0) {
		nlmsg_free(message);
		return problem_memory(problem);
	}
	result = call(netlink, message);
	return result < 0 ? refuse(problem, "the new size", result) : 0;
}

int netlink_disconnect(struct netlink *netlink, unsigned index, struct problem *problem)
{
	struct nl_msg *message = begin(netlink, NBD_CMD_DISCONNECT);
	int result;

	if (!message || nla_put_u32(message, NBD_ATTR_INDEX, index) < 0) {
		nlmsg_free(message);
		return problem_memory(problem);
	}
	result = call(netlink, message);
	return result < 0 ? refuse(problem, "disconnect", result) : 0;
}

static int take_event(struct nl_msg *message, void *argument)
{
	struct netlink *netlink = argument;
	struct nlattr *attributes[NBD_ATTR_MAX + 1];
	const struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(message));

	if (header->cmd == NBD_CMD_LINK_DEAD && genlmsg_parse(nlmsg_hdr(message), 0, attributes, NBD_ATTR_MAX, NULL) == 0 &&
	    attributes[NBD_ATTR_INDEX])
		netlink->dead = (int)nla_get_u32(attributes[NBD_ATTR_INDEX]);
	return NL_STOP;
}

int netlink_watch(struct netlink *netlink, struct problem *problem)
{
	int group = genl_ctrl_resolve_grp(netlink->socket, NBD_GENL_FAMILY_NAME, NBD_GENL_MCAST_GROUP_NAME);

	netlink->events = nl_socket_alloc();
	if (!netlink->events)
		return problem_memory(problem);
	nl_socket_disable_seq_check(netlink->events);
	if (group < 0 || genl_connect(netlink->events) < 0 || nl_socket_add_membership(netlink->events, group) < 0 ||
	    nl_socket_set_nonblocking(netlink->events) < 0)
		return problem_set(problem, STATUS_KERNEL, "the kernel's NBD driver tells no events");
	nl_socket_modify_cb(netlink->events, NL_CB_VALID, NL_CB_CUSTOM, take_event, netlink);
	return nl_socket_get_fd(netlink->events);
}

int netlink_dead(struct netlink *netlink)
{
	netlink->dead = -1;
	nl_recvmsgs_default(netlink->events);
	return netlink->dead;
}
