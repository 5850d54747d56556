# SPDX-License-Identifier: BSD-2-Clause
"""What the tests with other people's clients share: running them, files to copy, and where to connect."""

import hashlib
import os
import random
import subprocess

from daemon import Daemon

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TRANSPORTS = ["unix", "tcp"]


def run(*command, status=0, directory=None):
    """Runs a client to its end, which must be the expected one; returns what it wrote to stdout."""
    ran = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, cwd=directory, timeout=120, check=False)
    output = ran.stdout.decode(errors="replace")
    assert (ran.returncode == 0) == (status == 0), (command, ran.returncode, output, ran.stderr.decode(errors="replace"))
    return output


def complaint(*command):
    """What a client says that fails, as it must."""
    ran = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=120, check=False)
    output = ran.stderr.decode(errors="replace")
    assert ran.returncode > 0, (command, ran.returncode, output)
    return output


def uri(daemon, transport, export=""):
    return daemon.tcp_uri(export) if transport == "tcp" else daemon.uri(export)


def sparse_file(path, size, islands, seed=1):
    """A file of holes with ISLANDS of data of many sizes, at places without any order or alignment."""
    places = random.Random(seed)
    with open(path, "wb") as file:
        file.truncate(size)
        for _ in range(islands):
            length = places.choice([1, 511, 4096, 70000, MIB + 1])
            file.seek(places.randrange(size - length))
            file.write(places.randbytes(length))
        # The ends are where mistakes are made.
        for at, end in ((0, b"first"), (size - 4, b"last")):
            file.seek(at)
            file.write(end)
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def backed(directory, kind, size, transport, **arguments):
    """A daemon with one export, the default one, of SIZE bytes: a RAM disk or a file."""
    if kind == "file":
        path = os.path.join(directory, "export.img")
        with open(path, "wb") as file:
            file.truncate(size)
        export = path
    else:
        export = f"ram:{size}"
    return Daemon(directory, export, tcp=transport == "tcp", **arguments)
