# SPDX-License-Identifier: BSD-2-Clause
"""Records of TLS 1.3 after the handshake (RFC 8446, section 5), where the kernel doesn't do it: whole, in pieces, and wrong."""

import contextlib
import os
import random
import shutil
import socket
import ssl
import struct
import tempfile
import threading

import pytest

from daemon import PATIENCE, SANITIZED, wait_for
from seeds import seeded
from shared import KIB, MIB, harmless, noise, own_daemon
from wire_client import CMD_READ, CMD_WRITE, REPLY_MAGIC, Wire, request

SIZE = 16 * MIB


@pytest.fixture(scope="module", params=["1", "2"], ids=["one reactor", "two reactors"])
def daemon(request):
    with own_daemon(f"open=ram:{SIZE}", options=["--ktls=off", "--threads", request.param], tls=True) as running:
        yield running


def connected(daemon):
    """In transmission, where records are ours once the first request has been answered."""
    wire = Wire(daemon).go(b"open")
    assert wire.write(SIZE - 5, b"first") == 0
    assert wire.read(SIZE - 5, 5) == b"first"
    return wire


def raw(wire):
    """The socket beneath TLS."""
    return socket.socket(fileno=os.dup(wire.socket.fileno()))


class Relay:
    """A server in front of DAEMON that passes on what clients send: as it comes, or in pieces of any size by CHANCE."""

    def __init__(self, daemon, chance=None):
        self.daemon, self.chance = daemon, chance
        self.tls = daemon.tls
        self.directory = tempfile.mkdtemp(prefix="platter-")
        self.socket = os.path.join(self.directory, "relay.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket)
        self.listener.listen()
        self.spoiled = self.left = None  # bytes until one is changed, or until no more are passed on; None: never
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.daemon.socket)
                threading.Thread(target=self._pass, args=(client, server, self._there), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, lambda data: [data]), daemon=True).start()

    @staticmethod
    def _pass(source, sink, pieces):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                for piece in pieces(data):
                    sink.sendall(piece)
        for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                end.shutdown(how)

    def _there(self, data):
        data = bytearray(data)
        if self.spoiled is not None:
            if self.spoiled < len(data):
                data[self.spoiled] ^= 1
                self.spoiled = None
            else:
                self.spoiled -= len(data)
        with self.changed:
            if self.left is not None:
                length, self.left = self.left, max(0, self.left - len(data))
                yield data[:length]
                data = data[length:]
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.left is None)
        while data:
            length = self.chance.choice([1, 4, 7, 1000, 5000, 16406, 1 << 16]) if self.chance else len(data)
            yield data[:length]
            data = data[length:]

    def spoil(self, at):
        """Changes the byte AT, counted from now."""
        self.spoiled = at

    def hold(self, length):
        """Passes on LENGTH bytes and keeps what is behind them."""
        self.left = length

    def is_holding(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.left == 0, PATIENCE)

    def let_go(self):
        with self.changed:
            self.left = None
            self.changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.let_go()
        shutil.rmtree(self.directory, ignore_errors=True)


# --- What is wrong


WRONG = {
    "a change of the cipher": (b"\x14\x03\x03\x00\x01\x01", "unexpected message"),
    "an alert in plain text": (b"\x15\x03\x03\x00\x02\x01\x00", "unexpected message"),
    "a handshake in plain text": (b"\x16\x03\x03\x00\x04\x01\x00\x00\x00", "unexpected message"),
    "the beginning of plain text": (request(CMD_READ, 0, 512), "unexpected message"),
    "a record that is too large": (b"\x17\x03\x03\x40\x12", "record overflow"),
    "the largest length": (b"\x17\x03\x03\xff\xff", "record overflow"),
    "a record without a tag": (b"\x17\x03\x03\x00\x08" + bytes(8), "bad record mac"),
    "an empty record": (b"\x17\x03\x03\x00\x00", "bad record mac"),
    "a record of somebody else": (b"\x17\x03\x03\x01\x00" + noise(256), "bad record mac"),
    "one of the largest": (b"\x17\x03\x03\x40\x11" + noise(16401), "bad record mac"),
}


def alert_of(wire):
    """What the server's alert says; "" if it says nothing, and the connection ends."""
    try:
        while wire.socket.recv(MIB):
            pass
    except ssl.SSLError as error:
        return error.reason.lower().replace("_", " ")
    except ConnectionError:
        pass
    return ""


@pytest.mark.parametrize("sent, alert", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("ahead", [0, 3], ids=["alone", "behind requests"])
def test_what_is_wrong_is_the_end_and_the_client_is_told(daemon, sent, alert, ahead):
    with harmless(daemon, b"open"):
        with connected(daemon) as wire, raw(wire) as beneath:
            for cookie in range(ahead):
                wire.send(request(CMD_READ, MIB, 5, cookie=cookie))
            beneath.sendall(sent)
            said = alert_of(wire)
            # While replies are being sent there is no room for more to say.
            assert said.endswith(alert) if ahead == 0 else said == "" or said.endswith(alert)
        wait_for(lambda: "TLS: " in daemon.ctl("dmesg"), "the reason is in the log")


@pytest.mark.parametrize("length", [512, 40000, 300 * KIB, MIB])
def test_a_write_that_was_changed_on_its_way_never_happens(daemon, length):
    """Wherever it was opened: small ones in a buffer, large ones where they shall lie."""
    with Relay(daemon) as relay:
        for at in (5, 40, 3 * length // 4, length):
            with connected(relay) as wire:
                assert wire.write(MIB, bytes(length)) == 0
                relay.spoil(at)
                with contextlib.suppress(OSError):
                    wire.send(request(CMD_WRITE, MIB, length, payload=b"x" * length))
                # Who is still sending may not hear it.
                assert alert_of(wire).endswith("bad record mac") or length > 16 * KIB
            with Wire(daemon).go(b"open") as wire:
                assert wire.read(MIB, length) == bytes(length)


# --- Any pieces


@seeded(6)
def test_records_come_in_pieces_of_any_size(daemon, seed):
    """Requests of any size do, in records of any size; what comes back is what was written."""
    chance = random.Random(seed)
    shadow = {}
    with Relay(daemon, chance) as relay, connected(relay) as wire:
        for _ in range(30):
            sent, expected = b"", {}
            # Each has its own place: no order is promised.
            for cookie in chance.sample(range(1, 12), chance.randrange(1, 12)):
                length = chance.choice([1, 4 * KIB, 16 * KIB, 70000, 300 * KIB, chance.randrange(1, MIB)])
                if cookie in shadow and chance.random() < 0.5:
                    sent += request(CMD_READ, cookie * MIB, len(shadow[cookie]), cookie=cookie)
                    expected[cookie] = shadow[cookie]
                else:
                    shadow[cookie] = chance.randbytes(length)
                    sent += request(CMD_WRITE, cookie * MIB, length, cookie=cookie, payload=shadow[cookie])
                    expected[cookie] = b""
            send_in_records(wire, sent, chance)
            while expected:
                magic, error, cookie = struct.unpack(">IIQ", wire.receive(16))
                assert (magic, error) == (REPLY_MAGIC, 0)
                data = expected.pop(cookie)
                assert wire.receive(len(data)) == data


def send_in_records(wire, data, chance):
    while data:
        length = chance.choice([1, 100, 16 * KIB, 100000])
        wire.send(data[:length])
        data = data[length:]


@pytest.mark.parametrize("length", [1, 3, 5, 6, 30, 1000, 5000, 16000])
def test_half_a_record_waits_for_its_other_half(daemon, length):
    """Others are served meanwhile, and its connection is as quick as before."""
    with Relay(daemon) as relay, connected(relay) as wire:
        for _ in range(3):
            relay.hold(length)
            wire.send(request(CMD_WRITE, 0, 20000, payload=noise(20000)))
            relay.is_holding()
            with Wire(daemon).go(b"open") as other:
                assert len(other.read(0, 512)) == 512
            relay.let_go()
            assert wire.reply() == (0, 1, b"")
            assert wire.read(0, 20000) == noise(20000)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is its own")
def test_memory_is_given_back_when_the_other_half_has_come(daemon):
    with harmless(daemon, b"open"), Relay(daemon) as relay, connected(relay) as wire:
        before = daemon.memory()
        relay.hold(16000)
        wire.send(request(CMD_WRITE, MIB, 100000, payload=bytes(100000)))
        relay.is_holding()
        relay.let_go()
        assert wire.reply() == (0, 1, b"")
        wait_for(lambda: daemon.memory() <= before + 64 * KIB, "an idle connection keeps little")
