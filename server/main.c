/* SPDX-License-Identifier: BSD-2-Clause */
/* platterd: starts everything, runs the first reactor, and ends in good order. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/log.h"
#include "server/activation.h"
#include "server/admin.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/error.h"
#include "server/block/export.h"
#include "server/block/handle.h"
#include "server/block/identity.h"
#include "server/config.h"
#include "server/configure.h"
#include "server/control/control.h"
#include "server/control/event.h"
#include "server/disk_events.h"
#include "server/ending.h"
#include "server/host/fd_io.h"
#include "server/host/timer.h"
#include "server/journal.h"
#include "server/listening.h"
#include "server/module/modprobe.h"
#include "server/module/module.h"
#include "server/net/conn.h"
#include "server/net/credentials.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/notify.h"
#include "server/options.h"
#include "server/reactor.h"
#include "server/records.h"
#include "server/reload.h"
#include "server/remarks.h"
#include "server/signals.h"
#include "server/startup.h"

/* Threads for file I/O that blocks, and for drivers' open and release. */
#define IO_THREADS 64
#define CONTROL_THREADS 256
#define TLS_THREADS 4
/* Exports that are removed as soon as their clients have left. */
#define LEAVING_THREADS 1024

static void stop(void)
{
	ending_begin();
	reload_stop();
	notify_stopping();
	control_stop();
	listen_stop();
	reactors_stop();
}

/* Each connection is a descriptor. */
static void raise_descriptor_limit(unsigned connections)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < connections)
		log_warning("only %" PRIu64 " descriptors are allowed, for up to %u connections; see ulimit -n",
			    (uint64_t)limit.rlim_cur, connections);
}

static int add_export(const char *text)
{
	struct platter_error error = { "" };
	const char *reason;
	char shown[201];
	int result = admin_add(text, ROSTER_COMMAND_LINE, NULL, &error);

	if (result == 0)
		return 0;
	reason = error.text[0] ? error.text : strerror(-result);
	if (strncmp(reason, text, strlen(text)) == 0) /* it names it already */
		log_error("%s", reason);
	else
		log_error("%s: %s", log_printable(shown, sizeof(shown), text, (unsigned)strlen(text)), reason);
	return result;
}

static int open_control(const char *address)
{
	struct platter_error error = { "" };
	int fd = activation_control();

	if (fd >= 0) {
		control_adopt(fd);
		return 0;
	}
	if (address && strcmp(address, "none") == 0)
		return 0;
	if (control_open(address, &error) == 0)
		return 0;
	log_error("--control: %s", error.text);
	return -1;
}

static int listen_all(const struct options *options, const struct config *config)
{
	struct platter_error error = { "" };

	if (listening_begin(options, config, &error) < 0) {
		log_error("%s", error.text);
		return -1;
	}
	listen_log();
	return 0;
}

static int start_reactors(const struct options *options)
{
	const struct reactor_config config = {
		.count = options->threads,
		.memory_limit = options->memory / options->threads,
		.watchdog_seconds = options->watchdog_seconds,
		.engine = { .poll_ns = options->poll_ns, .polling = options->polling },
	};
	int result = reactors_start(&config);

	if (result < 0)
		log_error("%s (%s)", engine_refusal(result), strerror(-result));
	return result;
}

static struct pool *control_pool;

static void reload_job_run(struct pool_job *job)
{
	struct list_head remarks = LIST_HEAD_INIT(remarks);
	struct platter_error error = { "" };
	char *whole = NULL;

	free(job);
	if (!reactors_hold())
		return;
	if (reload_is_possible())
		(void)reload_run(&remarks, &whole, &error);
	else if (reload_tls(&error) < 0)
		log_error("TLS: what was is kept: %s", error.text);
	reactors_release();
	remarks_free(&remarks);
	free(whole);
}

/* Reading files is nothing for a reactor. */
static void reload_asked(void)
{
	struct pool_job *job = malloc(sizeof(*job));

	if (!job) {
		log_error("not reloaded: no memory");
		return;
	}
	*job = (struct pool_job){ .run = reload_job_run };
	pool_run(control_pool, job);
}

static bool has_something_to_reload(void)
{
	return reload_is_possible() || credentials_exist();
}

static void let_clients_in(struct reactor *reactor)
{
	listening_look_for_tls();
	listen_start(reactor);
	reload_allow();
	notify_ready();
}

static void serve(void)
{
	struct reactor *reactor = reactor_at(0);
	int result;

	notify_start();
	signals_watch(stop, has_something_to_reload, reload_asked);
	startup_run(let_clients_in);
	if (disk_events_start() < 0)
		log_warning("no thread to look for disks that change: they are looked at only on request");
	result = control_start();
	if (result < 0) {
		log_warning("no thread for the control socket: %s; it is closed", strerror(-result));
		control_close();
	}
	/* Last: whoever waits for it finds all that there will be. */
	reactors_log();
	reactor_run(reactor);
	while (listen_busy())
		engine_wait(reactor->engine, false);
	signals_unwatch();
	startup_wait();
	disk_events_stop();
	control_close();
	reactors_finish();
}

static void load_module(const char *name, void *argument)
{
	struct platter_error error = { "" };
	char *whole = NULL;

	(void)argument;
	if (modprobe_load(name, NULL, 0, &whole, &error) < 0)
		log_error("%s: not loaded: %s", name, whole ? whole : error.text);
	free(whole);
}

/* Everything that can be wrong with what the server is to do shows here, before the first client. */
static int prepare(const struct options *options, const struct config *config)
{
	struct platter_error error = { "" };

	if (activation_begin(&error) < 0) {
		log_error("%s", error.text);
		return -1;
	}
	/* First: a second server on the same machine is told so before it touches anything. */
	if (open_control(options->control) < 0)
		return -1;
	if (!*options->exports && list_empty(&config->exports) && !control_is_open()) {
		log_error("nothing to serve: name an export, for example ram:1G or /srv/disk.img; see platterd --help");
		return -1;
	}
	/* Threads that drivers and modules make leave the signals to us. */
	if (signals_block() < 0) {
		log_error("signals: %s", strerror(errno));
		return -1;
	}
	module_init(event_tell);
	modprobe_load_configured();
	config_each_module(config, load_module, NULL);
	/* What clients need to know comes before the exports that only those may use. */
	if (configure_tls(options) < 0)
		return -1;
	for (char **text = options->exports; *text; text++)
		if (add_export(*text) < 0)
			return -1;
	if (reload_add_all() < 0)
		return -1;
	return listen_all(options, config);
}

int main(int argc, char **argv)
{
	struct pool *io_pool = NULL, *tls_pool = NULL, *leaving_pool = NULL;
	struct options options, given;
	struct config config = { .text = { .count = 0 } };
	int status;

	log_open("platterd", LOG_LEVEL_NOTICE);
	journal_open();
	if (driver_init() < 0)
		return EXIT_FAILURE;
	if (configure(&options, &given, &config, argc, argv, &status) < 0) {
		config_free(&config);
		free(options.listen);
		credentials_forget();
		driver_exit();
		return status;
	}
	status = EXIT_FAILURE;
	records_init();
	signals_init();
	if (pool_create(&io_pool, "io", IO_THREADS) < 0 || pool_create(&control_pool, "control", CONTROL_THREADS) < 0 ||
	    pool_create(&tls_pool, "tls", TLS_THREADS) < 0 || pool_create(&leaving_pool, "leaving", LEAVING_THREADS) < 0) {
		log_error("cannot start: no memory");
		goto out;
	}
	raise_descriptor_limit(options.max_connections);
	fd_io_init(io_pool);
	handle_init(io_pool);
	identity_init("/etc/machine-id");
	disk_init(options.threads, control_pool, reactors_call_blocks, timer_stop_all);
	ending_init(options.drain_seconds);
	conn_set_pool(tls_pool);
	conn_set_limits(&(struct conn_limits){ options.max_connections, options.drain_seconds });
	reload_init(&given, &config, leaving_pool);
	if (prepare(&options, &config) < 0 || start_reactors(&options) < 0)
		goto out;
	serve();
	status = EXIT_SUCCESS;
out:
	pool_destroy(leaving_pool);
	/* Releases run on the control pool: they end here. */
	pool_destroy(control_pool);
	pool_destroy(io_pool);
	pool_destroy(tls_pool);
	/* A disk may have lost what it acknowledged. */
	if (disk_any_failed())
		status = EXIT_FAILURE;
	control_close();
	listen_cleanup();
	credentials_forget();
	export_remove_all();
	disk_remove_all();
	module_unload_all();
	/* Until here somebody could be posting to them: both pools, and threads of modules, which end with their exit. */
	notify_end();
	reactors_destroy();
	driver_exit();
	reload_free();
	config_free(&config);
	free(options.listen);
	ending_over();
	records_free();
	return status;
}
