/* SPDX-License-Identifier: BSD-2-Clause */
/* check: whether this machine has what platter needs, and what to do where it doesn't. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "client/platter/config.h"
#include "client/platter/program.h"
#include "client/platter/service.h"
#include "client/platter/verb.h"

/* What is found out; STATUS is what the verb exits with for those that aren't ok. */
struct findings {
	json_t *list;
	enum status status;
};

static void add(struct findings *findings, enum status status, const char *state, const char *what, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* The kernel's are worse than a wrong file. */
static void add(struct findings *findings, enum status status, const char *state, const char *what, const char *format, ...)
{
	char text[700];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(findings->list, json_pack("{s:s, s:s, s:s}", "state", state, "what", what, "text", text));
	if (status > findings->status)
		findings->status = status;
}

/* --- The kernel */

static void check_release(struct findings *findings)
{
	int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	/* It tells whose a device is since then. */
	if (major > 5 || (major == 5 && minor >= 14))
		add(findings, STATUS_OK, "ok", "kernel", "Linux %s", name.release);
	else
		add(findings, STATUS_KERNEL, "missing", "kernel", "Linux %s: 5.14 or a later one is needed", name.release);
}

/* Whether it could be loaded; by its name or an alias.  Without modprobe nothing can. */
static bool can_load(const char *module)
{
	const char *const words[] = { "modprobe", "-n", "-q", module, NULL };

	return program_run(words[0], words, NULL, 0, true) == 0;
}

static bool is_loaded(const char *module)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return access(path, F_OK) == 0;
}

static void check_module(struct findings *findings, const char *module, const char *otherwise)
{
	if (is_loaded(module))
		add(findings, STATUS_OK, "ok", module, "is loaded");
	else if (can_load(module))
		add(findings, STATUS_OK, "ok", module, "is loaded when it is needed");
	else
		add(findings, STATUS_KERNEL, "missing", module, "%s: install the package of modules for the kernel that runs, or boot one that has it",
		    otherwise);
}

/* The only ones that the kernel's TLS and ours have in common, at the speed of disks. */
static void check_ciphers(struct findings *findings)
{
	static const char *const parts[] = { "crypto-gcm", "crypto-ctr", "crypto-ghash", "crypto-aes" };
	FILE *file = fopen("/proc/crypto", "re");
	char line[200];
	bool there = false;

	while (file && !there && fgets(line, sizeof(line), file))
		there = strncmp(line, "name", 4) == 0 && strstr(line, ": gcm(aes)\n");
	if (file)
		fclose(file);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !there; i++) {
		if (!can_load(parts[i])) {
			add(findings, STATUS_KERNEL, "missing", "ciphers",
			    "the kernel has no AES-GCM (%s), and TLS is done by a relay, which is slower: install its modules gcm, ctr, "
			    "ghash-generic and aes", parts[i]);
			return;
		}
	}
	add(findings, STATUS_OK, "ok", "ciphers", "AES-GCM");
}

/* --- What is installed */

/* Where NAME is of the directories; NULL. */
static const char *find_in(const char *const *directories, const char *name, char *path, size_t size)
{
	for (; *directories; directories++) {
		snprintf(path, size, "%s/%s", *directories, name);
		if (access(path, F_OK) == 0)
			return path;
	}
	return NULL;
}

static void check_rules(struct findings *findings)
{
	static const char *const directories[] = { "/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d",
						   "/lib/udev/rules.d", NULL };
	char path[64];

	if (access("/run/udev/control", F_OK) < 0)
		add(findings, STATUS_OK, "ok", "udev", "doesn't run here: there will be no /dev/disk/by-id/nbd-NAME");
	else if (find_in(directories, "65-platter.rules", path, sizeof(path)))
		add(findings, STATUS_OK, "ok", "udev", "%s", path);
	else
		add(findings, STATUS_USAGE, "missing", "udev",
		    "65-platter.rules is in no directory of rules, and there will be no /dev/disk/by-id/nbd-NAME: copy it to /etc/udev/rules.d");
}

static void check_service(struct findings *findings)
{
	static const char *const directories[] = { "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
						   "/usr/lib/systemd/system", "/lib/systemd/system", NULL };
	char path[64];

	if (!service_manager_runs())
		add(findings, STATUS_OK, "ok", "systemd", "doesn't run here: supervisors are processes in the background");
	else if (find_in(directories, "platter@.service", path, sizeof(path)))
		add(findings, STATUS_OK, "ok", "systemd", "%s", path);
	else
		add(findings, STATUS_USAGE, "missing", "systemd",
		    "platter@.service is in no directory of units, and nothing is attached at boot: copy it to /etc/systemd/system");
}

static void check_run(struct findings *findings)
{
	const char *directory = access("/run/platter", F_OK) == 0 ? "/run/platter" : "/run";

	if (access(directory, W_OK | X_OK) == 0)
		add(findings, STATUS_OK, "ok", "state", "%s", directory);
	else
		add(findings, STATUS_USAGE, "missing", "state", "%s: %s: attach and detach as root", directory, strerror(errno));
}

/* --- What is configured */

static void add_name(struct findings *findings, const char *name)
{
	json_t *last = json_array_get(findings->list, json_array_size(findings->list) - 1);

	json_object_set_new(last, "name", json_string(name));
}

/* What is wrong begins with its place: file, or file and line. */
static void add_wrong(struct findings *findings, const struct config *config)
{
	const char *text = config->problem.text;
	size_t length = strlen(config->file), digits;
	char what[sizeof(config->problem.text)];

	if (strncmp(text, config->file, length) != 0 || text[length] != ':') {
		add(findings, STATUS_USAGE, "wrong", config->file, "%s", text);
		return;
	}
	digits = strspn(text + length + 1, "0123456789");
	if (digits && text[length + 1 + digits] == ':')
		length += 1 + digits;
	snprintf(what, sizeof(what), "%.*s", (int)length, text);
	text += length + 1;
	add(findings, STATUS_USAGE, "wrong", what, "%s", text + strspn(text, " "));
}

/* Files that are named in it. */
static bool check_file(struct findings *findings, const char *what, const char *key, const char *path)
{
	if (!path || access(path, R_OK) == 0)
		return true;
	add(findings, STATUS_USAGE, "wrong", what, "%s=%s: %s", key, path, strerror(errno));
	return false;
}

static void check_config(struct findings *findings, const struct config *config)
{
	const struct settings *settings = &config->settings;
	char what[700];

	if (config->problem.status != STATUS_OK) {
		add_wrong(findings, config);
		return;
	}
	if (config->line)
		snprintf(what, sizeof(what), "%s:%u", config->file, config->line);
	else
		snprintf(what, sizeof(what), "%s", config->file);
	if (check_file(findings, what, "tls-certificates", settings->uri.certificates) &&
	    check_file(findings, what, "tls-psk", settings->uri.psk)) {
		add(findings, STATUS_OK, "ok", what, "%s is %s%s%s%s", settings->name, settings->uri_text, config->manual ? ", not at boot" : "",
		    config->notice[0] ? "; " : "", config->notice);
		add_name(findings, settings->name);
	}
}

static void check_configuration(struct findings *findings)
{
	struct problem problem;
	struct config *list;
	int count = config_list(&list, &problem);

	for (int i = 0; i < count; i++)
		check_config(findings, &list[i]);
	if (count < 0)
		add(findings, STATUS_USAGE, "wrong", "configuration", "%s", problem.text);
	else
		config_list_free(list, count);
}

static void print(json_t *list)
{
	json_t *finding;
	size_t i;

	json_array_foreach(list, i, finding)
		printf("%s: %s: %s\n", json_string_value(json_object_get(finding, "state")), json_string_value(json_object_get(finding, "what")),
		       json_string_value(json_object_get(finding, "text")));
}

static enum status check(int argc, char **argv)
{
	struct findings findings = { .status = STATUS_OK };

	if (argc != 1)
		return verb_usage("check: %s: not expected", argv[1]);
	findings.list = json_array();
	check_release(&findings);
	check_module(&findings, "nbd", "the kernel has no NBD driver, and nothing can be attached");
	check_module(&findings, "tls", "the kernel has no TLS, and a relay does it, which is slower");
	check_ciphers(&findings);
	check_rules(&findings);
	check_service(&findings);
	check_run(&findings);
	check_configuration(&findings);
	if (verb_json && verb_print(json_incref(findings.list)) != STATUS_OK)
		findings.status = STATUS_FAILED;
	else if (!verb_json)
		print(findings.list);
	json_decref(findings.list);
	return findings.status;
}

const struct verb check_verbs[] = {
	{ "check", "", "whether this machine has what is needed, and what to do if not", check },
	{ NULL, NULL, NULL, NULL },
};
