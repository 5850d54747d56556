# SPDX-License-Identifier: BSD-2-Clause
"""
Whatever was answered as durable is there when the power of a real file or block device is cut.  The disk's log says what
reached it, and when it was told to flush, see rig.py: after the load its power is cut at every place of the log, see replay.py.
"""

import contextlib
import os
import random
import sys

import pytest

from daemon import Daemon
from ledger import Lost, Op
from load import DEPTH, Disk, Load
from log_writes import Cache, Log
from replay import Replay
from rig import KINDS, SECTOR, Rig
from seeds import rounds, seeded
from wire_client import CMD_FLUSH, Wire

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "drivers"))
from strace import ENVIRONMENT, Strace  # pylint: disable=wrong-import-position

SECTORS = 2048
# Through a loop device with O_DIRECT, long writes would reach qemu-storage-daemon as several at once: see rig.py.
SOUND = [kind for kind in KINDS if kind != "direct loop, direct"]


def one_load(rig, daemon, chosen, count, cache, faulty, torn):
    """COUNT times, some answers, and a failure is forgotten.  TORN: see Ledger.check_sector()."""
    log, disk = Log(rig.log), Disk("d", 1, SECTORS)
    disk.ledger.where = log.size
    clients = Load(daemon, [disk], chosen, faulty)
    for _ in range(count):
        # Where few are on their way, the next flush often waits for one who has seen the answer that the last one was for.
        if chosen.random() < 0.2:
            clients.depth = chosen.choice([1, 1, 4, DEPTH])
        clients.run(chosen.randrange(1, 20))
        forget_failure(daemon, disk)
    clients.drain()
    forget_failure(daemon, disk)
    flush(daemon, disk)
    replay = Replay(disk.ledger, cache, torn)
    replay.run(log.read())
    replay.finish()
    log.close()
    # The promises came all along it.
    assert len({position for position, durable, _ in disk.ledger.journal if durable}) > count / 10
    # The log tells all.
    assert cache.durable() == rig.content()


def forget_failure(daemon, disk):
    if disk.ledger.sick is not None:
        daemon.ctl("clear-error", "d")
        disk.ledger.forget_failure()


def flush(daemon, disk):
    op = Op("flush")
    disk.ledger.send(op)
    with Wire(daemon).go(b"d") as wire:
        error = wire.command(CMD_FLUSH)[0]
        disk.ledger.look()
        disk.ledger.answer(op, error)
        wire.disconnect()
    assert op.done


def run(directory, kind, seed, count, lag=0, fault=contextlib.nullcontext, errors=()):
    with Rig(directory, SECTORS * SECTOR, errors) as rig, rig.backend(kind) as spec:
        cache = Cache(bytes(SECTORS * SECTOR), lag)
        environment = None if fault is contextlib.nullcontext else ENVIRONMENT
        with Daemon(directory, "d=" + spec, command=rig.command, environment=environment) as daemon:
            if errors:
                daemon.good_statuses = {0, 1}
            try:
                with fault(daemon):
                    one_load(rig, daemon, random.Random(seed), count, cache, bool(errors), torn=kind == "loop")
            except Lost as lost:
                raise Lost(f"seed {seed}: {lost}") from None


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_nothing_durable_is_lost(directory, kind, seed):
    run(directory, kind, seed, rounds(100))


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_nothing_durable_is_lost_when_syncs_take_long(directory, kind, seed):
    """What is answered, and flushed by another, while a sync is on its way back isn't covered by that."""
    run(directory, kind, seed, rounds(40), fault=lambda daemon: Strace(daemon, "fdatasync", "fdatasync:delay_exit=3000"))


# Not on loop devices: Linux's (seen with 6.18) calls a write done of which its file took only a part, and a discard there that
# fails has already dropped what the page cache had of its range.
@pytest.mark.parametrize("kind", ["file", "file, direct"])
@seeded(1)
def test_nothing_durable_is_lost_with_bad_sectors(directory, kind, seed):
    """Not by the failures, either, however often they are forgotten."""
    errors = [{"iotype": "write", "sector": sector} for sector in (7, SECTORS // 2, SECTORS - 9)]
    run(directory, kind, seed, rounds(100), errors=errors + [{"iotype": "discard", "sector": SECTORS // 3}])


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_a_disk_that_ignores_a_flush_is_caught(directory, kind, seed):
    """That is, the test above can fail."""
    with pytest.raises(Lost, match=f"seed {seed}: .*may be"):
        run(directory, kind, seed, 30, lag=1)


@pytest.mark.parametrize("kind", SOUND)
@seeded(1)
def test_a_server_that_does_not_sync_is_caught(directory, kind, seed):
    """Its syncs succeed without being done."""
    with pytest.raises(Lost, match=f"seed {seed}: .*may be"):
        run(directory, kind, seed, 30, fault=lambda daemon: Strace(daemon, "fdatasync", "fdatasync:retval=0"))
