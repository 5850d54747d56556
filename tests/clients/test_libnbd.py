# SPDX-License-Identifier: BSD-2-Clause
"""libnbd through Python: every command and flag, synchronously."""

import errno
import os
import random

import nbd
import pytest
from client_support import ALL_TRANSPORTS, KIB, MIB, SECURE_TRANSPORTS, TRANSPORTS, backed, handle_for, uri
from daemon import Daemon

SIZE = 8 * MIB


@pytest.fixture(params=[(kind, transport) for kind in ("ram", "file") for transport in ALL_TRANSPORTS], ids="-".join)
def handle(directory, request):
    kind, transport = request.param
    with backed(directory, kind, SIZE, transport) as daemon:
        connected = handle_for(uri(daemon, transport))
        assert connected.get_tls_negotiated() == (transport in SECURE_TRANSPORTS)
        yield connected
        connected.shutdown()


def error_of(function, *arguments):
    with pytest.raises(nbd.Error) as raised:
        function(*arguments)
    return raised.value.errnum


def test_what_was_negotiated(handle):
    assert handle.get_protocol() == "newstyle-fixed"
    assert handle.get_size() == SIZE
    assert handle.get_structured_replies_negotiated()
    assert not handle.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    assert handle.can_df()
    assert handle.can_multi_conn() and handle.can_fast_zero() and handle.can_cache() and handle.can_fua()
    assert [handle.get_block_size(which) for which in (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM)] == [
        1, 4096, 32 * MIB]


def test_write_and_read(handle):
    pieces = random.Random(1)
    content = bytearray(SIZE)
    for number in range(100):
        length = pieces.choice([1, 512, 4096, 65537, MIB])
        at = pieces.randrange(SIZE - length)
        data = pieces.randbytes(length)
        handle.pwrite(data, at, nbd.CMD_FLAG_FUA if number % 3 == 0 else 0)
        content[at:at + length] = data
        at = pieces.randrange(SIZE - length)
        assert handle.pread(length, at) == content[at:at + length]
    handle.flush()
    assert handle.pread(SIZE, 0) == content


@pytest.mark.parametrize("flags", [0, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE,
                                   nbd.CMD_FLAG_FAST_ZERO])
def test_zero(handle, flags):
    handle.pwrite(b"\xa5" * (2 * MIB), 0)
    handle.zero(MIB + 3, 4097, flags)
    assert handle.pread(2 * MIB, 0) == b"\xa5" * 4097 + bytes(MIB + 3) + b"\xa5" * (MIB - 4100)


@pytest.mark.parametrize("flags", [0, nbd.CMD_FLAG_FUA])
def test_trim(handle, flags):
    handle.pwrite(b"\xa5" * (2 * MIB), 0)
    handle.trim(MIB, 4096, flags)
    assert handle.pread(4096, 0) == b"\xa5" * 4096
    assert handle.pread(4096, MIB + 4096) == b"\xa5" * 4096


def test_cache_and_flush(handle):
    handle.pwrite(b"kept" * KIB, 0)
    handle.cache(SIZE, 0)
    handle.flush()
    assert handle.pread(4 * KIB, 0) == b"kept" * KIB


def test_block_status_needs_what_was_not_negotiated(handle):
    assert error_of(handle.block_status, 4096, 0, lambda *_: 0) == errno.ENOTSUP
    assert handle.pread(512, 0) == bytes(512)


def test_library_keeps_to_the_range(handle):
    assert error_of(handle.pread, 2, SIZE - 1) == errno.EINVAL
    assert error_of(handle.pwrite, b"xy", SIZE - 1) in (errno.EINVAL, errno.ENOSPC)


def test_server_refuses_what_a_careless_client_sends(directory):
    with backed(directory, "file", SIZE, "unix") as daemon:
        handle = handle_for(daemon.uri(), strict=0)
        assert error_of(handle.pread, 2, SIZE - 1) == errno.EINVAL
        assert error_of(handle.pread, 1, 2**63) == errno.EINVAL
        assert error_of(handle.pwrite, b"xy", SIZE - 1) == errno.ENOSPC
        assert error_of(handle.zero, 2, SIZE - 1) == errno.ENOSPC
        assert error_of(handle.trim, 2, SIZE - 1) == errno.EINVAL
        assert error_of(handle.cache, 2, SIZE - 1) == errno.EINVAL
        # Flags that belong to other commands, or to none.
        assert error_of(handle.pwrite, b"x" * 512, 0, nbd.CMD_FLAG_DF) == errno.EINVAL
        assert error_of(handle.trim, 512, 0, nbd.CMD_FLAG_NO_HOLE) == errno.EINVAL
        assert error_of(handle.pwrite, b"x", 0, nbd.CMD_FLAG_FAST_ZERO) == errno.EINVAL
        assert error_of(handle.pwrite, b"x" * 512, 0, 1 << 12) == errno.EINVAL
        assert handle.pread(512, 0) == bytes(512)
        handle.shutdown()


def test_server_refuses_writes_to_a_read_only_export(directory):
    with Daemon(directory, "ram:1M,readonly") as daemon:
        handle = handle_for(daemon.uri(), strict=0)
        assert handle.is_read_only()
        assert error_of(handle.pwrite, b"x" * 4096, 0) == errno.EPERM
        assert error_of(handle.zero, 4096, 0) == errno.EPERM
        assert error_of(handle.trim, 4096, 0) == errno.EPERM
        assert handle.pread(4096, 0) == bytes(4096)
        handle.shutdown()


def test_block_sizes_are_the_devices(directory):
    path = os.path.join(directory, "disk.img")
    with open(path, "wb") as file:
        file.truncate(MIB)
    with Daemon(directory, path + ",direct=on") as daemon:
        handle = handle_for(daemon.uri(), strict=0)
        smallest = handle.get_block_size(nbd.SIZE_MINIMUM)
        assert smallest >= 512
        assert error_of(handle.pread, smallest, 1) == errno.EINVAL
        assert error_of(handle.pwrite, b"x", smallest) == errno.EINVAL
        assert handle.pread(smallest, smallest) == bytes(smallest)
        handle.shutdown()


def test_unknown_export_is_refused(directory):
    with Daemon(directory, "a=ram:1M", tcp=True) as daemon:
        for transport in TRANSPORTS:
            assert error_of(handle_for, uri(daemon, transport, "b"))
            handle_for(uri(daemon, transport, "a")).shutdown()
