# SPDX-License-Identifier: BSD-2-Clause
"""
Whatever was answered as durable is there when the power of a real file or block device is cut.  The disk's log says what
reached it, and when it was told to flush: the power can be cut again and again, without ending anything; see rig.py.
"""

import contextlib
import os
import random
import sys

import pytest

from daemon import Daemon
from ledger import Lost, Op
from load import Disk, Load
from log_writes import Cache, Log, everything, nothing, some, torn
from rig import KINDS, SECTOR, Rig
from seeds import rounds, seeded
from wire_client import CMD_FLUSH, Wire

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "drivers"))
from strace import ENVIRONMENT, Strace  # pylint: disable=wrong-import-position

SECTORS = 2048
# Through a loop device with O_DIRECT, long writes would reach qemu-storage-daemon as several at once: see rig.py.
SOUND = [kind for kind in KINDS if kind != "direct loop, direct"]


def cuts(chosen):
    """All of the changes that weren't flushed, none, and whatever came to pass."""
    return [nothing, everything, some(chosen), torn(chosen)]


def one_load(rig, daemon, chosen, count, cut, faulty, torn_pages):
    """Looks COUNT times, at any moment, at what would be left then: the ledger has the answers that came before it looks into
    the log, which has at least what these speak of.  TORN_PAGES: the page cache writes back what is just being changed."""
    log, cache, disk = Log(rig.log), Cache(bytes(SECTORS * SECTOR)), Disk("d", 1, SECTORS)
    clients = Load(daemon, [disk], chosen, faulty)
    for _ in range(count):
        # Often it is one answer further: also when that was a FLUSH's.
        clients.run(chosen.randrange(1, chosen.choice([2, 2, 40])))
        cache.add(log.read())
        for choose in cuts(chosen):
            disk.ledger.check_all(cut(cache, choose), torn_pages)
        forget_failure(daemon, disk)
    clients.drain()
    forget_failure(daemon, disk)
    flush(daemon, disk)
    cache.add(log.read())
    disk.ledger.check_all(cut(cache, nothing), torn_pages)
    # The log tells all.
    assert cache.durable == rig.content()
    log.close()


def forget_failure(daemon, disk):
    if disk.ledger.sick is not None:
        daemon.ctl("clear-error", "d")
        disk.ledger.forget_failure()


def flush(daemon, disk):
    op = Op("flush")
    disk.ledger.send(op)
    with Wire(daemon).go(b"d") as wire:
        disk.ledger.answer(op, wire.command(CMD_FLUSH)[0])
        wire.disconnect()
    assert op.done


def run(directory, kind, seed, count, cut=Cache.cut, fault=contextlib.nullcontext, errors=()):
    with Rig(directory, SECTORS * SECTOR, errors) as rig, rig.backend(kind) as spec:
        environment = None if fault is contextlib.nullcontext else ENVIRONMENT
        with Daemon(directory, "d=" + spec, command=rig.command, environment=environment) as daemon:
            if errors:
                daemon.good_statuses = {0, 1}
            try:
                with fault(daemon):
                    one_load(rig, daemon, random.Random(seed), count, cut, faulty=bool(errors), torn_pages=kind == "loop")
            except Lost as lost:
                raise Lost(f"seed {seed}: {lost}") from None


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_nothing_durable_is_lost(directory, kind, seed):
    run(directory, kind, seed, rounds(60))


# Not on loop devices: Linux's (seen with 6.18) calls a write done of which its file took only a part, and a discard there that
# fails has already dropped what the page cache had of its range.
@pytest.mark.parametrize("kind", ["file", "file, direct"])
@seeded(1)
def test_nothing_durable_is_lost_with_bad_sectors(directory, kind, seed):
    """Not by the failures, either, however often they are forgotten."""
    errors = [{"iotype": "write", "sector": sector} for sector in (7, SECTORS // 2, SECTORS - 9)]
    run(directory, kind, seed, rounds(60), errors=errors + [{"iotype": "discard", "sector": SECTORS // 3}])


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_a_disk_that_ignores_a_flush_is_caught(directory, kind, seed):
    """That is, the test above can fail."""
    with pytest.raises(Lost, match=f"seed {seed}: .*may be"):
        run(directory, kind, seed, 100, cut=Cache.cut_of_a_liar)


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_a_server_that_does_not_sync_is_caught(directory, kind, seed):
    """Its syncs succeed without being done."""
    with pytest.raises(Lost, match=f"seed {seed}: .*may be"):
        run(directory, kind, seed, 100, fault=lambda daemon: Strace(daemon, "fdatasync", "fdatasync:retval=0"))
