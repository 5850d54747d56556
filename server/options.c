/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/options.h"

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/size.h"
#include "server/block/args.h"
#include "server/block/driver.h"
#include "server/block/error.h"
#include "server/net/listen.h"

#define EXIT_USAGE 2
#define POLL_AUTO_NS 50000u
#define POLL_IO_NS 200000u
#define LEAST_MEMORY (1u << 20)
#define MOST_THREADS 1024
#define MOST_CORES (1 << 20)

static const char usage_head[] =
	"Usage: platterd [OPTION...] [NAME=]DRIVER[:ARG][,KEY=VALUE...] ...\n"
	"       platterd [OPTION...] [NAME=]PATH[,KEY=VALUE...] ...\n"
	"Serve RAM disks, files and block devices over the network (NBD).\n"
	"\n"
	"      --config=FILE|none   read FILE, and FILE.d/*.conf; what stands here counts instead\n"
	"                           (" CONFIG_FILE ", if it is there)\n"
	"      --check-config       see whether the configuration is right, and end\n"
	"  -l, --listen=ADDRESS     unix:PATH[,mode=OCTAL] or tcp:HOST[:PORT], both with [,tls=MODE];\n"
	"                           may be repeated (tcp:localhost:10809)\n"
	"      --tls=MODE           off, on: for clients that want it, or required, where an address doesn't\n"
	"                           say tls=MODE itself (required, if there are certificates or keys)\n"
	"      --tls-certificates=DIR  where ca-cert.pem, server-cert.pem and server-key.pem lie\n"
	"      --tls-psk=FILE       keys of clients, IDENTITY:KEY in each line\n"
	"      --tls-verify-peer    clients need a certificate, signed by ca-cert.pem, or a key\n"
	"      --ktls=auto|on|off   have the kernel do TLS on TCP connections, where it can; auto: from\n"
	"                           Linux 6.5 on (auto)\n"
	"      --control=PATH|none  socket for platterctl: PATH[,mode=OCTAL]\n"
	"                           (/run/platter/control.sock)\n"
	"      --modules=DIR        where driver modules lie\n"
	"                           (" MODULE_DIR ")\n"
	"      --module-conf=DIR    where *.conf files about them lie\n"
	"                           (" MODULE_CONF_DIR ")\n"
	"  -t, --threads=N          reactors (one for each core that the process may use)\n"
	"      --poll-us=N|auto|io  poll for N microseconds before sleeping; auto: up to 50, as long as it\n"
	"                           pays; io: up to 200, while files are being read or written (io)\n"
	"      --max-connections=N  refuse clients beyond that many (4096)\n"
	"      --drain-timeout=S    at shutdown, wait S seconds for clients to read their replies (10)\n"
	"      --watchdog=S         complain when a driver has a request for S seconds (30; 0: never)\n"
	"      --memory=SIZE        for the data of requests in flight (1G)\n"
	"  -v, --verbose            log connections, too; twice: everything\n"
	"      --version            print the version\n"
	"  -h, --help               print this\n"
	"\n"
	"Every export takes: readonly, description=TEXT, tls (for clients with TLS only),\n"
	"allow=cert:NAME|psk:IDENTITY|uid:USER|gid:GROUP|net:ADDRESS[/BITS]|@FILE, which may\n"
	"be repeated; its disk: export=off, partitions, unaligned=emulate,\n"
	"queue.ATTRIBUTE=VALUE (see platterctl queue).  A key alone means KEY=on; a backslash\n"
	"takes the meaning from a comma, colon or equal sign behind it.\n";

static void print_help(void)
{
	struct list_head *node;

	fputs(usage_head, stdout);
	list_for_each(node, driver_list()) {
		const struct platter_driver *driver = &container_of(node, struct driver, link)->driver;

		printf("\n%s - %s\n", driver->name, driver->description);
		for (const struct platter_key *key = driver->keys; key->name; key++)
			printf("  %-12s %s%s\n", key->name, key->help, key == driver->keys ? "; ARG sets it" : "");
	}
	puts("\nExamples:\n"
	     "  platterd ram:1G\n"
	     "  platterd /srv/disk.img\n"
	     "  platterd --listen unix:/run/p.sock --listen 'tcp:[::]:10809' vm1=/srv/vm1.img,readonly");
}

static bool parse_number(const char *text, unsigned most, unsigned *ret)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number > most)
		return false;
	*ret = (unsigned)number;
	return true;
}

/* -EINVAL on a machine whose cores don't fit into a set of ROOM. */
static int count_cores(int room)
{
	cpu_set_t *set = CPU_ALLOC((size_t)room);
	size_t size = CPU_ALLOC_SIZE((size_t)room);
	int result;

	if (!set)
		return -ENOMEM;
	result = sched_getaffinity(0, size, set) < 0 ? -errno : CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return result;
}

static unsigned usable_cores(void)
{
	int count = -EINVAL;

	for (int room = CPU_SETSIZE; count == -EINVAL && room <= MOST_CORES; room *= 2)
		count = count_cores(room);
	if (count < 1)
		return 1;
	return count < MOST_THREADS ? (unsigned)count : MOST_THREADS;
}

enum {
	OPTION_TLS = 256, OPTION_TLS_CERTIFICATES, OPTION_TLS_PSK, OPTION_TLS_VERIFY, OPTION_KTLS, OPTION_CONTROL,
	OPTION_MODULES, OPTION_MODULE_CONF, OPTION_POLL, OPTION_CONNECTIONS, OPTION_DRAIN, OPTION_WATCHDOG, OPTION_MEMORY,
	OPTION_CONFIG, OPTION_CHECK_CONFIG, OPTION_VERSION,
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, 'l' },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "check-config", no_argument, NULL, OPTION_CHECK_CONFIG },
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "modules", required_argument, NULL, OPTION_MODULES },
	{ "module-conf", required_argument, NULL, OPTION_MODULE_CONF },
	{ "threads", required_argument, NULL, 't' },
	{ "poll-us", required_argument, NULL, OPTION_POLL },
	{ "max-connections", required_argument, NULL, OPTION_CONNECTIONS },
	{ "drain-timeout", required_argument, NULL, OPTION_DRAIN },
	{ "watchdog", required_argument, NULL, OPTION_WATCHDOG },
	{ "memory", required_argument, NULL, OPTION_MEMORY },
	{ "tls", required_argument, NULL, OPTION_TLS },
	{ "tls-certificates", required_argument, NULL, OPTION_TLS_CERTIFICATES },
	{ "tls-psk", required_argument, NULL, OPTION_TLS_PSK },
	{ "tls-verify-peer", no_argument, NULL, OPTION_TLS_VERIFY },
	{ "ktls", required_argument, NULL, OPTION_KTLS },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool parse_poll(struct options *options, const char *text)
{
	unsigned microseconds;

	if (strcmp(text, "auto") == 0) {
		options->polling = ENGINE_POLL_ALL_ADAPTED;
		options->poll_ns = POLL_AUTO_NS;
		return true;
	}
	if (strcmp(text, "io") == 0) {
		options->polling = ENGINE_POLL_TRANSFERS;
		options->poll_ns = POLL_IO_NS;
		return true;
	}
	options->polling = ENGINE_POLL_ALL;
	if (!parse_number(text, 1000000, &microseconds))
		return false;
	options->poll_ns = microseconds * UINT64_C(1000);
	return true;
}

static bool parse_ktls(struct options *options, const char *text)
{
	static const char *const names[] = { "auto", "on", "off" }; /* as in enum options_ktls */

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		options->ktls = (enum options_ktls)i;
		if (strcmp(text, names[i]) == 0)
			return true;
	}
	return false;
}

static bool is_tls_mode(const char *text)
{
	struct platter_error error;
	enum nbd_tls tls;

	return listen_parse_tls(&tls, text, &error) == 0;
}

/* One option with a value; false when the value is wrong. */
static bool set_option(struct options *options, int option, const char *value)
{
	switch (option) {
	case OPTION_CONFIG:
		options->config = value;
		options->config_given = true;
		return *value != '\0';
	case OPTION_TLS:
		options->tls = value;
		return is_tls_mode(value);
	case OPTION_TLS_CERTIFICATES:
		options->tls_certificates = value;
		return *value != '\0';
	case OPTION_TLS_PSK:
		options->tls_psk = value;
		return *value != '\0';
	case OPTION_KTLS:
		return parse_ktls(options, value);
	case OPTION_CONTROL:
		options->control = value;
		return *value != '\0';
	case OPTION_MODULES:
		options->modules = value;
		return *value == '/';
	case OPTION_MODULE_CONF:
		options->module_conf = value;
		return *value == '/';
	case 't':
		return parse_number(value, MOST_THREADS, &options->threads) && options->threads > 0;
	case OPTION_POLL:
		return parse_poll(options, value);
	case OPTION_CONNECTIONS:
		return parse_number(value, 1000000, &options->max_connections) && options->max_connections > 0;
	case OPTION_DRAIN:
		return parse_number(value, 86400, &options->drain_seconds);
	case OPTION_WATCHDOG:
		return parse_number(value, 86400, &options->watchdog_seconds);
	case OPTION_MEMORY:
		return size_parse(value, &options->memory) == 0 && options->memory >= LEAST_MEMORY;
	default:
		return false;
	}
}

/* What the values of an option may be. */
static const char *values_of(int option)
{
	switch (option) {
	case OPTION_TLS_CERTIFICATES:
	case OPTION_TLS_PSK:
		return "a path";
	case OPTION_TLS:
		return "off, on or required";
	case 'v':
	case OPTION_TLS_VERIFY:
		return "on or off";
	case OPTION_CONFIG:
		return "a path, or none";
	case OPTION_KTLS:
		return "auto, on or off";
	case OPTION_CONTROL:
		return "a path, or none";
	case OPTION_MODULES:
	case OPTION_MODULE_CONF:
		return "an absolute path";
	case 't':
		return "a number from 1 to 1024";
	case OPTION_POLL:
		return "microseconds up to 1000000, auto or io";
	case OPTION_CONNECTIONS:
		return "a number from 1 to 1000000";
	case OPTION_DRAIN:
	case OPTION_WATCHDOG:
		return "seconds up to 86400";
	default:
		return "a size of at least 1M";
	}
}

static unsigned index_of(int option)
{
	unsigned index = 0;

	while (long_options[index].name && long_options[index].val != option)
		index++;
	return index;
}

/* Those that configuration files have, and where. */
static const struct {
	int option;
	const char *section, *key;
} keys[] = {
	{ OPTION_CONTROL, "daemon", "control" },
	{ OPTION_DRAIN, "daemon", "drain-timeout" },
	{ OPTION_CONNECTIONS, "daemon", "max-connections" },
	{ OPTION_MEMORY, "daemon", "memory" },
	{ OPTION_MODULE_CONF, "daemon", "module-conf" },
	{ OPTION_MODULES, "daemon", "modules" },
	{ OPTION_POLL, "daemon", "poll-us" },
	{ 't', "daemon", "threads" },
	{ 'v', "daemon", "verbose" },
	{ OPTION_WATCHDOG, "daemon", "watchdog" },
	{ OPTION_TLS_CERTIFICATES, "tls", "certificates" },
	{ OPTION_KTLS, "tls", "ktls" },
	{ OPTION_TLS, "tls", "mode" },
	{ OPTION_TLS_PSK, "tls", "psk" },
	{ OPTION_TLS_VERIFY, "tls", "verify-peer" },
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

bool options_has_section(const char *section)
{
	return options_key(section, 0) != NULL;
}

const char *options_key(const char *section, unsigned index)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].section, section) == 0 && index-- == 0)
			return keys[i].key;
	return NULL;
}

/* -1: there is none. */
static int option_of(const char *section, const char *key)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, key) == 0)
			return keys[i].option;
	return -1;
}

bool options_is_given(const struct options *options, const char *section, const char *key)
{
	int option = option_of(section, key);

	return option >= 0 && options->given & (1u << index_of(option));
}

static bool set_key(struct options *options, int option, const char *value)
{
	if (option == 'v')
		return args_parse_bool(value, &options->verbose);
	if (option == OPTION_TLS_VERIFY)
		return args_parse_bool(value, &options->tls_verify_peer);
	return set_option(options, option, value);
}

int options_set(struct options *options, const char *section, const char *key, const char *value, struct platter_error *error)
{
	struct options ignored = *options;
	int option = option_of(section, key);

	if (option < 0)
		return platter_fail(error, ENOENT, "there is no such key");
	if (set_key(options_is_given(options, section, key) ? &ignored : options, option, value))
		return 0;
	return platter_fail(error, EINVAL, "write %s", values_of(option));
}

/* What ends the program at once: -ECANCELED. */
static int print(int option, int *status)
{
	if (option == 'h')
		print_help();
	else
		puts("platterd " PACKAGE_VERSION);
	*status = EXIT_SUCCESS;
	if (fflush(stdout) != 0) {
		log_error("standard output: %s", strerror(errno));
		*status = EXIT_FAILURE;
	}
	return -ECANCELED;
}

int options_parse(struct options *options, int argc, char **argv, int *status)
{
	size_t listening = 0;
	int option;

	*options = (struct options){
		.threads = usable_cores(), .polling = ENGINE_POLL_TRANSFERS, .poll_ns = POLL_IO_NS,
		.max_connections = 4096, .drain_seconds = 10, .watchdog_seconds = 30, .memory = UINT64_C(1) << 30,
		.modules = MODULE_DIR, .module_conf = MODULE_CONF_DIR, .config = CONFIG_FILE,
	};
	*status = EXIT_USAGE;
	options->listen = calloc((size_t)argc + 1, sizeof(*options->listen));
	if (!options->listen)
		return -ENOMEM;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":l:t:vh", long_options, NULL)) != -1) {
		if (option == '?' || option == ':') {
			log_error("%s: %s; see platterd --help", argv[optind - 1],
				  option == ':' ? "a value is missing" : "not an option, or it takes no value");
			return -EINVAL;
		}
		if (option == 'h' || option == OPTION_VERSION)
			return print(option, status);
		options->given |= 1u << index_of(option);
		if (option == 'v') {
			options->debug = options->verbose;
			options->verbose = true;
		} else if (option == OPTION_TLS_VERIFY) {
			options->tls_verify_peer = true;
		} else if (option == OPTION_CHECK_CONFIG) {
			options->check_config = true;
		} else if (option == 'l') {
			options->listen[listening++] = optarg;
		} else if (!set_option(options, option, optarg)) {
			log_error("--%s=%s: write %s", long_options[index_of(option)].name, optarg, values_of(option));
			return -EINVAL;
		}
	}
	options->exports = argv + optind;
	return 0;
}
