# SPDX-License-Identifier: BSD-2-Clause
"""Certificates and keys for tests, and what clients of ours make of them."""

import atexit
import functools
import os
import shutil
import ssl
import struct
import subprocess
import tempfile

from wire_client import FIXED_NEWSTYLE, NO_ZEROES, OPT_GO, OPT_LIST, REP_ACK, REP_SERVER, Closed, Wire, go_data

MAKE_CERTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "make-certs")


def make(directory, *names, client="client"):
    subprocess.run([MAKE_CERTS, directory, *names], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CLIENT": client})
    return directory


@functools.lru_cache(maxsize=None)
def certificates(authority="ours"):
    """A directory that all tests of a process share; another one, of another authority, under another name."""
    directory = tempfile.mkdtemp(prefix="platter-certs-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return make(directory)


def context(directory, authority=None, identity=True, **versions):
    """A client's: it trusts the authority of AUTHORITY, or DIRECTORY, and shows DIRECTORY's client certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(os.path.join(authority or directory, "ca-cert.pem"))
    if identity:
        made.load_cert_chain(os.path.join(directory, "client-cert.pem"), os.path.join(directory, "client-key.pem"))
    for name, version in versions.items():
        setattr(made, name, version)
    return made


def options():
    """A server's: certificates and keys."""
    return ["--tls-certificates", certificates(), "--tls-psk", os.path.join(certificates(), "keys.psk")]


def secured(daemon, client=None, export=None, **keywords):
    """A connection inside TLS, with the handshake's options to come or, for EXPORT, over."""
    wire = Wire(daemon, **keywords)
    wire.send(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
    wire.starttls(client or context(certificates()))
    if export:
        assert wire.option(OPT_GO, go_data(export))[-1][0] == REP_ACK
    return wire


def refused(daemon, client):
    """In TLS 1.3 the client learns of it with the first answer."""
    try:
        with secured(daemon, client) as wire:
            wire.option(OPT_LIST)
    except (ssl.SSLError, OSError, Closed):
        return True
    return False


def listed(wire):
    """The names of the exports that the server shows."""
    return [data[4:4 + struct.unpack(">I", data[:4])[0]] for kind, data in wire.option(OPT_LIST) if kind == REP_SERVER]
