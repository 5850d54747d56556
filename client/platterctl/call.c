/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platterctl/call.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

static const char *chosen;

void call_set_socket(const char *path)
{
	chosen = path;
}

/* The one that was chosen; or root's server, or the user's own. */
static void socket_path(char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (chosen)
		snprintf(path, size, "%s", chosen);
	else if (geteuid() != 0 && runtime && *runtime)
		snprintf(path, size, "%s/platter/control.sock", runtime);
	else
		snprintf(path, size, "/run/platter/control.sock");
}

/* -errno, -ENAMETOOLONG for a path that no socket can have. */
static int try_to_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int result, fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	result = -errno;
	close(fd);
	return result;
}

bool call_is_possible(void)
{
	char path[4096];
	int fd;

	socket_path(path, sizeof(path));
	fd = try_to_connect(path);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int connect_to_server(FILE **ret)
{
	char path[4096];
	int fd;

	socket_path(path, sizeof(path));
	fd = try_to_connect(path);
	if (fd < 0) {
		log_error("%s: %s%s", path, strerror(-fd),
			  fd == -ENOENT || fd == -ECONNREFUSED ? "; does platterd run? (--socket names another one)" : "");
		return CALL_UNREACHABLE;
	}
	*ret = fdopen(fd, "r");
	if (*ret)
		return CALL_OK;
	close(fd);
	log_error("no memory");
	return CALL_UNREACHABLE;
}

/* False when the server doesn't read it.  No SIGPIPE for that: it is left to end us when nobody reads our output. */
static bool send_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0) {
			text += sent;
			length -= (size_t)sent;
		}
	}
	return true;
}

/* Takes PARAMS; false when the server doesn't read it. */
static bool send_request(FILE *server, const char *method, json_t *params)
{
	json_t *object = json_pack("{s:s, s:o*}", "method", method, "params", params);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	bool sent = text && send_all(fileno(server), text, strlen(text)) && send_all(fileno(server), "\n", 1);

	free(text);
	json_decref(object);
	return sent;
}

/* The next object that the server sends; NULL at the end. */
static json_t *receive(FILE *server)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length = getline(&line, &size, server);
	json_t *object = length > 0 ? json_loadb(line, (size_t)length, 0, NULL) : NULL;

	free(line);
	return object;
}

/* What the server answers; the result is the caller's. */
static int receive_answer(FILE *server, json_t **result)
{
	json_t *answer = receive(server);
	const json_t *error = json_object_get(answer, "error");
	int status = CALL_OK;

	*result = json_incref(json_object_get(answer, "result"));
	if (error) {
		/* Not through the log, which cuts what is as long as this may be. */
		fprintf(stderr, "platterctl: error: %s\n", json_string_value(json_object_get(error, "message")));
		status = CALL_REFUSED;
	} else if (!*result) {
		log_error("the server ended without an answer");
		status = CALL_UNREACHABLE;
	}
	json_decref(answer);
	return status;
}

/* A server that refuses to listen may have said why. */
static int request(FILE *server, const char *method, json_t *params, json_t **result)
{
	bool sent = send_request(server, method, params);
	int status = receive_answer(server, result);

	if (!sent && status == CALL_OK)
		status = CALL_UNREACHABLE;
	return status;
}

int call_method(const char *method, json_t *params, json_t **result)
{
	FILE *server = NULL;
	int status = connect_to_server(&server);

	*result = NULL;
	if (status != CALL_OK) {
		json_decref(params);
		return status;
	}
	status = request(server, method, params, result);
	(void)fclose(server);
	return status;
}

int call_stream(const char *method, json_t *params, void (*each)(const json_t *object))
{
	FILE *server = NULL;
	json_t *object = NULL;
	int status = connect_to_server(&server);

	if (status != CALL_OK) {
		json_decref(params);
		return status;
	}
	status = request(server, method, params, &object);
	json_decref(object);
	while (status == CALL_OK && (object = receive(server))) {
		each(object);
		json_decref(object);
		if (ferror(stdout))
			break;
	}
	(void)fclose(server);
	return status;
}
