/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's interface: the functions of include/platter/ that modules may
 * call.  The program's dynamic symbols are exactly these: the linker's list is
 * made of this file when the daemon is linked.
 */
#ifndef MODULE_INTERFACE_H
#define MODULE_INTERFACE_H

#define INTERFACE(X) \
	X(platter_args_bool) \
	X(platter_args_number) \
	X(platter_args_size) \
	X(platter_args_string) \
	X(platter_disk_data) \
	X(platter_disk_name) \
	X(platter_disk_set_capacity) \
	X(platter_disk_set_data) \
	X(platter_disk_set_events) \
	X(platter_disk_set_identity) \
	X(platter_disk_users) \
	X(platter_fail) \
	X(platter_fd_io) \
	X(platter_log) \
	X(platter_lower_bytes) \
	X(platter_lower_close) \
	X(platter_lower_geometry) \
	X(platter_lower_open) \
	X(platter_lower_submit) \
	X(platter_register_blkdev) \
	X(platter_register_driver) \
	X(platter_reply) \
	X(platter_request_complete) \
	X(platter_request_extent) \
	X(platter_request_lend) \
	X(platter_request_progress) \
	X(platter_timer_start) \
	X(platter_unregister_blkdev) \
	X(platter_unregister_driver)

#endif
