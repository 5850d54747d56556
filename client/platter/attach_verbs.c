/* SPDX-License-Identifier: BSD-2-Clause */
/* attach, detach, reconnect, resize: what changes devices. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "client/platter/attach.h"
#include "client/platter/config.h"
#include "client/platter/detach.h"
#include "client/platter/device.h"
#include "client/platter/inquiry.h"
#include "client/platter/netlink.h"
#include "client/platter/service.h"
#include "client/platter/state.h"
#include "client/platter/verb.h"
#include "client/platter/verify.h"
#include "common/log.h"

/* --- attach */

struct how {
	bool foreground, no_wait;
	bool configured;         /* a file has the settings */
};

enum { OPT_FOREGROUND = 1, OPT_NO_WAIT };

static const struct option attach_options[] = {
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "no-wait", no_argument, NULL, OPT_NO_WAIT },
	{ "name", required_argument, NULL, 0 },
	{ "device", required_argument, NULL, 0 },
	{ "read-only", no_argument, NULL, 0 },
	{ "connections", required_argument, NULL, 0 },
	{ "timeout", required_argument, NULL, 0 },
	{ "dead-timeout", required_argument, NULL, 0 },
	{ "tls-certificates", required_argument, NULL, 0 },
	{ "tls-psk", required_argument, NULL, 0 },
	{ "tls-hostname", required_argument, NULL, 0 },
	{ "tls-trust-any", no_argument, NULL, 0 },
	{ NULL, 0, NULL, 0 },
};

/* Options go into SETTINGS unless that is NULL; their number, -1. */
static int parse_options(struct settings *settings, struct how *how, int argc, char **argv, struct problem *problem)
{
	int option, which = 0, count = 0;

	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, "", attach_options, &which)) != -1) {
		if (option == OPT_FOREGROUND)
			how->foreground = true;
		else if (option == OPT_NO_WAIT)
			how->no_wait = true;
		else if (option != 0)
			return problem_set(problem, STATUS_USAGE, "%s: not an option, or its value is missing", argv[optind - 1]);
		else if (settings && settings_set(settings, attach_options[which].name, optarg, problem) < 0)
			return -1;
		else
			count++;
	}
	return count;
}

/* What the command line says is said of what a file does, too, and so comes behind it. */
static int parse_attach(struct settings *settings, struct how *how, int argc, char **argv, struct problem *problem)
{
	int options = parse_options(NULL, how, argc, argv, problem);
	const char *what = argv[optind];

	if (options < 0)
		return -1;
	if (optind + 1 != argc)
		return problem_set(problem, STATUS_USAGE, optind == argc ? "which URI, or name?" : "%s: not expected", argv[argc - 1]);
	if (config_is_name(what)) {
		how->configured = options == 0;
		if (settings_set(settings, "name", what, problem) < 0 || config_load(settings, what, problem) < 0)
			return -1;
	} else if (settings_set(settings, "uri", what, problem) < 0) {
		return -1;
	}
	if (parse_options(settings, how, argc, argv, problem) < 0)
		return -1;
	return settings_complete(settings, problem);
}

/* To standard output and systemd, of a process that stays in the foreground; ARGUMENT is the device's name. */
static void report_here(void *argument, const char *path, const struct problem *problem)
{
	const char *name = argument;

	if (!path) {
		log_error("attach: %s", problem->text);
		service_failed(name, problem);
		return;
	}
	puts(path);
	fflush(stdout);
	service_ready();
}

/* What is said through the pipe: the status, and behind it the device's path or what is wrong. */
static void report_to_parent(void *argument, const char *path, const struct problem *problem)
{
	const int *pipe = argument;
	struct problem said = { .status = STATUS_OK };

	if (path)
		strcpy(said.text, path);
	else
		said = *problem;
	(void)!write(*pipe, &said, sizeof(said));
	close(*pipe);
}

static void to_syslog(enum log_level level, const char *text)
{
	syslog((int)level, "%s", text);
}

/* Nobody waits for it, and nobody reads what it says but the system's log. */
static void become_daemon(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	openlog("platter", LOG_PID, LOG_DAEMON);
	log_listen(to_syslog, LOG_LEVEL_NOTICE);
}

static enum status wait_for_report(int pipe)
{
	struct problem said;
	ssize_t length = read(pipe, &said, sizeof(said));

	close(pipe);
	if (length != sizeof(said)) {
		log_error("attach: the supervisor ended before it said anything");
		return STATUS_FAILED;
	}
	if (said.status != STATUS_OK)
		return verb_failed("attach", &said);
	puts(said.text);
	return STATUS_OK;
}

static enum status attach_in_background(struct attach *attach, bool no_wait)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		log_error("attach: %s", strerror(errno));
		return STATUS_FAILED;
	}
	if (pid == 0) {
		close(ends[0]);
		become_daemon();
		attach->report = report_to_parent;
		attach->argument = &ends[1];
		_exit((int)attach_run(attach));
	}
	settings_free(&attach->settings);
	close(ends[1]);
	if (!no_wait)
		return wait_for_report(ends[0]);
	close(ends[0]);
	return STATUS_OK;
}

/* Whether the server has it: what it says is better told here than in a service's log. */
static int look(const struct settings *settings, struct problem *problem)
{
	struct link link = { .fd = -1 };
	struct dial dial;
	int result = dial_resolve(&dial, &settings->uri, problem);

	if (result == 0)
		result = link_open(&link, &dial, &settings->uri, HANDSHAKE_INFO, -1, problem);
	link_close(&link);
	return result;
}

static int start_service(const struct settings *settings, const struct how *how, struct problem *problem)
{
	char path[DEVICE_PATH];

	if (!how->no_wait && look(settings, problem) < 0)
		return -1;
	if (service_start(settings, how->configured, !how->no_wait, problem) < 0)
		return -1;
	if (how->no_wait)
		return 0;
	if (attach_find(settings, path, problem) < 0)
		return -1;
	puts(path);
	return 0;
}

/* Somebody has to stay: a service, or a process in the background. */
static enum status start(struct attach *attach, const struct how *how)
{
	struct problem problem;
	int result;

	if (!service_manager_runs())
		return attach_in_background(attach, how->no_wait);
	result = start_service(&attach->settings, how, &problem);
	if (result < 0 && problem.status == STATUS_NOT_ATTACHED)
		return attach_in_background(attach, how->no_wait);
	settings_free(&attach->settings);
	return result == 0 ? STATUS_OK : verb_failed("attach", &problem);
}

static enum status attach_settings(struct settings *settings, const struct how *how)
{
	char path[DEVICE_PATH], name[SETTINGS_MOST_NAME + 1];
	struct attach attach = { .settings = *settings, .patient = how->no_wait, .report = report_here, .argument = name };
	struct problem problem;

	strcpy(name, settings->name);
	settings_init(settings);
	if (attach_find(&attach.settings, path, &problem) == 0 && !how->foreground) {
		settings_free(&attach.settings);
		puts(path);
		return STATUS_OK;
	}
	if (how->foreground)
		return attach_run(&attach);
	return start(&attach, how);
}

static enum status attach(int argc, char **argv)
{
	struct problem problem;
	struct settings settings;
	struct how how = { 0 };
	enum status status;

	settings_init(&settings);
	if (parse_attach(&settings, &how, argc, argv, &problem) < 0)
		status = verb_usage("attach: %s", problem.text);
	else
		status = attach_settings(&settings, &how);
	settings_free(&settings);
	return status;
}

/* --- detach */

/* A day, of --wait: who wants more than that has something else in mind. */
#define MOST_PATIENCE 86400u

static enum status detach_one(const struct state *state, const struct detach *how)
{
	struct problem problem;

	return detach_device(state, how, &problem) == 0 ? STATUS_OK : verb_failed("detach", &problem);
}

/* One that can't be detached doesn't keep the others. */
static enum status detach_all(const struct detach *how)
{
	enum status worst = STATUS_OK;
	struct state *states;
	unsigned count = state_list(&states);

	for (unsigned i = 0; i < count; i++) {
		enum status status = detach_one(&states[i], how);

		if (status != STATUS_OK)
			worst = status;
		state_free(&states[i]);
	}
	free(states);
	return worst;
}

static enum status detach_named(const char *name, const struct detach *how)
{
	struct problem problem;
	struct state state;
	enum status status;

	if (state_find(&state, name, &problem) < 0)
		return verb_failed("detach", &problem);
	status = detach_one(&state, how);
	state_free(&state);
	return status;
}

/* --wait[=SECONDS] */
static bool parse_patience(struct detach *how, const char *text)
{
	unsigned long seconds;
	char *end;

	how->patience = DETACH_SECONDS;
	if (!text)
		return true;
	seconds = strtoul(text, &end, 10);
	how->patience = (unsigned)seconds;
	return *text >= '0' && *text <= '9' && *end == '\0' && seconds <= MOST_PATIENCE;
}

static enum status parse_detach(struct detach *how, bool *all, int argc, char **argv)
{
	static const struct option options[] = { { "all", no_argument, NULL, 'a' },
						 { "force", no_argument, NULL, 'f' },
						 { "umount", no_argument, NULL, 'u' },
						 { "wait", optional_argument, NULL, 'w' },
						 { NULL, 0, NULL, 0 } };
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return verb_usage("detach: %s: not an option", argv[optind - 1]);
		if (option == 'w' && !parse_patience(how, optarg))
			return verb_usage("detach: --wait=%s: not a number of seconds up to %u", optarg, MOST_PATIENCE);
		*all |= option == 'a';
		how->force |= option == 'f';
		how->unmounts |= option == 'u';
	}
	if (*all == (optind < argc))
		return verb_usage(*all ? "detach: --all, and names" : "detach: which? or --all");
	return STATUS_OK;
}

static enum status detach(int argc, char **argv)
{
	struct detach how = { 0 };
	bool all = false;
	enum status status = parse_detach(&how, &all, argc, argv);

	if (status == STATUS_OK && all)
		return detach_all(&how);
	for (; optind < argc && status == STATUS_OK; optind++)
		status = detach_named(argv[optind], &how);
	return status;
}

/* --- reconnect, resize */

static enum status reconnect(int argc, char **argv)
{
	struct problem problem;
	struct state state;
	json_t *answer = NULL;
	int supervisor;

	if (argc != 2)
		return verb_usage("reconnect: which?");
	if (state_find(&state, argv[1], &problem) < 0)
		return verb_failed(argv[0], &problem);
	supervisor = inquiry_open(state.index);
	if (supervisor < 0)
		problem_set(&problem, STATUS_FAILED, "%s: nobody keeps /dev/nbd%u alive; platter attach %s does", argv[1], state.index,
			    state.settings.uri_text);
	else
		answer = inquiry_ask(supervisor, "reconnect", &problem);
	if (supervisor >= 0)
		close(supervisor);
	state_free(&state);
	if (!answer)
		return verb_failed(argv[0], &problem);
	json_decref(answer);
	return STATUS_OK;
}

static int resize_device(const struct state *state, struct problem *problem)
{
	uint64_t before = device_size(state->index);
	struct netlink *netlink = NULL;
	struct link link = { .fd = -1 };
	struct dial dial;
	int result = -1;

	if (dial_resolve(&dial, &state->settings.uri, problem) == 0 &&
	    link_open(&link, &dial, &state->settings.uri, HANDSHAKE_INFO, -1, problem) == 0 &&
	    verify_same(state, before, &link, problem) == 0 && netlink_open(&netlink, problem) == 0)
		result = link.handshake.export.size == before
				 ? 0
				 : netlink_resize(netlink, state->index, state->backend, link.handshake.export.size, problem);
	netlink_close(netlink);
	link_close(&link);
	return result;
}

static enum status resize(int argc, char **argv)
{
	struct problem problem;
	struct state state;
	int result;

	if (argc != 2)
		return verb_usage("resize: which?");
	if (state_find(&state, argv[1], &problem) < 0)
		return verb_failed(argv[0], &problem);
	result = resize_device(&state, &problem);
	if (result == 0)
		printf("%llu\n", (unsigned long long)device_size(state.index));
	state_free(&state);
	return result == 0 ? STATUS_OK : verb_failed(argv[0], &problem);
}

const struct verb attach_verbs[] = {
	{ "attach", "[OPTION...] URI | NAME", "make a device of an export; prints its path", attach },
	{ "detach", "[OPTION...] DEVICE... | --all", "give it up, once nobody uses it", detach },
	{ "reconnect", "DEVICE", "make its connections anew", reconnect },
	{ "resize", "DEVICE", "have it be as large as the export is now; prints bytes", resize },
	{ NULL, NULL, NULL, NULL },
};
