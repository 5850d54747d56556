# SPDX-License-Identifier: BSD-2-Clause
"""Certificates and keys for tests, and what clients of ours make of them."""

import atexit
import contextlib
import functools
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

from wire_client import FIXED_NEWSTYLE, NO_ZEROES, OPT_GO, OPT_LIST, OPT_STARTTLS, REP_ACK, REP_SERVER, Closed, Wire, go_data

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


def _pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _speak_starttls(daemon, client):
    """What comes before TLS, which ordinary TLS clients know nothing of; then all goes through."""
    with Wire(daemon) as wire, client:
        wire.send(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
        assert wire.option(OPT_STARTTLS) == [(REP_ACK, b"")]
        wire.socket.settimeout(None)
        back = threading.Thread(target=_pump, args=(wire.socket, client), daemon=True)
        back.start()
        _pump(client, wire.socket)
        back.join()


@contextlib.contextmanager
def starttls_proxy(daemon):
    """A port on this machine behind which DAEMON speaks TLS at once."""
    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_speak_starttls, args=(daemon, client), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
