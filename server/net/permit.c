/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a connection's client may use an export: who it is, by its socket and by TLS. */
#include <stdlib.h>
#include <sys/socket.h>

#include "common/log.h"
#include "server/block/access.h"
#include "server/block/export.h"
#include "server/net/conn.h"

/* On a unix socket: the process that connected. */
static void look_at_process(int fd, struct access_client *client)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
		return;
	client->local = true;
	client->uid = credentials.uid;
	client->groups[0] = credentials.gid;
	client->group_count = 1;
	/* Of who is in more groups than there is room for only the first is known. */
	length = sizeof(client->groups) - sizeof(client->groups[0]);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &client->groups[1], &length) == 0)
		client->group_count += length / sizeof(client->groups[0]);
}

static void look_at_address(int fd, struct access_client *client)
{
	struct sockaddr_storage storage;
	socklen_t length = sizeof(storage);

	if (getpeername(fd, (struct sockaddr *)&storage, &length) < 0)
		return;
	if (storage.ss_family == AF_UNIX)
		look_at_process(fd, client);
	if (storage.ss_family == AF_INET) {
		client->remote = true;
		access_map_ipv4(&client->address, &((struct sockaddr_in *)(void *)&storage)->sin_addr);
	}
	if (storage.ss_family == AF_INET6) {
		client->remote = true;
		client->address = ((struct sockaddr_in6 *)(void *)&storage)->sin6_addr;
	}
}

bool conn_may_use(struct nbd_session *session, const struct export *export, bool tell)
{
	const struct conn *conn = container_of(session, struct conn, session);
	struct access_client client = { .local = false };
	char *names = session->secure ? tls_names(conn->tls) : NULL;
	bool may;

	look_at_address(conn->fd, &client);
	client.names = names;
	client.key = session->secure ? tls_key(conn->tls) : NULL;
	may = access_allows(export->access, &client);
	free(names);
	if (!may && tell)
		log_ratelimited_about(&((struct log_subject){ .export = export->name, .peer = conn->peer }), NOTICE,
				      "%s: may not use %s: %s%s%s", conn->peer, export->name,
				      session->secure ? "TLS, " : "no TLS, ",
				      session->secure && *tls_identity(conn->tls) ? tls_identity(conn->tls) : "nobody known by name",
				      client.local ? "" : ", no local user");
	return may;
}
