# SPDX-License-Identifier: BSD-2-Clause
"""What the drivers' tests share: files with known content, and daemons that should not or cannot simply start."""

import contextlib
import os
import random
import re
import shlex
import signal
import subprocess

import pytest
from daemon import Daemon
from wire_client import CMD_READ, Wire, request

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


def make_file(directory, content, name="disk.img"):
    """A file with CONTENT, or with a hole of that many bytes; returns its path."""
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        if isinstance(content, int):
            file.truncate(content)
        else:
            file.write(content)
            # Its blocks are there from now on, and counted.
            os.fsync(file.fileno())
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


def allocated(path):
    """Bytes that the file takes on its file system."""
    return os.stat(path).st_blocks * 512


def connect(daemon, export=b"", infos=()):
    """A client in transmission."""
    return Wire(daemon).go(export, infos)


def read_all(wire, length, piece=MIB):
    return b"".join(wire.read(at, min(piece, length - at)) for at in range(0, length, piece))


def errors_of(wire, requests, reads=()):
    """Sends REQUESTS, whose cookies are 0, 1, ..., in one go; returns their errors in that order.

    READS has the cookies of the reads, with their lengths."""
    wire.send(b"".join(requests))
    errors = {}
    reads = dict(reads)
    while len(errors) < len(requests):
        error, cookie, _ = wire.reply()
        if error == 0 and cookie in reads:
            wire.receive(reads[cookie])
        errors[cookie] = error
    return [errors[cookie] for cookie in range(len(requests))]


def refusal(directory, *exports, command=()):
    """Starts a platterd that must refuse to; returns what it says."""
    place = os.path.join(directory, "refused")
    os.makedirs(place, exist_ok=True)
    os.chmod(place, 0o777)
    with pytest.raises(AssertionError, match="platterd ended with 1:") as raised:
        Daemon(place, *exports, command=command).stop(signal.SIGKILL)
    said = str(raised.value)
    assert "Sanitizer" not in said and "runtime error" not in said, said
    return said


def in_own_mounts(script):
    """A command prefix: runs SCRIPT, which may mount what nobody else sees, and then what follows."""
    return ["unshare", "--mount", "sh", "-ec", script + '\nexec "$@"', "sh"]


@contextlib.contextmanager
def loop(path, *options, command=()):
    """A loop device on a file; COMMAND is a prefix with which it can be seen."""
    made = subprocess.run([*command, "losetup", "--find", "--show", *options, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, check=False)
    if made.returncode:
        pytest.skip(f"no loop devices here: {made.stderr.decode().strip()}")
    device = made.stdout.decode().strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], timeout=60, check=True)


def with_tmpfs(directory, options):
    """A command prefix that puts a file system of its own into DIRECTORY/mnt; returns it and that path."""
    mount = os.path.join(directory, "mnt")
    os.mkdir(mount)
    return in_own_mounts(f"mount -t tmpfs -o {shlex.quote(options)} none {shlex.quote(mount)}"), mount


def shared_memory(daemon):
    """Resident bytes of RAM disks."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssShmem:\s+(\d+) kB", status.read())[1]) * KIB


def pipelined_reads(wire, offsets, length):
    """Reads LENGTH bytes at each of OFFSETS, all sent at once; returns the data in that order."""
    wire.send(b"".join(request(CMD_READ, at, length, cookie=number) for number, at in enumerate(offsets)))
    found = {}
    for _ in offsets:
        error, cookie, data = wire.reply(length)
        assert error == 0
        found[cookie] = data
    return [found[number] for number in range(len(offsets))]
