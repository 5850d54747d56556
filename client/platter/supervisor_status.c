/* SPDX-License-Identifier: BSD-2-Clause */
/* What a supervisor says of its connections. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "client/platter/supervisor.h"
#include "common/clock.h"

static const char *state_name(const struct supervised *link)
{
	switch (link->state) {
	case SUPERVISED_ALIVE: return "alive";
	case SUPERVISED_UNKNOWN: return "alive, it seems";
	default: return "dead";
	}
}

/* One whose socket isn't ours to be asked, and yet lives, needs no relay. */
static const char *tls_of(const struct supervised *link, bool tls)
{
	return tls && !link->tls[0] && link->state == SUPERVISED_UNKNOWN ? "by the kernel" : link->tls;
}

static json_t *describe(const struct supervised *link, unsigned number, bool tls)
{
	char reason[sizeof(link->reason)] = "";
	struct tcp_info info;
	socklen_t length = sizeof(info);
	json_t *said;

	if (link->redial)
		redial_reason(link->redial, reason, sizeof(reason));
	said = json_pack("{s:i, s:s, s:s, s:s, s:i, s:I, s:s}", "number", (int)number, "state", state_name(link), "peer", link->peer, "tls",
			 tls_of(link, tls), "reconnects", (int)link->reconnects, "seconds", (json_int_t)((clock_ns() - link->since_ns) / 1000000000), "last-error",
			 reason[0] ? reason : link->reason);
	if (said && link->fd >= 0 && getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0)
		json_object_set_new(said, "rtt-us", json_integer(info.tcpi_rtt));
	return said;
}

json_t *supervisor_status(const struct supervisor *supervisor)
{
	json_t *links = json_array();

	for (unsigned i = 0; i < supervisor->state.links; i++)
		json_array_append_new(links, describe(&supervisor->links[i], i, supervisor->state.settings.uri.tls));
	return json_pack("{s:o, s:b}", "links", links, "detaching", (int)inquiry_is_held(&supervisor->inquiry));
}
