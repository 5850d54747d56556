# SPDX-License-Identifier: BSD-2-Clause
"""A log of writes is read as it grows, and tells what each sector of its disk may hold."""

import os

import pytest

from log_writes import DISCARD, FLUSH, HEADER, MAGIC, SECTOR, SUPER, Cache, Log

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


def read(log):
    return list(log.read())


def test_it_is_read_as_it_grows(log):
    assert read(log) == []
    # The superblock comes after the first flush.
    log.out.write(GAP + entry(0, 1, A + B)[:-1])
    assert read(log) == []
    assert log.size() == 4 * SECTOR - 1
    log.out.write(B[-1:])
    assert read(log) == [(4 * SECTOR, 0, 1, A + B)]
    assert read(log) == []
    log.out.write(entry(DISCARD, 2, count=2) + entry(FLUSH) + entry(0, 0, C))
    os.pwrite(log.out.fileno(), SUPERBLOCK, 0)
    assert read(log) == [(5 * SECTOR, DISCARD, 2, GAP + GAP), (6 * SECTOR, FLUSH, 0, b""), (8 * SECTOR, 0, 0, C)]
    assert log.size() == 8 * SECTOR


def test_what_is_no_log_is_refused(log):
    log.out.write(b"x" * SECTOR + entry(FLUSH))
    with pytest.raises(AssertionError):
        read(log)


def test_only_a_flush_makes_durable():
    cache = Cache(GAP * 3)
    assert list(cache.add(0, 0, A + A)) == [0, 1]
    cache.add(0, 1, B)
    assert cache.sectors == [[GAP, A], [GAP, A, B], [GAP]]
    assert cache.durable() == GAP * 3
    assert list(cache.add(FLUSH, 0, b"")) == []
    assert cache.sectors == [[A], [B], [GAP]]
    cache.add(DISCARD, 0, GAP)
    cache.add(0, 2, C)
    assert cache.sectors == [[A, GAP], [B], [GAP, C]]
    assert cache.durable() == A + B + GAP


def test_a_flush_that_writes_does_so_afterwards():
    cache = Cache(GAP)
    cache.add(0, 0, A)
    cache.add(FLUSH, 0, B)
    assert cache.sectors == [[A, B]]


def test_a_liar_is_a_flush_behind():
    cache = Cache(GAP * 2, lag=1)
    cache.add(0, 0, A)
    # A flush of nothing isn't worth a lie.
    for _ in range(2):
        cache.add(FLUSH, 0, b"")
        assert cache.sectors == [[GAP, A], [GAP]]
    cache.add(0, 0, B + B)
    cache.add(0, 0, C)
    assert cache.sectors == [[GAP, A, B, C], [GAP, B]]
    cache.add(FLUSH, 0, b"")
    assert cache.sectors == [[A, B, C], [GAP, B]]
    cache.add(0, 1, A)
    cache.add(FLUSH, 0, b"")
    assert cache.sectors == [[C], [B, A]]
