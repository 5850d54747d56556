# SPDX-License-Identifier: BSD-2-Clause
"""What a daemon has to be back at when its clients are gone: alive, and no more descriptors and memory than before."""

import contextlib

from daemon import SANITIZED, wait_for
from wire_client import Wire

MIB = 1 << 20


@contextlib.contextmanager
def leaves_nothing(daemon, name=b"", slack=MIB, staying=0):
    """What happens inside leaves the daemon as it was, but for STAYING connections that have their reasons."""
    # What the first client of all needs is not held against later ones.
    with Wire(daemon) as wire:
        wire.go(name).disconnect()
    wait_for(lambda: daemon.stats()["connections"] == 0, "all earlier clients have gone")
    descriptors, memory = daemon.descriptors() + staying, daemon.memory()
    yield
    assert daemon.alive()
    wait_for(lambda: daemon.stats()["connections"] <= staying, "all clients have gone")
    wait_for(lambda: daemon.descriptors() <= descriptors, f"back to {descriptors} descriptors")
    # A sanitizer keeps what is freed.
    if not SANITIZED:
        wait_for(lambda: daemon.memory() <= memory + slack, f"back to {memory} bytes of memory")
