/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/identity.h"

#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/error.h"
#include "server/block/registry.h"

#define UUID_SIZE 16
#define MACHINE_DIGITS 32

/* Another use of the machine's identity, or another rule, has another one of these. */
static const char purpose[] = "platter disk 1";

static char machine[MACHINE_DIGITS + 1]; /* "": there is none */
static atomic_bool told;

void identity_init(const char *path)
{
	FILE *stream = fopen(path, "re");
	char digits[MACHINE_DIGITS + 1] = "";

	if (stream && !fgets(digits, sizeof(digits), stream))
		digits[0] = '\0';
	if (stream)
		fclose(stream);
	/* It may be empty, or "uninitialized", while a system is being set up. */
	if (strspn(digits, "0123456789abcdef") != MACHINE_DIGITS)
		digits[0] = '\0';
	strcpy(machine, digits);
	told = false;
}

bool identity_parse(char uuid[IDENTITY_LENGTH + 1], const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(text) != IDENTITY_LENGTH)
		return false;
	for (unsigned i = 0; i < IDENTITY_LENGTH; i++) {
		if (form[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
		uuid[i] = (char)tolower((unsigned char)text[i]);
	}
	uuid[IDENTITY_LENGTH] = '\0';
	return true;
}

static void format(char uuid[IDENTITY_LENGTH + 1], const unsigned char bytes[UUID_SIZE], unsigned version)
{
	char *end = uuid;

	for (unsigned i = 0; i < UUID_SIZE; i++) {
		unsigned byte = i == 6 ? (bytes[i] & 0x0fu) | version << 4 : i == 8 ? (bytes[i] & 0x3fu) | 0x80u : bytes[i];

		end += sprintf(end, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", byte);
	}
}

static void choose(char uuid[IDENTITY_LENGTH + 1])
{
	unsigned char bytes[UUID_SIZE];

	/* So few bytes are always there, and at once, but early in the system's start. */
	while (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		;
	format(uuid, bytes, 4);
}

/* Of WHAT, which is KIND's, below KEY. */
static int hash(char uuid[IDENTITY_LENGTH + 1], const char *key, const char *kind, const char *what)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char *done = NULL;
	char *text = NULL;
	/* A zero byte behind each part: none of them has one. */
	int length = asprintf(&text, "%s%c%s%c%s", purpose, 0, kind, 0, what);

	if (length >= 0)
		done = HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text, (size_t)length, digest, NULL);
	if (length >= 0)
		free(text);
	if (!done)
		return -ENOMEM;
	format(uuid, digest, 8);
	return 0;
}

static int derive(char uuid[IDENTITY_LENGTH + 1], const char *driver, const char *what)
{
	if (*machine)
		return hash(uuid, machine, driver, what);
	/* A random one would be another after each start, which clients would take for another disk. */
	if (!atomic_exchange(&told, true))
		log_warning("/etc/machine-id: there is none: clients can't tell disks whose identity isn't given (uuid=)");
	uuid[0] = '\0';
	return 0;
}

/* Readers have the lock, too. */
static void set(struct disk *disk, const char *uuid, bool given)
{
	registry_lock();
	if (given || !disk->identity.given) {
		memcpy(disk->identity.uuid, uuid, sizeof(disk->identity.uuid));
		disk->identity.given = given;
	}
	registry_unlock();
}

int platter_disk_set_identity(struct platter_disk *driver_side, const char *what)
{
	struct disk *disk = container_of(driver_side, struct disk, driver_side);
	char uuid[IDENTITY_LENGTH + 1];
	int result = 0;

	if (what)
		result = derive(uuid, disk->driver->name, what);
	else
		choose(uuid);
	if (result == 0)
		set(disk, uuid, false);
	return result;
}

int identity_settle(struct disk *disk, const char *given, struct platter_error *error)
{
	char uuid[IDENTITY_LENGTH + 1];

	if (given) {
		set(disk, given, true);
		return 0;
	}
	if (*disk->identity.uuid)
		return 0;
	if (derive(uuid, disk->driver->name, disk->name) < 0)
		return platter_fail(error, ENOMEM, "no memory");
	set(disk, uuid, false);
	return 0;
}

int identity_settle_partition(struct disk *part, unsigned number, struct platter_error *error)
{
	char uuid[IDENTITY_LENGTH + 1];
	char text[16];

	if (!*part->whole->identity.uuid)
		return 0;
	snprintf(text, sizeof(text), "%u", number);
	if (hash(uuid, part->whole->identity.uuid, "partition", text) < 0)
		return platter_fail(error, ENOMEM, "no memory");
	set(part, uuid, false);
	return 0;
}
