# SPDX-License-Identifier: BSD-2-Clause
"""libnbd's ways to want TLS against the server's, and what it refuses; that all else works inside, test_libnbd.py shows."""

import os
import shutil

import nbd
import pytest

import tls_support
from client_support import MIB, SECURE_TRANSPORTS, TRANSPORTS, handle_for, reached, uri
from daemon import Daemon, wait_for

CERTIFICATES = tls_support.certificates()
STRANGERS = tls_support.certificates("strangers")
NEVER, PERHAPS, ALWAYS = nbd.TLS_DISABLE, nbd.TLS_ALLOW, nbd.TLS_REQUIRE
REFUSED, PLAIN, TLS = "refused", "plain", "TLS"


def show_certificate(handle):
    handle.set_tls_certificates(CERTIFICATES)


def know_key(handle):
    handle.set_tls_psk_file(os.path.join(CERTIFICATES, "keys.psk"))
    handle.set_tls_username("client")


def connect(handle, daemon, transport):
    if transport == "tcp":
        handle.connect_tcp("127.0.0.1", str(daemon.port))
    else:
        handle.connect_unix(daemon.socket)


def attempt(daemon, transport, client, prove):
    handle = nbd.NBD()
    handle.set_tls(client)
    prove(handle)
    try:
        connect(handle, daemon, transport)
    except nbd.Error:
        return REFUSED
    negotiated = handle.get_tls_negotiated()
    handle.pwrite(b"through" * 1000, 1)
    assert handle.pread(7000, 1) == b"through" * 1000
    handle.shutdown()
    return TLS if negotiated else PLAIN


@pytest.mark.parametrize("prove", [show_certificate, know_key])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("server, results", [
    ("off", {NEVER: PLAIN, PERHAPS: PLAIN, ALWAYS: REFUSED}), ("on", {NEVER: PLAIN, PERHAPS: TLS, ALWAYS: TLS}),
    ("required", {NEVER: REFUSED, PERHAPS: TLS, ALWAYS: TLS})])
def test_who_wants_tls(directory, server, results, transport, prove):
    with Daemon(directory, "ram:1M", tcp=True, tls=False,
                options=[*tls_support.options(), "--tls-verify-peer", f"--tls={server}"]) as daemon:
        assert {client: attempt(daemon, transport, client, prove) for client in results} == results


def trusting(folder, verify):
    """A handle that knows the authority in FOLDER, has nothing to show, and may look at the server's certificate or not."""
    handle = nbd.NBD()
    handle.set_tls(ALWAYS)
    handle.set_tls_certificates(folder)
    handle.set_tls_verify_peer(verify)
    return handle


@pytest.mark.parametrize("wrong", ["authority", "host"])
def test_a_server_that_the_client_does_not_trust(directory, wrong):
    """On a unix socket libnbd looks at no certificate."""
    own, known = os.path.join(directory, "pki"), os.path.join(directory, "known")
    tls_support.make(own, "127.0.0.1" if wrong == "authority" else "elsewhere")
    os.mkdir(known)
    shutil.copy(os.path.join(STRANGERS if wrong == "authority" else own, "ca-cert.pem"), known)
    with Daemon(directory, "ram:1M", tcp=True, tls=False, options=["--tls-certificates", own, "-v"]) as daemon:
        with pytest.raises(nbd.Error, match="certificate verification"):
            connect(trusting(known, True), daemon, "tcp")
        wait_for(lambda: "it went away during the TLS handshake" in daemon.log(), "the reason is in the log")
        handle = trusting(known, False)
        connect(handle, daemon, "tcp")
        assert handle.get_tls_negotiated()
        handle.shutdown()


def test_a_client_without_a_certificate(directory):
    known = os.path.join(directory, "known")
    os.mkdir(known)
    shutil.copy(os.path.join(CERTIFICATES, "ca-cert.pem"), known)
    with Daemon(directory, "ram:1M", tcp=True, tls=False, options=[*tls_support.options(), "--tls-verify-peer", "-v"]) as daemon:
        for transport in TRANSPORTS:
            # What it says depends on whether it reads the alert before it has the next write fail.
            with pytest.raises(nbd.Error):
                connect(trusting(known, True), daemon, transport)
        wait_for(lambda: daemon.log().count("TLS: peer did not return a certificate") == 2, "the reason is in the log")


@pytest.mark.parametrize("transport", SECURE_TRANSPORTS)
def test_changes_since_a_mark(directory, transport):
    with Daemon(directory, f"d=ram:{MIB}", **reached(transport)) as daemon:
        daemon.ctl("mark", "d", "before")
        handle = handle_for(uri(daemon, transport, "d"), contexts=["x-platter:dirty:before", nbd.CONTEXT_BASE_ALLOCATION])
        handle.pwrite(b"d", 3 * 65536)
        found = {}
        handle.block_status(MIB, 0, lambda context, offset, entries, error: found.update({context: entries}) or 0)
        assert found["x-platter:dirty:before"] == [3 * 65536, 0, 65536, 1, MIB - 4 * 65536, 0]
        assert sum(found[nbd.CONTEXT_BASE_ALLOCATION][::2]) == MIB
        handle.shutdown()
