# SPDX-License-Identifier: BSD-2-Clause
"""No request allocates: what the whole process asks the C library and the kernel for is counted, not what it says of itself."""

import os
import struct
import subprocess

import pytest

from batches import DEPTH, MIXES, batch_of
from daemon import SANITIZED
from modules_support import CC
from shared import MIB, own_daemon, sparse_file
from wire_client import Wire

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer has an allocator of its own")

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "allocations.c")
ROUNDS = 300


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "TLS"])
def daemon(scratch, request):
    library, counter = os.path.join(scratch, "allocations.so"), os.path.join(scratch, "allocations")
    subprocess.run([*CC, "-O1", "-D_GNU_SOURCE", "-fno-builtin", "-fvisibility=hidden", "-fPIC", "-shared", SOURCE, "-o", library],
                   check=True, timeout=60)
    with open(counter, "wb") as file:
        file.write(bytes(8))
    with own_daemon("ram=ram:64M", "null=null:64M", f"file={sparse_file(scratch, 64 * MIB)}", options=["--threads", "1"],
                    environment={"LD_PRELOAD": library, "ALLOCATIONS": counter}, tls=request.param) as running:
        running.counter = counter
        yield running


def allocations(daemon):
    with open(daemon.counter, "rb") as file:
        return struct.unpack("=Q", file.read())[0]


def in_rounds(daemon, wire, batch):
    """Allocations in ROUNDS batches."""
    sent, received = batch
    before = allocations(daemon)
    for _ in range(ROUNDS):
        wire.send(sent)
        wire.receive(received)
    return allocations(daemon) - before


@pytest.mark.parametrize("name", [b"ram", b"null", b"file"])
@pytest.mark.parametrize("mix", MIXES)
def test_no_request_allocates_when_warm(daemon, name, mix):
    batch = batch_of(MIXES[mix], DEPTH)
    with Wire(daemon) as wire:
        wire.go(name)
        in_rounds(daemon, wire, batch)
        # What nobody used for a while is given back; whoever needs more than that at once may have to fetch it again.
        assert min(in_rounds(daemon, wire, batch) for _ in range(3)) == 0


def test_the_counter_counts(daemon):
    """A connection is what does allocate."""
    before = allocations(daemon)
    with Wire(daemon) as wire:
        wire.go(b"ram")
        assert allocations(daemon) > before
