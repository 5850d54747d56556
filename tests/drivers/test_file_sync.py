# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: what makes data durable, as the kernel sees it."""

import re
import signal

import pytest
from daemon import Daemon, wait_for
from driver_support import KIB, MIB, connect, errors_of, make_file, noise
from strace import ENVIRONMENT, Strace
from wire_client import CMD_FLUSH, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, FLAG_FUA, FLAG_NO_HOLE, request

CALLS = "pwritev2,pwritev,pwrite64,fdatasync,fsync,fallocate"
SYNC = r"^f(data)?sync\("


@pytest.fixture
def daemon(directory):
    path = make_file(directory, noise(4 * MIB))
    with Daemon(directory, path, environment=ENVIRONMENT) as running:
        yield running


def watch(daemon, *commands):
    """Runs one command after the other; returns the calls that it took."""
    with connect(daemon) as wire:
        with Strace(daemon, CALLS) as trace:
            for command in commands:
                assert wire.command(*command)[0] == 0
    return trace.calls()


def names(calls):
    return [re.match(r"\w+", call)[0] for call in calls]


def test_flush_syncs_once(daemon):
    assert names(watch(daemon, (CMD_FLUSH,))) == ["fdatasync"]


def test_the_end_syncs_what_a_client_wrote_that_is_still_there(daemon):
    with connect(daemon) as wire:
        assert wire.write(0, b"x" * 4096) == 0
        with Strace(daemon, CALLS) as trace:
            daemon.process.terminate()
            assert wire.closed()
            wire.socket.close()
            wait_for(lambda: not daemon.alive(), "it ends")
    assert trace.calls(SYNC)


def test_plain_write_is_not_synced(daemon):
    calls = watch(daemon, (CMD_WRITE, 0, 4096, 0, b"x" * 4096))
    assert names(calls) == ["pwritev2"]


@pytest.mark.parametrize("length", [1, 4096, 3 * MIB])
def test_fua_write_is_durable_by_itself(daemon, length):
    calls = watch(daemon, (CMD_WRITE, 0, length, FLAG_FUA, b"x" * length))
    # Not RWF_DSYNC: that may report an earlier write-back's failure in the words of this write's own.
    assert set(names(calls)) == {"pwritev2", "fdatasync"} and names(calls)[-1] == "fdatasync", calls
    assert not any("DSYNC" in call for call in calls)


def test_fua_writes_that_arrive_together_share_a_sync(daemon):
    with connect(daemon) as wire:
        requests = [request(CMD_WRITE, number * 64 * KIB, 4096, FLAG_FUA if number % 2 else 0, number, b"x" * 4096)
                    for number in range(16)]
        with Strace(daemon, CALLS) as trace:
            assert errors_of(wire, requests) == [0] * 16
    assert len(trace.calls("^pwritev2")) == 16
    # One for all, as a rule; the requests may arrive in several batches.
    assert 1 <= len(trace.calls(SYNC)) <= 4


def test_plain_writes_beside_a_fua_write_are_not_synced(daemon):
    with connect(daemon) as wire:
        requests = [request(CMD_WRITE, number * 64 * KIB, 4096, 0 if number else FLAG_FUA, number, b"x" * 4096)
                    for number in range(16)]
        with Strace(daemon, CALLS) as trace:
            assert errors_of(wire, requests) == [0] * 16
    assert len(trace.calls("^pwritev2")) == 16
    assert len(trace.calls(SYNC)) == 1


@pytest.mark.parametrize("command, flags", [(CMD_TRIM, 0), (CMD_WRITE_ZEROES, 0), (CMD_WRITE_ZEROES, FLAG_NO_HOLE)])
def test_fua_trim_and_zeroes_are_synced_afterwards(daemon, command, flags):
    assert names(watch(daemon, (command, 0, MIB, flags | FLAG_FUA))) == ["fallocate", "fdatasync"]
    assert names(watch(daemon, (command, 0, MIB, flags))) == ["fallocate"]


def test_fua_zeroes_that_are_written_are_synced_afterwards(daemon):
    with connect(daemon) as wire:
        with Strace(daemon, CALLS, "fallocate:error=EOPNOTSUPP") as trace:
            assert wire.command(CMD_WRITE_ZEROES, 0, 2 * MIB + 1, FLAG_FUA)[0] == 0
    calls = [call for call in trace.calls() if not call.startswith("fallocate")]
    assert len(calls) >= 2
    assert names(calls)[-1] == "fdatasync"


def test_flushes_that_arrive_together_share_a_sync(daemon):
    with connect(daemon) as wire:
        with Strace(daemon, CALLS) as trace:
            assert errors_of(wire, [request(CMD_FLUSH, cookie=number) for number in range(16)]) == [0] * 16
    assert 1 <= len(trace.calls(SYNC)) <= 4


def test_flush_that_arrives_during_a_sync_gets_one_of_its_own(daemon):
    """The first sync takes a while: what comes meanwhile isn't covered by it."""
    with connect(daemon) as one, connect(daemon) as other:
        with Strace(daemon, CALLS, "fdatasync:delay_enter=300000:when=1") as trace:
            one.send(request(CMD_FLUSH))
            wait_for(lambda: "fdatasync" in trace.text(), "the first sync runs")
            assert other.write(0, b"x") == 0
            assert other.command(CMD_FLUSH)[0] == 0
            assert one.reply()[0] == 0
    assert names(trace.calls()) == ["fdatasync", "pwritev2", "fdatasync"]


def test_last_client_leaves_a_synced_file(daemon):
    with connect(daemon) as one, connect(daemon) as other:
        with Strace(daemon, CALLS) as trace:
            assert one.write(0, b"x") == 0
            one.disconnect()
            assert other.write(0, b"y") == 0
            other.disconnect()
            wait_for(lambda: "fdatasync" in trace.text(), "the release syncs")
    assert names(trace.calls()) == ["pwritev2", "pwritev2", "fdatasync"]


def test_disk_that_hangs_does_not_hold_up_another(directory):
    slow, fast = make_file(directory, MIB, "slow.img"), make_file(directory, MIB, "fast.img")
    strace = ["strace", "-f", "-o", "/dev/null", "-P", slow, "-e", "signal=none", "-e", "inject=fallocate:delay_enter=10s"]
    with Daemon(directory, "slow=" + slow, "fast=" + fast, options=["--threads", "1"], command=strace, environment=ENVIRONMENT) as daemon:
        with connect(daemon, b"slow") as hanging, connect(daemon, b"fast") as wire:
            hanging.send(b"".join(request(CMD_TRIM, number * 4096, 4096, 0, number) for number in range(200)))
            wait_for(lambda: daemon.stats()["requests"] >= 200, "they have begun")
            wire.socket.settimeout(7)
            assert wire.command(CMD_FLUSH)[0] == 0
            assert wire.write(0, b"y", FLAG_FUA) == 0
            assert wire.command(CMD_TRIM, 0, 4096)[0] == 0
            daemon.stop(signal.SIGKILL)
