# SPDX-License-Identifier: BSD-2-Clause
"""Starting on systems that have less: older kernels, forbidden io_uring, no more threads."""

import os
import re
import subprocess

import pytest

from daemon import PLATTERD, Daemon
from shared import KIB, MIB, noise, sparse_file
from wire_client import CMD_FLUSH, Wire

# A process that is traced cannot be searched for leaks.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}


def faults(call, inject):
    return ["strace", "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e", "signal=none", "-e", f"inject={call}:{inject}"]


def test_the_newest_kind_of_ring_is_taken(directory):
    version = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])
    if version < (6, 1):
        pytest.skip("deferred task work came with Linux 6.1")
    with Daemon(directory, "ram:1M") as daemon:
        assert "on io_uring, deferred task work" in daemon.log()


@pytest.mark.parametrize("refused, name", [("1..1", "cooperative task work"), ("1..2", "plain")])
def test_every_kind_of_ring_serves(directory, refused, name):
    """Older kernels refuse the newer kinds with EINVAL."""
    data = noise(3 * MIB)
    with Daemon(directory, "ram=ram:16M", f"file={sparse_file(directory, 16 * MIB)}", options=["--threads", "1"],
                command=faults("io_uring_setup", f"error=EINVAL:when={refused}"), environment=ENVIRONMENT) as daemon:
        assert name in daemon.log()
        for export in b"ram", b"file":
            with Wire(daemon) as wire:
                wire.go(export)
                assert wire.write(5, data) == 0
                assert wire.command(CMD_FLUSH)[0] == 0
                assert wire.read(0, 5 + len(data)) == bytes(5) + data
                for _ in range(20):
                    assert wire.read(KIB, KIB) == data[KIB - 5:2 * KIB - 5]


@pytest.mark.parametrize("error, words", [("ENOSYS", "Linux 5.15"), ("EPERM", "kernel.io_uring_disabled"), ("ENOMEM", "LimitMEMLOCK")])
def test_without_io_uring_it_says_so_and_ends(directory, error, words):
    ended = subprocess.run([*faults("io_uring_setup", "error=" + error), PLATTERD, "--control", "none", "--listen", f"unix:{directory}/nbd.sock", "ram:1M"],
                           capture_output=True, text=True, timeout=20, check=False, env={**os.environ, **ENVIRONMENT})
    assert ended.returncode == 1
    [line] = [line for line in ended.stderr.splitlines() if "error" in line]
    assert words in line
    with pytest.raises(FileNotFoundError):
        open(f"{directory}/nbd.sock", "rb")


def test_without_further_threads_it_serves_with_one(directory):
    with Daemon(directory, "a=ram:1M", f"b={sparse_file(directory, MIB)}", options=["--threads", "2"],
                command=faults("clone3", "error=EAGAIN"), environment=ENVIRONMENT) as daemon:
        assert re.search("only 1 of 2 reactors", daemon.log())
        for export in b"a", b"b":
            for _ in range(2):
                with Wire(daemon) as wire:
                    assert wire.go(export).write(7, b"there") == 0
                    assert wire.command(CMD_FLUSH)[0] == 0
                    assert wire.read(0, 13) == bytes(7) + b"there" + bytes(1)
                    wire.disconnect()
