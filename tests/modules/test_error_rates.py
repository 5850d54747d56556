# SPDX-License-Identifier: BSD-2-Clause
"""The module error with probabilities: as many requests fail as were asked for, and with the same seed the same ones."""

import math

import pytest

from daemon import Daemon
from seeds import seeded
from wire_client import CMD_FLUSH, CMD_READ, EIO, Wire

COUNT = 2000


@pytest.fixture
def daemon(directory, plugins):
    with Daemon(directory, "x=ram:1M", "top=error:x", options=["--modules", plugins]) as running:
        yield running


def failures(daemon, wire, **parameters):
    """Which of COUNT reads fail."""
    for name, value in parameters.items():
        daemon.ctl("param", "error", name, str(value))
    results = [wire.command(CMD_READ, number % 2048 * 512, 512)[0] for number in range(COUNT)]
    assert set(results) <= {0, EIO}
    return [number for number, result in enumerate(results) if result]


@seeded(2)
def test_as_many_fail_as_were_asked_for(daemon, seed):
    with Wire(daemon).go(b"top") as wire:
        assert failures(daemon, wire, per_million=0, seed=seed) == []
        assert failures(daemon, wire, per_million=1000000) == list(range(COUNT))
        for per_million in (10000, 100000, 500000, 990000):
            share = per_million / 1000000
            # Six standard deviations: of 500 million seeds one is beyond.
            least = COUNT * share - 6 * math.sqrt(COUNT * share * (1 - share))
            found = len(failures(daemon, wire, per_million=per_million))
            assert least <= found <= 2 * COUNT * share - least
        wire.disconnect()


def test_the_same_seed_has_the_same_fail(daemon):
    with Wire(daemon).go(b"top") as wire:
        first = failures(daemon, wire, per_million=300000, seed=7)
        # They go on, instead of beginning anew.
        assert failures(daemon, wire) != first
        other = failures(daemon, wire, seed=8)
        assert other != first
        assert failures(daemon, wire, seed=7) == first
        # What isn't chosen by its kind draws no lot.
        daemon.ctl("param", "error", "ops", "r")
        daemon.ctl("param", "error", "seed", "8")
        for _ in range(10):
            assert wire.command(CMD_FLUSH)[0] == 0
        assert failures(daemon, wire) == other
        wire.disconnect()
    # Also when it was loaded with it.
    daemon.ctl("export", "remove", "--drain", "top")
    daemon.ctl("rmmod", "error")
    daemon.ctl("modprobe", "error", "seed=7", "per_million=300000")
    daemon.ctl("export", "add", "top=error:x")
    with Wire(daemon).go(b"top") as wire:
        assert failures(daemon, wire) == first
        wire.disconnect()
