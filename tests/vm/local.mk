# SPDX-License-Identifier: BSD-2-Clause
# The real client: a Linux guest's NBD driver against platterd (not part of `make check`: it needs QEMU).

# The unpacked guest kernel stays here; git ignores the name, also for a build inside the source tree.
VM_CACHE = $(abs_builddir)/build-vm

.PHONY: check-vm
check-vm: all tests/wire/tls_client
	$(srcdir)/tests/vm/run --platterd ./platterd --cache "$(VM_CACHE)"
	$(srcdir)/tests/vm/run --systemd --platterd ./platterd --cache "$(VM_CACHE)"

EXTRA_DIST += tests/vm/run tests/vm/lib.sh tests/vm/systemd_root.sh tests/vm/guest tests/vm/systemd
