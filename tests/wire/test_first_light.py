# SPDX-License-Identifier: BSD-2-Clause
from daemon import Daemon
from wire_client import Wire


def test_write_read_disconnect(directory):
    with Daemon(directory, "ram:1M") as daemon:
        with Wire(daemon) as wire:
            wire.go()
            assert wire.size == 1 << 20
            assert wire.write(4096, b"x" * 4096) == 0
            assert wire.read(0, 12288) == b"\0" * 4096 + b"x" * 4096 + b"\0" * 4096
            wire.disconnect()
        assert daemon.stop() == 0
