# SPDX-License-Identifier: BSD-2-Clause
"""What several wire tests need: a daemon for a whole module, and the check that a bad client did no harm."""

import contextlib
import itertools
import os
import random
import shutil
import socket
import statistics
import struct
import tempfile
import threading
import time

from baseline import leaves_nothing
from daemon import SANITIZED, Daemon, wait_for
from wire_client import CMD_READ, CMD_WRITE, Wire, request

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@contextlib.contextmanager
def own_daemon(*exports, **keywords):
    """A daemon with a directory of its own, for fixtures that last longer than a test."""
    directory = tempfile.mkdtemp(prefix="platter-")
    try:
        with Daemon(directory, *exports, **keywords) as daemon:
            yield daemon
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def sparse_file(directory, size, name="disk"):
    path = os.path.join(str(directory), name)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


def info(replies, kind):
    """The content of an information reply; None when there is none."""
    for answer, data in replies:
        if answer == 3 and struct.unpack(">H", data[:2])[0] == kind:
            return data[2:]
    return None


def is_quiet(wire, seconds=0.05):
    """Whether nothing comes for a moment, and the connection stays open."""
    before = wire.socket.gettimeout()
    wire.socket.settimeout(seconds)
    try:
        wire.socket.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        wire.socket.settimeout(before)


class Bystander:
    """
    An honest client that works all the time, on the first sector of an export, and notices when it is disturbed: its data,
    there and in a range that nobody touches, and its speed, which is compared with what it was before.
    """

    # Far below any timeout of the server, far above a bad moment of a busy machine.
    PATIENCE = 20 if SANITIZED else 5
    # The median round may take so many times what it took before, and so many seconds more: Python's threads, of which the
    # attacker is one, take turns of 5 ms.
    SLOWER, MORE = 20, 0.5 if SANITIZED else 0.05
    KEPT, KEPT_LENGTH = 4 * KIB, 8 * KIB
    seeds = itertools.count(1)

    def __init__(self, daemon, name=b""):
        self.wire = Wire(daemon).go(name)
        self.rounds, self.requests, self.times, self.trouble = 0, 0, [], None
        self.kept = noise(self.KEPT_LENGTH, f"kept {next(self.seeds)}")
        self._write(self.KEPT, self.kept)
        for _ in range(10):
            self._round()
        self.before, self.times = statistics.median(self.times), []
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _write(self, offset, data):
        self.wire.send(request(CMD_WRITE, offset, len(data), cookie=1, payload=data))
        assert self.wire.reply() == (0, 1, b"")
        self.requests += 1

    def _check_data(self, offset, data):
        self.wire.send(request(CMD_READ, offset, len(data), cookie=2))
        assert self.wire.reply(len(data)) == (0, 2, data), f"other data at {offset}"
        self.requests += 1

    def _round(self):
        data = noise(512, self.rounds)
        started = time.monotonic()
        self._write(0, data)
        self._check_data(0, data)
        self.times.append(time.monotonic() - started)
        self.rounds += 1

    def _run(self):
        try:
            while not self.stopping:
                self._round()
                time.sleep(0.001)
            self._check_data(self.KEPT, self.kept)
        except Exception as error:  # pylint: disable=broad-except
            self.trouble = repr(error)

    def works(self):
        """Whether it gets on, from now."""
        before = self.rounds
        wait_for(lambda: self.rounds >= before + 2 or self.trouble, "an honest client gets on")
        return not self.trouble

    def stop(self):
        """Ends it; a last look at the data that it left alone."""
        self.stopping = True
        self.thread.join()
        self.wire.socket.close()

    def check(self):
        assert not self.trouble, self.trouble
        times = list(self.times)
        usual = statistics.median(times)
        assert max(times) < self.PATIENCE, f"an honest client waited {max(times):.1f} s"
        assert usual < self.SLOWER * self.before + self.MORE, \
            f"an honest client needed {usual * 1000:.1f} ms a round, {self.before * 1000:.1f} ms before"


@contextlib.contextmanager
def harmless(daemon, name=b"", slack=MIB):
    """What happens inside leaves the daemon alive, its descriptors and memory as before, and an honest client undisturbed."""
    with leaves_nothing(daemon, name, slack):
        honest = Bystander(daemon, name)
        try:
            yield honest
            honest.works()
        finally:
            honest.stop()
        honest.check()


def close(wire):
    wire.socket.close()


def reset(wire):
    """Over TCP the other side gets a reset, with all it has sent lost."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


def half_close(wire):
    """Hears all that the server still has to say; it must close its side, too."""
    wire.socket.shutdown(socket.SHUT_WR)
    while wire.socket.recv(MIB):
        pass
