# SPDX-License-Identifier: BSD-2-Clause
"""Those who come to the port and speak something else, before or after the handshake."""

import random

import pytest

from seeds import seeded
from shared import KIB, MIB, harmless, noise, own_daemon
from wire_client import OPT_GO, Wire, go_data, option

TLS_HELLO = bytes.fromhex("16030100c5010000c10303") + noise(32) + bytes.fromhex("20") + noise(32, 2) + bytes.fromhex(
    "003e130213031301c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035"
    "002f00ff0100003a")
HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
STRANGERS = {
    "http": HTTP, "tls": TLS_HELLO, "ssh": b"SSH-2.0-OpenSSH_9.9\r\n", "smtp": b"EHLO example.org\r\n", "zeroes": bytes(MIB),
    "ones": b"\xff" * MIB, "random": noise(MIB), "newlines": b"\n" * 100, "nbd client of old": b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53",
}


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("a=ram:4M", options=["--threads", "2"], tcp=True) as running:
        yield running


def talk(wire, data):
    """Says it all, then hears the server out."""
    try:
        wire.send(data)
        wire.socket.shutdown(1)
        while wire.socket.recv(64 * KIB):
            pass
    except OSError as error:
        # It may have been sent away before it was done.
        assert not isinstance(error, TimeoutError)


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("greet", [False, True], ids=["first", "after the greeting"])
def test_a_stranger_is_sent_away(daemon, stranger, tcp, greet):
    with harmless(daemon), Wire(daemon, tcp=tcp, greet=greet) as wire:
        talk(wire, STRANGERS[stranger])


@pytest.mark.parametrize("stranger", ["http", "tls", "ones", "zeroes"])
def test_a_stranger_hears_nothing_but_the_greeting(daemon, stranger):
    with Wire(daemon) as wire:
        wire.send(STRANGERS[stranger][:20])
        assert wire.closed()


@seeded(10)
def test_random_bytes_as_options(daemon, seed):
    rng = random.Random(seed)
    with harmless(daemon):
        for _ in range(100):
            with Wire(daemon) as wire:
                wire.flags()
                options = [option(rng.choice([*range(12), rng.randrange(2**32)]), rng.randbytes(rng.choice([0, 1, 4, 6, 7, 10, 300])),
                                  rng.choice([None, None, None, rng.randrange(600)])) for _ in range(rng.randrange(1, 9))]
                talk(wire, b"".join(options) + rng.randbytes(rng.randrange(40)))


@seeded(10)
def test_random_bytes_as_requests(daemon, seed):
    rng = random.Random(seed)
    with harmless(daemon):
        for _ in range(20):
            with Wire(daemon) as wire:
                wire.flags()
                # Whole headers, most of them nonsense, on the part of the disk that the honest client doesn't use.
                requests = []
                for _ in range(rng.randrange(1, 30)):
                    length = rng.choice([0, 1, 512, 4096, 100000, rng.randrange(2**32)])
                    offset = rng.choice([MIB, MIB + rng.randrange(MIB), rng.randrange(2**64)])
                    requests.append(b"\x25\x60\x95\x13" + rng.choice([bytes(2), rng.randbytes(2)]) +
                                    rng.choice([b"\0", rng.randbytes(1)]) + bytes([rng.randrange(9)]) + rng.randbytes(8) +
                                    max(offset, MIB).to_bytes(8, "big") + length.to_bytes(4, "big") + rng.randbytes(rng.choice([0, 0, 0, length % 8192])))
                talk(wire, option(OPT_GO, go_data(b"a")) + b"".join(requests))


@seeded(5)
def test_a_good_session_with_one_wrong_byte(daemon, seed):
    rng = random.Random(seed)
    session = (b"\0\0\0\3" + option(3) + option(6, go_data(b"a", [1, 3])) + option(7, go_data(b"a")) +
               (b"\x25\x60\x95\x13" + bytes(12) + MIB.to_bytes(8, "big") + (512).to_bytes(4, "big")) * 3)
    with harmless(daemon):
        for place in range(len(session)):
            wrong = bytearray(session)
            wrong[place] ^= rng.randrange(1, 256)
            with Wire(daemon) as wire:
                # A read at an offset that became a write elsewhere has no payload: nothing is changed.
                talk(wire, bytes(wrong))
