# SPDX-License-Identifier: BSD-2-Clause
"""What each kind of disk says that it can do, and that it does."""

import os
import shutil

import pytest

from daemon import Daemon
from modules_support import build, driver
from shared import MIB, own_daemon, sparse_file
from volatile_support import load
from wire_client import (CAN_MULTI_CONN, CMD_CACHE, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES, EPERM, FLAG_FAST_ZERO, FLAG_FUA,
                         HAS_FLAGS, READ_ONLY, ROTATIONAL, SEND_CACHE, SEND_DF, SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA,
                         SEND_TRIM, SEND_WRITE_ZEROES, Wire)

READS = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_CACHE | CAN_MULTI_CONN
WRITES = READS | SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO
EXPECTED = {"ram": WRITES, "null": WRITES, "file": WRITES, "fixed-ram": READS | READ_ONLY,
            "fixed-null": READS | READ_ONLY, "fixed-file": READS | READ_ONLY}


@pytest.fixture(scope="module")
def daemon(scratch):
    files = [sparse_file(scratch, MIB, name) for name in ("a", "b")]
    with own_daemon("ram=ram:1M", "null=null:1M", f"file={files[0]}", "fixed-ram=ram:1M,readonly",
                    "fixed-null=null:1M,readonly", f"fixed-file={files[1]},readonly=on") as running:
        yield running


def flags_of(daemon, name):
    with Wire(daemon) as wire:
        # Whether a file turns depends on the machine.
        return wire.go(name.encode()).transmission_flags & ~ROTATIONAL


@pytest.mark.parametrize("name", EXPECTED)
def test_transmission_flags(daemon, name):
    assert flags_of(daemon, name) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_structured_replies_are_not_promised(daemon, name):
    assert not flags_of(daemon, name) & SEND_DF


@pytest.mark.parametrize("name", ["ram", "null", "file"])
@pytest.mark.parametrize("command, length, flags", [
    (CMD_FLUSH, 0, 0), (CMD_FLUSH, 0, FLAG_FUA), (CMD_TRIM, 4096, FLAG_FUA), (CMD_CACHE, 4096, 0),
    (CMD_WRITE_ZEROES, 4096, FLAG_FUA), (CMD_WRITE_ZEROES, 4096, FLAG_FAST_ZERO)])
def test_what_is_advertised_works(daemon, name, command, length, flags):
    with Wire(daemon) as wire:
        assert wire.go(name.encode()).command(command, 0, length, flags)[0] == 0


@pytest.mark.parametrize("name", ["ram", "file"])
def test_multi_conn_write_is_seen_by_every_connection(daemon, name):
    with Wire(daemon) as one, Wire(daemon) as other:
        one.go(name.encode())
        other.go(name.encode())
        for round_ in range(50):
            data = bytes([round_]) * 4096
            assert one.write(4096 * round_, data) == 0
            assert other.read(4096 * round_, 4096) == data


def test_multi_conn_flush_covers_other_connections(directory):
    """What one wrote and the other flushed is there after a loss of power."""
    with Daemon(directory) as daemon:
        load(daemon)
        daemon.ctl("export", "add", "v=volatile:1M")
        with Wire(daemon).go(b"v") as one, Wire(daemon).go(b"v") as other:
            assert one.transmission_flags & CAN_MULTI_CONN
            assert one.write(0, b"durable?" * 512) == 0
            assert other.command(CMD_FLUSH)[0] == 0
            assert one.write(4096, b"volatile" * 512) == 0
            daemon.ctl("ioctl", "v", "cut", "0")
            daemon.ctl("ioctl", "v", "power")
        with Wire(daemon).go(b"v") as late:
            assert late.read(0, 8192) == b"durable?" * 512 + bytes(4096)


@pytest.mark.parametrize("coherent", [False, True])
def test_multi_conn_is_promised_for_coherent_disks_alone(directory, coherent):
    source = driver("mem").replace("= PLATTER_DISK_FLUSH;", "= PLATTER_DISK_FLUSH | PLATTER_DISK_COHERENT;" if coherent else "= PLATTER_DISK_FLUSH;")
    with Daemon(directory) as daemon:
        daemon.ctl("insmod", build(directory, "mem", source))
        daemon.ctl("export", "add", "mem=mem:1M", "fixed=mem:1M,readonly")
        for name in "mem", "fixed":
            assert flags_of(daemon, name) & (SEND_FLUSH | CAN_MULTI_CONN) == SEND_FLUSH | (CAN_MULTI_CONN if coherent else 0)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is missing")
def test_a_file_that_forbids_writing_is_served_read_only(directory):
    path = sparse_file(directory, MIB)
    os.chmod(path, 0o444)
    os.chmod(directory, 0o777)
    # Nothing is forbidden to root.
    nobody = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    with Daemon(directory, path, command=nobody) as daemon, Wire(daemon) as wire:
        wire.go()
        assert wire.transmission_flags & ~ROTATIONAL == READS | READ_ONLY
        assert wire.write(0, b"x" * 512) == EPERM
