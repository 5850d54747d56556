# SPDX-License-Identifier: BSD-2-Clause
"""The honest client by whom other tests see that nobody was disturbed does see it."""

import os
import shutil
import subprocess

import pytest

from daemon import PLATTERCTL, PLATTERD, Daemon, wait_for
from shared import Bystander, own_daemon
from wire_client import Wire


@pytest.fixture
def delayed(directory):
    """A RAM disk behind one that can be made slow."""
    modules = os.path.join(directory, "modules")
    os.mkdir(modules, 0o755)
    for name in "stack", "delay":
        path = shutil.copy(os.path.join(os.path.dirname(PLATTERD), f"plugins/{name}/{name}.so"), modules)
        os.chmod(path, 0o644)
    subprocess.run([PLATTERCTL, "depmod", modules], check=True, timeout=60)
    with Daemon(directory, "ram=ram:1M", "slow=delay:ram") as daemon:
        set_delay(daemon, 0)
        yield daemon


def set_delay(daemon, seconds):
    for parameter in "read_us", "write_us", "flush_us":
        daemon.ctl("param", "delay", parameter, str(int(seconds * 1000000)))


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("ram:1M") as running:
        yield running


def watch(daemon, disturb, name=b""):
    """A client's check after a few rounds, before which DISTURB was called."""
    honest = Bystander(daemon, name)
    disturb()
    # Only those from here on count.
    honest.times.clear()
    wait_for(lambda: len(honest.times) >= 6 or honest.trouble, "it gets on")
    honest.stop()
    honest.check()


def overwrite(daemon, offset):
    with Wire(daemon) as wire:
        assert wire.go().write(offset, b"!") == 0


def test_nothing_is_nothing(daemon):
    watch(daemon, lambda: None)


def test_it_sees_that_data_changed_where_it_does_nothing(daemon):
    for offset in Bystander.KEPT, Bystander.KEPT + Bystander.KEPT_LENGTH - 1:
        with pytest.raises(AssertionError, match="other data at"):
            watch(daemon, lambda offset=offset: overwrite(daemon, offset))


def test_it_sees_that_it_is_served_slowly(delayed):
    watch(delayed, lambda: None, b"slow")
    with pytest.raises(AssertionError, match=r"needed [0-9.]+ ms a round"):
        watch(delayed, lambda: set_delay(delayed, Bystander.MORE), b"slow")
