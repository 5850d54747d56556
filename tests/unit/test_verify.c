/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a server's offer can be a device, and what can take a dead connection's place. */
#include "client/platter/verify.h"

#include <unistd.h>

#include "tests/unit/unit.h"

#define UUID "0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3d"
#define OTHER_UUID "1f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3d"
#define MIB UINT64_C(1048576)
#define USUAL (NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | NBD_FLAG_CAN_MULTI_CONN)

static struct state device;
static struct link offer;
static struct problem problem;

static int setup(void **state)
{
	(void)state;
	device = (struct state){ .links = 1 };
	settings_init(&device.settings);
	offer = (struct link){ .fd = -1, .peer = "10.0.0.5:10809",
			       .handshake.export = { .size = MIB, .flags = USUAL, .minimum = 512, .preferred = 4096, .maximum = 32 * MIB } };
	return 0;
}

/* Whatever the test changes comes after what was attached. */
static int setup_attached(void **state)
{
	setup(state);
	strcpy(offer.identity, UUID);
	assert_int_equal(verify_new(&device, &offer, &problem), 0);
	return 0;
}

static void assert_new(void)
{
	if (verify_new(&device, &offer, &problem) < 0)
		fail_msg("%s", problem.text);
}

static void assert_not_new(enum status status, const char *says)
{
	assert_int_equal(verify_new(&device, &offer, &problem), -1);
	assert_says(problem.text, says);
	assert_int_equal(problem.status, status);
}

static void assert_same(void)
{
	if (verify_same(&device, device.size, &offer, &problem) < 0)
		fail_msg("%s", problem.text);
}

static void assert_not_same(const char *says)
{
	assert_int_equal(verify_same(&device, device.size, &offer, &problem), -1);
	assert_int_equal(problem.status, STATUS_REFUSED);
	assert_says(problem.text, "10.0.0.5:10809: ");
	assert_says(problem.text, says);
}

/* --- New */

static void test_what_it_will_be(void **state)
{
	(void)state;
	strcpy(offer.identity, UUID);
	assert_new();
	assert_true(device.size == MIB);
	assert_int_equal(device.flags, USUAL);
	assert_int_equal(device.minimum, 512);
	assert_int_equal(device.maximum, 32 * MIB);
	assert_string_equal(device.identity, UUID);
}

/* The kernel's sectors have 512 bytes, whatever less a server takes; what it prefers is no limit. */
static void test_blocks(void **state)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	(void)state;
	offer.handshake.export.minimum = 0;
	assert_new();
	assert_int_equal(device.minimum, 512);
	offer.handshake.export.minimum = 1;
	offer.handshake.export.preferred = 65536;
	assert_new();
	assert_int_equal(device.minimum, 512);
	offer.handshake.export.minimum = page;
	assert_new();
	assert_int_equal(device.minimum, page);
	offer.handshake.export.minimum = 2 * page;
	assert_not_new(STATUS_KERNEL, "(with platterd: unaligned=emulate)");
	offer.handshake.export.minimum = 768;
	assert_not_new(STATUS_KERNEL, "no blocks smaller than 768 bytes");
}

/* The smallest limit that the kernel's driver knows for a request is a page. */
static void test_the_largest_request(void **state)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	(void)state;
	offer.handshake.export.maximum = 0;
	assert_new();
	offer.handshake.export.maximum = page;
	assert_new();
	offer.handshake.export.maximum = page - 1;
	assert_not_new(STATUS_KERNEL, "no requests larger than");
}

static void test_sizes(void **state)
{
	(void)state;
	offer.handshake.export.size = 512;
	assert_new();
	offer.handshake.export.size = 511;
	assert_not_new(STATUS_REFUSED, "the export has 511 bytes, less than a block of 512");
	offer.handshake.export.size = 0;
	assert_not_new(STATUS_REFUSED, "the export has 0 bytes");
	offer.handshake.export.minimum = 4096;
	offer.handshake.export.size = 4095;
	assert_not_new(STATUS_REFUSED, "less than a block of 4096");
}

static void test_read_only_by_choice(void **state)
{
	(void)state;
	device.settings.read_only = true;
	assert_new();
	assert_int_equal(device.flags, USUAL | NBD_FLAG_READ_ONLY);
	/* However the server has it from now on. */
	assert_same();
	offer.handshake.export.flags |= NBD_FLAG_READ_ONLY;
	assert_same();
}

/* --- The same */

static void test_more_is_fine(void **state)
{
	(void)state;
	assert_same();
	offer.handshake.export.size = 2 * MIB;
	offer.handshake.export.minimum = 1;
	offer.handshake.export.maximum = 64 * MIB;
	offer.handshake.export.flags |= NBD_FLAG_SEND_CACHE | NBD_FLAG_SEND_FAST_ZERO | NBD_FLAG_ROTATIONAL;
	assert_same();
	offer.handshake.export.maximum = 0;
	assert_same();
	/* More than the device's requests ever have. */
	offer.handshake.export.maximum = 2 * MIB;
	assert_same();
}

static void test_less_is_not(void **state)
{
	(void)state;
	offer.handshake.export.size = MIB - 1;
	assert_not_same("the export shrank from 1048576 to 1048575 bytes");
	setup_attached(state);
	/* The device may have grown since it was attached. */
	assert_int_equal(verify_same(&device, MIB + 1, &offer, &problem), -1);
	assert_says(problem.text, "shrank from 1048577 to 1048576");
	offer.handshake.export.minimum = 4096;
	assert_not_same("no blocks smaller than 4096 bytes any more; the device has 512");
	setup_attached(state);
	offer.handshake.export.maximum = MIB / 2;
	assert_not_same("no requests larger than 524288 bytes any more");
}

static void test_what_the_kernel_relies_on(void **state)
{
	static const struct { uint16_t flag; const char *says; } cases[] = {
		{ NBD_FLAG_READ_ONLY, "the export is now: read-only; detach and attach it" },
		{ NBD_FLAG_SEND_FLUSH, "the export is no longer: FLUSH" },
		{ NBD_FLAG_SEND_FUA, "the export is no longer: FUA" },
		{ NBD_FLAG_SEND_TRIM, "the export is no longer: TRIM" },
		{ NBD_FLAG_SEND_WRITE_ZEROES, "the export is now: WRITE_ZEROES" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		setup_attached(state);
		offer.handshake.export.flags ^= cases[i].flag;
		assert_not_same(cases[i].says);
	}
}

/* A FLUSH on one connection would no longer be one of what the others wrote. */
static void test_several_connections_need_a_coherent_server(void **state)
{
	(void)state;
	offer.handshake.export.flags &= (uint16_t)~NBD_FLAG_CAN_MULTI_CONN;
	assert_same();
	device.links = 2;
	assert_not_same("the export is no longer: coherent over several connections");
}

static void test_another_disk(void **state)
{
	(void)state;
	strcpy(offer.identity, OTHER_UUID);
	assert_not_same("another disk than the one that was attached: its uuid is " OTHER_UUID ", not " UUID);
	offer.identity[0] = '\0';
	assert_not_same("its uuid is unknown, not " UUID);
	/* A server that told none may have learned to. */
	strcpy(offer.identity, UUID);
	device.identity[0] = '\0';
	assert_same();
	offer.identity[0] = '\0';
	assert_same();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_it_will_be, setup),
		cmocka_unit_test_setup(test_blocks, setup),
		cmocka_unit_test_setup(test_the_largest_request, setup),
		cmocka_unit_test_setup(test_sizes, setup),
		cmocka_unit_test_setup(test_read_only_by_choice, setup),
		cmocka_unit_test_setup(test_more_is_fine, setup_attached),
		cmocka_unit_test_setup(test_less_is_not, setup_attached),
		cmocka_unit_test_setup(test_what_the_kernel_relies_on, setup_attached),
		cmocka_unit_test_setup(test_several_connections_need_a_coherent_server, setup_attached),
		cmocka_unit_test_setup(test_another_disk, setup_attached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
