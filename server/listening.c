/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/listening.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "server/activation.h"
#include "server/block/error.h"
#include "server/config.h"
#include "server/net/credentials.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/options.h"
#include "server/reactor.h"
#include "server/remarks.h"

/* An address of the configuration. */
struct place {
	struct list_head link;
	char *address;
	enum nbd_tls tls;
	bool wanted;
};

static struct list_head places = LIST_HEAD_INIT(places);

static void place_free(struct place *place)
{
	list_del_init(&place->link);
	free(place->address);
	free(place);
}

static struct place *find(const char *address)
{
	struct list_head *node;

	list_for_each(node, &places)
		if (strcmp(container_of(node, struct place, link)->address, address) == 0)
			return container_of(node, struct place, link);
	return NULL;
}

/* The mode of TLS where ADDRESS doesn't say one, and where it does. */
static int mode_of(const char *address, const struct options *options, enum nbd_tls *tls, struct platter_error *error)
{
	int result = 0;

	*tls = credentials_exist() ? NBD_TLS_REQUIRED : NBD_TLS_OFF;
	if (options->tls)
		result = listen_parse_tls(tls, options->tls, error);
	return result == 0 ? listen_check(address, tls, error) : result;
}

static int add(const char *address, enum nbd_tls tls, struct platter_error *error)
{
	struct place *place = calloc(1, sizeof(*place));
	int result;

	if (!place)
		return platter_fail(error, ENOMEM, "no memory");
	list_add_tail(&place->link, &places);
	place->address = strdup(address);
	place->tls = tls;
	place->wanted = true;
	result = place->address ? listen_add(address, tls, error) : platter_fail(error, ENOMEM, "no memory");
	if (result < 0)
		place_free(place);
	return result;
}

/* Calls EACH for what the configuration wants, up to its first error; for nothing where the command line says it. */
static int each_wanted(const struct options *options, const struct config *config,
		       int (*each)(const char *address, const struct options *options, void *argument), void *argument)
{
	struct list_head *node;
	int result = 0;

	if (*options->listen)
		return 0;
	if (list_empty(&config->listeners) && !activation_has_listeners())
		return each(LISTEN_DEFAULT, options, argument);
	list_for_each(node, &config->listeners)
		if (result == 0)
			result = each(container_of(node, struct config_listener, link)->address, options, argument);
	return result;
}

static int begin(const char *address, const struct options *options, void *argument)
{
	enum nbd_tls tls;
	int result = mode_of(address, options, &tls, argument);

	return result == 0 ? add(address, tls, argument) : result;
}

int listening_begin(const struct options *options, const struct config *config, struct platter_error *error)
{
	int result = 0;

	for (const char *const *address = options->listen; result == 0 && *address; address++) {
		enum nbd_tls tls;

		result = mode_of(*address, options, &tls, error);
		if (result == 0)
			result = listen_add(*address, tls, error);
	}
	if (result == 0)
		result = each_wanted(options, config, begin, error);
	if (result == 0)
		result = activation_listen(options, error);
	return result;
}

static void remove_run(struct reactor *reactor, void *argument)
{
	(void)reactor;
	listen_remove(argument);
}

static void set_tls_run(struct reactor *reactor, void *argument)
{
	const struct place *place = argument;

	(void)reactor;
	listen_set_tls(place->address, place->tls);
}

static void start_run(struct reactor *reactor, void *argument)
{
	(void)argument;
	listen_start(reactor);
}

static int mark(const char *address, const struct options *options, void *argument)
{
	struct place *place = find(address);
	struct platter_error error = { "" };
	enum nbd_tls tls;

	if (!place || mode_of(address, options, &tls, &error) < 0)
		return 0;
	place->wanted = true;
	if (place->tls == tls)
		return 0;
	place->tls = tls;
	reactor_call(reactor_at(0), set_tls_run, place);
	remark_add(argument, REMARK_CHANGED, NULL, "%s", address);
	return 0;
}

static int add_missing(const char *address, const struct options *options, void *argument)
{
	struct platter_error error = { "" };
	enum nbd_tls tls;

	if (find(address))
		return 0;
	if (mode_of(address, options, &tls, &error) < 0 || add(address, tls, &error) < 0)
		remark_add(argument, REMARK_FAILED, NULL, "%s", error.text);
	else
		remark_add(argument, REMARK_ADDED, NULL, "%s", address);
	return 0;
}

void listening_change(const struct options *options, const struct config *config, struct list_head *remarks)
{
	struct list_head *node, *next;

	list_for_each(node, &places)
		container_of(node, struct place, link)->wanted = false;
	each_wanted(options, config, mark, remarks);
	/* First: another one may want its port. */
	list_for_each_safe(node, next, &places) {
		struct place *place = container_of(node, struct place, link);

		if (place->wanted)
			continue;
		reactor_call(reactor_at(0), remove_run, place->address);
		remark_add(remarks, REMARK_REMOVED, NULL, "%s", place->address);
		place_free(place);
	}
	each_wanted(options, config, add_missing, remarks);
	listen_log();
	reactor_call(reactor_at(0), start_run, NULL);
}

void listening_free(void)
{
	while (!list_empty(&places))
		place_free(list_first_entry(&places, struct place, link));
}
