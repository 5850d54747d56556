# SPDX-License-Identifier: BSD-2-Clause
# The real client: a Linux guest's NBD driver against platterd (not part of `make check`: it needs QEMU).

# The unpacked guest kernel stays here; git ignores the name, also for a build inside the source tree.
VM_CACHE = $(abs_builddir)/build-vm

.PHONY: check-vm
check-vm: all tests/wire/tls_client
	$(srcdir)/tests/vm/run --platterd ./platterd --cache "$(VM_CACHE)"

EXTRA_DIST += \
	tests/vm/run \
	tests/vm/lib.sh \
	tests/vm/guest/init \
	tests/vm/guest/lib.sh \
	tests/vm/guest/device.sh \
	tests/vm/guest/ext4.sh \
	tests/vm/guest/ktls.sh \
	tests/vm/guest/module.sh \
	tests/vm/guest/mount_nbd.sh \
	tests/vm/guest/multi.sh \
	tests/vm/guest/nbd_client_tls.sh \
	tests/vm/guest/power.sh \
	tests/vm/guest/readonly.sh \
	tests/vm/guest/trim.sh \
	tests/vm/guest/xfs.sh
