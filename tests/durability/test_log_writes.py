# SPDX-License-Identifier: BSD-2-Clause
"""A log of writes is read as it grows, and replayed up to its flushes."""

import os

import pytest

from log_writes import DISCARD, FLUSH, HEADER, MAGIC, SECTOR, SUPER, Cache, Log, everything, nothing

SUPERBLOCK = SUPER.pack(MAGIC, 1, 0, SECTOR).ljust(SECTOR, b"\0")
A, B, C = (letter * SECTOR for letter in (b"a", b"b", b"c"))
GAP = bytes(SECTOR)


def entry(flags, first=0, data=b"", count=None):
    return HEADER.pack(first, len(data) // SECTOR if count is None else count, flags, 0).ljust(SECTOR, b"\0") + data


@pytest.fixture
def log(directory):
    path = os.path.join(directory, "log")
    with open(path, "wb", buffering=0) as file:
        reader = Log(path)
        reader.out = file
        yield reader
        reader.close()


def test_it_is_read_as_it_grows(log):
    assert log.read() == []
    # The superblock comes after the first flush.
    log.out.write(GAP + entry(0, 1, A + B)[:-1])
    assert log.read() == []
    log.out.write(B[-1:])
    assert log.read() == [(0, 1, A + B)]
    assert log.read() == []
    log.out.write(entry(DISCARD, 2, count=2) + entry(FLUSH) + entry(0, 0, C))
    os.pwrite(log.out.fileno(), SUPERBLOCK, 0)
    assert log.read() == [(DISCARD, 2, GAP + GAP), (FLUSH, 0, b""), (0, 0, C)]


def test_what_is_no_log_is_refused(log):
    log.out.write(b"x" * SECTOR + entry(FLUSH))
    with pytest.raises(AssertionError):
        log.read()


def test_only_a_flush_makes_durable():
    cache = Cache(GAP * 3)
    cache.add([(0, 0, A + A), (0, 1, B)])
    assert cache.cut(nothing) == GAP * 3
    assert cache.cut(lambda changes: changes[1:]) == GAP + B + GAP
    assert cache.cut(everything) == A + B + GAP
    cache.add([(FLUSH, 0, b""), (DISCARD, 0, GAP), (0, 2, C)])
    assert cache.cut(nothing) == A + B + GAP
    assert cache.cut(everything) == GAP + B + C
    # A flush of nothing isn't worth a lie.
    cache.add([(FLUSH, 0, b""), (FLUSH, 0, b"")])
    assert cache.cut(nothing) == GAP + B + C
    assert cache.cut_of_a_liar(nothing) == A + B + GAP
    assert cache.cut_of_a_liar(everything) == GAP + B + C
