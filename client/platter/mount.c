/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/mount.h"

#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/platter/device.h"
#include "client/platter/mount_options.h"
#include "client/platter/program.h"
#include "client/platter/state.h"
#include "common/log.h"

/* EXIT STATUS in mount(8). */
enum { MOUNT_OK = 0, MOUNT_USAGE = 1, MOUNT_FAILED = 32 };

/* What is passed on, in words of a command line. */
#define MOST_FLAGS 8

/* What a helper is called with. */
struct call {
	char flags[MOST_FLAGS][3];  /* "-n" */
	unsigned count;             /* of them */
	bool pretends;              /* -f: nothing is done */
	const char *options;
	const char *what, *where;   /* NULL: not given */
};

/* FLAGS: those that go on to the real one. */
static int parse(struct call *call, int argc, char **argv, const char *known, const char *flags)
{
	int option;

	*call = (struct call){ .options = "" };
	while ((option = getopt(argc, argv, known)) != -1) {
		if (option == '?')
			return -1;
		if (option == 'o')
			call->options = optarg;
		else if (strchr(flags, option) && call->count < MOST_FLAGS)
			snprintf(call->flags[call->count++], 3, "-%c", option);
		else
			call->pretends |= option == 'f';
	}
	call->what = optind < argc ? argv[optind++] : NULL;
	call->where = optind < argc ? argv[optind++] : NULL;
	return optind == argc ? 0 : -1;
}

/* --- What is mounted */

/* The device that is mounted on WHERE, which may be a device itself: the last one; false: none. */
static bool find_mounted(const char *where, char *device, size_t size)
{
	char path[PATH_MAX];
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool found = false;
	struct mntent *entry;

	if (!realpath(where, path))
		snprintf(path, sizeof(path), "%s", where);
	while (mounts && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_dir, path) != 0 && strcmp(entry->mnt_fsname, path) != 0)
			continue;
		snprintf(device, size, "%s", entry->mnt_fsname);
		found = true;
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

/* --- mount.nbd */

static bool is_attached(const char *path)
{
	struct problem ignored;
	struct state state;

	if (state_find(&state, path, &ignored) < 0)
		return false;
	state_free(&state);
	return true;
}

/* Those that are attached, by the bits of their numbers; of the first ones. */
static uint64_t attached(void)
{
	struct state *states;
	unsigned count = state_list(&states);
	uint64_t bits = 0;

	for (unsigned i = 0; i < count; i++) {
		if (states[i].index < 64)
			bits |= UINT64_C(1) << states[i].index;
		state_free(&states[i]);
	}
	free(states);
	return bits;
}

/* Its path goes to DEVICE; platter has said what is wrong. */
static int attach(const struct mount_options *options, const char *what, char *device)
{
	const char *words[MOUNT_OPTIONS_MOST + 5] = { "platter", "attach" };
	unsigned count = 2;

	for (unsigned i = 0; i < options->count; i++)
		words[count++] = options->words[i];
	words[count++] = "--";
	words[count] = what;
	return program_run(PROGRAM_SELF, words, device, DEVICE_PATH, false);
}

static void detach(const char *device)
{
	const char *const words[] = { "platter", "detach", device, NULL };

	program_run(PROGRAM_SELF, words, NULL, 0, false);
}

static int mount_device(const struct call *call, const struct mount_options *options, const char *device)
{
	const char *words[MOST_FLAGS + 9] = { "mount", "-i" };
	unsigned count = 2;
	int status;

	for (unsigned i = 0; i < call->count; i++)
		words[count++] = call->flags[i];
	if (options->type) {
		words[count++] = "-t";
		words[count++] = options->type;
	}
	if (*options->rest) {
		words[count++] = "-o";
		words[count++] = options->rest;
	}
	words[count++] = device;
	words[count] = call->where;
	status = program_run("mount", words, NULL, 0, false);
	return status < 0 ? MOUNT_FAILED : status;
}

/* What wasn't attached before isn't after a failure. */
static int attach_and_mount(const struct call *call, const struct mount_options *options)
{
	char device[DEVICE_PATH], there[PATH_MAX];
	uint64_t before = attached();
	int index, status;

	if (attach(options, call->what, device) != 0)
		return MOUNT_FAILED;
	/* As for `mount -a`, which doesn't know the one for the other. */
	if (find_mounted(call->where, there, sizeof(there)) && strcmp(there, device) == 0)
		return MOUNT_OK;
	status = mount_device(call, options, device);
	index = device_index(device);
	if (status != MOUNT_OK && index >= 0 && index < 64 && !(before >> index & 1))
		detach(device);
	return status;
}

static int run_mount(int argc, char **argv)
{
	struct mount_options options;
	struct problem problem;
	struct call call;
	int status = MOUNT_USAGE;

	if (parse(&call, argc, argv, "sfnvN:o:t:", "snv") < 0 || !call.where) {
		log_error("usage: mount.nbd URI|NAME DIRECTORY [-o OPTION,...]; see mount.nbd(8)");
		return MOUNT_USAGE;
	}
	if (mount_options_parse(&options, call.options, &problem) < 0)
		log_error("-o %s", problem.text);
	else
		status = call.pretends ? MOUNT_OK : attach_and_mount(&call, &options);
	mount_options_free(&options);
	return status;
}

/* --- umount.nbd */

static int run_umount(int argc, char **argv)
{
	const char *words[MOST_FLAGS + 4] = { "umount", "-i" };
	char device[PATH_MAX] = "";
	unsigned count = 2;
	struct call call;
	int status;

	if (parse(&call, argc, argv, "flnrvN:t:", "flnrv") < 0 || !call.what || call.where) {
		log_error("usage: umount.nbd DIRECTORY; see mount.nbd(8)");
		return MOUNT_USAGE;
	}
	find_mounted(call.what, device, sizeof(device));
	for (unsigned i = 0; i < call.count; i++)
		words[count++] = call.flags[i];
	words[count] = call.what;
	status = program_run("umount", words, NULL, 0, false);
	if (status != 0)
		return status < 0 ? MOUNT_FAILED : status;
	/* One that somebody else uses stays, and he is named. */
	if (device_index(device) >= 0 && is_attached(device))
		detach(device);
	return MOUNT_OK;
}

int (*mount_called(const char *program))(int argc, char **argv)
{
	if (strcmp(program, "mount.nbd") == 0)
		return run_mount;
	return strcmp(program, "umount.nbd") == 0 ? run_umount : NULL;
}
