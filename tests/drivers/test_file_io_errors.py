# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: errors, short counts and a file that changes underneath, one request at a time."""

import os
import signal
import struct

import pytest
from baseline import leaves_nothing
from daemon import Daemon
from driver_support import KIB, MIB, connect, content, errors_of, make_file, noise
from strace import ENVIRONMENT, Strace
from wire_client import (CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, EIO, ENOSPC, EPERM, EINVAL, ENOMEM, TYPE_OFFSET_DATA, Wire,
                         check_error_offset, request)

SIZE = 8 * MIB


@pytest.fixture
def data():
    return noise(SIZE)


@pytest.fixture
def daemon(directory, data):
    path = make_file(directory, data)
    with Daemon(directory, path, environment=ENVIRONMENT) as running:
        running.path = path
        # Buffers are kept for a while: too long to wait for in each test.
        with leaves_nothing(running, slack=16 * MIB):
            yield running
        # Whatever happened, it still ends as it should.
        assert running.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("error, expected", [
    ("EIO", EIO), ("ENXIO", EIO), ("ESTALE", EIO), ("ETIMEDOUT", EIO), ("EBADF", EIO), ("EUCLEAN", EIO),
    ("ENODATA", EIO), ("EILSEQ", EIO), ("EREMOTEIO", EIO), ("ENOLINK", EIO),
    ("ENOSPC", ENOSPC), ("EDQUOT", ENOSPC), ("EFBIG", ENOSPC), ("EROFS", EPERM), ("EPERM", EPERM), ("ENOMEM", ENOMEM),
    ("EINVAL", EINVAL), ("EOPNOTSUPP", EIO)])
def test_error_of_a_write_reaches_the_client_in_nbds_words(daemon, data, error, expected):
    with connect(daemon) as wire:
        with Strace(daemon, "pwritev2", f"pwritev2:error={error}"):
            assert wire.write(4096, b"x" * 4096) == expected
        assert wire.write(8192, b"y" * 4096) == 0
    assert content(daemon.path) == data[:8192] + b"y" * 4096 + data[12288:]


def test_failed_write_fails_only_its_request(daemon, data):
    """One batch, no neighbours among it: what failed didn't happen, what succeeded did."""
    count = 16
    with connect(daemon) as wire:
        requests = [request(CMD_WRITE, number * 64 * KIB, 4096, cookie=number, payload=b"w" * 4096) for number in range(count)]
        with Strace(daemon, "pwritev2", "pwritev2:error=EIO:when=2"):
            errors = errors_of(wire, requests)
    assert set(errors) == {0, EIO}
    assert errors.count(EIO) < count / 2
    found = content(daemon.path)
    for number, error in enumerate(errors):
        at = number * 64 * KIB
        assert found[at:at + 4096] == (data[at:at + 4096] if error else b"w" * 4096)


def test_failed_read_fails_only_its_request(daemon, data):
    with connect(daemon) as wire:
        with Strace(daemon, "preadv2", "preadv2:error=EIO"):
            # Large reads don't go through io_uring, whose calls cannot be made to fail here.
            assert wire.command(CMD_READ, MIB, 4 * MIB)[0] == EIO
            assert wire.read(0, 4096) == data[:4096]
        assert wire.read(MIB, 4 * MIB) == data[MIB:5 * MIB]


@pytest.mark.parametrize("length, part", [(8192, 1), (8192, 4095), (3 * MIB, 4095), (3 * MIB, MIB), (3 * MIB, 3 * MIB // 2 - 1)])
def test_short_write_goes_on_where_it_stopped(daemon, data, length, part):
    """The kernel claims to have written PART bytes, which it hasn't; all that follows is there."""
    payload = noise(length, 2)
    with connect(daemon) as wire:
        with Strace(daemon, "pwritev2", f"pwritev2:retval={part}:when=1") as trace:
            assert wire.write(4097, payload) == 0
    # Each thread's first call is a lie; at most two take part.
    missing = trace.text().count("INJECTED") * part
    assert 0 < missing <= 2 * part
    assert content(daemon.path) == data[:4097 + missing] + payload[missing:] + data[4097 + length:]


def test_write_of_nothing_is_no_space(daemon):
    with connect(daemon) as wire:
        with Strace(daemon, "pwritev2", "pwritev2:retval=0"):
            assert wire.write(0, b"x" * 4096) == ENOSPC


@pytest.mark.parametrize("error", ["EINTR", "EAGAIN"])
def test_interrupted_write_is_tried_again(daemon, data, error):
    with connect(daemon) as wire:
        with Strace(daemon, "pwritev2", f"pwritev2:error={error}:when=1"):
            assert wire.write(1, b"w" * 8192) == 0
    assert content(daemon.path) == data[:1] + b"w" * 8192 + data[8193:]


def test_interrupted_read_is_tried_again(daemon, data):
    with connect(daemon) as wire:
        with Strace(daemon, "preadv2", "preadv2:error=EINTR:when=1"):
            assert wire.read(7, 3 * MIB) == data[7:7 + 3 * MIB]


@pytest.mark.parametrize("length, part", [(8192, 1000), (MIB, 300 * KIB + 1), (3 * MIB, 4095), (3 * MIB, MIB)])
def test_short_read_goes_on_where_it_stopped(daemon, data, length, part):
    with connect(daemon) as wire:
        with Strace(daemon, "preadv2", f"preadv2:retval={part}:when=1") as trace:
            assert wire.read(4097, length)[part:] == data[4097 + part:4097 + length]
        assert trace.text().count("INJECTED") == 1


def test_read_that_does_not_find_its_data_cached_waits_for_it(daemon, data):
    with connect(daemon) as wire:
        with Strace(daemon, "preadv2", "preadv2:error=EAGAIN"):
            assert wire.read(4097, 100 * KIB) == data[4097:4097 + 100 * KIB]


def test_reads_past_a_new_end_are_io_errors(daemon, data):
    with connect(daemon) as wire:
        os.truncate(daemon.path, MIB + 5)
        for at, length in ((MIB + 5, 1), (MIB, 4096), (4 * MIB, 4096), (MIB - 100 * KIB, 200 * KIB), (0, 4 * MIB), (SIZE - 1, 1)):
            assert wire.command(CMD_READ, at, length)[0] == EIO, (at, length)
        assert wire.read(0, MIB + 5) == data[:MIB + 5]
        assert wire.command(CMD_CACHE, 0, SIZE)[0] == 0
        assert wire.command(CMD_TRIM, 0, SIZE)[0] == 0
        assert os.path.getsize(daemon.path) == MIB + 5
        assert wire.command(CMD_FLUSH)[0] == 0


def test_writes_past_a_new_end_bring_the_file_back(daemon):
    with connect(daemon) as wire:
        os.truncate(daemon.path, 1)
        assert wire.write(MIB, b"back") == 0
        assert wire.read(MIB - 4, 8) == b"\0\0\0\0back"


def test_file_truncated_under_many_reads_never_gives_stale_memory(daemon, data):
    """What comes with success is the file's data or, from some byte on where the kernel copied while the file was cut, zeroes."""
    with connect(daemon) as wire:
        for end in (MIB + 1, 0, 4 * MIB, 100):
            reads = {number: 64 * KIB for number in range(100)}
            wire.send(b"".join(request(CMD_READ, number * 64 * KIB, 64 * KIB, cookie=number) for number in reads))
            os.truncate(daemon.path, end)
            for _ in reads:
                error, cookie, found = wire.reply(64 * KIB)
                at = cookie * 64 * KIB
                assert error in (0, EIO)
                if not error and found != data[at:at + 64 * KIB]:
                    kept = len(os.path.commonprefix([found, data[at:at + 64 * KIB]]))
                    assert not any(found[kept:])
            with open(daemon.path, "r+b") as file:
                file.write(data)


def test_unlinked_file_is_served_on(daemon, data):
    os.unlink(daemon.path)
    for _ in range(2):
        with connect(daemon) as wire:
            assert wire.read(MIB, 4096) == data[MIB:MIB + 4096]
            wire.disconnect()


def test_many_failures_leave_nothing_behind(daemon):
    with leaves_nothing(daemon):
        with connect(daemon) as wire, Strace(daemon, "preadv2,pwritev2", "preadv2,pwritev2:error=EIO"):
            for _ in range(20):
                assert wire.write(0, b"x" * MIB) == EIO
                assert wire.command(CMD_READ, 0, 4 * MIB)[0] == EIO
        with connect(daemon) as wire:
            os.truncate(daemon.path, 0)
            for _ in range(20):
                assert errors_of(wire, [request(CMD_READ, number * MIB, MIB, cookie=number) for number in range(8)]) == [EIO] * 8


@pytest.mark.parametrize("offset, length", [(0, 4 * MIB), (MIB, 4096), (MIB - 100 * KIB, 200 * KIB)])
def test_what_is_left_of_a_shorter_file_is_read_by_those_who_can_be_told(daemon, data, offset, length):
    with Wire(daemon).go(structured=True) as wire:
        os.truncate(daemon.path, MIB + 5)
        wire.send(request(CMD_READ, offset, length))
        _, (content_chunk, error_chunk) = wire.chunks()
        assert content_chunk == (TYPE_OFFSET_DATA, struct.pack(">Q", offset) + data[offset:MIB + 5])
        check_error_offset(error_chunk, EIO, MIB + 5)
        wire.disconnect()
