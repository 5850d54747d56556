# SPDX-License-Identifier: BSD-2-Clause
"""platter's own TLS, up to where the kernel would take over: whom it trusts, as whom it comes, and what it says of those it refuses."""

import json
import os
import re
import shutil
import subprocess

import pytest

import tls_support
from certificate_support import SERVER, Authority
from daemon import Daemon
from platter_support import TLS, refused, run, told

CERTIFICATES = tls_support.certificates()
KEYS = os.path.join(CERTIFICATES, "keys.psk")


@pytest.fixture
def daemon(directory):
    options = ["--tls=required", "--tls-certificates", CERTIFICATES, "--tls-psk", KEYS]
    with Daemon(directory, "a=ram:64M", "mine=ram:1M,allow=cert:client", tcp=True, options=options, tls=False) as running:
        yield running


def secure(daemon, export="a", user="", host="127.0.0.1", **parameters):
    query = "&".join(f"tls-{name.replace('_', '-')}={value}" for name, value in parameters.items())
    return f"nbds://{user}{'@' * bool(user)}{host}:{daemon.port}/{export}?{query}".rstrip("?")


def test_certificates(daemon):
    uri = secure(daemon, certificates=CERTIFICATES)
    assert json.loads(told("--json", "info", uri))["size"] == 64 << 20
    assert "a" in told("exports", uri).split()
    assert re.fullmatch(r"\d+\.\d ms\n", told("ping", uri))


def test_a_unix_socket_has_no_name_to_be_checked(daemon):
    uri = f"nbds+unix:///a?socket={daemon.socket}&tls-certificates={CERTIFICATES}"
    assert json.loads(told("--json", "info", uri))["size"] == 64 << 20


def test_a_key(daemon):
    with open(KEYS, encoding="ascii") as file:
        user = file.readline().split(":")[0]
    uri = secure(daemon, user=user, psk_file=KEYS)
    assert json.loads(told("--json", "info", uri))["size"] == 64 << 20


def test_keys_that_do_not_fit(daemon, directory):
    path = os.path.join(directory, "keys")
    with open(path, "w", encoding="ascii") as file:
        file.write("somebody:" + "00" * 32 + "\n")
    os.chmod(path, 0o600)
    refused(TLS, "info", secure(daemon, user="nobody", psk_file=path), says=f"{path}: it has no key for nobody")
    refused(TLS, "info", secure(daemon, user="somebody", psk_file=path), says="info: ")
    refused(TLS, "info", secure(daemon, psk_file=path + ".none"), says=f"{path}.none: No such file")
    os.chmod(path, 0o644)
    refused(TLS, "info", secure(daemon, user="somebody", psk_file=path), says=path)


def test_a_server_that_nobody_vouches_for(daemon):
    refused(TLS, "info", secure(daemon), says="the server's certificate isn't accepted: self-signed certificate in certificate chain")
    other = tls_support.certificates("theirs")
    refused(TLS, "ping", secure(daemon, certificates=other), says="the server's certificate isn't accepted: ")
    assert told("ping", secure(daemon, verify_peer="false")).endswith(" ms\n")


def test_whom_an_intermediate_authority_vouches_for_unless_it_has_revoked_it(directory):
    """The one above it is nothing that a client needs to know."""
    pki = Authority(os.path.join(directory, "pki"))
    pki.issue("server", "/CN=localhost", SERVER, issuer="inter")
    known = os.path.join(directory, "known")
    os.mkdir(known)
    shutil.copy(pki.path("inter-cert.pem"), os.path.join(known, "ca-cert.pem"))
    with Daemon(directory, "a=ram:64M", tcp=True, options=["--tls-certificates", pki.directory], tls=False) as running:
        uri = secure(running, certificates=known, host="localhost")
        assert told("ping", uri).endswith(" ms\n")
        for revoked in (), ("server",):
            pki.revoke("list.crl", "inter", *revoked)
            shutil.copy(pki.path("list.crl"), os.path.join(known, "ca-crl.pem"))
            if revoked:
                refused(TLS, "ping", uri, says="the server's certificate isn't accepted: certificate revoked")
            else:
                assert told("ping", uri).endswith(" ms\n")
        with open(os.path.join(known, "ca-crl.pem"), "w", encoding="ascii"):
            pass
        refused(TLS, "ping", uri, says=f"{known}/ca-crl.pem: no start line")


def test_the_name_in_the_certificate(daemon):
    refused(TLS, "info", secure(daemon, certificates=CERTIFICATES, hostname="elsewhere"), says="isn't accepted: hostname mismatch")
    told("info", secure(daemon, certificates=CERTIFICATES, hostname="localhost"))
    told("info", secure(daemon, certificates=CERTIFICATES, host="localhost"))


def test_files_that_are_not_there(daemon, directory):
    refused(TLS, "info", secure(daemon, certificates=directory), says=f"{directory}/ca-cert.pem: No such file")
    with open(os.path.join(directory, "ca-cert.pem"), "w", encoding="ascii") as file:
        file.write("nothing of the kind\n")
    refused(TLS, "info", secure(daemon, certificates=directory), says=f"{directory}/ca-cert.pem: ")


def test_a_key_that_others_can_read(daemon, directory):
    copy = os.path.join(directory, "pki")
    subprocess.run(["cp", "-a", CERTIFICATES, copy], check=True)
    os.chmod(os.path.join(copy, "client-key.pem"), 0o644)
    refused(TLS, "info", secure(daemon, certificates=copy), says="client-key.pem")


def test_a_key_with_a_passphrase(daemon, directory):
    """It isn't asked for: there may be nobody."""
    copy = shutil.copytree(CERTIFICATES, os.path.join(directory, "pki"))
    key = os.path.join(copy, "client-key.pem")
    subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:word", "-in", os.path.join(CERTIFICATES, "client-key.pem"), "-out", key],
                   check=True, capture_output=True, timeout=60)
    os.chmod(key, 0o600)
    refused(TLS, "info", secure(daemon, certificates=copy), says="client-key.pem: it is encrypted")


def test_an_export_for_certain_clients(daemon, directory):
    assert json.loads(told("--json", "info", secure(daemon, "mine", certificates=CERTIFICATES)))["size"] == 1 << 20
    copy = os.path.join(directory, "authority")
    os.mkdir(copy)
    subprocess.run(["cp", "-a", os.path.join(CERTIFICATES, "ca-cert.pem"), copy], check=True)
    done = run("info", secure(daemon, "mine", certificates=copy))
    assert done.returncode != 0 and done.stderr.startswith("platter: error: info: "), done


def test_plain_text_is_told_what_to_do(daemon):
    refused(TLS, "info", daemon.tcp_uri("a"), says="the server requires TLS for a (NBD_REP_ERR_TLS_REQD); write nbds:// instead of nbd://")
