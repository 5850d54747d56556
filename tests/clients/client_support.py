# SPDX-License-Identifier: BSD-2-Clause
"""What the tests with other people's clients share: running them, files to copy, and where to connect."""

import hashlib
import os
import random
import subprocess

import nbd

import tls_support
from daemon import Daemon

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TRANSPORTS = ["unix", "tcp"]
# Inside TLS: the client shows a certificate, or knows a key.
SECURE_TRANSPORTS = ["unix, certificate", "tcp, certificate", "unix, key", "tcp, key"]
ALL_TRANSPORTS = TRANSPORTS + SECURE_TRANSPORTS


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
    socket, _, secret = transport.partition(", ")
    plain = daemon.tcp_uri(export) if socket == "tcp" else daemon.uri(export)
    if not secret:
        return plain
    folder = tls_support.certificates()
    scheme, rest = plain.split("://", 1)
    scheme = scheme.replace("nbd", "nbds")
    more = "&" if "?" in rest else "?"
    if secret == "certificate":
        return f"{scheme}://{rest}{more}tls-certificates={folder}"
    return f"{scheme}://client@{rest}{more}tls-psk-file={folder}/keys.psk"


def handle_for(where, option_mode=False, strict=None, contexts=()):
    """libnbd's, connected; a URI for TLS names files, which it must be allowed to read."""
    handle = nbd.NBD()
    if strict is not None:
        handle.set_strict_mode(strict)
    for context in contexts:
        handle.add_meta_context(context)
    handle.set_opt_mode(option_mode)
    handle.set_uri_allow_local_file(True)
    handle.connect_uri(where)
    return handle


def reached(transport):
    """Arguments for a Daemon that is reached by it, and no other way."""
    arguments = {"tcp": transport.startswith("tcp")}
    if transport in SECURE_TRANSPORTS:
        arguments.update(tls=False, options=[*tls_support.options(), "--tls-verify-peer"])
    return arguments


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


def backed(directory, kind, size, transport):
    """A daemon with one export, the default one, of SIZE bytes: a RAM disk or a file."""
    if kind == "file":
        path = os.path.join(directory, "export.img")
        with open(path, "wb") as file:
            file.truncate(size)
        export = path
    else:
        export = f"ram:{size}"
    return Daemon(directory, export, **reached(transport))
