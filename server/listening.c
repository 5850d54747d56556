/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/listening.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/activation.h"
#include "server/block/error.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/config.h"
#include "server/net/credentials.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/options.h"
#include "server/reactor.h"
#include "server/remarks.h"

/* An address, or the name of sockets that were there. */
struct place {
	struct list_head link;
	char *address;
	enum nbd_tls tls;
	bool adopted;
	bool fixed;  /* as long as the server runs: the configuration has no say */
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

/* The mode of TLS that PLACE is to have. */
static int mode_of(const struct place *place, const struct options *options, enum nbd_tls *tls, struct platter_error *error)
{
	int result = 0;

	*tls = credentials_exist() ? NBD_TLS_REQUIRED : NBD_TLS_OFF;
	if (place->adopted && strcmp(place->address, "nbds") == 0)
		*tls = NBD_TLS_REQUIRED;
	else if (options->tls)
		result = listen_parse_tls(tls, options->tls, error);
	return result == 0 && !place->adopted ? listen_check(place->address, tls, error) : result;
}

static struct place *place_new(const char *address, bool fixed, struct platter_error *error)
{
	struct place *place = calloc(1, sizeof(*place));

	if (place) {
		list_init(&place->link);
		place->address = strdup(address);
		place->fixed = fixed;
		place->wanted = true;
		if (place->address)
			return place;
		place_free(place);
	}
	platter_fail(error, ENOMEM, "no memory");
	return NULL;
}

static int add(const char *address, bool fixed, const struct options *options, struct platter_error *error)
{
	struct place *place = place_new(address, fixed, error);
	int result = place ? mode_of(place, options, &place->tls, error) : -ENOMEM;

	if (result == 0)
		result = listen_add(address, place->tls, error);
	if (result == 0)
		list_add_tail(&place->link, &places);
	else if (place)
		place_free(place);
	return result;
}

/* Several may have one name; they are one place. */
static int adopt(int fd, const char *name, const struct options *options, struct platter_error *error)
{
	struct place *place = find(name);
	int result = 0;

	if (!place) {
		place = place_new(name, true, error);
		if (!place)
			return -ENOMEM;
		place->adopted = true;
		list_add_tail(&place->link, &places);
		result = mode_of(place, options, &place->tls, error);
	}
	return result == 0 ? listen_adopt(fd, name, place->tls, error) : result;
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
	return add(address, false, options, argument);
}

int listening_begin(const struct options *options, const struct config *config, struct platter_error *error)
{
	const char *name;
	int result = 0, fd;

	for (const char *const *address = options->listen; result == 0 && *address; address++)
		result = add(*address, true, options, error);
	if (result == 0)
		result = each_wanted(options, config, begin, error);
	for (unsigned i = 0; result == 0 && (name = activation_listener(i, &fd)); i++)
		result = adopt(fd, name, options, error);
	return result;
}

void listening_look_for_tls(void)
{
	struct list_head *node;

	list_for_each(node, &places)
		if (container_of(node, struct place, link)->tls != NBD_TLS_OFF)
			return;
	registry_lock();
	list_for_each(node, export_list()) {
		const struct export *export = container_of(node, struct export, link);

		if (export->tls && !export->removing)
			log_message_about(&(struct log_subject){ .export = export->name }, LOG_LEVEL_WARNING,
					  "%s: nobody can use it: it is for clients with TLS, and no address has that", export->name);
	}
	registry_unlock();
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

/* Gives PLACE the mode that it is to have by now. */
static void adjust(struct place *place, const struct options *options, struct list_head *remarks)
{
	struct platter_error error = { "" };
	enum nbd_tls tls;

	if (mode_of(place, options, &tls, &error) < 0) {
		remark_add(remarks, REMARK_FAILED, NULL, "%s", error.text);
	} else if (tls != place->tls) {
		place->tls = tls;
		reactor_call(reactor_at(0), set_tls_run, place);
		remark_add(remarks, REMARK_CHANGED, NULL, "%s", place->address);
	}
}

static int mark(const char *address, const struct options *options, void *argument)
{
	struct place *place = find(address);

	(void)options;
	(void)argument;
	if (place)
		place->wanted = true;
	return 0;
}

static int add_missing(const char *address, const struct options *options, void *argument)
{
	struct platter_error error = { "" };

	if (find(address))
		return 0;
	if (add(address, false, options, &error) < 0)
		remark_add(argument, REMARK_FAILED, NULL, "%s", error.text);
	else
		remark_add(argument, REMARK_ADDED, NULL, "%s", address);
	return 0;
}

void listening_change(const struct options *options, const struct config *config, struct list_head *remarks)
{
	struct list_head *node, *next;

	list_for_each(node, &places)
		container_of(node, struct place, link)->wanted = container_of(node, struct place, link)->fixed;
	each_wanted(options, config, mark, remarks);
	/* First: another one may want its port. */
	list_for_each_safe(node, next, &places) {
		struct place *place = container_of(node, struct place, link);

		if (place->wanted) {
			adjust(place, options, remarks);
			continue;
		}
		reactor_call(reactor_at(0), remove_run, place->address);
		remark_add(remarks, REMARK_REMOVED, NULL, "%s", place->address);
		place_free(place);
	}
	each_wanted(options, config, add_missing, remarks);
	listening_look_for_tls();
	listen_log();
	reactor_call(reactor_at(0), start_run, NULL);
}

void listening_free(void)
{
	while (!list_empty(&places))
		place_free(list_first_entry(&places, struct place, link));
	activation_end();
}
