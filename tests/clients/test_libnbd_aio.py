# SPDX-License-Identifier: BSD-2-Clause
"""libnbd through Python: many commands in flight, and the option phase step by step."""

import errno
import random

import nbd
import pytest
from client_support import ALL_TRANSPORTS, KIB, MIB, backed, handle_for, reached, uri
from daemon import Daemon

SIZE = 32 * MIB


@pytest.fixture(params=[(kind, transport) for kind in ("ram", "file") for transport in ALL_TRANSPORTS], ids="-".join)
def where(directory, request):
    kind, transport = request.param
    with backed(directory, kind, SIZE, transport) as daemon:
        yield uri(daemon, transport)


class Answers(list):
    """The errors of commands, by the number that each was given."""

    def of(self, number):
        def answered(error):
            self.append((number, error.value))
            return 1
        return answered

    def wait(self, handle):
        while handle.aio_in_flight():
            assert handle.poll(60000) == 1
        return sorted(self)


def test_many_writes_then_many_reads(where):
    handle = handle_for(where)
    order = random.Random(1)
    places = order.sample(range(0, SIZE, 16 * KIB), 1000)
    data = {at: order.randbytes(order.randrange(1, 16 * KIB)) for at in places}
    answers = Answers()
    for at in places:
        handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data[at])), at, answers.of(at))
    assert answers.wait(handle) == sorted((at, 0) for at in places)
    buffers = {at: nbd.Buffer(len(data[at])) for at in reversed(places)}
    answers = Answers()
    for at, buffer in buffers.items():
        handle.aio_pread(buffer, at, answers.of(at))
    assert answers.wait(handle) == sorted((at, 0) for at in places)
    assert all(buffer.to_bytearray() == data[at] for at, buffer in buffers.items())
    handle.shutdown()


def test_every_command_at_once(where):
    handle = handle_for(where)
    handle.pwrite(b"\xa5" * MIB, 16 * MIB)
    answers = Answers()
    buffers = []
    for number in range(0, 600, 6):
        at = number * 8 * KIB
        buffers.append(nbd.Buffer(4096))
        handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"w" * 4096)), at, answers.of(number), nbd.CMD_FLAG_FUA)
        handle.aio_zero(4096, at + 8 * KIB, answers.of(number + 1))
        handle.aio_trim(4096, at + 16 * KIB, answers.of(number + 2))
        handle.aio_cache(4096, at + 24 * KIB, answers.of(number + 3))
        handle.aio_flush(answers.of(number + 4))
        handle.aio_pread(buffers[-1], at + 40 * KIB, answers.of(number + 5))
    assert answers.wait(handle) == [(number, 0) for number in range(600)]
    handle.shutdown()


def test_connections_see_each_others_writes(where):
    handles = [handle_for(where) for _ in range(4)]
    assert all(handle.can_multi_conn() for handle in handles)
    for round_number in range(16):
        writer = handles[round_number % 4]
        data = bytes([round_number + 1]) * (100 * KIB + round_number)
        writer.pwrite(data, round_number * MIB + 1)
        handles[(round_number + 1) % 4].flush()
        for handle in handles:
            assert handle.pread(len(data), round_number * MIB + 1) == data
    for handle in handles:
        handle.shutdown()


def test_shutdown_waits_for_nothing_and_loses_nothing(where):
    handle = handle_for(where)
    for number in range(100):
        handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"d" * 64 * KIB)), number * 64 * KIB)
    # The commands before it are sent, and a proper goodbye lets them count.
    handle.shutdown()
    handle = handle_for(where)
    assert handle.pread(100 * 64 * KIB, 0) == b"d" * (100 * 64 * KIB)
    handle.shutdown()


@pytest.mark.parametrize("transport", ALL_TRANSPORTS)
def test_option_phase(directory, transport):
    with Daemon(directory, "one=ram:1M,description=first", "two=null:2M,readonly", **reached(transport)) as daemon:
        handle = handle_for(uri(daemon, transport), option_mode=True)
        listed = []
        assert handle.opt_list(lambda name, text: listed.append((name, text)) or 0) == 2
        assert listed[0] == ("one", "first")
        assert listed[1][0] == "two"
        handle.set_full_info(True)
        for name, size, read_only in (("two", 2 * MIB, True), ("one", MIB, False)):
            handle.set_export_name(name)
            handle.opt_info()
            assert (handle.get_size(), handle.is_read_only()) == (size, read_only)
        handle.set_export_name("three")
        with pytest.raises(nbd.Error) as raised:
            handle.opt_info()
        assert raised.value.errnum == errno.ENOENT
        handle.set_export_name("")
        handle.opt_go()
        assert handle.get_canonical_export_name() == "one"
        assert handle.get_export_description() == "first"
        assert handle.pread(512, 0) == bytes(512)
        handle.shutdown()


@pytest.mark.parametrize("transport", ALL_TRANSPORTS)
def test_option_phase_can_be_aborted(directory, transport):
    with Daemon(directory, "ram:1M", **reached(transport)) as daemon:
        handle = handle_for(uri(daemon, transport), option_mode=True)
        handle.opt_abort()
        assert handle.aio_is_closed()


def test_client_of_the_old_days(directory):
    """EXPORT_NAME alone, with the 124 zeroes."""
    with Daemon(directory, "a=ram:1M") as daemon:
        handle = nbd.NBD()
        handle.set_handshake_flags(0)
        handle.set_export_name("a")
        handle.connect_uri(daemon.uri("a"))
        assert handle.get_protocol() == "newstyle"
        assert handle.get_size() == MIB
        handle.pwrite(b"old", 0)
        assert handle.pread(3, 0) == b"old"
        handle.shutdown()
