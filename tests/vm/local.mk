# SPDX-License-Identifier: BSD-2-Clause
# The real client: a Linux guest's NBD driver against platterd (not part of `make check`: it needs QEMU).

# The unpacked guest kernel stays here; git ignores the name, also for a build inside the source tree.
VM_CACHE = $(abs_builddir)/build-vm

# What waits much, for connections to die and come back: others run beside them, so that both guests take as long.
VM_CLIENT = attach ktls mount_nbd network receiver reconnect swap tls_attach
VM_OPTIONS = --platterd ./platterd --cache "$(VM_CACHE)"

.PHONY: check-vm check-vm-client check-vm-kernel check-vm-systemd
check-vm: all tests/wire/tls_client
	$(MAKE) -k -j 2 --output-sync=target check-vm-kernel check-vm-client check-vm-systemd

check-vm-client:
	$(srcdir)/tests/vm/run $(VM_OPTIONS) $(VM_CLIENT)

check-vm-kernel:
	$(srcdir)/tests/vm/run $(VM_OPTIONS) $$(cd $(srcdir)/tests/vm/guest && ls *.sh | sed 's/\.sh$$//' | grep -vxF -e lib $(VM_CLIENT:%=-e %))

check-vm-systemd:
	$(srcdir)/tests/vm/run --systemd $(VM_OPTIONS)

EXTRA_DIST += tests/vm/run tests/vm/lib.sh tests/vm/systemd_root.sh tests/vm/guest tests/vm/systemd
