/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/verify.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "client/platter/device.h"

#define SECTOR 512u

/* What the kernel does because of them can't be changed while a device is attached. */
static const struct {
	uint16_t flag;
	const char *means;
} kept[] = {
	{ NBD_FLAG_READ_ONLY, "read-only" },
	{ NBD_FLAG_SEND_FLUSH, "FLUSH" },
	{ NBD_FLAG_SEND_FUA, "FUA" },
	{ NBD_FLAG_SEND_TRIM, "TRIM" },
	{ NBD_FLAG_SEND_WRITE_ZEROES, "WRITE_ZEROES" },
};

static uint16_t flags_of(const struct state *state, const struct link *link)
{
	uint16_t flags = link->handshake.export.flags;

	return state->settings.read_only ? flags | NBD_FLAG_READ_ONLY : flags;
}

int verify_new(struct state *state, const struct link *link, struct problem *problem)
{
	const struct handshake_export *export = &link->handshake.export;
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	uint32_t minimum = export->minimum > SECTOR ? export->minimum : SECTOR;

	if (minimum > page || (minimum & (minimum - 1)) != 0)
		return problem_set(problem, STATUS_KERNEL, "the export takes no blocks smaller than %u bytes; the kernel does from 512 to %u, in "
				   "powers of two (with platterd: unaligned=emulate)", minimum, page);
	if (export->maximum && export->maximum < page)
		return problem_set(problem, STATUS_KERNEL, "the export takes no requests larger than %u bytes; the kernel's have up to %u at least",
				   export->maximum, page);
	if (export->size < minimum)
		return problem_set(problem, STATUS_REFUSED, "the export has %" PRIu64 " bytes, less than a block of %u", export->size, minimum);
	state->size = export->size;
	state->flags = flags_of(state, link);
	state->minimum = minimum;
	state->maximum = export->maximum;
	memcpy(state->identity, link->identity, sizeof(state->identity));
	return 0;
}

int verify_same(const struct state *state, uint64_t size, const struct link *link, struct problem *problem)
{
	const struct handshake_export *export = &link->handshake.export;
	uint16_t flags = flags_of(state, link);

	/* A server that told none may have learned to. */
	if (state->identity[0] && strcmp(state->identity, link->identity) != 0)
		return problem_set(problem, STATUS_REFUSED, "%s: another disk than the one that was attached: its uuid is %s, not %s", link->peer,
				   link->identity[0] ? link->identity : "unknown", state->identity);
	if (export->size < size)
		return problem_set(problem, STATUS_REFUSED, "%s: the export shrank from %" PRIu64 " to %" PRIu64 " bytes", link->peer, size,
				   export->size);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if ((flags ^ state->flags) & kept[i].flag)
			return problem_set(problem, STATUS_REFUSED, "%s: the export %s: %s; detach and attach it to have that", link->peer,
					   flags & kept[i].flag ? "is now" : "is no longer", kept[i].means);
	if (state->links > 1 && !(flags & NBD_FLAG_CAN_MULTI_CONN))
		return problem_set(problem, STATUS_REFUSED, "%s: the export is no longer: coherent over several connections", link->peer);
	if (export->maximum && export->maximum < device_request(state->maximum))
		return problem_set(problem, STATUS_REFUSED, "%s: the export takes no requests larger than %u bytes any more; the device's have up to %u",
				   link->peer, export->maximum, device_request(state->maximum));
	if (export->minimum > state->minimum)
		return problem_set(problem, STATUS_REFUSED, "%s: the export takes no blocks smaller than %u bytes any more; the device has %u",
				   link->peer, export->minimum, state->minimum);
	return 0;
}
