# SPDX-License-Identifier: BSD-2-Clause
"""TLS as openssl's and GnuTLS's own clients see it, behind a proxy that says STARTTLS for them."""

import os
import re
import subprocess

import pytest

import tls_support
from daemon import Daemon
from tls_support import starttls_proxy
from wire_client import OPT_ABORT, OPT_LIST, option

CERTIFICATES = tls_support.certificates()
AUTHORITY = os.path.join(CERTIFICATES, "ca-cert.pem")
IDENTITY = os.path.join(CERTIFICATES, "client-cert.pem"), os.path.join(CERTIFICATES, "client-key.pem")
# Lists the exports, and leaves.
TALK = option(OPT_LIST) + option(OPT_ABORT)


@pytest.fixture(scope="module", params=[[], ["--tls-verify-peer"]], ids=["any client", "known clients"])
def port(request, tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("tls"))
    with Daemon(directory, "an-export=ram:1M", options=[*tls_support.options(), "--tls=required", *request.param], tls=False) as daemon:
        with starttls_proxy(daemon) as number:
            yield number


def run(*command):
    """What the client printed, of itself and of what the server said."""
    return subprocess.run([str(word) for word in command], input=TALK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          check=False).stdout.decode("latin-1")


def s_client(port, *options):
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", "-CAfile", AUTHORITY, "-verify_return_error",
               "-verify_hostname", "localhost", "-cert", IDENTITY[0], "-key", IDENTITY[1], *options)


def gnutls_cli(port, *options):
    return run("gnutls-cli", "-p", port, "--x509cafile", AUTHORITY, "--x509certfile", IDENTITY[0], "--x509keyfile", IDENTITY[1],
               *options, "--sni-hostname", "localhost", "--verify-hostname", "localhost", "127.0.0.1")


def test_openssl_gets_tls_1_3_and_nothing_it_needn_t(port):
    text = s_client(port)
    assert "Verify return code: 0 (ok)" in text
    assert "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" in text or "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in text
    assert "Early data was not sent" in text
    assert "Compression: NONE" in text
    assert "Post-Handshake New Session Ticket arrived" not in text
    assert "an-export" in text


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_openssl_with_each_suite(port, suite):
    text = s_client(port, "-ciphersuites", suite)
    assert f"Cipher is {suite}" in text
    assert "an-export" in text


@pytest.mark.parametrize("options", [["-alpn", "http/1.1,nbd"], ["-servername", "elsewhere"], ["-noservername"], ["-groups", "P-384"]], ids=" ".join)
def test_what_else_openssl_may_offer(port, options):
    text = s_client(port, *options)
    assert "No ALPN negotiated" in text
    assert "an-export" in text


def test_openssl_with_tls_1_2(port):
    text = s_client(port, "-tls1_2")
    assert re.search(r"New, TLSv1\.2, Cipher is ECDHE-", text)
    assert "Session-ID: \n" in text and "TLS session ticket:" not in text
    assert "Compression: NONE" in text
    assert "an-export" in text


@pytest.mark.parametrize("options", [
    ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
    ["-tls1_2", "-cipher", "AES128-SHA"], ["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"]])
def test_what_is_old_is_refused(port, options):
    text = s_client(port, *options)
    assert "an-export" not in text
    assert "Cipher is (NONE)" in text


def test_renegotiation_is_refused(port):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-CAfile", AUTHORITY, "-cert", IDENTITY[0],
                           "-key", IDENTITY[1]], input=b"R\n", capture_output=True, timeout=60, check=False)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stdout + done.stderr


@pytest.mark.parametrize("priority, version", [("NORMAL", "TLS1.3"), ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLS1.2")])
def test_gnutls(port, priority, version):
    text = gnutls_cli(port, "--priority", priority)
    assert "Status: The certificate is trusted" in text
    assert f"({version}-" in text
    assert "an-export" in text


def test_gnutls_refuses_a_server_of_another_authority(port):
    other = os.path.join(tls_support.certificates("strangers"), "ca-cert.pem")
    text = run("gnutls-cli", "-p", port, "--x509cafile", other, "--verify-hostname", "localhost", "127.0.0.1")
    assert "NOT trusted" in text
    assert "an-export" not in text


def test_gnutls_with_old_versions_is_refused(port):
    text = gnutls_cli(port, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT")
    assert "an-export" not in text


def first_key():
    with open(os.path.join(CERTIFICATES, "keys.psk"), encoding="ascii") as file:
        return file.readline().strip().split(":")


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_openssl_with_a_key(port, version):
    name, key = first_key()
    # Of certificates it would take any in 1.2.
    text = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", f"-tls{version}", "-cipher", "PSK", "-psk_identity",
               name, "-psk", key)
    assert f"TLSv{version.replace('_', '.')}, Cipher is" in text
    assert "no peer certificate available" in text
    assert "an-export" in text


@pytest.mark.parametrize("suite, mine", [
    ("TLS_AES_128_GCM_SHA256", True), ("TLS_CHACHA20_POLY1305_SHA256", True), ("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", True),
    ("TLS_AES_256_GCM_SHA384", False)])
def test_a_key_counts_only_with_a_suite_of_its_hash(directory, suite, mine):
    """Without one the server shows its certificate, and who named a key is nobody."""
    name, key = first_key()
    with Daemon(directory, f"mine=ram:1M,allow=psk:{name}", "all=ram:1M", options=tls_support.options(), tls=False) as daemon:
        with starttls_proxy(daemon) as number:
            text = run("openssl", "s_client", "-connect", f"127.0.0.1:{number}", "-ign_eof", "-psk_identity", name, "-psk", key, "-ciphersuites", suite)
    assert "all" in text
    assert ("mineRAM disk" in text) is mine
    assert ("Reused, TLSv1.3" in text) is mine


def test_gnutls_with_a_key(port):
    """In TLS 1.3: with 1.2 Debian 12's gnutls-cli dies of its own."""
    name, key = first_key()
    text = run("gnutls-cli", "-p", port, "--pskusername", name, "--pskkey", key, "--priority", "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK",
               "127.0.0.1")
    assert "an-export" in text


def test_a_wrong_key_is_refused(port):
    name, key = first_key()
    wrong = ("1" if key[0] == "0" else "0") + key[1:]
    for version in "1_2", "1_3":
        text = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", f"-tls{version}", "-cipher", "PSK", "-psk_identity",
                   name, "-psk", wrong)
        assert "an-export" not in text
