# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: one writable disk for one file, unless the administrator says otherwise."""

import fcntl
import os
import signal
import struct
import threading

import pytest
from daemon import Daemon
from driver_support import MIB, connect, make_file, refusal


@pytest.mark.parametrize("keys", ["", ",readonly"])
def test_second_server_is_refused_while_the_first_one_lives(directory, keys):
    path = make_file(directory, MIB)
    with Daemon(directory, path) as daemon:
        with connect(daemon) as wire:
            assert wire.write(0, b"x") == 0
        # Also after its last client has gone.
        assert "locked" in refusal(directory, path + keys)


def test_lock_goes_with_the_server_however_it_ends(directory):
    path = make_file(directory, MIB)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with Daemon(directory, path) as daemon:
            daemon.stop(number)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        assert wire.size == MIB


def test_lock_that_is_given_up_soon_is_waited_for(directory):
    """A killed server holds its lock until the kernel has finished its O_DIRECT writes; its successor starts all the same."""
    path = make_file(directory, MIB)
    with open(path, "r+b") as held:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        release = threading.Timer(0.1, held.close)
        release.start()
        with Daemon(directory, path) as daemon, connect(daemon) as wire:
            assert wire.size == MIB
        release.join()


@pytest.mark.parametrize("second", ["disk.img", "disk.img,readonly", "other-name.img"])
def test_two_exports_of_one_file_are_refused(directory, second):
    path = make_file(directory, MIB)
    os.link(path, directory + "/other-name.img")
    assert "locked" in refusal(directory, "a=" + path, f"b={directory}/{second}")


def test_readers_share_a_file(directory):
    path = make_file(directory, MIB)
    with Daemon(directory, f"a={path},readonly", f"b={path},readonly") as daemon:
        for name in (b"a", b"b"):
            with connect(daemon, name) as wire:
                assert wire.read(0, 512) == bytes(512)
        assert "locked" in refusal(directory, path)


def test_share_lets_two_exports_have_one_file(directory):
    path = make_file(directory, MIB)
    with Daemon(directory, f"a={path},share=on", f"b={path},share=on") as daemon:
        with connect(daemon, b"a") as one, connect(daemon, b"b") as other:
            assert one.write(4096, b"shared") == 0
            assert other.read(4096, 6) == b"shared"


def test_share_ignores_the_lock_of_another_server(directory):
    path = make_file(directory, MIB)
    os.mkdir(directory + "/other")
    with Daemon(directory, path) as daemon, Daemon(directory + "/other", path + ",share=on") as sharing:
        with connect(daemon) as one, connect(sharing) as other:
            assert one.write(0, b"shared") == 0
            assert other.read(0, 6) == b"shared"
