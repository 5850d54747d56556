/* SPDX-License-Identifier: BSD-2-Clause */
/* platterd: starts everything, runs the first reactor, and ends in good order. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "common/ktls.h"
#include "common/log.h"
#include "common/size.h"
#include "common/tls.h"
#include "server/admin.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/error.h"
#include "server/block/export.h"
#include "server/block/handle.h"
#include "server/control/control.h"
#include "server/control/event.h"
#include "server/disk_events.h"
#include "server/ending.h"
#include "server/host/fd_io.h"
#include "server/host/timer.h"
#include "server/module/modprobe.h"
#include "server/module/module.h"
#include "server/net/conn.h"
#include "server/net/credentials.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/options.h"
#include "server/reactor.h"
#include "server/records.h"
#include "server/signals.h"
#include "server/startup.h"

/* Threads for file I/O that blocks, and for drivers' open and release. */
#define IO_THREADS 64
#define CONTROL_THREADS 256
#define TLS_THREADS 4

static void stop(void)
{
	ending_begin();
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
	int result = admin_add(text, NULL, &error);

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

	if (address && strcmp(address, "none") == 0)
		return 0;
	if (control_open(address, &error) == 0)
		return 0;
	log_error("--control: %s", error.text);
	return -1;
}

/* By the option, or by the kernel. */
static bool want_kernel_tls(enum options_ktls when)
{
	struct utsname system;

	if (when != OPTIONS_KTLS_AUTO || uname(&system) < 0)
		return when == OPTIONS_KTLS_ON;
	if (ktls_is_mature(system.release))
		return true;
	log_info("Linux %s receives slowly with kernel TLS, so it isn't used; 6.5 doesn't, and --ktls=on has it used here, too",
		 system.release);
	return false;
}

/* What clients need to know comes before the exports that only those may use. */
static int prepare_tls(const struct options *options)
{
	const struct tls_files files = { options->tls_certificates, options->tls_psk, options->tls_verify_peer };
	struct platter_error error = { "" };

	if (!files.certificates && !files.psk) {
		if (!options->tls_verify_peer)
			return 0;
		log_error("--tls-verify-peer: certificates are missing; write --tls-certificates=DIR");
		return -1;
	}
	tls_allow_kernel(want_kernel_tls(options->ktls));
	if (credentials_load(&files, &error) == 0)
		return 0;
	log_error("%s", error.text);
	return -1;
}

static int listen_all(const char *const *addresses, const char *mode)
{
	enum nbd_tls tls = credentials_exist() ? NBD_TLS_REQUIRED : NBD_TLS_OFF;
	struct platter_error error = { "" };

	if (mode && listen_parse_tls(&tls, mode, &error) < 0) {
		log_error("--%s", error.text);
		return -1;
	}
	for (; *addresses; addresses++) {
		if (listen_add(*addresses, tls, &error) < 0) {
			log_error("%s", error.text);
			return -1;
		}
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

static struct pool *tls_pool;

static void reload_run(struct pool_job *job)
{
	struct platter_error error = { "" };

	free(job);
	if (credentials_reload(&error) < 0)
		log_error("TLS: what was is kept: %s", error.text);
}

/* Reading files is nothing for a reactor. */
static bool reload(void)
{
	struct pool_job *job;

	if (!credentials_exist())
		return false;
	job = malloc(sizeof(*job));
	if (!job) {
		log_error("TLS: what was is kept: no memory");
		return true;
	}
	*job = (struct pool_job){ .run = reload_run };
	pool_run(tls_pool, job);
	return true;
}

static void serve(void)
{
	struct reactor *reactor = reactor_at(0);
	int result;

	signals_watch(stop, reload);
	startup_run(listen_start);
	if (disk_events_start() < 0)
		log_warning("no thread to look for disks that change: they are looked at only on request");
	result = control_start();
	if (result < 0) {
		log_warning("no thread for the control socket: %s; it is closed", strerror(-result));
		control_close();
	}
	reactor_run(reactor);
	while (listen_busy())
		engine_wait(reactor->engine, false);
	signals_unwatch();
	startup_wait();
	disk_events_stop();
	control_close();
	reactors_finish();
}

/* Everything that can be wrong with the command line shows here, before the first client. */
static int prepare(const struct options *options)
{
	/* First: a second server on the same machine is told so before it touches anything. */
	if (open_control(options->control) < 0)
		return -1;
	if (!*options->exports && !control_is_open()) {
		log_error("nothing to serve: name an export, for example ram:1G or /srv/disk.img; see platterd --help");
		return -1;
	}
	/* Threads that drivers and modules make leave the signals to us. */
	if (signals_block() < 0) {
		log_error("signals: %s", strerror(errno));
		return -1;
	}
	module_init(event_tell);
	modprobe_set_directories(options->modules, options->module_conf);
	modprobe_load_configured();
	if (prepare_tls(options) < 0)
		return -1;
	for (char **text = options->exports; *text; text++)
		if (add_export(*text) < 0)
			return -1;
	return listen_all(options->listen, options->tls);
}

int main(int argc, char **argv)
{
	struct pool *io_pool = NULL, *control_pool = NULL;
	struct options options;
	int status;

	log_open("platterd", LOG_LEVEL_NOTICE);
	if (driver_init() < 0)
		return EXIT_FAILURE;
	if (options_parse(&options, argc, argv, &status) < 0) {
		free(options.listen);
		driver_exit();
		return status;
	}
	if (options.verbose)
		log_open("platterd", options.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	status = EXIT_FAILURE;
	records_init();
	signals_init();
	if (pool_create(&io_pool, "io", IO_THREADS) < 0 || pool_create(&control_pool, "control", CONTROL_THREADS) < 0 ||
	    pool_create(&tls_pool, "tls", TLS_THREADS) < 0) {
		log_error("cannot start: no memory");
		goto out;
	}
	raise_descriptor_limit(options.max_connections);
	fd_io_init(io_pool);
	handle_init(io_pool);
	disk_init(options.threads, control_pool, reactors_call_blocks, timer_stop_all);
	ending_init(options.drain_seconds);
	conn_set_pool(tls_pool);
	conn_set_limits(&(struct conn_limits){ options.max_connections, options.drain_seconds });
	if (prepare(&options) < 0 || start_reactors(&options) < 0)
		goto out;
	serve();
	status = EXIT_SUCCESS;
out:
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
	reactors_destroy();
	driver_exit();
	free(options.listen);
	ending_over();
	records_free();
	return status;
}
