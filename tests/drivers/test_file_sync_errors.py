# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: after a failed sync, which the kernel reports only once, nothing is called durable any more."""

import pytest
from daemon import Daemon, wait_for
from driver_support import KIB, MIB, connect, content, errors_of, make_file, noise
from strace import ENVIRONMENT, Strace
from wire_client import CMD_FLUSH, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EIO, FLAG_FUA, request

# What promises durability.
PROMISES = [(CMD_FLUSH,), (CMD_WRITE, 0, 512, FLAG_FUA, b"x" * 512), (CMD_TRIM, 0, 4096, FLAG_FUA),
            (CMD_WRITE_ZEROES, 0, 4096, FLAG_FUA)]


@pytest.fixture
def daemon(directory):
    path = make_file(directory, noise(MIB))
    other = make_file(directory, noise(MIB), "other.img")
    with Daemon(directory, "sick=" + path, "well=" + other, environment=ENVIRONMENT) as running:
        running.path = path
        yield running
        # It ends with an error exactly when something may be lost.
        running.good_statuses = {1 if "making data durable failed" in running.log() else 0}


def check_sticky(daemon):
    """Every promise of `sick` fails, the rest works, and `well` has nothing to do with it."""
    with connect(daemon, b"sick") as wire:
        for promise in PROMISES:
            assert wire.command(*promise)[0] == EIO, promise
        assert wire.write(64 * KIB, b"plain" * 100) == 0
        assert wire.read(64 * KIB, 500) == b"plain" * 100
        assert wire.command(CMD_TRIM, 128 * KIB, 4096)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 128 * KIB, 4096)[0] == 0
        assert wire.command(CMD_FLUSH)[0] == EIO
        wire.disconnect()
    with connect(daemon, b"well") as wire:
        for promise in PROMISES:
            assert wire.command(*promise)[0] == 0


def check_healthy(daemon):
    with connect(daemon, b"sick") as wire:
        for promise in PROMISES:
            assert wire.command(*promise)[0] == 0, promise


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_failed_flush_fails_all_later_promises(daemon, error):
    with connect(daemon, b"sick") as wire, connect(daemon, b"sick") as other:
        with Strace(daemon, "fdatasync", f"fdatasync:error={error}"):
            assert wire.command(CMD_FLUSH)[0] == EIO
        assert wire.command(CMD_FLUSH)[0] == EIO
        assert other.command(CMD_FLUSH)[0] == EIO
    check_sticky(daemon)


def test_failure_outlives_all_clients(daemon):
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "fdatasync", "fdatasync:error=EIO"):
            assert wire.command(CMD_FLUSH)[0] == EIO
        wire.disconnect()
    check_sticky(daemon)
    check_sticky(daemon)


def test_failure_is_logged_once(daemon):
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "fdatasync", "fdatasync:error=EIO"):
            assert wire.command(CMD_FLUSH)[0] == EIO
    check_sticky(daemon)
    assert daemon.log().count("sick: making data durable failed") == 1


def test_later_flushes_do_not_ask_the_kernel_again(daemon):
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "fdatasync", "fdatasync:error=EIO"):
            assert wire.command(CMD_FLUSH)[0] == EIO
        with Strace(daemon, "fdatasync,pwritev2,fallocate") as trace:
            for promise in PROMISES:
                assert wire.command(*promise)[0] == EIO
        assert not trace.calls("^fdatasync")


def test_all_flushes_of_a_failed_sync_fail(daemon):
    with connect(daemon, b"sick") as wire:
        requests = [request(CMD_FLUSH, cookie=number) for number in range(20)]
        with Strace(daemon, "fdatasync", "fdatasync:error=EIO"):
            assert errors_of(wire, requests) == [EIO] * 20


def test_sync_that_fails_when_the_last_client_leaves_is_remembered(daemon):
    with connect(daemon, b"sick") as wire:
        assert wire.write(0, b"x") == 0
        with Strace(daemon, "fdatasync", "fdatasync:error=EIO"):
            wire.disconnect()
            wait_for(lambda: "sick: release" in daemon.log(), "the release fails")
    check_sticky(daemon)


@pytest.mark.parametrize("command", [CMD_WRITE, CMD_TRIM, CMD_WRITE_ZEROES])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_failed_sync_of_a_fua_request_is_sticky(daemon, command, error):
    """Whatever the error is: it may be that of earlier writes, which were acknowledged."""
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "fdatasync", f"fdatasync:error={error}"):
            assert wire.command(command, 0, 64 * KIB, FLAG_FUA, b"x" * 64 * KIB if command == CMD_WRITE else b"")[0] == EIO
    check_sticky(daemon)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("promise", PROMISES)
def test_promises_are_kept_again_when_the_failure_was_forgotten(daemon, promise, error):
    """One sync fails, whatever it was for; the kernel has told all that it knows."""
    with connect(daemon, b"sick") as wire:
        assert wire.write(64 * KIB, b"lost?") == 0
        with Strace(daemon, "fdatasync", f"fdatasync:error={error}") as trace:
            assert wire.command(*promise)[0] == EIO
            assert wire.command(CMD_FLUSH)[0] == EIO
        assert len(trace.calls("INJECTED")) == 1
        assert daemon.ctl_json("clear-error", "sick") == {"cleared": True}
        assert wire.write(64 * KIB, b"here!") == 0
        with Strace(daemon, "fdatasync") as trace:
            assert wire.command(CMD_FLUSH)[0] == 0
        assert len(trace.calls()) == 1
    check_healthy(daemon)
    assert content(daemon.path)[64 * KIB:64 * KIB + 5] == b"here!"


@pytest.mark.parametrize("error", ["EIO", "ENXIO", "ETIMEDOUT", "ESTALE", "EREMOTEIO"])
def test_failed_fua_write_is_sticky_and_not_tried_again(daemon, error):
    """Whatever the disk calls it: the client is told of an I/O error."""
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "pwritev2", f"pwritev2:error={error}") as trace:
            assert wire.write(0, b"x" * 512, FLAG_FUA) == EIO
        assert len(trace.calls()) == 1
    check_sticky(daemon)


def test_failed_plain_write_is_not_sticky(daemon):
    before = content(daemon.path)
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "pwritev2", "pwritev2:error=EIO"):
            assert wire.write(0, b"x" * 512) == EIO
        assert wire.read(0, 512) == before[:512]
        assert wire.command(CMD_FLUSH)[0] == 0
        assert wire.write(0, b"x" * 512) == 0
    check_healthy(daemon)


@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES])
def test_failed_trim_and_zeroes_are_not_sticky(daemon, command):
    with connect(daemon, b"sick") as wire:
        with Strace(daemon, "fallocate", "fallocate:error=EIO"):
            assert wire.command(command, 0, 4096)[0] == EIO
    check_healthy(daemon)
