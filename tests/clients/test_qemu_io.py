# SPDX-License-Identifier: BSD-2-Clause
"""qemu-io: patterns written and verified, discarded, zeroed and flushed, one by one and at once."""

import pytest
from client_support import MIB, TRANSPORTS, backed, run, uri
from daemon import Daemon


def qemu_io(export, *commands, options=(), status=0):
    words = [word for command in commands for word in ("-c", command)]
    output = run("qemu-io", "-f", "raw", *options, *words, export, status=status)
    # It doesn't always tell by its exit status.
    assert status or not any(bad in output for bad in ("failed", "error", "rror:")), output
    return output


@pytest.fixture(params=[(kind, transport) for kind in ("ram", "file") for transport in TRANSPORTS], ids="-".join)
def export(directory, request):
    kind, transport = request.param
    with backed(directory, kind, 64 * MIB, transport) as daemon:
        yield uri(daemon, transport)


def test_patterns(export):
    qemu_io(export, "write -P 1 0 64k", "write -P 2 64k 1M", "write -P 3 7M 32M", "flush")
    qemu_io(export, "read -P 1 0 64k", "read -P 2 64k 1M", "read -P 0 1088k 512k", "read -P 3 7M 32M", "read -P 0 39M 1M")


def test_wrong_pattern_is_noticed(export):
    qemu_io(export, "write -P 1 0 64k")
    assert "Pattern verification failed" in qemu_io(export, "read -P 2 0 64k", status=1)


def test_unaligned_offsets_and_lengths(export):
    qemu_io(export, "write -P 0xaa 0 1M", "write -P 0xbb 511 3", "write -P 0xcc 4095 70001")
    qemu_io(export, "read -P 0xaa 0 511", "read -P 0xbb 511 3", "read -P 0xaa 514 3581", "read -P 0xcc 4095 70001",
            "read -P 0xaa 74096 900000")


@pytest.mark.parametrize("flags", ["-z", "-z -u", "-z -f", "-z -u -f"])
def test_write_zeroes(export, flags):
    qemu_io(export, "write -P 0xa5 0 16M", f"write {flags} 1M 5M", f"write {flags} 10000001 1001")
    qemu_io(export, "read -P 0xa5 0 1M", "read -P 0 1M 5M", "read -P 0xa5 6M 3708545", "read -P 0 10000001 1001",
            "read -P 0xa5 10001002 1000")


def test_write_zeroes_of_everything(export):
    qemu_io(export, "write -P 0xa5 0 64M", "write -z 0 64M", "read -P 0 0 64M")


def test_discard(export):
    qemu_io(export, "write -P 0xa5 0 16M", "discard 1M 5M", "flush", options=["-d", "unmap"])
    qemu_io(export, "read -P 0xa5 0 1M", "read -P 0 1M 5M", "read -P 0xa5 6M 10M")


def test_write_through(export):
    qemu_io(export, "write -P 0x11 -f 0 1M", "read -P 0x11 0 1M", options=["-t", "writethrough"])


def test_many_at_once(export):
    writes = [f"aio_write -P {number + 1} {number * 300000} 300000" for number in range(100)]
    qemu_io(export, *writes, "aio_flush", "flush")
    reads = [f"aio_read -P {number + 1} {number * 300000} 300000" for number in range(100)]
    output = qemu_io(export, *reads, "aio_flush")
    assert output.count("read 300000/300000") == 100
    assert "Pattern verification failed" not in output


def test_scattered_segments(export):
    qemu_io(export, "writev -P 0x42 1000 1000 3000 512 70000 1", "readv -P 0x42 1000 512 74001", "read -P 0x42 1000 74513")


@pytest.mark.parametrize("tail", [2, 511, 513])
@pytest.mark.parametrize("kind", ["ram", "file"])
def test_sizes_that_are_no_whole_sectors(directory, kind, tail):
    size = MIB + tail
    with backed(directory, kind, size, "unix") as daemon:
        qemu_io(daemon.uri(), f"write -P 0x5a 0 {size}", f"write -P 0x11 {size - 1} 1", f"write -z {size - 2} 1")
        qemu_io(daemon.uri(), f"read -P 0x5a 0 {size - 2}", f"read -P 0 {size - 2} 1", f"read -P 0x11 {size - 1} 1")


def test_writing_to_a_read_only_export_is_refused(directory):
    with Daemon(directory, "ram:1M,readonly") as daemon:
        qemu_io(daemon.uri(), "write 0 4k", status=1)
        qemu_io(daemon.uri(), "read -P 0 0 1M", options=["-r"])


def test_null(directory):
    with Daemon(directory, "null:1G") as daemon:
        qemu_io(daemon.uri(), "write -P 1 0 32M", "write -z 0 1G", "discard 0 1G", "flush", "read -P 0 0 32M")
